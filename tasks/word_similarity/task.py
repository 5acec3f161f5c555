"""Word similarity of the embeddings that a language model of each cell has learned."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from cellzoo.errors import CellzooError, DataError
from tasks.language_modeling.news import NewsSettings
from tasks.task import Metric, Outcome, ParameterCounts

if TYPE_CHECKING:
    from tasks.language_modeling.news_text import NewsText
    from tasks.language_modeling.word_vectors import WordVectors
    from tasks.task import Context, Json, Subject

SETS = {"wordsim353": "wordsim-353", "simlex999": "simlex-999"}
TITLES = {"wordsim353": "WordSim-353", "simlex999": "SimLex-999"}
SKIP_GRAM = "skip-gram"


@dataclass(frozen=True, kw_only=True)
class WordSimilaritySettings(NewsSettings):
    """Settings of `word-similarity`: those of `news-lm`, whose model is taken, and those of the baseline.

    The baseline's vectors have `hidden_size` components and the vocabulary that `min_count` leaves.

    Attributes:
        skip_gram_epochs: Passes of the baseline over the training text.
        skip_gram_window: Largest distance of a context word.
        skip_gram_negative: Noise words for each context word.
    """

    skip_gram_epochs: int = 20
    skip_gram_window: int = 5
    skip_gram_negative: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("skip_gram_epochs", "skip_gram_window", "skip_gram_negative"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")

    def news_settings(self) -> NewsSettings:
        """The settings of the language model alone."""
        return NewsSettings(**{field.name: getattr(self, field.name) for field in fields(NewsSettings)})


class WordSimilarity:
    """Cosines of word vectors against people's scores, on WordSim-353 and SimLex-999.

    The vectors are the input embeddings of the `news-lm` model of the same cell, seed and settings. Where
    that run has left them, they are taken; otherwise the same model is trained here. Words are looked up in
    lower case; a pair with a word outside the vocabulary is left out, and the coverage says how many are
    not. The baseline `skip-gram` is gensim's word2vec on the same text with the same vocabulary.

    The times are those of the training that made the vectors, whoever did it.

    An item is a pair; its `score` is null where it is left out.
    """

    name: ClassVar[str] = "word-similarity"
    revision: ClassVar[int] = 1
    title: ClassVar[str] = "Word similarity, embeddings from news"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("wordsim353_spearman", "WordSim-353, Spearman", higher_is_better=True, digits=3),
        Metric("wordsim353_pearson", "WordSim-353, Pearson", higher_is_better=True, digits=3),
        Metric("simlex999_spearman", "SimLex-999, Spearman", higher_is_better=True, digits=3),
        Metric("simlex999_pearson", "SimLex-999, Pearson", higher_is_better=True, digits=3),
        Metric("wordsim353_coverage", "WordSim-353, share of pairs covered", higher_is_better=True, digits=3),
        Metric("simlex999_coverage", "SimLex-999, share of pairs covered", higher_is_better=True, digits=3),
    )
    data: ClassVar[tuple[str, ...]] = ("news", "wordsim-353", "simlex-999")
    baselines: ClassVar[tuple[str, ...]] = (SKIP_GRAM,)
    after: ClassVar[str | None] = "news-lm"
    Config: ClassVar[type] = WordSimilaritySettings

    def __init__(self, config: WordSimilaritySettings | None = None) -> None:
        self.config = config or WordSimilaritySettings()

    def run(self, subject: Subject, seed: int, context: Context) -> Outcome:
        """Get the word vectors of a cell or of the baseline, and compare them with people."""
        from tasks.data.word_pairs import read_pairs
        from tasks.language_modeling.news_text import NewsText
        from tasks.word_similarity.correlation import pearson, spearman
        from tasks.word_similarity.pairs import cosines, coverage

        text = NewsText.read(context.data["news"], self.config.min_count)
        vectors = self._vectors(subject, seed, text, context)
        started = time.perf_counter()
        metrics: dict[str, float] = {}
        items: list[dict[str, Json]] = []
        for name, data in SETS.items():
            pairs = read_pairs(context.data[data].files["pairs"])
            gold = [pair.score for pair in pairs]
            scores = cosines(pairs, vectors.words, vectors.vectors.numpy())
            metrics[f"{name}_spearman"] = spearman(gold, scores, TITLES[name])
            metrics[f"{name}_pearson"] = pearson(gold, scores, TITLES[name])
            metrics[f"{name}_coverage"] = coverage(scores)
            items += [
                {
                    "set": name,
                    "index": index,
                    "word1": pair.word1,
                    "word2": pair.word2,
                    "gold": pair.score,
                    "score": score,
                }
                for index, (pair, score) in enumerate(zip(pairs, scores, strict=True))
            ]
        return Outcome(
            metrics=metrics,
            items=items,
            parameters=vectors.parameters,
            flops_per_token=vectors.flops_per_token,
            tokens=vectors.tokens,
            seconds={"train": vectors.seconds, "evaluate": time.perf_counter() - started},
            history=vectors.history,
        )

    def _vectors(self, subject: Subject, seed: int, text: NewsText, context: Context) -> WordVectors:
        if subject.cell is not None:
            return self._of_language_model(subject, seed, text, context)
        if subject.name == SKIP_GRAM:
            return self._of_skip_gram(seed, text, context)
        raise CellzooError(f"{self.name}: has no baseline {subject.name!r}, only {SKIP_GRAM!r}")

    def _of_language_model(self, subject: Subject, seed: int, text: NewsText, context: Context) -> WordVectors:
        from tasks.language_modeling.news_training import train_on_news, training_key
        from tasks.language_modeling.word_vectors import read_vectors, vectors_path

        cell, settings = subject.cell, self.config.news_settings()
        assert cell is not None  # noqa: S101 - the caller has seen to it
        key = training_key(cell, seed, settings, text.source)
        path = vectors_path(context.artifacts, key)
        if path.exists():
            context.report(0.0, "reading the embeddings of news-lm")
            try:
                return read_vectors(path, key)
            except DataError as error:
                context.report(0.0, f"training anew: {error}")
        return train_on_news(cell, seed, settings, text, context, context.report)[1]

    def _of_skip_gram(self, seed: int, text: NewsText, context: Context) -> WordVectors:
        import torch

        from tasks.data.vocabulary import END, UNKNOWN
        from tasks.language_modeling.word_vectors import WordVectors
        from tasks.word_similarity.skip_gram import skip_gram

        config = self.config
        words = tuple(word for word in text.vocabulary.words if word not in (UNKNOWN, END))
        context.report(0.0, f"skip-gram, {config.skip_gram_epochs} epochs")
        started = time.perf_counter()
        vectors = skip_gram(
            text.documents["train"],
            words,
            size=config.hidden_size,
            window=config.skip_gram_window,
            negative=config.skip_gram_negative,
            epochs=config.skip_gram_epochs,
            seed=seed,
        )
        seconds = time.perf_counter() - started
        known = set(words)
        occurrences = sum(word in known for document in text.documents["train"] for word in document)
        return WordVectors(
            words=words,
            vectors=torch.from_numpy(vectors),
            parameters=ParameterCounts(cell=0, total_without_embeddings=vectors.size, total=2 * vectors.size),
            flops_per_token=0,
            tokens=occurrences * config.skip_gram_epochs,
            seconds=seconds,
            history=(),
        )

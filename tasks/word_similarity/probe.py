"""The kind of probe: cosines of learned word vectors against people's scores."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tasks.metric import Metric
from tasks.probe import Probed, ProbeKind
from tasks.settings import Settings, Size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.data.found import FoundData
    from tasks.data.vocabulary import Vocabulary
    from tasks.settings import Json
    from tasks.task import Subject
    from tasks.vectors import LearnedVectors

SETS = {"wordsim353": "wordsim-353", "simlex999": "simlex-999"}
TITLES = {"wordsim353": "WordSim-353", "simlex999": "SimLex-999"}
SKIP_GRAM = "skip-gram"
METRICS = (
    *(
        Metric(f"{name}_{measure}", f"{TITLES[name]}, {measure.capitalize()}", higher_is_better=True, digits=3)
        for name in SETS
        for measure in ("spearman", "pearson")
    ),
    *(
        Metric(f"{name}_coverage", f"{TITLES[name]}, share of pairs covered", higher_is_better=True, digits=3)
        for name in SETS
    ),
)


class WordSimilaritySettings(Settings):
    """Settings of the baseline, skip-gram by gensim; the vectors of cells are as their run left them.

    Attributes:
        corpus: The text that it is trained on.
        min_count: Words that are rarer in the training text have no vector.
        hidden_size: Size of a vector.
        skip_gram_epochs: Passes over the training text.
        skip_gram_window: Largest distance of a context word.
        skip_gram_negative: Noise words for each context word.
    """

    corpus: str = "news"
    min_count: Size = 2
    hidden_size: Size = 64
    skip_gram_epochs: Size = 20
    skip_gram_window: Size = 5
    skip_gram_negative: Size = 5


def measure(
    left: LearnedVectors | None,
    subject: Subject,
    seed: int,
    settings: WordSimilaritySettings,
    data: Mapping[str, FoundData],
    report: Callable[[float, str], None],
) -> Probed:
    """Compare word vectors with people; see `ProbeKind`.

    Words are looked up in lower case; a pair with a word that has no vector is left out, and the coverage says
    how many are not. An item is a pair; its `score` is null where it is left out.

    Raises:
        RunError: Too few pairs are covered, or the vectors give all of them one score.
    """
    from tasks.data.read import read_pairs
    from tasks.word_similarity.correlation import pearson, spearman
    from tasks.word_similarity.pairs import cosines, coverage

    vectors = left or _skip_gram(seed, settings, data, report)
    metrics: dict[str, float] = {}
    items: list[dict[str, Json]] = []
    for name, data_set in SETS.items():
        pairs = read_pairs(data[data_set])
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
    return Probed(metrics, items, vectors)


def check(data: Mapping[str, FoundData], settings: WordSimilaritySettings) -> None:
    """Read the pairs and the text; see `ProbeKind`."""
    from tasks.data.read import read_pairs

    _vocabulary(settings, data)
    for data_set in SETS.values():
        read_pairs(data[data_set])


def _vocabulary(settings: WordSimilaritySettings, data: Mapping[str, FoundData]) -> Vocabulary:
    from tasks.data.read import read_texts
    from tasks.data.vocabulary import Vocabulary

    return Vocabulary.build(read_texts(data[settings.corpus])["train"], settings.min_count)


def _skip_gram(
    seed: int,
    settings: WordSimilaritySettings,
    data: Mapping[str, FoundData],
    report: Callable[[float, str], None],
) -> LearnedVectors:
    import torch

    from tasks.data.read import read_texts
    from tasks.data.vocabulary import END, UNKNOWN
    from tasks.task import ParameterCounts
    from tasks.vectors import LearnedVectors
    from tasks.word_similarity.skip_gram import skip_gram

    words = tuple(word for word in _vocabulary(settings, data).words if word not in (UNKNOWN, END))
    documents = read_texts(data[settings.corpus])["train"]
    report(0.0, f"skip-gram, {settings.skip_gram_epochs} epochs")
    started = time.perf_counter()
    vectors = skip_gram(
        documents,
        words,
        size=settings.hidden_size,
        window=settings.skip_gram_window,
        negative=settings.skip_gram_negative,
        epochs=settings.skip_gram_epochs,
        seed=seed,
    )
    seconds = time.perf_counter() - started
    known = set(words)
    occurrences = sum(word in known for document in documents for word in document)
    return LearnedVectors(
        words=words,
        vectors=torch.from_numpy(vectors),
        parameters=ParameterCounts(cell=0, total_without_embeddings=vectors.size, total=2 * vectors.size),
        flops_per_token=0,
        tokens=occurrences * settings.skip_gram_epochs,
        seconds=seconds,
        history=(),
    )


KIND = ProbeKind(
    name="word-similarity",
    summary="cosines of word vectors against people's scores",
    settings=WordSimilaritySettings,
    data=lambda settings: (settings.corpus, *SETS.values()),
    metrics=METRICS,
    baselines=(SKIP_GRAM,),
    measure=measure,
    check=check,
)

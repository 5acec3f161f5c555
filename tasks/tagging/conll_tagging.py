"""Tagging on any corpus of column files, with word vectors trained from nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

from cellzoo.errors import CellzooError
from tasks.tagging.ner import METRICS, SmallNerSettings

if TYPE_CHECKING:
    from flair.embeddings import TokenEmbeddings

    from tasks.task import Context, Json, Metric, Outcome, Subject

_CORPORA = ("conll2000", "small-ner", "wnut17")


@dataclass(frozen=True, kw_only=True)
class ConllSettings(SmallNerSettings):
    """Settings of `conll-tagging`: those of `small-ner` on another corpus.

    Attributes:
        corpus: A tagged corpus by name, or `conll:FILES` below the data folder, see `tasks.data.own`.
        train_sentences: Take only so many sentences from the start of the training data; 0 takes all.
    """

    corpus: str = "conll2000"
    train_sentences: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.corpus in _CORPORA or self.corpus.startswith("conll:")
        self._require("corpus", f"{', '.join(_CORPORA)} or conll:FILE", known)
        self._require("train_sentences", "at least 0", self.train_sentences >= 0)


class ConllTagging:
    """Tag spans in sentences: named entities or chunks.

    Trains on the training split alone; the epoch is chosen by dev span F1.
    """

    name: ClassVar[str] = "conll-tagging"
    revision: ClassVar[int] = 1
    title: ClassVar[str] = "Tagging, CoNLL format"
    metrics: ClassVar[tuple[Metric, ...]] = METRICS
    data: tuple[str, ...] = ("conll2000",)
    baselines: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[str | None] = None
    Config: ClassVar[type] = ConllSettings

    def __init__(self, config: ConllSettings | None = None) -> None:
        self.config = config or ConllSettings()
        self.data = (self.config.corpus,)

    def run(self, subject: Subject, seed: int, context: Context) -> Outcome:
        """Train and judge one tagger."""
        from flair.embeddings import StackedEmbeddings

        from tasks.data.tagged_text import read_tagged
        from tasks.tagging.embeddings import characters, trained_words
        from tasks.tagging.experiment import run_tagging

        if subject.cell is None:
            raise CellzooError(f"{self.name}: has no baseline {subject.name!r}; it judges cells")
        config = self.config
        splits = {
            split: list(sentences) for split, sentences in read_tagged(context.data[config.corpus]).items()
        }
        splits["train"] = splits["train"][: config.train_sentences or None]

        def features() -> TokenEmbeddings:
            parts: list[TokenEmbeddings] = [
                trained_words(splits["train"], config.word_size, config.word_min_count)
            ]
            if config.character_hidden:
                parts.append(characters(splits["train"], config.character_size, config.character_hidden))
            return StackedEmbeddings(parts)

        identity: dict[str, Json] = {
            "task": self.name,
            "revision": self.revision,
            "cell": subject.cell.hash,
            "seed": seed,
            "settings": asdict(config),
            "data": {config.corpus: dict(context.data[config.corpus].sha256)},
        }
        return run_tagging(splits, features, subject.cell, seed, config, context, identity)

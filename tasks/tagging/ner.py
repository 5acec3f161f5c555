"""Named-entity recognition: the small corpus that this project writes, and WNUT-17."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

from cellzoo.errors import CellzooError
from tasks.tagging.settings import Optimizer, TagFormat, TaggerSettings
from tasks.task import Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from flair.embeddings import TokenEmbeddings

    from tasks.data.conll import TaggedSentence
    from tasks.task import Context, Json, Outcome, Subject

METRICS = (
    Metric("f1", "test span F1 (%)", higher_is_better=True),
    Metric("dev_f1", "dev span F1 (%)", higher_is_better=True),
    Metric("precision", "test span precision (%)", higher_is_better=True),
    Metric("recall", "test span recall (%)", higher_is_better=True),
)


@dataclass(frozen=True, kw_only=True)
class SmallNerSettings(TaggerSettings):
    """Settings of `small-ner`: small enough for seconds on one core.

    Attributes:
        word_size: Size of a word's vector.
        word_min_count: Words that are rarer in the training data share one vector.
    """

    hidden_size: int = 48
    crf: bool = False
    tag_format: TagFormat = "BIO"
    reproject: bool = False
    word_dropout: float = 0.0
    locked_dropout: float = 0.0
    character_hidden: int = 0
    epochs: int = 4
    optimizer: Optimizer = "adam"
    learning_rate: float = 0.02
    word_size: int = 48
    word_min_count: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("word_size", "word_min_count"):
            self._require(name, "at least 1", getattr(self, name) >= 1)


class SmallNer:
    """NER on a corpus of made-up sentences, with word vectors trained from nothing.

    Trains on the training split alone; the epoch is chosen by dev span F1.
    """

    name: ClassVar[str] = "small-ner"
    revision: ClassVar[int] = 1
    title: ClassVar[str] = "NER, small made-up corpus"
    metrics: ClassVar[tuple[Metric, ...]] = METRICS
    data: ClassVar[tuple[str, ...]] = ("small-ner",)
    baselines: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[str | None] = None
    Config: ClassVar[type] = SmallNerSettings

    def __init__(self, config: SmallNerSettings | None = None) -> None:
        self.config = config or SmallNerSettings()

    def run(self, subject: Subject, seed: int, context: Context) -> Outcome:
        """Train and judge one tagger."""

        def features(training: list[TaggedSentence]) -> list[TokenEmbeddings]:
            from tasks.tagging.embeddings import trained_words

            return [trained_words(training, self.config.word_size, self.config.word_min_count)]

        return _run(self, subject, seed, context, features)


@dataclass(frozen=True, kw_only=True)
class Wnut17Settings(TaggerSettings):
    """Settings of `wnut17`: Flair's defaults for a BiRNN-CRF."""


class Wnut17:
    """NER on WNUT 2017 (emerging entities) with GloVe vectors, which stay as they are, and characters.

    Trains on the training split alone; the epoch is chosen by dev span F1.
    """

    name: ClassVar[str] = "wnut17"
    revision: ClassVar[int] = 2
    title: ClassVar[str] = "NER, WNUT-17"
    metrics: ClassVar[tuple[Metric, ...]] = METRICS
    data: ClassVar[tuple[str, ...]] = ("wnut17", "glove-6b-50d")
    baselines: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[str | None] = None
    Config: ClassVar[type] = Wnut17Settings

    def __init__(self, config: Wnut17Settings | None = None) -> None:
        self.config = config or Wnut17Settings()

    def run(self, subject: Subject, seed: int, context: Context) -> Outcome:
        """Train and judge one tagger."""

        def features(training: list[TaggedSentence]) -> list[TokenEmbeddings]:
            from tasks.tagging.embeddings import pretrained_words

            return [pretrained_words(context.data["glove-6b-50d"].files["vectors"])]

        return _run(self, subject, seed, context, features)


def _run(
    task: SmallNer | Wnut17,
    subject: Subject,
    seed: int,
    context: Context,
    words: Callable[[list[TaggedSentence]], list[TokenEmbeddings]],
) -> Outcome:
    from flair.embeddings import StackedEmbeddings

    from tasks.data.ner import read_ner
    from tasks.tagging.embeddings import characters
    from tasks.tagging.experiment import run_tagging

    if subject.cell is None:
        raise CellzooError(f"{task.name}: has no baseline {subject.name!r}; it judges cells")
    settings = task.config
    splits = read_ner(context.data[task.data[0]])

    def features() -> TokenEmbeddings:
        parts = words(splits["train"])
        if settings.character_hidden:
            parts.append(characters(splits["train"], settings.character_size, settings.character_hidden))
        return StackedEmbeddings(parts)

    identity: dict[str, Json] = {
        "task": task.name,
        "revision": task.revision,
        "cell": subject.cell.hash,
        "seed": seed,
        "settings": asdict(settings),
        "data": {name: dict(context.data[name].sha256) for name in task.data},
    }
    return run_tagging(splits, features, subject.cell, seed, settings, context, identity)

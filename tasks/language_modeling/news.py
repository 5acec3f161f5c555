"""Language modelling on the news corpus that gensim ships."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cellzoo.errors import CellzooError
from tasks.language_modeling.settings import LanguageModelSettings, Optimizer
from tasks.task import Metric, Outcome

if TYPE_CHECKING:
    from tasks.data.splits import Split
    from tasks.task import Context, Json, Subject


@dataclass(frozen=True, kw_only=True)
class NewsSettings(LanguageModelSettings):
    """Settings of `news-lm`: small enough for seconds on one core.

    Adam with strong clipping is taken because it also trains cells that let activations grow; with the SGD
    of DARTS at a rate that fits so few steps, some of these diverge.

    Attributes:
        min_count: Words that are rarer in the training text count as `<unk>`.
    """

    hidden_size: int = 64
    dropout: float = 0.2
    dropout_e: float = 0.0
    dropout_i: float = 0.2
    dropout_x: float = 0.2
    dropout_h: float = 0.2
    epochs: int = 3
    batch_size: int = 64
    bptt: int = 16
    jitter: bool = False
    optimizer: Optimizer = "adam"
    learning_rate: float = 0.02
    clip: float = 0.1
    min_count: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_count < 1:
            raise CellzooError(f"min_count is {self.min_count}; it must be at least 1")


class NewsLanguageModel:
    """Predict each word of a news text from the words before it.

    The documents of a split form one text, `<eos>` after each of them and, as context of the very first
    word, before it. The perplexity counts every word and every `<eos>` of dev or test exactly once; words
    that are not in the vocabulary of the training text count as the word `<unk>`. The epoch is chosen by
    dev perplexity. The embeddings of the trained model are left as an artifact.

    An item is a document with its `<eos>`: `nll`, the sum of negative log-likelihoods in nats, and `tokens`.
    """

    name: ClassVar[str] = "news-lm"
    revision: ClassVar[int] = 1
    title: ClassVar[str] = "Language modelling, news"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("perplexity", "test perplexity", higher_is_better=False),
        Metric("dev_perplexity", "dev perplexity", higher_is_better=False),
    )
    data: ClassVar[tuple[str, ...]] = ("news",)
    baselines: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[str | None] = None
    Config: ClassVar[type] = NewsSettings

    def __init__(self, config: NewsSettings | None = None) -> None:
        self.config = config or NewsSettings()

    def run(self, subject: Subject, seed: int, context: Context) -> Outcome:
        """Train a language model and measure it on dev and test."""
        from tasks.language_modeling.evaluate import perplexity, word_losses
        from tasks.language_modeling.news_text import NewsText
        from tasks.language_modeling.news_training import train_on_news

        if subject.cell is None:
            raise CellzooError(f"{self.name}: has no baseline {subject.name!r}; it judges cells")
        text = NewsText.read(context.data["news"], self.config.min_count)
        model, vectors = train_on_news(subject.cell, seed, self.config, text, context, context.report)
        started = time.perf_counter()
        metrics: dict[str, float] = {}
        items: list[dict[str, Json]] = []
        judged: tuple[tuple[Split, str], ...] = (("test", "perplexity"), ("dev", "dev_perplexity"))
        for split, metric in judged:
            losses = word_losses(model, text.evaluation_streams(split, self.config.evaluation_streams))
            metrics[metric] = perplexity(losses)
            items += text.items(split, losses)
        return Outcome(
            metrics=metrics,
            items=items,
            parameters=vectors.parameters,
            flops_per_token=vectors.flops_per_token,
            tokens=vectors.tokens,
            seconds={"train": vectors.seconds, "evaluate": time.perf_counter() - started},
            history=vectors.history,
        )

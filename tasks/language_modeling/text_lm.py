"""Language modelling on a text of lines: Penn Treebank, WikiText-2, or any text file."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

from cellzoo.errors import CellzooError
from tasks.language_modeling.settings import LanguageModelSettings
from tasks.task import Metric, Outcome, ParameterCounts

if TYPE_CHECKING:
    import torch

    from cellzoo.cells.cell import Cell
    from tasks.data.splits import Split
    from tasks.data.vocabulary import Vocabulary
    from tasks.language_modeling.model import CellLanguageModel
    from tasks.task import Context, Json, Subject

_TEXTS = ("ptb", "wikitext-2")


@dataclass(frozen=True, kw_only=True)
class TextSettings(LanguageModelSettings):
    """Settings of `text-lm`: those of the DARTS experiments on Penn Treebank, but for averaged SGD.

    Attributes:
        corpus: `ptb`, `wikitext-2`, or `text:FILES` below the data folder, see `tasks.data.own`.
        min_count: Words that are rarer in the training text count as `<unk>`.
        train_words: Take only so many words from the start of the training text; 0 takes all.
    """

    corpus: str = "ptb"
    min_count: int = 1
    train_words: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.corpus not in _TEXTS and not self.corpus.startswith("text:"):
            raise CellzooError(f"corpus is {self.corpus!r}; it must be {', '.join(_TEXTS)} or text:FILE")
        if self.min_count < 1:
            raise CellzooError(f"min_count is {self.min_count}; it must be at least 1")
        if self.train_words < 0:
            raise CellzooError(f"train_words is {self.train_words}; it must not be below 0")


class TextLanguageModel:
    """Predict each word of a text from the words before it.

    Every line ends in `<eos>`, which is predicted like a word and is the context of the very first word.
    Perplexities count every word of dev or test exactly once. The epoch is chosen by dev perplexity.

    An item is a line with its `<eos>`: `nll`, the sum of negative log-likelihoods in nats, and `tokens`.
    """

    name: ClassVar[str] = "text-lm"
    revision: ClassVar[int] = 1
    title: ClassVar[str] = "Language modelling, text"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("perplexity", "test perplexity", higher_is_better=False),
        Metric("dev_perplexity", "dev perplexity", higher_is_better=False),
    )
    data: tuple[str, ...] = ("ptb",)
    baselines: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[str | None] = None
    Config: ClassVar[type] = TextSettings

    def __init__(self, config: TextSettings | None = None) -> None:
        self.config = config or TextSettings()
        self.data = (self.config.corpus,)

    def run(self, subject: Subject, seed: int, context: Context) -> Outcome:
        """Train a language model and measure it on dev and test."""
        import torch

        from tasks.data.line_text import read_line_text
        from tasks.data.vocabulary import END, Vocabulary
        from tasks.language_modeling.evaluate import perplexity, word_losses
        from tasks.language_modeling.streams import evaluation_streams, training_streams
        from tasks.language_modeling.train import train

        if subject.cell is None:
            raise CellzooError(f"{self.name}: has no baseline {subject.name!r}; it judges cells")
        config = self.config
        splits = read_line_text(context.data[config.corpus])
        vocabulary = Vocabulary.build(splits["train"], config.min_count)
        end = vocabulary.index[END]
        words = {split: torch.tensor(vocabulary.stream(lines)) for split, lines in splits.items()}  # (N,) each
        words["train"] = words["train"][: config.train_words or None]
        generator = torch.Generator().manual_seed(seed)
        model = self._model(subject.cell, vocabulary, generator, context.device)
        training = train(
            model,
            training_streams(words["train"], end, config.batch_size),
            evaluation_streams(words["dev"], end, config.evaluation_streams),
            config,
            generator=generator,
            checkpoint=context.work / "text-lm.checkpoint.safetensors",
            identity=self._identity(subject.cell, seed, context),
            report=context.report,
        )
        started = time.perf_counter()
        metrics: dict[str, float] = {}
        items: list[dict[str, Json]] = []
        judged: tuple[tuple[Split, str], ...] = (("test", "perplexity"), ("dev", "dev_perplexity"))
        for split, metric in judged:
            losses = word_losses(model, evaluation_streams(words[split], end, config.evaluation_streams))
            metrics[metric] = perplexity(losses)
            pieces = losses.split([len(line) + 1 for line in splits[split]])
            items += [
                {"split": split, "index": index, "nll": piece.sum().item(), "tokens": piece.numel()}
                for index, piece in enumerate(pieces)
            ]
        size = config.hidden_size
        total = sum(parameter.numel() for parameter in model.parameters())
        return Outcome(
            metrics=metrics,
            items=items,
            parameters=ParameterCounts(
                cell=subject.cell.num_parameters(input_size=size, hidden_size=size),
                total_without_embeddings=total - model.embedding.numel(),
                total=total,
            ),
            flops_per_token=subject.cell.flops(input_size=size, hidden_size=size),
            tokens=training.tokens,
            seconds={"train": training.seconds, "evaluate": time.perf_counter() - started},
            history=training.history,
        )

    def _model(
        self, cell: Cell, vocabulary: Vocabulary, generator: torch.Generator, device: str
    ) -> CellLanguageModel:
        from tasks.language_modeling.model import CellLanguageModel

        config = self.config
        model = CellLanguageModel(
            cell,
            len(vocabulary),
            config.hidden_size,
            config.hidden_size,
            dropout=config.dropout,
            dropout_e=config.dropout_e,
            dropout_i=config.dropout_i,
            dropout_x=config.dropout_x,
            dropout_h=config.dropout_h,
        )
        model.reset_parameters(generator)
        return model.to(device)

    def _identity(self, cell: Cell, seed: int, context: Context) -> str:
        from tasks.runs.record import record_key

        return record_key(
            task="text-lm-training",
            revision=self.revision,
            subject=cell.hash,
            configuration=asdict(self.config),
            data={self.config.corpus: context.data[self.config.corpus].sha256},
            seed=seed,
        )

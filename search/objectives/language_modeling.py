"""Language modelling: Penn Treebank, WikiText-2, or any text file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cellzoo.errors import CellzooError, DataError
from search.objectives.carry import detach
from search.objectives.kind import ObjectiveKind, Prepared, Retraining
from search.objectives.objective import Batch, Layer, Outcome
from tasks.data.line_text import read_line_text
from tasks.data.vocabulary import END, UNKNOWN, Vocabulary
from tasks.language_modeling.dropout import embed, locked_dropout
from tasks.language_modeling.evaluate import word_losses
from tasks.language_modeling.model import EMBEDDING_RANGE, LanguageModelOutput
from tasks.language_modeling.streams import Streams, evaluation_streams, training_streams
from tasks.language_modeling.train import segment_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search.objectives.objective import Carry
    from tasks.data.found import FoundData

SHORT_SEGMENTS = 0.05
"""Share of training segments that are half as long: `np.random.random() < 0.95` in DARTS' train_search.py."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelingSettings:
    """The model around the cell and how text is cut; the defaults are those of DARTS' search on PTB.

    Source: quark0/darts rnn/train_search.py.

    Attributes:
        hidden_size: Width of the cell and of the tied embedding.
        dropout: Locked dropout on the outputs of the cell.
        dropout_e: Dropout of whole words.
        dropout_i: Locked dropout on embedded words.
        dropout_x: Dropout on the cell's input.
        dropout_h: Dropout on what the cell's products read of its state and nodes.
        batch_size: Parallel streams of training text.
        validation_batch_size: Parallel streams of held-out text that architectures learn from.
        bptt: Steps of a segment.
        alpha: Activation regularisation.
        beta: Temporal activation regularisation.
        evaluation_streams: Parallel streams in which perplexity is measured; every word counts once.
        min_count: Words that are rarer in the training text count as `<unk>`.
        train_words: Take only so many words from the start of the training text; 0 takes all.
        validation_words: The same of the held-out text.
    """

    hidden_size: int = 300
    dropout: float = 0.75
    dropout_e: float = 0.0
    dropout_i: float = 0.2
    dropout_x: float = 0.75
    dropout_h: float = 0.25
    batch_size: int = 256
    validation_batch_size: int = 256
    bptt: int = 35
    alpha: float = 0.0
    beta: float = 1e-3
    evaluation_streams: int = 10
    min_count: int = 1
    train_words: int = 0
    validation_words: int = 0

    def __post_init__(self) -> None:
        for name in (
            "hidden_size",
            "batch_size",
            "validation_batch_size",
            "bptt",
            "evaluation_streams",
            "min_count",
        ):
            if getattr(self, name) < 1:
                raise CellzooError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("dropout", "dropout_e", "dropout_i", "dropout_x", "dropout_h"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise CellzooError(f"{name} is {getattr(self, name)}; it must be a probability, 0 to below 1")
        for name in ("alpha", "beta", "train_words", "validation_words"):
            if getattr(self, name) < 0:
                raise CellzooError(f"{name} is {getattr(self, name)}; it must not be below 0")


class SearchLanguageModel(nn.Module):
    """The single-layer model of DARTS around a recurrent layer that is given; see `CellLanguageModel`.

    Args:
        rnn: The recurrent layer, E = H wide.
        vocabulary_size: V.
        settings: Sizes and dropout.
        generator: Draws embedding and decoder, uniform in ±0.04; the decoder's bias is zero.
    """

    tied_weights = ("embedding",)

    def __init__(
        self,
        rnn: nn.Module,
        vocabulary_size: int,
        settings: LanguageModelingSettings,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.rnn = rnn
        self.embedding = nn.Parameter(torch.empty(vocabulary_size, settings.hidden_size))
        self.decoder_bias = nn.Parameter(torch.zeros(vocabulary_size))
        with torch.no_grad():
            self.embedding.uniform_(-EMBEDDING_RANGE, EMBEDDING_RANGE, generator=generator)

    def forward(self, tokens: Tensor, hidden: Carry = None) -> LanguageModelOutput:
        """Score the word after each word of a segment.

        Args:
            tokens: Word numbers, (T, B).
            hidden: State to start from; zeros when None.
        """
        settings, training = self.settings, self.training
        embedded = embed(tokens, self.embedding, settings.dropout_e, training)  # (T, B, E)
        embedded = locked_dropout(embedded, settings.dropout_i, training)
        raw, last = self.rnn(embedded, hidden)  # (T, B, H)
        dropped = locked_dropout(raw, settings.dropout, training)
        logits = F.linear(dropped, self.embedding, self.decoder_bias)  # (T, B, V)
        return LanguageModelOutput(logits, last, raw, dropped)


class LanguageModeling:
    """Predict each word of a text from the words before it.

    Weights learn on the training text, architectures on the dev text, in segments of truncated
    back-propagation; the state is carried from segment to segment. The dev text is gone through again and
    again, and its state starts from zeros each time (in DARTS it goes on).

    Args:
        name: The data set.
        train: Word numbers of the training text, (N,).
        dev: Word numbers of the held-out text, (N',).
        vocabulary: The words.
        settings: See there.
        device: Where models run.

    Raises:
        DataError: A text is too short for one batch.
    """

    metric = "perplexity"
    lower_is_better = True

    def __init__(
        self,
        name: str,
        train: Tensor,
        dev: Tensor,
        vocabulary: Vocabulary,
        settings: LanguageModelingSettings,
        device: torch.device,
    ) -> None:
        self.name = name
        self.settings = settings
        self._size = len(vocabulary)
        self._device = device
        self.layer = Layer(
            settings.hidden_size,
            settings.hidden_size,
            dropout_x=settings.dropout_x,
            dropout_h=settings.dropout_h,
            device=device,
        )
        end = vocabulary.index[END]
        for what, words, streams, setting in (
            ("training", train, settings.batch_size, "batch_size"),
            ("held-out", dev, settings.validation_batch_size, "validation_batch_size"),
        ):
            needed = streams * settings.bptt
            if words.numel() < needed:
                raise DataError(
                    f"{name}: the {what} text has {words.numel():,} words, fewer than one batch of "
                    f"{streams} streams x {settings.bptt} words = {needed:,}. "
                    f"Take a longer text, or a smaller {setting} or bptt"
                )
        if settings.evaluation_streams > dev.numel():
            raise DataError(
                f"{name}: the held-out text has {dev.numel():,} words, too few for evaluation_streams "
                f"{settings.evaluation_streams:,}. Take a smaller evaluation_streams"
            )
        self._train = training_streams(train, end, settings.batch_size).to(device)
        self._dev = training_streams(dev, end, settings.validation_batch_size).to(device)
        self._evaluation = evaluation_streams(dev, end, settings.evaluation_streams).to(device)

    @property
    def steps(self) -> int:
        """Training segments of an epoch, on average."""
        mean = self.settings.bptt * (1 - SHORT_SEGMENTS / 2)
        return math.ceil(self._train.inputs.shape[0] / mean)

    def model(self, rnn: nn.Module, generator: torch.Generator) -> nn.Module:
        """Build the language model."""
        return SearchLanguageModel(rnn, self._size, self.settings, generator).to(self._device)

    def train_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """The training text once, one segment in twenty half as long as the others."""
        length, bptt = self._train.inputs.shape[0], self.settings.bptt
        start = 0
        while start < length:
            short = torch.rand((), generator=generator).item() < SHORT_SEGMENTS
            steps = max(1, bptt // 2) if short else bptt
            yield _batch(self._train, start, start + steps, steps / bptt)
            start += steps

    def validation_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """The dev text without end; no chance is used."""
        bptt = self.settings.bptt
        while True:
            for start in range(0, self._dev.inputs.shape[0], bptt):
                yield _batch(self._dev, start, start + bptt, 1.0)

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> Outcome:
        """Mean loss a word of a segment."""
        inputs, targets = batch.content
        output: LanguageModelOutput = model(inputs, carry)
        loss, penalised = segment_loss(output, targets, self.settings.alpha, self.settings.beta)
        return Outcome(loss, penalised, detach(output.hidden))

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Perplexity of the whole dev text; infinite where it is too large to say."""
        losses = word_losses(cast("Any", model), self._evaluation)  # (N',)
        loss = losses.mean().item()
        try:
            perplexity = math.exp(loss)
        except OverflowError:
            perplexity = math.inf
        return {"loss": loss, "perplexity": perplexity}


def build(found: FoundData, settings: LanguageModelingSettings, device: torch.device) -> Prepared:
    """Read a text and make the objective.

    Raises:
        DataError: The text cannot be read, is too short, or has a single word only.
    """
    splits = read_line_text(found)
    vocabulary = Vocabulary.build(splits["train"], settings.min_count)
    words = len(set(vocabulary.words) - {UNKNOWN, END})
    if words < 2:
        place = ", ".join(str(path) for path in found.files.values())
        raise DataError(
            f"{place}: the training text has a vocabulary of {words} word(s) that occur "
            f"{settings.min_count} times or more; there is nothing to predict. "
            "Take another text or a smaller min_count"
        )
    train = torch.tensor(vocabulary.stream(splits["train"])[: settings.train_words or None])  # (N,)
    dev = torch.tensor(vocabulary.stream(splits["dev"])[: settings.validation_words or None])  # (N',)
    objective = LanguageModeling(found.name, train, dev, vocabulary, settings, device)
    facts = {"train words": train.numel(), "dev words": dev.numel(), "vocabulary": len(vocabulary)}
    return Prepared(objective, objective.steps, facts)


def _batch(streams: Streams, start: int, stop: int, scale: float) -> Batch:
    content = (streams.inputs[start:stop], streams.targets[start:stop])  # (T, B) each
    return Batch(content, starts=start == 0, scale=scale)


KIND = ObjectiveKind(
    name="language-modeling",
    data_sets=("ptb", "wikitext-2"),
    own="text",
    settings=LanguageModelingSettings,
    build=build,
    retraining=Retraining(
        "text-lm", "dev_perplexity", "perplexity", lower_is_better=True, settings=lambda data: {"corpus": data}
    ),
)

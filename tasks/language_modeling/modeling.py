"""The problem of language modelling: segments of text, their loss, and perplexity."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F

from cellzoo.errors import DataError, RunError
from tasks.data.vocabulary import END, UNKNOWN
from tasks.language_modeling.dynamic import DynamicRule, dynamic_losses
from tasks.language_modeling.evaluate import perplexity, word_losses
from tasks.language_modeling.model import Encoded, LanguageModel, LanguageModelOutput, detach
from tasks.language_modeling.settings import BITS, DYNAMIC, PERPLEXITY
from tasks.language_modeling.softmax import default_cutoffs
from tasks.language_modeling.streams import StoredStreams, Streams, mean_steps, segments, training_streams
from tasks.problem import LOSS, Batch, BatchLoss, Evaluation, LayerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from tasks.data.splits import Split
    from tasks.language_modeling.settings import LanguageModelingSettings
    from tasks.language_modeling.text import Text
    from tasks.metric import Metric
    from tasks.problem import Carry
    from tasks.settings import Json


DYNAMIC_TEXT = 2_000_000
"""Maximum number of training words from which dynamic evaluation computes mean squares of gradients."""


class LanguageModeling:
    """Predict each word of a text from the words before it.

    Weights are trained on the training text, architectures on the dev text, by truncated back-propagation
    through time: the state is carried over between segments, and reset to zeros at the start of each pass. An
    evaluation has one item per line or document with its `<eos>`: `nll`, the sum of negative log-likelihoods in
    nats, and `tokens`.

    Args:
        text: The text as word numbers.
        settings: Settings of the text and the model.
        device: Device of the models.

    Raises:
        DataError: A text is too short for one batch, or a cutoff is beyond its vocabulary.
    """

    metrics: tuple[Metric, ...] = (PERPLEXITY, BITS)
    selection = PERPLEXITY.name

    def __init__(self, text: Text, settings: LanguageModelingSettings, device: torch.device) -> None:
        self.name = text.name
        self.text = text
        self.settings = settings
        self.layer = layer_spec(settings, device)
        self.facts: Mapping[str, int] = text.facts
        dev = text.words["dev"].numel()
        most = max(1, min(settings.batch_size, dev // settings.bptt))
        self._projects = False
        self._cutoffs()
        self._train = self._streams("train", settings.batch_size, "batch_size", device)
        self._dev = (
            self._streams("dev", settings.validation_batch_size, "validation_batch_size", device)
            if settings.validation_batch_size
            else training_streams(text.words["dev"], text.end, most).to(device)
        )
        self.steps = math.ceil(self._train.length / mean_steps(settings.bptt, settings.jitter))

    def resized(self, hidden_size: int) -> LanguageModeling:
        """See `tasks.sizing.Resizable`; the size of the embedding does not change."""
        settings = self.settings
        other = copy(self)
        other.layer = layer_spec(settings, self.layer.device, hidden_size)
        other._projects = settings.tied and settings.model == "single"
        return other

    def model(self, rnn: nn.Module, generator: torch.Generator) -> LanguageModel:
        """Build the language model."""
        settings = self.settings
        return LanguageModel(
            rnn,
            len(self.text.vocabulary),
            dropout=settings.dropout,
            dropout_e=settings.dropout_e,
            dropout_i=settings.dropout_i,
            tied=settings.tied,
            projects=self._projects,
            cutoffs=self._cutoffs(),
            chunk=settings.softmax_chunk,
            embedding_range=settings.embedding_range,
            generator=generator,
        )

    def train_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the segments of the training text once."""
        bptt = self.settings.bptt
        for start, stop in segments(self._train.length, bptt, self.settings.jitter, generator):
            yield _batch(self._train, start, stop, (stop - start) / bptt)

    def validation_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield segments of `bptt` words of the dev text without end.

        The state is reset to zeros at the start of each pass; in DARTS it is not.
        """
        length, bptt = self._dev.length, self.settings.bptt
        while True:
            for start in range(0, length, bptt):
                yield _batch(self._dev, start, min(start + bptt, length), 1.0)

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> BatchLoss:
        """Compute the mean loss per word of a segment, without and with the penalties on activations."""
        inputs, targets = batch.content
        alpha, beta = self.settings.alpha, self.settings.beta
        if self.settings.softmax == "adaptive" or self.settings.softmax_chunk:
            modeled = cast("LanguageModel", model)
            encoded = modeled.encode(inputs, carry)
            loss = modeled.losses(encoded.dropped, targets).mean()
            return BatchLoss(loss, penalise(loss, encoded, alpha, beta), detach(encoded.hidden))
        output: LanguageModelOutput = model(inputs, carry)
        loss, penalised = segment_loss(output, targets, alpha, beta)
        return BatchLoss(loss, penalised, detach(output.hidden))

    def evaluate(
        self, model: nn.Module, split: Split, report: Callable[[float], None] = lambda fraction: None
    ) -> Evaluation:
        """Compute the perplexity over all words of a split, including `<eos>` and `<unk>`."""
        return self._evaluation(self._losses(model, split, report), split)

    def evaluate_once(self, model: nn.Module, split: Split) -> Evaluation:
        """Evaluate with additional items for words, and with dynamic evaluation if the settings ask for it.

        The additional items, of the split `dev words` or `test words`, are the distinct words of the split:
        their `count` in the training text, and their `nll` and `tokens` in this split. See `EvaluatesOnce`.

        Raises:
            RunError: Dynamic evaluation diverged.
        """
        losses = self._losses(model, split)
        found = self._evaluation(losses, split)
        words = self._items_of_words(losses, split)
        if not self.settings.dynamic:
            return replace(found, items=[*found.items, *words])
        dynamic = self._dynamic_losses(model, split)
        value = perplexity(dynamic.mean().item())
        if not math.isfinite(value):
            raise RunError(
                f"{split}: dynamic evaluation diverged, its perplexity is {value:g}; try a dynamic_rate below "
                f"{self.settings.dynamic_rate:g}"
            )
        sums = _by_line(dynamic, self.text.lengths[split])
        items = [{**item, "dynamic_nll": nll} for item, nll in zip(found.items, sums, strict=True)]
        note = f"{split}: perplexity {value:.4g} by dynamic evaluation"
        values = {**found.metrics, DYNAMIC.name: value}
        return Evaluation(values, [*items, *words], (*found.notes, note))

    def _losses(
        self, model: nn.Module, split: Split, report: Callable[[float], None] = lambda fraction: None
    ) -> Tensor:
        """Return the loss of each word, (N,)."""
        settings = self.settings
        return word_losses(
            cast("LanguageModel", model),
            self.text.words[split],
            self.text.end,
            streams=settings.evaluation_streams,
            context=settings.evaluation_context,
            report=report,
        )

    def _dynamic_losses(self, model: nn.Module, split: Split) -> Tensor:
        """Return the loss of each word in dynamic evaluation, (N,)."""
        settings, text = self.settings, self.text
        rule = DynamicRule(
            settings.dynamic_rate, settings.dynamic_decay, settings.dynamic_epsilon, settings.dynamic_segment
        )
        training = text.words["train"][:DYNAMIC_TEXT].long()
        return dynamic_losses(cast("LanguageModel", model), text.words[split], text.end, training, rule)

    def _items_of_words(self, losses: Tensor, split: Split) -> list[dict[str, Json]]:
        text, words = self.text, self.text.words[split]
        size = len(text.vocabulary)
        counts = torch.bincount(text.words["train"], minlength=size)  # (V,)
        tokens = torch.bincount(words, minlength=size)  # (V,)
        sums = losses.new_zeros(size).index_add(0, words, losses)  # (V,)
        return [
            {
                "split": f"{split} words",
                "word": text.vocabulary.words[number],
                "count": int(counts[number]),
                "nll": sums[number].item(),
                "tokens": int(tokens[number]),
            }
            for number in tokens.nonzero().flatten().tolist()
        ]

    def _evaluation(self, losses: Tensor, split: Split) -> Evaluation:
        """Compute metrics and items from the losses of words, (N,)."""
        text = self.text
        lengths, characters = text.lengths[split], text.characters[split]
        columns = zip(_by_line(losses, lengths), lengths.tolist(), characters.tolist(), strict=True)
        items: list[dict[str, Json]] = [
            {"split": split, "index": index, "nll": nll, "tokens": tokens, "characters": size}
            for index, (nll, tokens, size) in enumerate(columns)
        ]
        loss = losses.mean().item()
        bits = losses.sum().item() / math.log(2) / int(characters.sum())
        share = text.unknown(split) / losses.numel()
        note = (
            f"{split}: vocabulary of {len(text.vocabulary):,} {text.unit}; "
            f"{share:.2%} of the {text.unit} are {UNKNOWN}"
        )
        values = {LOSS: loss, PERPLEXITY.name: perplexity(loss), BITS.name: bits}
        return Evaluation(values, items, (note, *text.notes))

    def embedding_parameters(self, model: nn.Module) -> int:
        """Count the values in the embedding."""
        return cast("LanguageModel", model).embedding.numel()

    def vectors(self, model: nn.Module) -> tuple[Sequence[str], Tensor]:
        """Return the embedding of all words except `<unk>` and `<eos>`."""
        embedding = cast("LanguageModel", model).embedding.detach().cpu()  # (V, E)
        rows = [row for row, word in enumerate(self.text.vocabulary.words) if word not in (UNKNOWN, END)]
        return [self.text.vocabulary.words[row] for row in rows], embedding[rows]

    def _cutoffs(self) -> tuple[int, ...] | None:
        """Return the cutoffs of the adaptive softmax; None for a full softmax."""
        settings, size = self.settings, len(self.text.vocabulary)
        if settings.softmax == "full":
            return None
        if settings.cutoffs and settings.cutoffs[-1] >= size:
            raise DataError(
                f"{self.text.place}: the last of cutoffs = {list(settings.cutoffs)} must be below the size of "
                f"the vocabulary, {size:,}"
            )
        return settings.cutoffs or default_cutoffs(size)

    def _streams(
        self, split: Split, streams: int, setting: str, device: torch.device
    ) -> Streams | StoredStreams:
        words, bptt = self.text.words[split], self.settings.bptt
        needed = streams * bptt
        if words.numel() < needed:
            raise DataError(
                f"{self.text.place}: the {split} text has {words.numel():,} words, fewer than one batch of "
                f"{streams} streams x {bptt} words = {needed:,}. "
                f"Take a longer text, or a smaller {setting} or bptt"
            )
        if words.dtype != torch.long:
            return StoredStreams(words, self.text.end, streams, device)
        return training_streams(words, self.text.end, streams).to(device)


def layer_spec(
    settings: LanguageModelingSettings, device: torch.device | None = None, hidden_size: int | None = None
) -> LayerSpec:
    """Return the recurrent layers of a model with these settings, or with another `hidden_size`."""
    width, hidden_size = settings.embedding_width, hidden_size or settings.hidden_size
    awd = settings.model == "awd"
    return LayerSpec(
        input_size=width,
        hidden_size=width if awd else hidden_size,
        dropout=settings.dropout_between,
        dropout_x=settings.dropout_x,
        dropout_h=settings.dropout_h,
        init=settings.init,
        weight_range=settings.weight_range or None,
        device=device,
        below=(hidden_size,) * (settings.num_layers - 1),
        weight_drop=settings.weight_drop,
        trains_dropped=settings.weight_drop_mode == "fixed",
    )


def segment_loss(
    output: LanguageModelOutput, targets: Tensor, alpha: float, beta: float
) -> tuple[Tensor, Tensor]:
    """Compute the mean loss over the words of a segment, without and with the penalties on activations.

    Activation regularisation is `alpha` times the mean square of the dropped outputs, temporal activation
    regularisation `beta` times the mean square of the change of the raw outputs from step to step (Merity
    et al., arXiv 1708.01009).

    Args:
        output: Output of the model.
        targets: The next words, (T, B).
        alpha: Weight of the first penalty.
        beta: Weight of the second.

    Returns:
        The negative log-likelihood in nats per word, and the penalised loss to minimise.
    """
    loss = F.cross_entropy(output.logits.flatten(0, 1), targets.flatten())
    return loss, penalise(loss, output, alpha, beta)


def penalise(loss: Tensor, output: LanguageModelOutput | Encoded, alpha: float, beta: float) -> Tensor:
    """Add the penalties of `segment_loss` to a loss."""
    penalised = loss
    if alpha:
        penalised = penalised + alpha * output.dropped.square().mean()
    if beta and output.raw.shape[0] > 1:
        penalised = penalised + beta * (output.raw[1:] - output.raw[:-1]).square().mean()
    return penalised


def _by_line(losses: Tensor, lengths: Tensor) -> list[float]:
    """Sum the losses of words (N,) over lines of the given lengths (lines,)."""
    lines = torch.arange(lengths.numel()).repeat_interleave(lengths)  # (N,)
    sums: list[float] = losses.new_zeros(lengths.numel()).index_add(0, lines, losses).tolist()
    return sums


def _batch(streams: Streams | StoredStreams, start: int, stop: int, scale: float) -> Batch:
    content = streams.rows(start, stop)  # (T, B) each
    return Batch(content, tokens=content[1].numel(), starts=start == 0, scale=scale)

"""The classification problem: a classifier around a given recurrent layer, on examples."""

from __future__ import annotations

import math
from collections import Counter
from copy import copy
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from cellzoo.errors import CellzooError
from tasks.classification.measures import measure
from tasks.classification.model import ExampleBatch, TextClassifier, Texts
from tasks.classification.model_file import FIRST, SavedClassifier
from tasks.classification.settings import MISMATCHED, metrics_of
from tasks.classification.texts import vocabulary
from tasks.data.read import read_word_vectors
from tasks.data.vocabulary import UNKNOWN
from tasks.problem import LOSS, Batch, BatchLoss, Evaluation, LayerSpec
from tasks.training.streams import default_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from tasks.classification.context import Context
    from tasks.classification.settings import ClassificationSettings
    from tasks.classification.texts import Corpus, Tokenized
    from tasks.data.found import FoundData
    from tasks.data.splits import Split
    from tasks.problem import Carry
    from tasks.settings import Json
    from tasks.vectors import LearnedVectors

_EVALUATION_BATCH = 64
"""Examples evaluated at once."""
UNLABELLED_SPLIT = "unlabelled"
"""The field `split` of items that hold the predictions for a whole file without labels."""
_UNKNOWN, _FIRST = 1, FIRST
"""Rows of the table of word vectors: 0 is padding, 1 stands for unknown words, words begin at 2."""


class Classifying:
    """Classify or score examples; see `tasks.problem.Problem`. An evaluation has one item per example.

    The loss is the mean cross entropy in nats; for scores, the mean squared error.

    Args:
        corpus: The examples.
        settings: Settings of the data and the model.
        device: Device of the models.
        data: The pretrained word vectors that the settings name, by name.
    """

    def __init__(
        self,
        corpus: Corpus,
        settings: ClassificationSettings,
        device: torch.device,
        data: Mapping[str, FoundData],
    ) -> None:
        self.name = corpus.name
        self.corpus = corpus
        self.settings = settings
        self.device = device
        self.metrics = metrics_of(settings.corpus)
        self.selection = self.metrics[0].name
        self._classes = len(corpus.table.labels)
        self._pretrained: Tensor | None = None
        self._unknown = _UNKNOWN
        self._encoder: Mapping[str, Tensor] | None = None
        self._context: Context | None = None
        kinds = {feature.kind: feature.data for feature in settings.declared}
        if "vectors" in kinds:
            self.words, self._pretrained = self._read(data[kinds["vectors"]])
            width = self._pretrained.size(1)
        elif "words" in kinds:
            self.words = vocabulary(corpus.splits["train"], settings.word_min_count, settings.vocabulary_size)
            width = settings.word_size
        else:
            self.words, self._pretrained, width = [], torch.empty(0, 0), 0
        self._word_size = width
        self._index = {word: number for number, word in enumerate(self.words, start=_FIRST)}
        self.layer = LayerSpec(
            width,
            settings.hidden_size,
            num_layers=settings.layers,
            bidirectional=settings.bidirectional,
            dropout=settings.layer_dropout,
            dropout_x=settings.dropout_x,
            dropout_h=settings.dropout_h,
            init=settings.init,
            device=device,
        )
        self.test_items = len(corpus.splits["test"])
        self.steps = -(-len(corpus.splits["train"]) // settings.batch_size)
        self.facts: Mapping[str, int] = {
            **{f"{split} examples": len(items) for split, items in corpus.splits.items()},
            "classes": self._classes,
            "vocabulary": len(self.words),
        }

    def add_context(self, context: Context) -> None:
        """Add frozen features of each word to its vector."""
        self._context = context
        self.layer = replace(self.layer, input_size=self._word_size + context.size)

    def resized(self, hidden_size: int) -> Classifying:
        """See `tasks.sizing.Resizable`."""
        other = copy(self)
        other.layer = replace(self.layer, hidden_size=hidden_size)
        other.settings = self.settings.model_copy(update={"hidden_size": hidden_size})
        return other

    def around(self, learned: LearnedVectors) -> Classifying:
        """Use the frozen word vectors and layer of an earlier run; see `tasks.problem.TakesEncoder`.

        Words that the encoder does not know are read as its `<unk>`, if it has one.
        """
        if not learned.hidden_size:
            raise CellzooError(f"{self.name}: the earlier run kept only word vectors, not its recurrent layer")
        other = copy(self)
        changes = {"hidden_size": learned.hidden_size, "bidirectional": False, "layers": 1}
        other.settings = self.settings.model_copy(update={**changes, "train_vectors": False})
        other.words, other._pretrained = list(learned.words), learned.vectors
        other._index = {word: number for number, word in enumerate(other.words, start=_FIRST)}
        other._unknown = other._index.get(UNKNOWN, _UNKNOWN)
        other._encoder = learned.encoder
        other._word_size, other._context = learned.vectors.size(1), None
        other.layer = LayerSpec(learned.vectors.size(1), learned.hidden_size, device=self.device)
        other.facts = {**self.facts, "vocabulary": len(other.words)}
        return other

    def model(self, rnn: nn.Module, generator: torch.Generator) -> nn.Module:
        """Build the classifier; word vectors without pretraining start uniform in ±0.1, and padding is 0."""
        if self._encoder is not None:
            try:
                rnn.load_state_dict(dict(self._encoder))
            except RuntimeError as error:
                raise CellzooError(
                    f"{self.name}: the encoder of the earlier run is not a single layer of this cell: {error}"
                ) from error
            rnn.requires_grad_(requires_grad=False)
        count = len(self.words) + _FIRST
        table = torch.empty(count, self._word_size).uniform_(-0.1, 0.1, generator=generator)  # (V, E)
        if self._pretrained is not None:
            table[_FIRST:] = self._pretrained
        table[0] = 0.0
        with default_generator(generator):
            model = TextClassifier(
                rnn,
                table,
                self.settings,
                max(1, self._classes),
                pairs=self.corpus.is_pairs,
                trainable=self._pretrained is None or self.settings.train_vectors,
            )
        return model.to(self.device)

    def train_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield every training example once, in random order."""
        yield from self._shuffled("train", self.settings.batch_size, generator)

    def validation_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the examples of dev again and again, each time in a new random order."""
        while True:
            yield from self._shuffled("dev", self.settings.validation_batch_size, generator)

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> BatchLoss:
        """Compute the mean loss of a batch."""
        examples: ExampleBatch = batch.content
        loss = self._losses(model(examples.texts), examples.labels).mean()
        return BatchLoss(loss, loss)

    def evaluate(
        self, model: nn.Module, split: Split, report: Callable[[float], None] = lambda fraction: None
    ) -> Evaluation:
        """Measure predictions; an item has `gold` and `prediction`, class numbers or scores."""
        was_training = model.training
        model.eval()
        try:
            items, losses = self._predicted(model, split, report)
            others = self._predicted(model, "mismatched", report)[0] if self._has_mismatched(split) else []
            blind = list(self._blind(model)) if split == "test" else []
        finally:
            model.train(was_training)
        names = self.corpus.table.metrics
        gold, predicted = ([float(item[key]) for item in items] for key in ("gold", "prediction"))  # type: ignore[arg-type]
        values: dict[str, float] = {name: measure(name, gold, predicted) for name in names}
        if len(names) > 1:
            values = {"score": fmean(values.values()), **values}
        if MISMATCHED in {metric.name for metric in self.metrics}:
            right = [item["gold"] == item["prediction"] for item in others]
            values[MISMATCHED] = 100.0 * fmean(right) if right else math.nan
        return Evaluation(
            {LOSS: fmean(losses), **values}, [*items, *others, *blind], self._notes(split, predicted)
        )

    def answer(self, model: nn.Module, number: int) -> None:
        """See `tasks.problem.AnswersOne`: score the classes of an example."""
        model(self._encode(self.corpus.splits["test"][number : number + 1]).texts).tolist()

    def embedding_parameters(self, model: nn.Module) -> int:
        """Count the values in the table of word vectors."""
        return model.get_parameter("vectors").numel()

    def vectors(self, model: nn.Module) -> tuple[Sequence[str], Tensor] | None:
        """Return the trained word vectors; None if they are frozen."""
        table = model.get_parameter("vectors")
        return (self.words, table.detach()[_FIRST:].cpu().clone()) if table.requires_grad else None

    def saved(self, model: nn.Module) -> SavedClassifier:
        """Return the classifier with everything that is needed to read texts."""
        if not isinstance(model, TextClassifier):
            raise TypeError(f"the model is a {type(model).__name__}, not one of Classifying.model")
        return SavedClassifier(
            model=model,
            words=tuple(self.words),
            unknown=self._unknown,
            labels=self.corpus.table.labels,
            is_pairs=self.corpus.is_pairs,
            settings=self.settings,
        )

    def _read(self, found: FoundData) -> tuple[list[str], Tensor]:
        """Read the vectors of the words of all splits, since words that train lacks have vectors, too."""
        wanted = self.corpus.looked_up(self.settings.vocabulary_size)
        read = read_word_vectors(found, wanted)
        return list(read.words), read.vectors

    def _shuffled(self, split: Split, size: int, generator: torch.Generator) -> Iterator[Batch]:
        items = self.corpus.splits[split]
        order = torch.randperm(len(items), generator=generator).tolist()
        for start in range(0, len(order), size):
            chosen = [items[place] for place in order[start : start + size]]
            words = sum(len(item.first) + len(item.second) for item in chosen)
            yield Batch(self._encode(chosen), tokens=words)

    def _encode(self, items: Sequence[Tokenized]) -> ExampleBatch:
        texts = [item.first for item in items]
        if self.corpus.is_pairs:
            texts += [item.second for item in items]
        lengths = torch.tensor([len(text) for text in texts])  # (B',)
        words = torch.zeros(len(texts), int(lengths.max()), dtype=torch.long)  # (B', T)
        known = self._index
        for row, text in zip(words, texts, strict=True):
            row[: len(text)] = torch.tensor([known.get(word, self._unknown) for word in text])
        labels = torch.tensor([item.label for item in items])  # (B,)
        if self._classes:
            labels = labels.long()
        context = None if self._context is None else self._context.read(texts)
        read = Texts(words.t().contiguous().to(self.device), lengths, context)
        return ExampleBatch(read, labels.to(self.device))

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of each example, (B,)."""
        if self._classes:
            return F.cross_entropy(logits, labels, reduction="none")
        return (logits.squeeze(1) - labels).square()

    def _predicted(
        self, model: nn.Module, split: str, report: Callable[[float], None]
    ) -> tuple[list[dict[str, Json]], list[float]]:
        items = self.corpus.splits[split]
        order = sorted(range(len(items)), key=lambda place: len(items[place].first) + len(items[place].second))
        found: dict[int, dict[str, Json]] = {}
        losses: dict[int, float] = {}
        shown = "test_mismatched" if split == "mismatched" else split
        with torch.no_grad():
            for start in range(0, len(order), _EVALUATION_BATCH):
                places = order[start : start + _EVALUATION_BATCH]
                examples = self._encode([items[place] for place in places])
                logits = model(examples.texts)  # (B, classes)
                best = logits.argmax(1) if self._classes else logits.squeeze(1)
                loss = self._losses(logits, examples.labels)
                for place, value, cost in zip(places, best.tolist(), loss.tolist(), strict=True):
                    gold = items[place].label
                    right: Json = int(gold) if self._classes else gold
                    found[place] = {"split": shown, "index": place, "gold": right, "prediction": value}
                    losses[place] = cost
                report(min(1.0, (start + len(places)) / len(order)))
        return [found[place] for place in range(len(items))], [losses[place] for place in range(len(items))]

    def _blind(self, model: nn.Module) -> Iterator[dict[str, Json]]:
        """Predict the files without labels: one item per file, with predictions in the order of its rows."""
        for role, items in self.corpus.unlabelled.items():
            predictions: list[Json] = []
            with torch.no_grad():
                for start in range(0, len(items), _EVALUATION_BATCH):
                    logits = model(self._encode(items[start : start + _EVALUATION_BATCH]).texts)  # (B, classes)
                    predictions += (logits.argmax(1) if self._classes else logits.squeeze(1)).tolist()
            yield {"split": UNLABELLED_SPLIT, "file": role, "predictions": predictions}

    def _has_mismatched(self, split: Split) -> bool:
        return split == "test" and "mismatched" in self.corpus.splits

    def _notes(self, split: Split, predicted: Sequence[float]) -> tuple[str, ...]:
        notes = list(self.corpus.notes)
        if self._classes and len(Counter(predicted)) == 1:
            label = self.corpus.table.labels[int(predicted[0])]
            notes.append(f"degenerate on {split}: every prediction is {label!r}")
        elif not self._classes and len(set(predicted)) == 1:
            notes.append(
                f"degenerate on {split}: every prediction is {predicted[0]:g}, so correlations are undefined"
            )
        return tuple(notes)

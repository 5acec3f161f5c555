"""Tagging: named entities or chunks, from any corpus in CoNLL format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from tasks.data.tagged_text import read_tagged
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from cellzoo.errors import CellzooError, DataError
from search.objectives.kind import ObjectiveKind, Prepared, Retraining
from search.objectives.objective import Batch, Layer, Outcome
from search.objectives.tagging_scores import f1_of_tags
from tasks.data.vocabulary import END, Vocabulary
from tasks.language_modeling.streams import PADDING
from tasks.layers.dropout import locked_dropout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from search.objectives.objective import Carry
    from tasks.data.conll import TaggedSentence
    from tasks.data.found import FoundData

UNKNOWN_CHARACTER = 1
"""0 is the end of a word that is shorter than others."""


@dataclass(frozen=True, kw_only=True)
class TaggingSettings:
    """The tagger around the cell; the width is that of I-DARTS' search on CoNLL-2003 (section 4.2).

    Attributes:
        hidden_size: Width of the cell, in each direction.
        bidirectional: Whether a second cell with weights of its own reads backwards.
        word_size: Size of a word's vector, trained from nothing.
        character_size: Size of a character's vector; 0 leaves characters out.
        character_filters: Filters of width 3 over the characters of a word; their maxima describe it.
        dropout: Locked dropout on what the cell reads and on its outputs.
        dropout_x: Dropout on the cell's input.
        dropout_h: Dropout on what the cell's products read of its state and nodes.
        batch_size: Sentences of a training step.
        validation_batch_size: Sentences of a step that architectures learn from.
        min_count: Words that are rarer in the training data share one vector.
        train_sentences: Take only so many sentences from the start of the training data; 0 takes all.
        validation_sentences: The same of the held-out data.
    """

    hidden_size: int = 256
    bidirectional: bool = False
    word_size: int = 100
    character_size: int = 0
    character_filters: int = 30
    dropout: float = 0.5
    dropout_x: float = 0.0
    dropout_h: float = 0.0
    batch_size: int = 32
    validation_batch_size: int = 32
    min_count: int = 1
    train_sentences: int = 0
    validation_sentences: int = 0

    def __post_init__(self) -> None:
        sizes = (
            "hidden_size",
            "word_size",
            "character_filters",
            "batch_size",
            "validation_batch_size",
            "min_count",
        )
        for name in sizes:
            if getattr(self, name) < 1:
                raise CellzooError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("dropout", "dropout_x", "dropout_h"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise CellzooError(f"{name} is {getattr(self, name)}; it must be a probability, 0 to below 1")
        for name in ("character_size", "train_sentences", "validation_sentences"):
            if getattr(self, name) < 0:
                raise CellzooError(f"{name} is {getattr(self, name)}; it must not be below 0")


class Sentences(NamedTuple):
    """Sentences side by side, the longest first.

    Attributes:
        words: Word numbers, (T, B), padded with 0.
        characters: Character numbers, (T, B, C), padded with 0; 1 is an unknown one; C is 0 without characters.
        lengths: Words of each sentence, (B,), on the CPU.
        tags: Tag numbers, (T, B), padded with `PADDING`.
    """

    words: Tensor
    characters: Tensor
    lengths: Tensor
    tags: Tensor


class SearchTagger(nn.Module):
    """Word vectors, characters if wanted, a recurrent layer that is given, and a softmax for each word.

    Args:
        rnn: The recurrent layer.
        words: Vocabulary size.
        characters: Number of known characters.
        tags: Number of tags.
        settings: See there.
        generator: Draws the weights: vectors and filters in ±sqrt(3 / size), the last layer in ±1/sqrt(width).
    """

    def __init__(
        self,
        rnn: nn.Module,
        words: int,
        characters: int,
        tags: int,
        settings: TaggingSettings,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.rnn = rnn
        self.words = _uniform(generator, (words, settings.word_size), settings.word_size, 3.0)
        width = settings.hidden_size * (2 if settings.bidirectional else 1)
        self.output = _uniform(generator, (tags, width), width, 1.0)
        self.output_bias = nn.Parameter(torch.zeros(tags))
        if settings.character_size:
            size, filters = settings.character_size, settings.character_filters
            self.characters = _uniform(generator, (characters + UNKNOWN_CHARACTER + 1, size), size, 3.0)
            self.filters = _uniform(generator, (filters, size, 3), 3 * size, 3.0)

    def forward(self, sentences: Sentences) -> Tensor:
        """Score the tags of each word.

        Returns:
            (T, B, tags); past the end of a sentence there is nothing of meaning.
        """
        features = F.embedding(sentences.words, self.words)  # (T, B, E)
        if self.settings.character_size:
            features = torch.cat([features, self._describe(sentences.characters)], dim=2)
        features = locked_dropout(features, self.settings.dropout, self.training)
        packed, _ = self.rnn(pack_padded_sequence(features, sentences.lengths))
        outputs, _ = pad_packed_sequence(packed)  # (T, B, H)
        outputs = locked_dropout(outputs, self.settings.dropout, self.training)
        return F.linear(outputs, self.output, self.output_bias)

    def _describe(self, characters: Tensor) -> Tensor:
        """The largest response of each filter on the characters of each word, (T, B, filters)."""
        steps, batch, length = characters.shape
        numbers = characters.view(-1, length)
        there = (numbers > 0).unsqueeze(2)  # (T B, C, 1)
        vectors = F.embedding(numbers, self.characters) * there  # (T B, C, size)
        responses = F.conv1d(vectors.transpose(1, 2), self.filters, padding=1)  # (T B, filters, C)
        heard = torch.relu(responses) * there.transpose(1, 2)
        return heard.amax(dim=2).view(steps, batch, -1)


class Tagging:
    """Tag each word of a sentence; the loss is the mean cross entropy of the words of a batch.

    Weights learn on the training sentences, architectures on the dev sentences, both in random order.

    Args:
        name: The data set.
        splits: `train` and `dev`.
        settings: See there.
        device: Where models run.
    """

    metric = "loss"
    """Not F1, which is 0 for all taggers alike as long as none has learned to find an entity."""
    lower_is_better = True

    def __init__(
        self,
        name: str,
        train: Sequence[TaggedSentence],
        dev: Sequence[TaggedSentence],
        settings: TaggingSettings,
        device: torch.device,
    ) -> None:
        self.name = name
        self.settings = settings
        self.vocabulary = Vocabulary.build((sentence.tokens for sentence in train), settings.min_count)
        known = sorted({character for sentence in train for token in sentence.tokens for character in token})
        self.characters = {character: number for number, character in enumerate(known, UNKNOWN_CHARACTER + 1)}
        self.tags = sorted({tag for sentence in (*train, *dev) for tag in sentence.tags})
        self._device = device
        self._train, self._dev = train, dev
        extra = settings.character_filters if settings.character_size else 0
        self.layer = Layer(
            settings.word_size + extra,
            settings.hidden_size,
            bidirectional=settings.bidirectional,
            dropout_x=settings.dropout_x,
            dropout_h=settings.dropout_h,
            device=device,
        )
        order = sorted(range(len(dev)), key=lambda place: -len(dev[place].tokens))
        size = settings.validation_batch_size
        self._evaluation = [
            self._encode([dev[place] for place in order[start : start + size]])
            for start in range(0, len(order), size)
        ]

    @property
    def steps(self) -> int:
        """Training batches of an epoch."""
        return -(-len(self._train) // self.settings.batch_size)

    def model(self, rnn: nn.Module, generator: torch.Generator) -> nn.Module:
        """Build the tagger."""
        sizes = (len(self.vocabulary), len(self.characters), len(self.tags))
        return SearchTagger(rnn, *sizes, self.settings, generator).to(self._device)

    def train_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Every training sentence once, in an order that the generator draws."""
        yield from self._shuffled(self._train, self.settings.batch_size, generator)

    def validation_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """The dev sentences in one drawn order after the other."""
        while True:
            yield from self._shuffled(self._dev, self.settings.validation_batch_size, generator)

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> Outcome:
        """Mean loss a word of a batch."""
        sentences: Sentences = batch.content
        logits = model(sentences)  # (T, B, tags)
        loss = F.cross_entropy(logits.flatten(0, 1), sentences.tags.flatten(), ignore_index=PADDING)
        return Outcome(loss, loss, None)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Loss a word, share of right tags in %, and span F1 in %, over all dev sentences."""
        was_training = model.training
        model.eval()
        total, right, words = 0.0, 0, 0
        gold: list[list[str]] = []
        predicted: list[list[str]] = []
        try:
            with torch.no_grad():
                for sentences in self._evaluation:
                    logits = model(sentences)  # (T, B, tags)
                    flat = (logits.flatten(0, 1), sentences.tags.flatten())
                    total += F.cross_entropy(*flat, ignore_index=PADDING, reduction="sum").item()
                    best = logits.argmax(dim=2)  # (T, B)
                    right += int((best == sentences.tags).sum())
                    words += int(sentences.lengths.sum())
                    gold += self._decode(sentences.tags, sentences.lengths)
                    predicted += self._decode(best, sentences.lengths)
        finally:
            model.train(was_training)
        return {"loss": total / words, "accuracy": 100.0 * right / words, "f1": f1_of_tags(gold, predicted)}

    def _shuffled(
        self, split: Sequence[TaggedSentence], size: int, generator: torch.Generator
    ) -> Iterator[Batch]:
        order = torch.randperm(len(split), generator=generator).tolist()
        for start in range(0, len(order), size):
            chosen = sorted(
                (split[place] for place in order[start : start + size]), key=lambda s: -len(s.tokens)
            )
            yield Batch(self._encode(chosen))

    def _encode(self, sentences: Sequence[TaggedSentence]) -> Sentences:
        tags = {tag: number for number, tag in enumerate(self.tags)}
        words = [torch.tensor(self.vocabulary.encode(sentence.tokens)) for sentence in sentences]
        targets = [torch.tensor([tags[tag] for tag in sentence.tags]) for sentence in sentences]
        return Sentences(
            pad_sequence(words).to(self._device),  # (T, B)
            self._encode_characters(sentences).to(self._device),  # (T, B, C)
            torch.tensor([len(sentence.tokens) for sentence in sentences]),  # (B,)
            pad_sequence(targets, padding_value=PADDING).to(self._device),  # (T, B)
        )

    def _encode_characters(self, sentences: Sequence[TaggedSentence]) -> Tensor:
        steps = len(sentences[0].tokens)
        longest = max(len(token) for sentence in sentences for token in sentence.tokens)
        width = longest if self.settings.character_size else 0
        numbers = torch.zeros(steps, len(sentences), width, dtype=torch.long)
        for place, sentence in enumerate(sentences if width else ()):
            for step, token in enumerate(sentence.tokens):
                known = [self.characters.get(character, UNKNOWN_CHARACTER) for character in token]
                numbers[step, place, : len(known)] = torch.tensor(known)
        return numbers

    def _decode(self, numbers: Tensor, lengths: Tensor) -> list[list[str]]:
        columns = zip(numbers.t().tolist(), lengths.tolist(), strict=True)
        return [[self.tags[number] for number in column[:length]] for column, length in columns]


def build(found: FoundData, settings: TaggingSettings, device: torch.device) -> Prepared:
    """Read a corpus and make the objective.

    Raises:
        DataError: It cannot be read, a split is empty or smaller than one batch, or there is one tag
            or one word only.
    """
    splits = read_tagged(found)
    train = splits["train"][: settings.train_sentences or None]
    dev = splits["dev"][: settings.validation_sentences or None]
    for what, sentences, size in (
        ("training", train, settings.batch_size),
        ("held-out", dev, settings.validation_batch_size),
    ):
        if len(sentences) < size:
            raise DataError(
                f"{found.name}: there are {len(sentences)} {what} sentences, fewer than one batch of {size}. "
                "Take a larger corpus, or a smaller batch_size or validation_batch_size"
            )
    objective = Tagging(found.name, train, dev, settings, device)
    words = len(set(objective.vocabulary.words) - {objective.vocabulary.words[0], END})
    if words < 2 or len(objective.tags) < 2:
        raise DataError(
            f"{found.name}: the training sentences have {words} different words that occur "
            f"{settings.min_count} times or more, and {len(objective.tags)} different tags; "
            "at least two of each are needed"
        )
    facts = {
        "train sentences": len(train),
        "dev sentences": len(dev),
        "vocabulary": len(objective.vocabulary),
        "tags": len(objective.tags),
    }
    return Prepared(objective, objective.steps, facts)


def _uniform(generator: torch.Generator, shape: tuple[int, ...], fan: int, spread: float) -> nn.Parameter:
    bound = (spread / fan) ** 0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))


KIND = ObjectiveKind(
    name="tagging",
    data_sets=("conll2000", "small-ner", "wnut17"),
    own="conll",
    settings=TaggingSettings,
    build=build,
    retraining=Retraining(
        "conll-tagging", "dev_f1", "f1", lower_is_better=False, settings=lambda data: {"corpus": data}
    ),
)

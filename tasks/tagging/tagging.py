"""The tagging problem: Flair's tagger around a given recurrent layer, trained and evaluated on a corpus."""

from __future__ import annotations

import math
from collections import Counter
from copy import copy
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import torch
from flair.embeddings import OneHotEmbeddings, StackedEmbeddings, TokenEmbeddings

from tasks.data.read import read_word_vectors
from tasks.embeddings.batch import parts
from tasks.problem import LOSS, Batch, BatchLoss, Evaluation, LayerSpec
from tasks.tagging.corpus import LABEL, flair_sentences, gold_spans, type_dictionary
from tasks.tagging.embeddings import characters, trained_words, word_embeddings
from tasks.tagging.evaluation import NOTHING, evaluate_batch
from tasks.tagging.flair_device import flair_on, quiet_flair
from tasks.tagging.pretrained import frozen_features, pretrained_model
from tasks.tagging.reading import looked_up, read_corpus
from tasks.tagging.scores import count_sentence, micro, micro_strict
from tasks.tagging.settings import metrics_of
from tasks.tagging.tagger import CellTagger
from tasks.training.streams import default_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from flair.embeddings import WordEmbeddings
    from torch import Tensor, nn

    from tasks.data.found import FoundData
    from tasks.data.read import TaggedData
    from tasks.data.splits import Split
    from tasks.data.vectors import WordVectors
    from tasks.embeddings.features import Feature
    from tasks.metric import Metric
    from tasks.problem import Carry
    from tasks.tagging.scores import SpanScore
    from tasks.tagging.settings import TaggingSettings

_EVALUATION_BATCH = 64
"""Sentences evaluated at once."""


class Tagging:
    """Find spans in sentences; see `tasks.problem.Problem`. An evaluation has one item per sentence.

    The loss is in nats a token. The weights learn from its sum over the tokens of a batch, as Flair's do: its
    defaults, a learning rate of 0.1 and gradients clipped at 5, are meant for that.

    Args:
        name: Name of the corpus.
        corpus: The data. If tags label single tokens, each token counts as a span, so that precision, recall
            and F1 are all equal to the accuracy.
        settings: Settings of the data and the model.
        device: Device of the models.
        frozen: Features that are not trained: how each was declared, and its embeddings.
        cache: Folder that stores computed features, see `freeze`.
        notes: Caveats of the data, repeated in every evaluation.

    Raises:
        DataError: Flair would change a token.
    """

    def __init__(
        self,
        name: str,
        corpus: TaggedData,
        settings: TaggingSettings,
        device: torch.device,
        *,
        frozen: Sequence[tuple[Feature, TokenEmbeddings]] = (),
        cache: Path | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.settings = settings
        self.device = device
        self.metrics: tuple[Metric, ...] = metrics_of(settings)
        self.selection = self.metrics[0].name
        splits, scheme = corpus.splits, corpus.scheme
        if settings.train_with_dev:
            splits = {**splits, "train": [*splits["train"], *splits["dev"]]}
            notes = (*notes, "trained on train and dev together: the value on dev is of training data")
        self._training = splits["train"]
        self._data_notes = notes
        self._gold = {
            split: [gold_spans(one, scheme) for one in sentences] for split, sentences in splits.items()
        }
        self.types = type_dictionary([*splits["train"], *splits["dev"]], scheme)
        self._known = frozenset(self.types.get_items())
        self._sentences = {split: flair_sentences(part, scheme) for split, part in splits.items()}
        with flair_on(device):
            every = [one for sentences in self._sentences.values() for one in sentences]
            self._frozen = frozen_features(frozen, every, self._sentences["train"], cache)
        self._trained = {feature.kind for feature in settings.declared}
        width = sum(part.embedding_length for part in self._frozen)
        width += settings.word_size if "words" in self._trained else 0
        width += 2 * settings.character_hidden if "char" in self._trained else 0
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
        self.test_items = len(splits["test"])
        self.steps = -(-len(splits["train"]) // settings.batch_size)
        self.facts: Mapping[str, int] = {
            "train sentences": len(splits["train"]),
            "train tokens": sum(len(one.tokens) for one in splits["train"]),
            "train entities": sum(map(len, self._gold["train"])),
            "dev sentences": len(splits["dev"]),
            "test sentences": len(splits["test"]),
            "types": len(self._known),
        }

    def resized(self, hidden_size: int) -> Tagging:
        """See `tasks.sizing.Resizable`."""
        other = copy(self)
        other.layer = replace(self.layer, hidden_size=hidden_size)
        return other

    def model(self, rnn: nn.Module, generator: torch.Generator) -> nn.Module:
        """Build the tagger."""
        settings, training = self.settings, self._training
        with flair_on(self.device), quiet_flair(), default_generator(generator):
            features: list[TokenEmbeddings] = list(self._frozen)
            if "words" in self._trained:
                features.append(trained_words(training, settings.word_size, settings.word_min_count))
            if "char" in self._trained:
                features.append(characters(training, settings.character_size, settings.character_hidden))
            tagger = CellTagger(
                StackedEmbeddings(features, overwrite_names=False),
                self.types,
                LABEL,
                rnn=rnn,
                tag_format=settings.tag_format,
                use_crf=settings.crf,
                reproject_embeddings=settings.reproject,
                dropout=settings.dropout,
                word_dropout=settings.word_dropout,
                locked_dropout=settings.locked_dropout,
            )
        return tagger.train()

    def train_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield every training sentence once, in random order; the last batch may be smaller."""
        yield from self._shuffled("train", self.settings.batch_size, generator)

    def validation_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the dev sentences again and again, each time in a new random order."""
        while True:
            yield from self._shuffled("dev", self.settings.validation_batch_size, generator)

    def _shuffled(self, split: Split, size: int, generator: torch.Generator) -> Iterator[Batch]:
        sentences = self._sentences[split]
        for places in torch.randperm(len(sentences), generator=generator).split(size):
            batch = [sentences[place] for place in places.tolist()]
            yield Batch(batch, tokens=sum(len(sentence.tokens) for sentence in batch))

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> BatchLoss:
        """Compute the mean loss per token; the weights are trained on the sum."""
        with flair_on(self.device):
            total, tokens = _tagger(model).forward_loss(batch.content)
        return BatchLoss(total / tokens, total, factor=tokens)

    def evaluate(
        self, model: nn.Module, split: Split, report: Callable[[float], None] = lambda fraction: None
    ) -> Evaluation:
        """See `tasks.problem.Problem`.

        A type that occurs neither in train nor in dev cannot be predicted. Its spans count as false negatives;
        their sentences are left out of the loss, which would be infinite.
        """
        tagger, sentences, gold = _tagger(model), self._sentences[split], self._gold[split]
        found = [NOTHING] * len(sentences)
        total, tokens = 0.0, 0
        training = [module for module in model.modules() if module.training]
        model.eval()
        try:
            with flair_on(self.device):
                order = sorted(range(len(sentences)), key=lambda place: -len(sentences[place].tokens))
                for start in range(0, len(order), _EVALUATION_BATCH):
                    places = order[start : start + _EVALUATION_BATCH]
                    scored = [
                        number
                        for number, place in enumerate(places)
                        if all(kind in self._known for _, _, kind in gold[place])
                    ]
                    batch = [sentences[place] for place in places]
                    predicted, loss = evaluate_batch(tagger, batch, scored)
                    for place, one in zip(places, predicted, strict=True):
                        found[place] = one
                    total += loss
                    tokens += sum(len(batch[number].tokens) for number in scored)
                    report(min(1.0, (start + _EVALUATION_BATCH) / len(order)))
        finally:
            for module in training:
                module.training = True
        items = [
            count_sentence(split, index, right, one.spans, one.strict)
            for index, (right, one) in enumerate(zip(gold, found, strict=True))
        ]
        score = micro(items)
        f1 = score.f1 if score.tp + score.fn else math.nan
        values = {
            "accuracy": score.recall,
            "f1": f1,
            "precision": score.precision,
            "recall": score.recall,
            "seqeval_f1": f1,
            "strict_f1": micro_strict(items).f1 if score.tp + score.fn else math.nan,
        }
        metrics = {LOSS: total / tokens if tokens else math.nan}
        metrics |= {metric.name: values[metric.name] for metric in self.metrics}
        return Evaluation(metrics, items, tuple(self._notes(split, score)))

    def _notes(self, split: Split, score: SpanScore) -> Iterator[str]:
        yield from self._data_notes
        if math.isnan(score.recall):
            found = f"{score.fp:,} were" if score.fp else "none was"
            yield f"{split} holds no entity and {found} found, so its F1 is undefined"
        elif math.isnan(score.precision):
            yield f"nothing was found in {split}, so its precision is undefined"
        kinds = Counter(kind for sentence in self._gold[split] for _, _, kind in sentence)
        alone = ", ".join(f"{kind} ({kinds[kind]:,})" for kind in sorted(kinds.keys() - self._known))
        if alone:
            yield f"{split} has types that neither train nor dev has, so they cannot be found: {alone}"

    def answer(self, model: nn.Module, number: int) -> None:
        """See `tasks.problem.AnswersOne`: find the spans of a sentence."""
        with flair_on(self.device):
            evaluate_batch(_tagger(model), [self._sentences["test"][number]], [])

    def embedding_parameters(self, model: nn.Module) -> int:
        """Count the parameters in the embedding tables of words and characters."""
        tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
        return sum(weight.numel() for weight in {table.weight for table in tables})

    def vectors(self, model: nn.Module) -> tuple[Sequence[str], Tensor] | None:
        """Return the trained word vectors; None with pretrained ones."""
        for part in parts(_tagger(model).embeddings):
            if isinstance(part, OneHotEmbeddings):
                return part.vocab_dictionary.get_items(), part.embedding_layer.weight.detach().cpu()
        return None


def read(
    data: Mapping[str, FoundData], settings: TaggingSettings, device: torch.device, cache: Path | None
) -> Tagging:
    """See `tasks.problem.BuildProblem`."""
    corpus = read_corpus(data, settings)
    splits = corpus.splits
    tokens = {
        split: Counter(token for one in sentences for token in one.tokens)
        for split, sentences in splits.items()
    }
    notes = list(corpus.notes)
    frozen: list[tuple[Feature, TokenEmbeddings]] = []
    for feature in settings.declared:
        if feature.kind == "vectors":
            vectors = read_word_vectors(data[feature.data], looked_up(chain.from_iterable(tokens.values())))
            with flair_on(device):
                words = word_embeddings(vectors)
            if frozen:
                words.name = f"{len(frozen)}-words"
            notes += [_coverage(feature.data, vectors, words, tokens), *vectors.notes]
            frozen.append((feature, words))
        elif feature.data:
            with flair_on(device), quiet_flair():
                frozen.append((feature, pretrained_model(feature, data[feature.data])))
    return Tagging(
        settings.corpus,
        corpus,
        settings,
        device,
        frozen=frozen,
        cache=cache,
        notes=tuple(notes),
    )


def _coverage(
    name: str, vectors: WordVectors, words: WordEmbeddings, tokens: Mapping[Split, Counter[str]]
) -> str:
    missing = ", ".join(
        f"{split} {100 * _missing(words, counts) / counts.total():.1f} %" for split, counts in tokens.items()
    )
    return (
        f"{name}: {len(vectors.words):,} of {vectors.rows:,} vectors are used (sha256 of these "
        f"{vectors.digest()}); tokens without one: {missing}"
    )


def _missing(words: WordEmbeddings, tokens: Counter[str]) -> int:
    unknown = len(words.vocab)
    return sum(count for token, count in tokens.items() if words.get_cached_token_index(token) == unknown)


def _tagger(model: nn.Module) -> CellTagger:
    if not isinstance(model, CellTagger):
        raise TypeError(f"the model is a {type(model).__name__}, not one of Tagging.model")
    return model

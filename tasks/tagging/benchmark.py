"""The benchmark `tagger` of `cellzoo bench`: training steps of whole taggers, and of Flair's around nn.LSTM."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from cellzoo.bench.case import LSTM, Case, Shape
from cellzoo.errors import CellzooError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cellzoo.bench.case import Pass

CELLS = ("lstm", "gru", "darts-v2")
_WORDS, _TYPES = 2000, 6
_RATE = 0.01


def cases(shape: Shape, dtype: str, engines: Sequence[str]) -> list[Case]:
    """List the cases: a training step of a tagger (trained words, bidirectional layer, CRF) around a few cells.

    Sentences have the lengths of the sequences of the shape, with random words and tags; a word vector has E
    values. Throughput is computed with the FLOPs of nn.LSTM for all candidates, so that it compares times.

    Raises:
        CellzooError: The shape is padded, or the dtype is not float32.
    """
    from cellzoo.bench.cells import pass_flops
    from cellzoo.catalog import load

    if not shape.packed or dtype != "float32":
        raise CellzooError(
            f"shape {shape}, {dtype}: taggers run packed batches of float32, such as `sentences`"
        )
    flops = pass_flops(load("lstm"), shape, training=True)
    return [
        Case(
            title=f"tagger with {name}, shape {shape}, training step, {dtype}",
            shape=shape,
            flops=dict.fromkeys((LSTM, *engines), flops),
            engines=engines,
            build=partial(build, cell=name),
            description={
                "cell": name,
                "shape": asdict(shape),
                "pass": "tagger step",
                "dtype": dtype,
                "loop": "none: nn.LSTM is in Flair's own tagger",
            },
        )
        for name in CELLS
    ]


def build(name: str, shape: Shape, *, cell: str) -> Pass:
    """Build a candidate: Flair's tagger for the name `LSTM`, otherwise ours with the engine of that name."""
    import torch
    from flair.models import SequenceTagger
    from flair.training_utils import store_embeddings

    from cellzoo.runtime import using
    from tasks.data.conll import TaggedSentence
    from tasks.tagging.corpus import LABEL, flair_sentences, type_dictionary
    from tasks.tagging.embeddings import trained_words
    from tasks.tagging.flair_device import flair_on, quiet_flair
    from tasks.tagging.tagger import CellTagger

    generator = torch.Generator().manual_seed(0)
    lengths = [sum(row < size for size in shape.batch_sizes) for row in range(shape.batch)]

    def draw(count: int, length: int) -> list[int]:
        found: list[int] = torch.randint(count, (length,), generator=generator).tolist()
        return found

    drawn = [
        TaggedSentence(
            tuple(f"word{number}" for number in draw(_WORDS, length)),
            tuple("O" if number >= _TYPES else f"B-kind{number}" for number in draw(3 * _TYPES, length)),
        )
        for length in lengths
    ]
    cpu = torch.device("cpu")
    with torch.random.fork_rng(devices=()), flair_on(cpu), quiet_flair():
        torch.manual_seed(0)
        sentences, types = flair_sentences(drawn), type_dictionary(drawn)
        words = trained_words(drawn, shape.input_size, 1)
        options: dict[str, Any] = {
            "hidden_size": shape.hidden_size,
            "rnn_layers": 1,
            "reproject_embeddings": False,
        }
        if name == LSTM:
            tagger: SequenceTagger = SequenceTagger(words, types, LABEL, rnn_type="LSTM", **options)
        else:
            tagger = CellTagger(words, types, LABEL, rnn_type=f"cell:{cell}", **options)
    optimizer = torch.optim.SGD(tagger.train().parameters(), lr=_RATE)

    def run() -> list[Tensor]:
        optimizer.zero_grad()
        with flair_on(cpu):
            loss, tokens = tagger.forward_loss(sentences)
        (loss / tokens).backward()
        torch.nn.utils.clip_grad_norm_(tagger.parameters(), 5.0)
        optimizer.step()
        store_embeddings(sentences, "none")
        return [loss.detach()]

    def run_by_engine() -> list[Tensor]:
        with using(name):
            return run()

    return run if name == LSTM else run_by_engine

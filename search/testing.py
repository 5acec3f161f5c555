"""Conformance tests for methods, samplers and spaces, also those of other packages.

    from search.testing import check_method, check_sampler, check_space
    check_method(my_package.METHOD, {"nodes": 3})

Each raises an `AssertionError` that describes the violated requirement.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import random
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellzoo.cells.cell import Cell
from tasks.metric import Metric
from tasks.problem import Batch, BatchLoss, Evaluation, LayerSpec
from tasks.training.state import LearnerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from search.methods.kind import MethodKind
    from search.methods.method import Method
    from search.samplers.kind import SamplerKind
    from search.samplers.sampler import Proposal
    from search.spaces.space import Space
    from tasks.problem import Carry, Problem

WORDS, STREAMS, STEPS, BATCHES = 5, 4, 6, 3


def check_method(kind: MethodKind, settings: Mapping[str, Any] | None = None) -> None:
    """Check a method that trains a supernet, on a text with five different words.

    It must learn, be deterministic for a seed (also in another process), resume exactly from its state, and
    have `derive`, `distribution` and `notes` without side effects.

    Args:
        kind: The method.
        settings: Settings that make it small; others have their defaults.
    """
    plain = dict(settings or {})
    whole = _Search(kind, plain, seed=5)
    before = whole.weights()
    numbers = whole.drive(0, 1)
    _require(all(isinstance(n, float) for step in numbers for n in step.values()), "numbers must be floats")
    _require(not torch.equal(whole.weights(), before), "an epoch leaves all weights as they were")
    _check_no_side_effects(whole.method)
    _check_layer(whole.method)
    saved, masks = whole.method.state(), torch.get_rng_state()
    content = json.loads(json.dumps(saved.content, allow_nan=False))
    later = whole.drive(1, 3)
    resumed = _Search(kind, plain, seed=99)
    resumed.method.restore(LearnerState({name: t.clone() for name, t in saved.tensors.items()}, content))
    torch.set_rng_state(masks)
    _require(
        resumed.drive(1, 3) == later, "a restored search takes other steps than one that was never stopped"
    )
    _require(torch.equal(resumed.weights(), whole.weights()), "a restored search ends with other weights")
    ends = [search.conclude().hash for search in (whole, resumed)]
    _require(ends[0] == ends[1], "a restored search ends in another cell")
    here = _digest_of_search(kind, plain, 5)
    _require(here == _digest_of_search(kind, plain, 5), "the same seed gives another search")
    _require(here != _digest_of_search(kind, plain, 6), "another seed gives the same search")
    _require(
        here == _in_another_process(_digest_of_search, kind, plain, 5), "a seed means other draws elsewhere"
    )


def check_sampler(
    kind: SamplerKind, settings: Mapping[str, Any] | None = None, space: Space[Any] | None = None
) -> None:
    """Check a sampler with made-up scores, some of them missing.

    Proposals must be numbered from 0, never be changed afterwards, end after `trials`, be deterministic for a
    seed in every process, and be the same when the calls are repeated; with one and with several proposals at a
    time.

    Args:
        kind: The sampler.
        settings: Settings that make it small; `trials` should be a few dozen.
        space: The space; by default that of the settings.
    """
    made = kind.settings.model_validate(dict(settings or {}))
    cells = made.cells() if space is None else space
    for workers in (1, 3):
        calls = _sample(kind, made, cells, workers, seed=5)
        asked = [call[1] for call in calls if call[0] == "ask"]
        _require(len(asked) == made.trials, f"{len(asked)} proposals; trials is {made.trials}")
        _require([p.number for p in asked] == list(range(len(asked))), "proposals are not counted from 0")
        _require(
            [call[2] for call in calls if call[0] == "ask"] == [repr(p) for p in asked],
            "a proposal was changed after it was made",
        )
        for proposal in asked:
            _require(isinstance(cells.to_cell(proposal.genotype), Cell), f"{proposal} is not a cell")
            _require(proposal.epochs >= 1, f"{proposal} is not to be trained")
        again = _sample(kind, made, cells, workers, seed=5)
        _require(_shown(calls) == _shown(again), "the same calls gave other proposals")
        _require(
            _shown(calls) != _shown(_sample(kind, made, cells, workers, seed=6)), "the seed decides nothing"
        )
        _replay(kind, made, cells, calls)
    _require(
        _digest_of_samples(kind, made, cells) == _in_another_process(_digest_of_samples, kind, made, cells),
        "a seed means other draws in another process",
    )


def check_space(space: Space[Any], draws: int = 60) -> None:
    """Check a space: draws are cells, codes are unique, and a mutation makes one change.

    Args:
        space: The space; it must have at least 20 cells.
        draws: Number of draws.
    """
    generator, again = random.Random(1), random.Random(1)  # noqa: S311 - not for secrets
    drawn = [space.sample(generator) for _ in range(draws)]
    _require(drawn == [space.sample(again) for _ in range(draws)], "the same generator draws other genotypes")
    codes = [space.encode(genotype) for genotype in drawn]
    _require(len({len(code) for code in codes}) == 1, "codes have different lengths")
    _require(all(type(number) is int for code in codes for number in code), "codes are not whole numbers")
    for one, code in zip(drawn, codes, strict=True):
        for other, other_code in zip(drawn, codes, strict=True):
            _require((one == other) == (code == other_code), f"{one} and {other}: the codes do not tell")
    for genotype in drawn:
        kept = deepcopy(genotype)
        mutant = space.mutate(genotype, generator)
        _require(genotype == kept, f"a mutation changed its parent {kept}")
        _require(mutant != genotype, f"a mutation left {genotype} as it was")
        changed = sum(a != b for a, b in zip(space.encode(genotype), space.encode(mutant), strict=True))
        # Where one of a set is replaced, one number goes and another comes.
        _require(1 <= changed <= 2, f"a mutation changed {changed} numbers of {genotype}")
        for cell in (space.to_cell(genotype, "found"), space.to_cell(mutant, "found")):
            _require(isinstance(cell, Cell) and cell.name == "found", f"{genotype} is not a cell")


class SmallText:
    """A small language-modelling problem: every word follows from the one before it by a rule.

    Args:
        layer: Sizes of the recurrent layer.
    """

    name = "small-text"
    metrics = (Metric("perplexity", "perplexity", higher_is_better=False),)
    selection = "perplexity"
    steps = BATCHES

    def __init__(self, layer: LayerSpec | None = None) -> None:
        self.layer = layer or LayerSpec(6, 6, dropout_x=0.2, dropout_h=0.2)
        self.facts: Mapping[str, int] = {"vocabulary": WORDS}

    def model(self, rnn: nn.Module, generator: torch.Generator) -> nn.Module:
        """See `Problem`."""
        return _TiedText(rnn, self.layer, generator)

    def train_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """See `Problem`."""
        yield from self._batches(0)

    def validation_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """See `Problem`."""
        while True:
            yield from self._batches(1)

    def _batches(self, offset: int) -> Iterator[Batch]:
        for index in range(BATCHES):
            start = torch.arange(STREAMS) * 3 + offset + index * STEPS  # (B,)
            words = (start + torch.arange(STEPS + 1).unsqueeze(1) * 2) % WORDS  # (T + 1, B)
            yield Batch((words[:-1], words[1:]), tokens=STEPS * STREAMS, starts=index == 0)

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> BatchLoss:
        """See `Problem`."""
        inputs, targets = batch.content
        logits, last = model(inputs, carry)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return BatchLoss(
            loss, loss, last.detach() if isinstance(last, Tensor) else tuple(s.detach() for s in last)
        )

    @torch.no_grad()
    def evaluate(
        self, model: nn.Module, split: str, report: Callable[[float], None] = lambda fraction: None
    ) -> Evaluation:
        """See `Problem`."""
        was_training = model.training
        model.eval()
        losses, carry = [], None
        for batch in self._batches(1):
            result = self.loss(model, batch, carry)
            carry = result.carry
            losses.append(result.loss.item())
        model.train(was_training)
        loss = sum(losses) / len(losses)
        return Evaluation({"loss": loss, "perplexity": math.exp(loss)})

    def embedding_parameters(self, model: nn.Module) -> int:
        """See `Problem`."""
        return WORDS * self.layer.hidden_size

    def vectors(self, model: nn.Module) -> None:
        """See `Problem`."""
        return


class _TiedText(nn.Module):
    """A language model whose decoder is its embedding."""

    tied_weights = ("embedding",)

    def __init__(self, rnn: nn.Module, layer: LayerSpec, generator: torch.Generator) -> None:
        super().__init__()
        self.rnn = rnn
        drawn = torch.rand(WORDS, layer.hidden_size, generator=generator)
        self.embedding = nn.Parameter(0.2 * drawn - 0.1)
        self.bias = nn.Parameter(torch.zeros(WORDS))

    def forward(self, words: Tensor, carry: Carry = None) -> tuple[Tensor, Any]:
        output, last = self.rnn(F.embedding(words, self.embedding), carry)  # (T, B, H)
        return F.linear(output, self.embedding, self.bias), last  # (T, B, V)


class _Search:
    """A method on the small text, driven as by the training loop."""

    def __init__(self, kind: MethodKind, settings: Mapping[str, Any], seed: int) -> None:
        torch.manual_seed(seed)
        self.problem: Problem = SmallText()  # type: ignore[assignment]
        built = kind.settings.model_validate(dict(settings))
        self.method: Method = kind.build(built, self.problem, torch.Generator().manual_seed(seed))

    def drive(self, first: int, last: int, epochs: int = 3) -> list[dict[str, float]]:
        numbers = []
        for epoch in range(first, last):
            numbers.append(self.method.start_epoch(epoch, epochs))
            generator = torch.Generator().manual_seed(1000 + epoch)
            validation = self.problem.validation_batches(generator)
            numbers += [self.method.step(batch, validation) for batch in self.problem.train_batches(generator)]
            numbers.append(self.method.end_epoch(validation))
            numbers.append(self.method.evaluated(self.problem.evaluate(self.method.model, "dev")))
        return numbers

    def conclude(self) -> Cell:
        validation = self.problem.validation_batches(torch.Generator().manual_seed(7))
        return self.method.conclude(validation, lambda done, of: None)

    def weights(self) -> Tensor:
        return nn.utils.parameters_to_vector(self.method.model.parameters()).detach().clone()


def _check_no_side_effects(method: Method) -> None:
    def everything() -> dict[str, Tensor]:
        state = method.state()
        text = torch.frombuffer(bytearray(json.dumps(state.content).encode()), dtype=torch.uint8)
        return {**state.tensors, "": text, " ": torch.get_rng_state()}

    before = everything()
    derived = [method.derive().hash for _ in range(2)]
    _require(derived[0] == derived[1], "derive gives two different cells")
    notes = method.notes()
    json.dumps(notes, allow_nan=False)
    _require(notes["cell"]["hash"] == derived[0], "the notes name another cell than derive gives")
    for group, rows in method.distribution().items():
        for row in rows:
            _require(not row.requires_grad, f"the distribution of {group} requires a gradient")
            _require(math.isclose(row.sum().item(), 1.0, abs_tol=1e-5), f"{group}: a row sums to {row.sum()}")
    after = everything()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    _require(not changed, f"derive, distribution or notes changed {changed}")


def _check_layer(method: Method) -> None:
    method.model.eval()
    output, _ = method.rnn(torch.zeros(3, 2, 6))
    method.model.train()
    method.take_flops()  # this call is not part of the search
    _require(tuple(output.shape) == (3, 2, 6), f"the layer gives {tuple(output.shape)} for (3, 2, 6)")
    _require(any(part is method.rnn for part in method.model.modules()), "the layer is not in the model")


def _digest_of_search(kind: MethodKind, settings: Mapping[str, Any], seed: int) -> str:
    torch.set_num_threads(1)
    search = _Search(kind, settings, seed)
    numbers = search.drive(0, 2)
    return _digest([numbers, search.weights().tolist(), search.conclude().hash])


def _score(proposal: Proposal) -> float | None:
    """A pseudorandom score that depends on the genotype only; None, for a failure, in one case of eight."""
    digest = hashlib.sha256(repr(proposal.genotype).encode()).digest()
    return None if digest[0] % 8 == 0 else digest[1] / 255


def _sample(
    kind: SamplerKind, settings: Any, space: Space[Any], workers: int, seed: int
) -> list[tuple[Any, ...]]:
    """All calls of a run with several workers, whose candidates end in a pseudorandom order."""
    sampler = kind.build(settings, space, random.Random(seed))  # noqa: S311 - not for secrets
    order = random.Random(77)  # noqa: S311 - not for secrets
    calls: list[tuple[Any, ...]] = []
    open_: list[Proposal] = []
    while True:
        while len(open_) < workers and (proposal := sampler.ask()) is not None:
            calls.append(("ask", proposal, repr(proposal)))
            open_.append(proposal)
        if not open_:
            return calls
        proposal = open_.pop(order.randrange(len(open_)))
        sampler.tell(proposal, _score(proposal))
        calls.append(("tell", proposal))


def _replay(kind: SamplerKind, settings: Any, space: Space[Any], calls: Sequence[tuple[Any, ...]]) -> None:
    """Repeat the calls, except those of `ask` that returned None, and check that the proposals are the same."""
    sampler = kind.build(settings, space, random.Random(5))  # noqa: S311 - not for secrets
    for call in calls:
        if call[0] == "tell":
            sampler.tell(call[1], _score(call[1]))
        else:
            asked = sampler.ask()
            _require(asked == call[1], f"repeating the calls gave {asked}; expected {call[1]}")


def _shown(calls: Sequence[tuple[Any, ...]]) -> list[tuple[str, str]]:
    return [(call[0], repr(call[1])) for call in calls]


def _digest_of_samples(kind: SamplerKind, settings: Any, space: Space[Any]) -> str:
    return _digest(_shown(_sample(kind, settings, space, 2, 5)))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _in_another_process(function: Callable[..., str], *arguments: Any) -> str:
    """Call a function in a new process, which has other hashes of strings."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)

"""Conformance tests for problems: settings, batches, losses, gradients, evaluation and seeds."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

import cellzoo
from cellzoo.errors import CellzooError
from cellzoo.system.lazy import lazy_property
from tasks.data.locate import find
from tasks.problem import LOSS, ProblemKind
from tasks.registry import find_problem, load_target
from tasks.settings import configure, plain, setting_names
from tasks.testing.require import CELL, check_metrics, require
from tasks.training.fit import recurrent_layer
from tasks.training.learner import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tasks.metric import Metric
    from tasks.problem import Batch, Evaluation, Problem
    from tasks.settings import Settings

    Layer = Callable[[Problem, torch.Generator], nn.Module]
    Recompute = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, float]]

_BATCHES = 3
_EXACT = 1e-9


@dataclass(frozen=True)
class Trial:
    """A problem under test.

    Attributes:
        kind: Name of a registered kind, or `module:KIND`.
        settings: Settings that make it small; the others have their defaults.
        data: The folder for `--data`, if one is needed.
        neutral: Setting -> another value, which must not change an evaluation by more than `tolerance`.
        tolerance: Relative tolerance.
        recompute: Computes metrics of one split from its items alone.
        layers: Functions that build further kinds of recurrent layers that the model must support.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Path | None = None
    neutral: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-6
    recompute: Recompute | None = None
    layers: Sequence[Layer] = ()

    @lazy_property
    def found(self) -> ProblemKind:
        """The problem kind."""
        if ":" not in self.kind:
            return find_problem(self.kind)
        found = load_target(self.kind, "the kind under test")
        require(isinstance(found, ProblemKind), f"{self.kind} is not a ProblemKind")
        return found

    def configure(self, **changes: Any) -> Settings:
        """Build its settings."""
        return configure(self.found.settings, {**self.settings, **changes}, f"kind {self.kind!r}")

    def build(self, **changes: Any) -> Problem:
        """Build the problem on the CPU."""
        config = self.configure(**changes)
        data = {name: find(name, self.data) for name in self.found.outline(config).data}
        return self.found.build(data, config, torch.device("cpu"))

    @lazy_property
    def problem(self) -> Problem:
        """The problem, built once."""
        return self.build()

    def model(self, problem: Problem | None = None, layer: Layer | None = None, seed: int = 3) -> nn.Module:
        """Build a model; also seeds torch's default generator, which draws dropout masks."""
        problem = problem or self.problem
        generator = torch.Generator().manual_seed(seed)
        rnn = (layer or _cell_layer)(problem, generator)
        model = problem.model(rnn, generator)
        torch.manual_seed(seed)
        return model

    def batches(self, seed: int = 5) -> list[Batch]:
        """Return the first training batches."""
        return list(islice(self.problem.train_batches(torch.Generator().manual_seed(seed)), _BATCHES))


def check_problem(kind: str, settings: Mapping[str, Any] | None = None, **options: Any) -> None:
    """Run every check on a kind of problem.

    Args:
        kind: Name of a registered kind, or `module:KIND`.
        settings: Settings that make it small.
        **options: The other attributes of `Trial`.

    Raises:
        AssertionError: A check failed; the message says which.
    """
    trial = Trial(kind, settings or {}, **options)
    for check in PROBLEM_CHECKS:
        check(trial)


def check_settings(trial: Trial) -> None:
    """Check that settings have defaults, can be written and read, are validated, and fit the outline."""
    kind, config = trial.found, trial.configure()
    again = configure(kind.settings, json.loads(json.dumps(plain(config), allow_nan=False)), "t")
    require(again == config, "settings that are written and read are others")
    for name in setting_names(kind.settings):
        try:
            configure(kind.settings, {name: {"not": "a value"}}, "t")
        except CellzooError as error:
            require(f"'{name}'" in str(error), f"the error on setting {name!r} does not name it: {error}")
        else:
            require(
                isinstance(plain(config)[name], dict), f"setting {name!r} takes a table in place of its value"
            )
    outline, problem = kind.outline(config), trial.problem
    check_metrics(outline.metrics)
    names = [metric.name for metric in outline.metrics]
    require(outline.selection in (*names, LOSS), f"selection {outline.selection!r} is not one of {names}")
    require(tuple(problem.metrics) == tuple(outline.metrics), "problem and outline declare different metrics")
    require(problem.selection == outline.selection, "problem and outline select by different metrics")


def check_batches(trial: Trial) -> None:
    """Check that training batches depend on the generator alone, and how many there are."""
    problem, model = trial.problem, trial.model().eval()
    before = _random_state()
    first = _losses(problem, model, trial.batches())
    require(_random_state() == before, "train_batches draws from another generator than its own")
    problem.evaluate(model, "dev")
    require(_losses(problem, model, trial.batches()) == first, "the same generator gives other batches")
    epoch = list(problem.train_batches(torch.Generator().manual_seed(5)))
    require(epoch[0].starts, "the first batch of an epoch does not start a stream")
    require(all(batch.tokens > 0 and batch.scale > 0 for batch in epoch), "a batch has no token or no scale")
    require(
        0.5 <= len(epoch) / problem.steps <= 2, f"an epoch has {len(epoch)} batches; steps says {problem.steps}"
    )
    held_out = problem.validation_batches(torch.Generator().manual_seed(5))
    require(next(iter(held_out)).starts, "the first batch of dev does not start a stream")
    require(len(list(islice(held_out, 2 * len(epoch)))) == 2 * len(epoch), "validation_batches ends")


def check_loss(trial: Trial) -> None:
    """Check that the loss is a finite scalar with a gradient, the carry is detached, and the mode is kept."""
    problem, model, stream = trial.problem, trial.model(), Stream()
    require(model.training, "a new model is not in training mode")
    for batch in trial.batches():
        result = problem.loss(model, batch, stream.before(batch))
        stream.after(result)
        require(result.loss.dim() == 0 and math.isfinite(result.loss.item()), "the loss is not a finite number")
        require(result.penalised.requires_grad, "the penalised loss has no gradient")
        for tensor in _tensors(result.carry):
            require(not tensor.requires_grad, "the carry is not detached")
        require(model.training, "a loss changes the mode of the model")


def check_gradients(trial: Trial) -> None:
    """Check that gradients reach every trainable weight, with each kind of recurrent layer."""
    problem = trial.problem
    for layer in (None, *trial.layers):
        model, stream, reached = trial.model(layer=layer), Stream(), dict[str, bool]()
        for batch in problem.train_batches(torch.Generator().manual_seed(5)):
            result = problem.loss(model, batch, stream.before(batch))
            stream.after(result)
            model.zero_grad()
            result.penalised.backward()
            for name, weight in model.named_parameters():
                if weight.requires_grad:
                    moved = weight.grad is not None and bool((weight.grad != 0).any())
                    reached[name] = reached.get(name, False) or moved
            if all(reached.values()):
                break
        cut_off = [name for name, found in reached.items() if not found]
        require(
            not cut_off, f"no gradient reaches {', '.join(cut_off)}; a weight that is not trained requires none"
        )


def check_evaluation(trial: Trial) -> None:
    """Check that an evaluation draws no random number, does not change the model, and is reproducible."""
    problem, model = trial.problem, trial.model()
    for training in (True, False):
        model.train(training)
        modes, weights = [module.training for module in model.modules()], _digest_of(model)
        before = _random_state()
        for split in ("dev", "test"):
            evaluation = problem.evaluate(model, split)
            _check_evaluation(problem.metrics, evaluation, split)
            require(_same(problem.evaluate(model, split), evaluation), "a second evaluation differs")
        require(_random_state() == before, "an evaluation draws random numbers")
        require([module.training for module in model.modules()] == modes, "an evaluation changes the mode")
        require(_digest_of(model) == weights, "an evaluation changes the model")


def check_items(trial: Trial) -> None:
    """Check that the metrics can be computed from the items alone."""
    if trial.recompute is None:
        return
    evaluation = trial.problem.evaluate(trial.model(), "test")
    for name, value in trial.recompute(evaluation.items).items():
        require(
            _close(value, evaluation.metrics[name], _EXACT),
            f"{name} is {evaluation.metrics[name]}, and {value} by the items",
        )


def check_neutral_settings(trial: Trial) -> None:
    """Check that settings which only affect the batching of an evaluation do not change its result."""
    reference = trial.problem.evaluate(trial.model(), "dev").metrics
    for name, value in trial.neutral.items():
        other = trial.build(**{name: value})
        metrics = other.evaluate(trial.model(other), "dev").metrics
        for metric, expected in reference.items():
            require(
                _close(metrics[metric], expected, trial.tolerance),
                f"{metric} is {expected}, and {metrics[metric]} with {name} = {value!r}",
            )


def check_counts(trial: Trial) -> None:
    """Check the count of embedding parameters, and that learned vectors have one row per word."""
    problem, model = trial.problem, trial.model()
    total = sum(weight.numel() for weight in model.parameters())
    require(0 <= problem.embedding_parameters(model) < total, "more embedding parameters than parameters")
    found = problem.vectors(model)
    if found is not None:
        words, vectors = found
        require(tuple(vectors.shape[:1]) == (len(words),), "words and vectors differ in number")
        require(len(set(words)) == len(words), "a word has two vectors")


def check_other_process(trial: Trial) -> None:
    """Check that a seed gives the same batches, weights and numbers in another process."""
    arguments = json.dumps([trial.kind, plain(trial.configure()), str(trial.data) if trial.data else None])
    code = (
        "import json, sys; from tasks.testing.problems import fingerprint; "
        "print(fingerprint(*json.loads(sys.argv[1])))"
    )
    there = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code, arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"},
        check=False,
    )
    require(there.returncode == 0, f"another process fails: {there.stderr[-500:]}")
    here = fingerprint(trial.kind, plain(trial.configure()), str(trial.data) if trial.data else None)
    require(there.stdout.split()[-1] == here, "another process draws other batches or weights")


PROBLEM_CHECKS = (
    check_settings,
    check_batches,
    check_loss,
    check_gradients,
    check_evaluation,
    check_items,
    check_neutral_settings,
    check_counts,
    check_other_process,
)


def fingerprint(kind: str, settings: Mapping[str, Any], data: str | None) -> str:
    """Hash the weights after some training steps, and their metrics on dev."""
    trial = Trial(kind, settings, Path(data) if data else None)
    problem, model, stream = trial.problem, trial.model(), Stream()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for batch in trial.batches():
        result = problem.loss(model, batch, stream.before(batch))
        stream.after(result)
        optimizer.zero_grad()
        result.penalised.backward()
        optimizer.step()
    metrics = sorted(problem.evaluate(model, "dev").metrics.items())
    return hashlib.sha256(f"{_digest_of(model)} {metrics}".encode()).hexdigest()


class ProblemConformance:
    """One test per check; inherit it in a class whose name starts with `Test`.

    Attributes are those of `Trial`; wrap a function in `staticmethod`.
    """

    kind: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    data: ClassVar[Path | None] = None
    neutral: ClassVar[Mapping[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-6
    recompute: ClassVar[Recompute | None] = None
    layers: ClassVar[Sequence[Layer]] = ()
    _trial: ClassVar[Trial | None] = None

    @classmethod
    def trial(cls) -> Trial:
        """The problem under test, built once for all tests of the class."""
        if "_trial" not in vars(cls):
            cls._trial = Trial(
                cls.kind, cls.settings, cls.data, cls.neutral, cls.tolerance, cls.recompute, cls.layers
            )
        assert cls._trial is not None  # noqa: S101 - it was made above
        return cls._trial

    def test_settings(self) -> None:
        """See `check_settings`."""
        check_settings(self.trial())

    def test_batches(self) -> None:
        """See `check_batches`."""
        check_batches(self.trial())

    def test_loss(self) -> None:
        """See `check_loss`."""
        check_loss(self.trial())

    def test_gradients(self) -> None:
        """See `check_gradients`."""
        check_gradients(self.trial())

    def test_evaluation(self) -> None:
        """See `check_evaluation`."""
        check_evaluation(self.trial())

    def test_items(self) -> None:
        """See `check_items`."""
        check_items(self.trial())

    def test_neutral_settings(self) -> None:
        """See `check_neutral_settings`."""
        check_neutral_settings(self.trial())

    def test_counts(self) -> None:
        """See `check_counts`."""
        check_counts(self.trial())

    def test_other_process(self) -> None:
        """See `check_other_process`."""
        check_other_process(self.trial())


def _cell_layer(problem: Problem, generator: torch.Generator) -> nn.Module:
    return recurrent_layer(cellzoo.load(CELL), problem.layer, generator)


def _check_evaluation(metrics: Sequence[Metric], evaluation: Evaluation, split: str) -> None:
    for name in (LOSS, *(metric.name for metric in metrics)):
        require(name in evaluation.metrics, f"an evaluation lacks {name!r}")
        value = evaluation.metrics[name]
        require(isinstance(value, float) and not math.isinf(value), f"{name} is {value!r}, not a float")
    require(bool(evaluation.items), "an evaluation has no items")
    for item in evaluation.items:
        json.dumps(item, allow_nan=False)
        require(item.get("split") == split, f"an item of {split} says split = {item.get('split')!r}")


def _losses(problem: Problem, model: nn.Module, batches: Sequence[Batch]) -> list[Any]:
    stream, losses = Stream(), []
    with torch.no_grad():
        for batch in batches:
            result = problem.loss(model, batch, stream.before(batch))
            stream.after(result)
            losses.append((result.loss.item(), batch.tokens, batch.starts, batch.scale))
    return losses


def _tensors(content: Any) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, list | tuple):
        for inner in content:
            yield from _tensors(inner)


def _random_state() -> str:
    """Hash the states of the global random number generators of torch, numpy and Python."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    state = (torch.get_rng_state().tolist(), random.getstate(), kind, list(keys), rest)
    return hashlib.sha256(repr(state).encode()).hexdigest()


def _digest_of(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + repr(tensor.detach().cpu().tolist()).encode())
    return digest.hexdigest()


def _same(one: Evaluation, other: Evaluation) -> bool:
    same = all(_close(value, other.metrics[name], 0.0) for name, value in one.metrics.items())
    return same and list(one.items) == list(other.items)


def _close(value: float, expected: float, tolerance: float) -> bool:
    if math.isnan(value) or math.isnan(expected):
        return math.isnan(value) and math.isnan(expected)
    return math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance)

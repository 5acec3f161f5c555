"""A task that trains a problem's model around a cell and evaluates it: what most task files say."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError
from tasks.problem import AnswersOne, EvaluatesOnce, TakesEncoder
from tasks.settings import configure, join, part, setting_names
from tasks.sizing import sized
from tasks.task import Outcome, ParameterCounts, Task
from tasks.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import torch
    from torch import nn

    from tasks.data.found import FoundData
    from tasks.metric import Metric
    from tasks.problem import Evaluation, Outline, Problem, ProblemKind
    from tasks.settings import Settings
    from tasks.task import Context, Latency, Subject
    from tasks.task_file import TaskFile
    from tasks.training.fit import Fitted

_VECTORS = "vectors.safetensors"
_TRAINING_SHARE = 0.97


class TrainedTask(Task):
    """Data, a problem, a training, an evaluation on dev and test.

    A configuration is flat: the settings of the problem and those of the training, side by side. A value on
    test stands under the metric's name; the value on dev of the metric that chooses the epoch stands under
    `dev_<name>`.

    Args:
        file: The task file.
        kind: Its kind of problem.
        source: The file, for messages.

    Raises:
        CellzooError: A setting of the file is unknown or wrong, or the problem has one of training's name.
    """

    budget = frozenset({"epochs"})

    def __init__(self, file: TaskFile, kind: ProblemKind, source: str) -> None:
        self.kind = kind
        self.baselines = kind.baselines
        self.name, self.title, self.revision = file.name, file.title, file.revision
        self.after = file.after or None
        self.tuning = file.tuning
        self.measures = kind.measures
        self._form = (kind.leaves or kind.keeps) if file.leaves == "model" else None
        if file.leaves == "model" and self._form is None:
            raise CellzooError(f"{source}: problems of the kind {kind.name!r} leave no model")
        self.leaves = self._form.suffix if self._form else _VECTORS if file.leaves else ""
        owner = f"task {file.name!r}"
        _check_tables(file, kind, source)
        self.settings: type[Settings] = join(
            owner,
            configure(kind.settings, file.settings, owner, source),
            configure(TrainingSettings, file.training, owner, source),
        )

    def problem_settings(self, config: Any) -> Settings:
        """The problem's part of a configuration."""
        return part(config, self.kind.settings)

    def training_settings(self, config: Any) -> TrainingSettings:
        """The training's part of a configuration."""
        return part(config, TrainingSettings)

    def outline(self, config: Any) -> Outline:
        """What the problem says of a configuration before any data is read."""
        return self.kind.outline(self.problem_settings(config))

    def data(self, config: Any) -> tuple[str, ...]:
        """See `Task`.

        Raises:
            CellzooError: The corpus is the user's to name, and none is named.
        """
        names = self.outline(config).data
        if not all(names):
            raise CellzooError(
                f"task {self.name!r}: needs a corpus; name one with --set, such as corpus=text:FILE or "
                "corpus=conll:FILE, or in the [settings] of a task file"
            )
        return names

    def metrics(self, config: Any) -> tuple[Metric, ...]:
        """See `Task`: the problem's first metric on test, what chose the epoch on dev, the other metrics."""
        outline = self.outline(config)
        first, *others = (
            _on(outline.test, metric, metric.name) for metric in (*outline.metrics, *outline.final)
        )
        chosen = next((m for m in outline.metrics if m.name == outline.selection), None) or _loss_metric()
        return (first, _on(outline.dev, chosen, f"dev_{outline.selection}"), *others)

    def dev_metric(self, config: Any) -> Metric:
        """See `Task`: what chooses the epoch."""
        name = f"dev_{self.outline(config).selection}"
        return next(metric for metric in self.metrics(config) if metric.name == name)

    def build_problem(
        self,
        config: Any,
        data: Mapping[str, FoundData],
        device: torch.device,
        cache: Path | None = None,
    ) -> Problem:
        """Read the data and make the problem; errors as `tasks.problem.BuildProblem`."""
        return self.kind.build(data, self.problem_settings(config), device, cache)

    def keeps(self, config: Any) -> str:
        """See `Task`."""
        form = self.kind.keeps
        return form.suffix if form and form.can_write(self.problem_settings(config)) else ""

    def check(self, config: Any, data: Mapping[str, FoundData]) -> None:
        """See `Task`."""
        self.kind.check(data, self.problem_settings(config))

    def run(self, config: Any, subject: Subject, seed: int, context: Context) -> Outcome:
        """See `Task`."""
        import torch

        from tasks.training.fit import fit
        from tasks.training.loop import Place

        if subject.cell is None and subject.name not in self.baselines:
            known = ", ".join(self.baselines) or "none"
            raise CellzooError(f"{self.name}: has no baseline {subject.name!r}; it has {known}")
        started = time.perf_counter()
        context.report(0.0, "reading data")
        problem = self.build_problem(config, context.data, torch.device(context.device), context.cache)
        held = None
        if subject.cell is not None and self.after:
            problem = self._encoded(problem, context)
        elif subject.cell is not None:
            problem, held = sized(problem, subject.cell, context.cache)
        prepared = time.perf_counter() - started
        settings = self.training_settings(config)

        def report(fraction: float, words: str) -> None:
            context.report(_TRAINING_SHARE * fraction, words)

        folder = _folder(context, settings.epochs)
        place = Place(folder, context.identity, context.label, report)
        fitted = fit(problem, subject.cell or subject.name, settings, seed, place)
        began = time.perf_counter()
        context.report(_TRAINING_SHARE, "evaluating")
        dev, test = _evaluations(problem, fitted.model)
        latency = _latency(problem, fitted.model)
        parameters = _count(problem, fitted)
        outcome = Outcome(
            metrics=self._values(config, dev, test),
            items=[*dev.items, *test.items],
            parameters=parameters,
            flops_per_token=problem.layer.flops(subject.cell) if subject.cell else 0,
            tokens=fitted.standing.tokens,
            seconds={
                "prepare": prepared,
                **fitted.standing.seconds,
                "evaluate": time.perf_counter() - began,
            },
            history=fitted.standing.history,
            facts=problem.facts,
            held=held,
            notes=tuple(dict.fromkeys((*_data_notes(context), *fitted.notes, *dev.notes, *test.notes))),
            latency=latency,
        )
        if context.artifact is not None:
            if self._form is None:
                _leave_vectors(problem, fitted, outcome, context.artifact, context.key)
            else:
                self._form.write(problem, fitted.model, context.artifact)
        if context.model is not None and self.kind.keeps is not None and context.model != context.artifact:
            self.kind.keeps.write(problem, fitted.model, context.model)
        return outcome

    def evaluate(self, config: Any, subject: Subject, context: Context) -> Mapping[str, float]:
        """See `Task`: a model of the same cell is built, and the weights of the file put into it."""
        import torch

        from tasks.training.fit import recurrent_layer
        from tasks.training.streams import RandomStreams

        path, form = context.model, self.kind.keeps
        if path is None or form is None or subject.cell is None:
            raise CellzooError(f"{context.label}: keeps no model")
        device = torch.device(context.device)
        problem = self.build_problem(config, context.data, device, context.cache)
        problem, _ = sized(problem, subject.cell, context.cache)
        streams = RandomStreams(0, device)
        with streams.in_force():
            precision = self.training_settings(config).precision
            rnn = recurrent_layer(subject.cell, problem.layer, streams.model, precision)
            model = problem.model(rnn, streams.model)
        form.load(problem, model, path)
        return self._values(config, *_evaluations(problem, model))

    def _encoded(self, problem: Problem, context: Context) -> Problem:
        """The problem around the layer that the run before has left."""
        from tasks.vectors import read_vectors

        if not isinstance(problem, TakesEncoder):
            raise CellzooError(
                f"{self.name}: its problem takes no encoder, so that it comes after no other task"
            )
        if context.left is None:
            raise CellzooError(f"{context.label}: the run of {self.after} that it reads is not known")
        return problem.around(read_vectors(context.left))

    def _values(self, config: Any, dev: Evaluation, test: Evaluation) -> dict[str, float]:
        selection = self.outline(config).selection
        return {
            metric.name: dev.metrics[selection]
            if metric.name == f"dev_{selection}"
            else test.metrics[metric.name]
            for metric in self.metrics(config)
        }


def _evaluations(problem: Problem, model: nn.Module) -> tuple[Evaluation, Evaluation]:
    """What is reported of a model on dev and test."""
    evaluate = problem.evaluate_once if isinstance(problem, EvaluatesOnce) else problem.evaluate
    return evaluate(model, "dev"), evaluate(model, "test")


def _check_tables(file: TaskFile, kind: ProblemKind, source: str) -> None:
    """Say where a setting belongs that stands in the wrong one of the two tables."""
    known = {"settings": setting_names(kind.settings), "training": setting_names(TrainingSettings)}
    for here, there in (("settings", "training"), ("training", "settings")):
        for name in getattr(file, here):
            if name not in known[here] and name in known[there]:
                raise CellzooError(f"{source}: key '{here}.{name}' belongs below [{there}]")


def _data_notes(context: Context) -> list[str]:
    return [note for found in context.data.values() for note in found.notes]


def _on(split: str, metric: Metric, name: str) -> Metric:
    return replace(metric, name=name, title=f"{split} {metric.title}")


def _loss_metric() -> Metric:
    from tasks.metric import Metric
    from tasks.problem import LOSS

    return Metric(LOSS, "loss (nats)", higher_is_better=False, digits=3)


def _folder(context: Context, epochs: int) -> Path:
    """Where the training keeps its state: a run that is longer than this one may have left its own there."""
    from tasks.training.checkpoint import CheckpointFile
    from tasks.training.loop import CHECKPOINT

    there = CheckpointFile(context.work / CHECKPOINT, context.identity).read()
    if there is None or there.standing.epoch <= epochs:
        return context.work
    folder = context.work / context.key[:12]
    folder.mkdir(exist_ok=True)
    return folder


def _count(problem: Problem, fitted: Fitted) -> ParameterCounts:
    total = _size(fitted.model.parameters())
    tables = problem.embedding_parameters(fitted.model)
    return ParameterCounts(_size(fitted.rnn.parameters()), total - tables, total)


def _latency(problem: Problem, model: torch.nn.Module) -> Latency | None:
    from tasks.latency import measure_latency

    return measure_latency(problem, model) if isinstance(problem, AnswersOne) and problem.test_items else None


def _size(weights: Iterable[torch.Tensor]) -> int:
    return sum(weight.numel() for weight in weights)


def _leave_vectors(problem: Problem, fitted: Fitted, outcome: Outcome, path: Path, key: str) -> None:
    from tasks.vectors import LearnedVectors, write_vectors

    found = problem.vectors(fitted.model)
    if found is None:
        raise CellzooError(f"{problem.name}: the model has no word vectors; take `leaves` out of the task file")
    words, vectors = found
    learned = LearnedVectors(
        words=tuple(words),
        vectors=vectors.detach().cpu(),
        parameters=outcome.parameters,
        flops_per_token=outcome.flops_per_token,
        tokens=outcome.tokens,
        seconds=outcome.seconds.get("train", 0.0),
        history=tuple(dict(epoch) for epoch in outcome.history),
        encoder={name: weight.detach().cpu() for name, weight in fitted.rnn.state_dict().items()},
        hidden_size=problem.layer.hidden_size,
    )
    write_vectors(path, key, learned)

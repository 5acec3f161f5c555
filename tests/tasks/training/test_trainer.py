"""The trainer and the training loop on a toy problem: learning, schedules, budgets and exact resumption."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from sequence_sums import SequenceSums, Settings

import cellzoo
from cellzoo.errors import CellzooError, DataError, RunError
from tasks.settings import configure
from tasks.training.events import read_events, without_times
from tasks.training.fit import fit
from tasks.training.loop import Place
from tasks.training.settings import TrainingSettings
from tasks.training.streams import RandomStreams
from tasks.training.weights import WeightAverage

CPU = torch.device("cpu")


def place(folder, identity="a" * 64, reports=None):
    folder.mkdir(exist_ok=True)
    heard = [] if reports is None else reports
    return Place(folder, identity, "toy", lambda fraction, words: heard.append((fraction, words)))


def run(folder, *, seed=0, identity="a" * 64, reports=None, **settings):
    training = TrainingSettings(optimizer="adam", learning_rate=0.02, **{"epochs": 4, **settings})
    problem = SequenceSums(Settings(), CPU)
    return fit(problem, cellzoo.load("gru"), training, seed, place(folder, identity, reports)), problem


def weights(fitted):
    return {name: tensor.clone() for name, tensor in fitted.model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_and_ends_with_the_best_epoch_on_dev(tmp_path):
    fitted, problem = run(tmp_path, epochs=30)
    dev = [epoch["dev"]["error"] for epoch in fitted.standing.history]
    assert dev[-1] < 0.5 * dev[0]
    assert fitted.best_epoch == 1 + dev.index(min(dev))
    assert problem.evaluate(fitted.model, "dev").metrics["error"] == pytest.approx(min(dev), rel=1e-12)
    assert fitted.standing.tokens == 30 * 64 * 6


def test_a_seed_means_the_same_again_and_another_seed_does_not(tmp_path):
    first, _ = run(tmp_path / "a")
    again, _ = run(tmp_path / "b")
    other, _ = run(tmp_path / "c", seed=1)
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd", "learning_rate": 0.3, "averaging": "start"}])
def test_a_budget_that_grows_goes_on_exactly(tmp_path, options):
    settings = {"optimizer": "adam", "learning_rate": 0.02, **options}
    problem, cell = SequenceSums(Settings(), CPU), cellzoo.load("gru")
    whole = fit(problem, cell, TrainingSettings(epochs=5, **settings), 0, place(tmp_path / "whole"))
    fit(problem, cell, TrainingSettings(epochs=2, **settings), 0, place(tmp_path / "parts"))
    parts = fit(problem, cell, TrainingSettings(epochs=5, **settings), 0, place(tmp_path / "parts"))
    assert same(weights(whole), weights(parts))
    logs = [without_times(read_events(tmp_path / name / "events.jsonl")) for name in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_annealing_follows_patience(tmp_path):
    class Stuck(SequenceSums):
        def evaluate(self, model, split, report=lambda fraction: None):
            found = super().evaluate(model, split, report)
            return type(found)({"loss": 1.0, "error": 1.0})

    def rates(patience):
        training = TrainingSettings(
            epochs=6, learning_rate=1e-3, anneal_factor=0.5, anneal_patience=patience, min_learning_rate=3e-4
        )
        folder = tmp_path / str(patience)
        fitted = fit(Stuck(Settings(), CPU), cellzoo.load("gru"), training, 0, place(folder))
        return [epoch["learning_rate"] for epoch in fitted.standing.history]

    # The first epoch is the best; with patience 1 two further ones halve the rate, with 0 each one.
    assert rates(1) == [1e-3, 1e-3, 1e-3, 5e-4, 5e-4]
    assert rates(0) == [1e-3, 1e-3, 5e-4]


def test_a_rate_below_the_minimum_from_the_start_is_trained_with_until_it_is_annealed(tmp_path):
    fitted, _ = run(tmp_path / "kept", epochs=3, min_learning_rate=0.1)
    assert fitted.standing.epoch == 3
    fitted, _ = run(tmp_path / "annealed", epochs=4, min_learning_rate=0.1, anneal_factor=0.5, anneal_after=2)
    assert fitted.standing.epoch == 2


def test_annealing_follows_a_schedule(tmp_path):
    fitted, _ = run(tmp_path, epochs=6, anneal_after=3, anneal_factor=0.5)
    rates = [epoch["learning_rate"] for epoch in fitted.standing.history]
    assert rates == [0.02, 0.02, 0.02, 0.01, 0.005, 0.0025]


def test_stop_patience_max_steps_and_warm_up(tmp_path):
    fitted, _ = run(tmp_path / "steps", max_steps=6, epochs=50)
    assert fitted.standing.steps == 6
    assert fitted.standing.epoch == 2
    events = read_events(tmp_path / "steps" / "events.jsonl")
    assert events[-1]["step"] == 6
    slow, _ = run(tmp_path / "slow", epochs=1, warmup_steps=10**6)
    start, _ = run(tmp_path / "start", epochs=1, warmup_steps=10**9)
    moved = [(weights(slow)[name] - weights(start)[name]).abs().max().item() for name in weights(slow)]
    assert max(moved) < 1e-6


def test_averaged_weights_are_the_mean_over_steps():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    average = WeightAverage([weight])
    values = [torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0]), torch.tensor([5.0, 5.0])]
    for value in values:
        with torch.no_grad():
            weight.copy_(value)
        average.add()
    average.swap()
    assert torch.allclose(weight, torch.stack(values).mean(0))
    average.swap()
    assert torch.equal(weight.detach(), values[-1])


def test_averaging_equals_torch_asgd(tmp_path):
    """torch.optim.ASGD with lambd 0 and t0 0 keeps the same mean."""
    problem, cell = SequenceSums(Settings(batch_size=64), CPU), cellzoo.load("gru")
    settings = TrainingSettings(epochs=7, learning_rate=0.1, clip=1e9, averaging="start", restore_best=False)
    ours = fit(problem, cell, settings, 0, place(tmp_path))
    from tasks.training.fit import recurrent_layer
    from tasks.training.streams import RandomStreams

    streams = RandomStreams(0, CPU)
    model = problem.model(recurrent_layer(cell, problem.layer, streams.model), streams.model)
    # At its first step ASGD starts its mean anew with mu = 1, later steps have mu = 1 / (step - 1).
    optimizer = torch.optim.ASGD(model.parameters(), lr=0.1, lambd=0.0, alpha=0.0, t0=0.0)
    history = []
    for _ in range(7):
        for batch in problem.train_batches(streams.train):
            optimizer.zero_grad()
            problem.loss(model, batch, None).loss.backward()
            optimizer.step()
            history.append([weight.detach().clone() for weight in model.parameters()])
    expected = [torch.stack(list(step)).mean(0) for step in zip(*history, strict=True)]
    for weight, mean in zip(ours.model.parameters(), expected, strict=True):
        assert torch.allclose(weight, mean, atol=1e-6)


def test_a_loss_that_is_not_finite_stops_with_one_message(tmp_path):
    problem = SequenceSums(Settings(spread=1e30), CPU)
    with pytest.raises(RunError, match=r"toy: stopped at epoch 1, step 1: the training loss is inf"):
        fit(problem, cellzoo.load("gru"), TrainingSettings(), 0, place(tmp_path))


class FailsInEpochThree(SequenceSums):
    """The loss is NaN for the order of batches that seed 0 gives in epoch 3, and optionally for the next."""

    def __init__(self, again=False):
        super().__init__(Settings(), CPU)
        self.again = again
        generator = RandomStreams(0, CPU).train
        self.orders = [torch.randperm(64, generator=generator) for _ in range(4)]

    def train_batches(self, generator):
        order = torch.randperm(64, generator=generator)
        fails = any(torch.equal(order, other) for other in self.orders[2 : 4 if self.again else 3])
        for place, batch in enumerate(self._batches("train", order)):
            yield replace(batch, content=batch.content * math.nan) if fails and place == 2 else batch


RECIPES = [
    {"optimizer": "adam", "learning_rate": 0.02},
    {"optimizer": "sgd", "learning_rate": 0.3, "averaging": "start"},
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_loss_that_is_not_finite_goes_back_to_the_best_epoch_once_and_says_so(tmp_path, recipe):
    settings = TrainingSettings(epochs=4, **recipe)
    whole = fit(FailsInEpochThree(), cellzoo.load("gru"), settings, 0, place(tmp_path / "whole"))
    assert whole.notes == (
        "a loss in epoch 3 was not finite: the training went back once, to the weights of epoch 2",
    )
    events = read_events(tmp_path / "whole" / "events.jsonl")
    (back,) = [event for event in events if event["event"] == "rollback"]
    assert (back["epoch"], back["restored_epoch"]) == (3, 2.0)
    assert back["why"].startswith("the training loss is nan")
    assert [epoch["epoch"] for epoch in whole.standing.history] == [1, 2, 3, 4]
    assert whole.standing.history[2]["dev"]["error"] < whole.standing.history[0]["dev"]["error"]

    def stop(fraction, words):
        if fraction >= 0.55:  # after the third epoch began again
            raise StoppedError

    stopped = Place(tmp_path / "parts", "a" * 64, "toy", stop)
    (tmp_path / "parts").mkdir()
    with pytest.raises(StoppedError):
        fit(FailsInEpochThree(), cellzoo.load("gru"), settings, 0, stopped)
    parts = fit(FailsInEpochThree(), cellzoo.load("gru"), settings, 0, place(tmp_path / "parts"))
    assert same(weights(whole), weights(parts))
    assert whole.notes == parts.notes
    assert without_times(events) == without_times(read_events(tmp_path / "parts" / "events.jsonl"))


def test_a_second_loss_that_is_not_finite_ends_the_training(tmp_path):
    settings = TrainingSettings(epochs=4, **RECIPES[0])
    with pytest.raises(
        RunError, match=r"stopped at epoch 3, step 3: .* is nan.*the checkpoint of epoch 2 is kept"
    ):
        fit(FailsInEpochThree(again=True), cellzoo.load("gru"), settings, 0, place(tmp_path))


class StoppedError(Exception):
    pass


def test_a_checkpoint_of_another_run_is_refused_and_kept(tmp_path):
    run(tmp_path)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(DataError, match="belongs to another run"):
        run(tmp_path, identity="b" * 64)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_truncated_checkpoint_is_refused(tmp_path, size):
    run(tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"checkpoint\.safetensors"):
        run(tmp_path)


def test_progress_never_falls_and_ends_at_one(tmp_path):
    reports = []
    run(tmp_path, reports=reports)
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "dev error" in reports[-1][1]


def test_history_is_json(tmp_path):
    fitted, _ = run(tmp_path)
    json.dumps(fitted.standing.history, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("epochs", 0, "must be at least 1"),
        ("learning_rate", 0.0, "must be above 0"),
        ("anneal_factor", 1.5, "must be at most 1"),
        ("optimizer", "lbfgs", "'sgd', 'adam' or 'adamw'"),
        ("epochs", "many", "a whole number"),
        ("epoch", 3, "Did you mean 'epochs'"),
    ],
)
def test_settings_say_what_would_be_right(name, value, words):
    with pytest.raises(CellzooError, match=words):
        configure(TrainingSettings, {name: value}, "task 'toy'")

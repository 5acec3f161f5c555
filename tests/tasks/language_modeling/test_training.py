from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from language_models import random_words, small_model, tiny
from tasks.language_modeling.train import Training, segment_loss, train

from cellzoo.errors import CellzooError, OutputError, RunError
from tasks.language_modeling.evaluate import perplexity, word_losses
from tasks.language_modeling.model import LanguageModelOutput
from tasks.language_modeling.settings import LanguageModelSettings
from tasks.language_modeling.streams import evaluation_streams, training_streams

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.language_modeling.model import CellLanguageModel


DROPOUT = {"dropout": 0.2, "dropout_e": 0.1, "dropout_i": 0.2, "dropout_x": 0.2, "dropout_h": 0.2}


class StoppedError(Exception):
    pass


class Log:
    """Takes reports; stops the training at a given share of it, as a kill would."""

    def __init__(self, stop_at: float = math.inf) -> None:
        self.lines: list[tuple[float, str]] = []
        self.stop_at = stop_at

    def __call__(self, fraction: float, words: str) -> None:
        self.lines.append((fraction, words))
        if fraction >= self.stop_at:
            raise StoppedError


def fit(
    model: CellLanguageModel,
    settings: LanguageModelSettings,
    checkpoint: Path,
    words: torch.Tensor | None = None,
    *,
    seed: int = 0,
    identity: str = "this one",
    log: Log | None = None,
) -> Training:
    text = random_words(200, 11) if words is None else words
    return train(
        model,
        training_streams(text, 1, settings.batch_size),
        evaluation_streams(text[:90], 1, settings.evaluation_streams),
        settings,
        generator=torch.Generator().manual_seed(seed),
        checkpoint=checkpoint,
        identity=identity,
        report=log or Log(),
    )


def state(model: CellLanguageModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_seconds(training: Training) -> dict[str, Any]:
    content = asdict(training)
    del content["seconds"]
    content["history"] = [
        {name: value for name, value in epoch.items() if name != "seconds"} for epoch in content["history"]
    ]
    return content


@pytest.mark.parametrize(("cell", "optimizer", "rate"), [("lstm", "adam", 0.1), ("gru", "sgd", 2.0)])
def test_a_text_that_needs_memory_is_learned(cell: str, optimizer: str, rate: float, tmp_path: Path) -> None:
    words = torch.tensor([0, 1, 0, 2]).repeat(100)
    without_memory = 2**0.5  # after 0 comes 1 or 2, after these comes 0
    model = small_model(cell, words=3, size=12)
    settings = tiny(epochs=5, batch_size=2, optimizer=optimizer, learning_rate=rate, clip=1.0, jitter=False)
    training = fit(model, settings, tmp_path / "checkpoint", words)
    assert training.tokens == 5 * 400
    assert perplexity(word_losses(model, evaluation_streams(words[:90], 2, 1))) < 1.2 < without_memory


def test_penalties_on_activations_by_hand() -> None:
    logits = torch.randn(3, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0, 1], [2, 3], [4, 0]])
    raw = torch.tensor([[[1.0], [2.0]], [[4.0], [2.0]], [[4.0], [-1.0]]], dtype=torch.float64)  # (T, B, H)
    dropped = 2 * raw
    output = LanguageModelOutput(logits, raw[-1:], raw, dropped)
    loss, objective = segment_loss(output, targets, alpha=0.5, beta=0.1)
    rows = [-logits[t, b].log_softmax(0)[targets[t, b]].item() for t in range(3) for b in range(2)]
    assert loss.item() == pytest.approx(math.fsum(rows) / 6, rel=1e-14)
    activation = 4 * (1 + 4 + 16 + 4 + 16 + 1) / 6
    slowness = (9 + 0 + 0 + 9) / 4
    assert objective.item() - loss.item() == pytest.approx(0.5 * activation + 0.1 * slowness, rel=1e-12)
    one_step = LanguageModelOutput(logits[:1], raw[:1], raw[:1], dropped[:1])
    loss, objective = segment_loss(one_step, targets[:1], alpha=0.0, beta=0.1)
    assert objective.item() == loss.item()


def test_a_shorter_segment_takes_a_proportionally_smaller_step(tmp_path: Path) -> None:
    words = random_words(12, 11)
    model = small_model()
    settings = tiny(epochs=1, bptt=10, learning_rate=0.5, clip=1e9, weight_decay=0.0, jitter=False)
    streams = training_streams(words, 1, 4)  # three steps, so one segment of three
    F.cross_entropy(model(streams.inputs).logits.flatten(0, 1), streams.targets.flatten()).backward()
    expected = {
        name: parameter.detach() - 0.5 * 3 / 10 * parameter.grad for name, parameter in model.named_parameters()
    }
    fresh = small_model()
    fit(fresh, tiny(**{**asdict(settings), "beta": 0.0}), tmp_path / "checkpoint", words)
    for name, tensor in fresh.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-7)


def test_gradients_are_clipped_together(tmp_path: Path) -> None:
    words = random_words(40, 11)
    settings = tiny(epochs=1, bptt=10, jitter=False, learning_rate=1.0, clip=1e-3, weight_decay=0.0)
    model = small_model()
    before = state(model)
    fit(model, settings, tmp_path / "checkpoint", words)  # four streams of ten words: one step
    moved = [(tensor - before[name]).square().sum().item() for name, tensor in model.state_dict().items()]
    assert math.sqrt(math.fsum(moved)) == pytest.approx(1e-3, rel=1e-3)


def test_the_same_seed_repeats_and_another_differs(tmp_path: Path) -> None:
    results = []
    for number, seed in enumerate((5, 5, 6)):
        torch.manual_seed(number)  # which must not matter
        model = small_model("lstm", **DROPOUT)
        training = fit(model, tiny(), tmp_path / str(number), seed=seed)
        results.append((state(model), without_seconds(training)))
    assert equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    assert not equal(results[0][0], results[2][0])


def test_training_leaves_the_default_generator_alone(tmp_path: Path) -> None:
    model = small_model()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fit(model, tiny(epochs=1), tmp_path / "checkpoint")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("stop_at", [0.2, 0.5, 0.9])
def test_a_stopped_training_ends_as_if_it_had_not_been(optimizer: str, stop_at: float, tmp_path: Path) -> None:
    settings = tiny(
        optimizer=optimizer, learning_rate=5.0 if optimizer == "sgd" else 0.05, anneal=0.5, epochs=4
    )
    whole = small_model("lstm", **DROPOUT)
    expected = without_seconds(fit(whole, settings, tmp_path / "whole"))
    with pytest.raises(StoppedError):
        fit(small_model("lstm", **DROPOUT), settings, tmp_path / "cut", log=Log(stop_at))
    assert (tmp_path / "cut").exists() == (stop_at > 0.25)
    log = Log()
    resumed = small_model("lstm", **DROPOUT)
    assert without_seconds(fit(resumed, settings, tmp_path / "cut", log=log)) == expected
    assert equal(state(resumed), state(whole))
    assert log.lines[0][0] >= stop_at - 0.25
    finished = small_model("lstm", **DROPOUT)
    assert without_seconds(fit(finished, settings, tmp_path / "cut")) == expected
    assert equal(state(finished), state(whole))


@pytest.mark.parametrize("damage", ["cut", "flipped", "another training", "no file of ours"])
def test_a_checkpoint_that_does_not_fit_is_reported_and_left(damage: str, tmp_path: Path) -> None:
    settings = tiny(epochs=2)
    model = small_model()
    expected = without_seconds(fit(model, settings, tmp_path / "checkpoint"))
    content = bytearray((tmp_path / "checkpoint").read_bytes())
    identity = "another one" if damage == "another training" else "this one"
    if damage == "cut":
        content = content[:-7]
    elif damage == "flipped":
        content[-7] ^= 0x10
    elif damage == "no file of ours":
        content = bytearray(b"some text")
    (tmp_path / "checkpoint").write_bytes(content)
    log = Log()
    fresh = small_model()
    assert (
        without_seconds(fit(fresh, settings, tmp_path / "checkpoint", identity=identity, log=log)) == expected
    )
    assert equal(state(fresh), state(model))
    assert log.lines[0][1].startswith(f"starting afresh: {tmp_path / 'checkpoint'}")


def test_a_checkpoint_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file: cannot be written"):
        fit(small_model(), tiny(), tmp_path / "file" / "checkpoint")


def test_divergence_names_epoch_and_batch(tmp_path: Path) -> None:
    settings = tiny(learning_rate=1e30, clip=1e30, jitter=False)
    with pytest.raises(RunError, match=r"loss is (nan|inf) in epoch 1, batch [2-9].*learning_rate = 1e\+30"):
        fit(small_model(), settings, tmp_path / "checkpoint")
    settings = tiny(learning_rate=1e30, clip=1e30, jitter=False, bptt=1000)  # one batch, then dev
    with pytest.raises(RunError, match=r"dev, after epoch 1: the model has diverged.*no checkpoint yet"):
        fit(small_model(), settings, tmp_path / "checkpoint")


def test_the_best_epoch_is_kept_and_the_rate_annealed(tmp_path: Path) -> None:
    settings = tiny(epochs=3, learning_rate=10.0, anneal=0.5)
    model = small_model("gru")
    training = fit(model, settings, tmp_path / "checkpoint")
    measured = [epoch["dev_perplexity"] for epoch in training.history]
    assert training.best_epoch == 1 + measured.index(min(measured)) < 3
    text = random_words(200, 11)[:90]
    assert perplexity(word_losses(model, evaluation_streams(text, 1, 2))) == min(measured)
    rates = [10.0]
    for epoch, value in enumerate(measured[:-1]):
        rates.append(rates[-1] * (0.5 if epoch and value >= min(measured[:epoch]) else 1.0))
    assert [epoch["learning_rate"] for epoch in training.history] == rates
    assert rates[-1] < 10.0  # otherwise this test has tested nothing


def test_progress_is_reported_during_epochs(tmp_path: Path) -> None:
    log = Log()
    fit(small_model(), tiny(epochs=2, jitter=False), tmp_path / "checkpoint", log=log)
    fractions = [fraction for fraction, _ in log.lines]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert sum(0 < fraction < 0.5 for fraction in fractions) >= 4  # five segments an epoch
    assert log.lines[0][1] == "epoch 1/2"
    assert log.lines[-1][1].startswith("epoch 2/2, dev ppl ")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("hidden_size", 0),
        ("epochs", 0),
        ("batch_size", -1),
        ("dropout_h", 1.0),
        ("dropout", -0.1),
        ("learning_rate", 0.0),
        ("clip", -1.0),
        ("anneal", 1.5),
        ("beta", -1e-3),
        ("optimizer", "adagrad"),
    ],
)
def test_settings_out_of_range_are_named(setting: str, value: Any) -> None:
    with pytest.raises(CellzooError, match=f"{setting} is '?{value}'?; it must"):
        LanguageModelSettings(**{setting: value})

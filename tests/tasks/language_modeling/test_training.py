"""Training language models: what is learned, what a step is, averaged weights, and exact resume."""

from __future__ import annotations

import json
import math
import signal
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from language_models import (
    DROPOUT,
    NO_DROPOUT,
    StoppedError,
    equal,
    model_of,
    problem_on,
    python,
    train_on,
    weights,
    write_text,
)

from tasks.data.locate import find
from tasks.data.read import read_texts
from tasks.training.events import read_events, without_times

PLAIN = {**NO_DROPOUT, "jitter": "none", "beta": 0.0}
DARTS = {
    "epochs": 6,
    "learning_rate": 20.0,
    "weight_decay": 8e-7,
    "averaging": "plateau",
    "averaging_window": 1,
}


@pytest.fixture
def words(tmp_path):
    return write_text(tmp_path / "words.txt")


@pytest.mark.parametrize(("cell", "optimizer", "rate"), [("lstm", "adam", 0.1), ("gru", "sgd", 2.0)])
def test_a_text_that_needs_memory_is_learned(cell, optimizer, rate, tmp_path):
    path = tmp_path / "alternating.txt"
    path.write_text("a b a c\n" * 100)
    without_memory = 2 ** (2 / 5)  # <eos> and b are followed by a, a by b or c, c by <eos>
    problem = problem_on(path, **{**PLAIN, "hidden_size": 12, "batch_size": 2})
    options = {"optimizer": optimizer, "learning_rate": rate, "clip": 1.0, "epochs": 5}
    fitted = train_on(problem, tmp_path / "run", cell, **options)
    assert fitted.standing.tokens == 5 * 400
    assert problem.evaluate(fitted.model, "test").metrics["perplexity"] < 1.2 < without_memory


def test_a_shorter_segment_takes_a_proportionally_smaller_step(words, tmp_path):
    # 40 words in four streams of ten steps make one segment; then one of eight steps and one of two.
    options = {"epochs": 1, "learning_rate": 0.5, "clip": 1e9, "max_steps": 1}
    moved = {}
    for steps in (40, 8):
        problem = problem_on(words, train_words=4 * steps, **{**PLAIN, "bptt": 8})
        fitted = train_on(problem, tmp_path / str(steps), **{**options, "learning_rate": 1e-30})
        start = weights(fitted.model)
        batch = next(iter(problem.train_batches(torch.Generator())))
        fitted = train_on(problem, tmp_path / f"{steps}-moved", **options)
        moved[steps] = (start, batch, weights(fitted.model))
    start, batch, after = moved[8]
    problem = problem_on(words, train_words=10 * 4, **{**PLAIN, "bptt": 8})
    two = list(problem.train_batches(torch.Generator()))
    assert [b.scale for b in two] == [1.0, 2 / 8]
    model = model_of(problem)
    model.load_state_dict(start)
    inputs, targets = batch.content
    F.cross_entropy(model(inputs).logits.flatten(0, 1), targets.flatten()).backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(after[name], start[name] - 0.5 * weight.grad, rtol=1e-5, atol=1e-7)


def test_gradients_are_clipped_together(words, tmp_path):
    problem = problem_on(words, train_words=40, **PLAIN)  # four streams of ten words: one step
    options = {"epochs": 1, "clip": 1e-3}
    before = weights(train_on(problem, tmp_path / "still", learning_rate=1e-30, **options).model)
    after = weights(train_on(problem, tmp_path / "moved", learning_rate=1.0, **options).model)
    moved = [(tensor - before[name]).square().sum().item() for name, tensor in after.items()]
    assert math.sqrt(math.fsum(moved)) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(("cell", "rate"), [("gru", 20.0), ("lstm", 200.0)])
def test_the_recipe_of_darts_averages_after_a_plateau_and_goes_on_exactly(cell, rate, words, tmp_path):
    recipe = {**DARTS, "learning_rate": rate}
    problem = problem_on(words, **DROPOUT, jitter="gaussian", weight_range=0.04)
    whole = train_on(problem, tmp_path / "whole", cell, **recipe)
    averaged = [epoch["averaged"] for epoch in whole.standing.history]
    assert averaged == sorted(averaged)
    assert averaged[0] is False
    assert averaged[-1] is True, "the dev loss of this text stops falling"
    dev = [epoch["dev"]["perplexity"] for epoch in whole.standing.history]
    assert problem.evaluate(whole.model, "dev").metrics["perplexity"] == pytest.approx(min(dev), rel=1e-12)
    for stop_at in (0.3, 0.7, 0.95):
        folder = tmp_path / str(stop_at)
        with pytest.raises(StoppedError):
            train_on(problem, folder, cell, stop_at=stop_at, **recipe)
        torch.manual_seed(7)  # which must not matter
        parts = train_on(problem, folder, cell, **recipe)
        assert equal(weights(whole.model), weights(parts.model))
        logs = [without_times(read_events(place / "events.jsonl")) for place in (tmp_path / "whole", folder)]
        assert logs[0] == logs[1]


def test_averaged_weights_are_the_mean_of_all_later_steps(words, tmp_path):
    problem = problem_on(words, **PLAIN)
    options = {"learning_rate": 2.0, "restore_best": False}
    steps = problem.steps
    averaged = train_on(problem, tmp_path / "averaged", averaging="start", epochs=1, **options)
    each = [
        weights(train_on(problem, tmp_path / str(step), epochs=1, max_steps=step, **options).model)
        for step in range(1, steps + 1)
    ]
    assert len(each) == steps > 5
    for name, tensor in weights(averaged.model).items():
        mean = torch.stack([step[name] for step in each]).double().mean(0)
        torch.testing.assert_close(tensor.double(), mean, rtol=1e-5, atol=1e-6)


def test_the_same_seed_repeats_and_another_differs(words, tmp_path):
    problem = problem_on(words, **DROPOUT)
    found = []
    for number, seed in enumerate((5, 5, 6)):
        torch.manual_seed(number)  # which must not matter
        found.append(weights(train_on(problem, tmp_path / str(number), "lstm", seed).model))
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


RUN = """
import json, os, signal, sys
from pathlib import Path
import cellzoo
from language_models import problem_on, NO_DROPOUT
from tasks.training.fit import fit
from tasks.training.loop import Place
from tasks.training.settings import TrainingSettings
folder, seed, kill_at = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
folder.mkdir(exist_ok=True)
def report(fraction, words):
    if fraction > kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    print(f"{fraction:.3f} {words}", file=sys.stderr)
settings = {"hidden_size": 6, "batch_size": 32, "min_count": 30, "jitter": "gaussian", "train_words": 4000}
problem = problem_on("news", evaluation_streams=10, **settings)
training = TrainingSettings(epochs=3, optimizer="adam", learning_rate=0.02)
fitted = fit(problem, cellzoo.load("lstm"), training, seed, Place(folder, "a" * 64, "news", report))
found = [problem.evaluate(fitted.model, split) for split in ("dev", "test")]
print(json.dumps([[dict(one.metrics), list(one.items)] for one in found]))
"""


def test_processes_agree_and_a_kill_changes_nothing(tmp_path):
    killed = python(RUN, str(tmp_path / "killed"), "0", "0.5")  # in the middle of the second of three epochs
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout == ""
    resumed = python(RUN, str(tmp_path / "killed"), "0", "9.0")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr.startswith("0.3"), "it went on after the first epoch"
    whole = python(RUN, str(tmp_path / "whole"), "0", "9.0", hash_seed="1")
    assert json.loads(resumed.stdout) == json.loads(whole.stdout)


def test_training_on_the_news_beats_the_word_frequencies(tmp_path):
    settings = {"hidden_size": 32, "batch_size": 64, "bptt": 16, "min_count": 30, "evaluation_streams": 10}
    problem = problem_on("news", **settings)
    fitted = train_on(problem, tmp_path, epochs=2, optimizer="adam", learning_rate=0.02, clip=1.0)
    documents = read_texts(find("news"))
    counts = Counter(word for document in documents["train"] for word in [*document, "<eos>"])
    kept = {word: count for word, count in counts.items() if count >= 30}
    kept["<unk>"] = counts.total() - sum(kept.values())
    test = [word for document in documents["test"] for word in [*document, "<eos>"]]
    losses = [-math.log(kept.get(word, kept["<unk>"]) / counts.total()) for word in test]
    found = problem.evaluate(fitted.model, "test").metrics["perplexity"]
    assert found < math.exp(math.fsum(losses) / len(losses))
    assert fitted.standing.tokens == 2 * (counts.total() - counts.total() % 64)

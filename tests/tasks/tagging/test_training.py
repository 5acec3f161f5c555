"""Training: exact resume, choice of the epoch, annealing, and what a run leaves behind."""

from __future__ import annotations

import json
import logging
import math
import random
from dataclasses import replace

import flair
import numpy as np
import pytest
import torch
from tagging_samples import DEV, TEST, TINY, TRAIN, comparable, python, tagger, tiny_run
from tasks.tagging.checkpoint import Checkpoint, CheckpointFile, random_state, restore_random
from tasks.tagging.training import trained_weights

from cellzoo.errors import RunError
from tasks.tagging.scores import micro
from tasks.tagging.tagger import CellTagger
from tasks.training.optimizer_state import optimizer_state, restore_optimizer

ADAM = replace(TINY, optimizer="adam", learning_rate=0.02, crf=False)

CHILD = """
import json, time
from pathlib import Path
from tagging_samples import comparable, tiny_run

print("WHOLE", json.dumps(comparable(tiny_run(Path(sys.argv[1]) / "whole"))), flush=True)

def report(fraction, words):
    if words.startswith("epoch 3/5") and fraction > 0.97 * 2.3 / 5:
        print("IN THE MIDDLE OF", words, flush=True)
        time.sleep(600)

tiny_run(Path(sys.argv[1]) / "killed", report=report)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted runs by their settings."""
    done = {}

    def run(settings=TINY):
        if settings not in done:
            done[settings] = comparable(tiny_run(tmp_path_factory.mktemp("whole"), settings))
        return done[settings]

    return run


class Stop(Exception):  # noqa: N818 - stands for a kill
    """Ends a run from within."""


def stop_at(epoch, batch_share=0.5):
    def report(fraction, words):
        if words.startswith(f"epoch {epoch}/") and fraction > 0.97 * (epoch - 1 + batch_share) / TINY.epochs:
            raise Stop

    return report


def test_a_killed_run_ends_as_if_it_had_not_been_killed_and_another_process_agrees(tmp_path, whole):
    process = python(CHILD, str(tmp_path))
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("IN THE MIDDLE OF epoch 3/5"):
            break
    process.kill()
    process.wait(timeout=60)
    others = [line.removeprefix("WHOLE ") for line in lines if line.startswith("WHOLE ")]
    assert others, "".join(lines)
    assert json.loads(others[0]) == whole()
    assert [path.name for path in (tmp_path / "killed").glob("check*")] == ["checkpoint.safetensors"]
    seen = []
    resumed = tiny_run(tmp_path / "killed", report=lambda fraction, words: seen.append(words))
    assert not any(words.startswith(("epoch 1/", "epoch 2/", "warning")) for words in seen)
    assert comparable(resumed) == whole()


@pytest.mark.parametrize("settings", [TINY, ADAM], ids=["sgd-crf", "adam-softmax"])
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_run_that_ended_anywhere_goes_on_exactly(tmp_path, whole, settings, epoch):
    for share in (0.1, 0.9):
        with pytest.raises(Stop):
            tiny_run(tmp_path / "parts", settings, report=stop_at(epoch, share))
    assert comparable(tiny_run(tmp_path / "parts", settings)) == whole(settings)


def test_a_run_that_ended_after_its_training_only_judges(tmp_path, whole):
    def report(fraction, words):
        if words == "judging test":
            raise Stop

    with pytest.raises(Stop):
        tiny_run(tmp_path / "parts", report=report)
    seen = []
    resumed = tiny_run(tmp_path / "parts", report=lambda fraction, words: seen.append(words))
    assert not any(words.startswith("epoch") for words in seen)
    assert comparable(resumed) == whole()


def test_a_user_who_ends_the_training_gets_no_result(tmp_path, whole):
    """Flair's trainer takes Ctrl-C for the end of training and goes on."""

    def report(fraction, words):
        if words.startswith("epoch 2/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_run(tmp_path / "parts", report=report)
    assert comparable(tiny_run(tmp_path / "parts")) == whole()


@pytest.mark.parametrize("damage", ["cut", "changed", "other", "empty"])
def test_a_checkpoint_of_no_use_is_reported_and_the_run_starts_afresh(tmp_path, whole, damage):
    with pytest.raises(Stop):
        tiny_run(tmp_path / "run", seed=4 if damage == "other" else 3, report=stop_at(3))
    path = tmp_path / "run" / "checkpoint.safetensors"
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        path.write_bytes(content[:-8] + bytes(byte ^ 1 for byte in content[-8:]))
    elif damage == "empty":
        path.write_bytes(b"")
    seen = []
    outcome = tiny_run(tmp_path / "run", report=lambda fraction, words: seen.append(words))
    warnings = [words for words in seen if words.startswith("warning")]
    assert len(warnings) == 1
    assert "checkpoint.safetensors" in warnings[0]
    assert warnings[0].endswith("; starting afresh")
    assert comparable(outcome) == whole()


def test_seeds_and_cells_make_a_difference(tmp_path):
    runs = [
        comparable(tiny_run(tmp_path / str(number), cell=cell, seed=seed))["history"]
        for number, (cell, seed) in enumerate([("gru", 0), ("gru", 1), ("darts-v2", 0)])
    ]
    assert runs[0] != runs[1]
    assert runs[0] != runs[2]


def test_the_result_is_that_of_the_epoch_with_the_best_dev_score(tmp_path):
    outcome = tiny_run(tmp_path, replace(TINY, epochs=8))
    best = max(epoch["dev_f1"] for epoch in outcome.history)
    assert outcome.history[-1]["dev_f1"] < best, "the last epoch is the best: this shows nothing"
    assert outcome.metrics["dev_f1"] == best
    judged = {split: [item for item in outcome.items if item["split"] == split] for split in ("dev", "test")}
    assert (len(judged["dev"]), len(judged["test"])) == (len(DEV), len(TEST))
    assert micro(judged["test"]).f1 == outcome.metrics["f1"]
    assert micro(judged["dev"]).f1 == best


def test_only_training_sentences_are_trained_on(tmp_path, monkeypatch):
    seen = []
    forward_loss = CellTagger.forward_loss

    def watched(self, sentences):
        seen.extend(tuple(token.text for token in sentence) for sentence in sentences)
        return forward_loss(self, sentences)

    monkeypatch.setattr(CellTagger, "forward_loss", watched)
    outcome = tiny_run(tmp_path, replace(TINY, epochs=2))
    assert sorted(seen) == sorted(2 * [sentence.tokens for sentence in TRAIN])
    assert outcome.tokens == 2 * sum(len(sentence.tokens) for sentence in TRAIN)


def test_the_learning_rate_falls_when_dev_stands_still_and_training_ends_at_the_minimum(tmp_path):
    settings = replace(TINY, epochs=30, patience=1, min_learning_rate=0.1)
    history = tiny_run(tmp_path, settings).history
    rate, best, best_loss, waited = 0.5, -1.0, math.inf, 0
    for number, epoch in enumerate(history, start=1):
        assert (epoch["epoch"], epoch["learning_rate"]) == (number, rate)
        if epoch["dev_f1"] > best or (epoch["dev_f1"] == best and epoch["dev_loss"] < best_loss):
            best, best_loss, waited = epoch["dev_f1"], epoch["dev_loss"], 0
        else:
            waited += 1
        if waited > 1:
            rate, waited = rate / 2, 0
    assert rate < 0.1 <= history[-1]["learning_rate"]
    assert len(history) < 30


def test_a_dev_score_that_stays_zero_still_gives_a_model(tmp_path):
    """Flair's trainer keeps no best model then."""
    zero = replace(TINY, epochs=1, learning_rate=1e-9, crf=False)
    outcome = tiny_run(tmp_path, zero, cell="lstm")
    assert outcome.history[0]["dev_f1"] == 0.0
    assert outcome.metrics == {"f1": 0.0, "dev_f1": 0.0, "precision": 0.0, "recall": 0.0}


def test_a_loss_that_is_no_number_ends_the_run_with_a_message(tmp_path):
    wild = replace(TINY, learning_rate=1e30, clip=1e30)
    with pytest.raises(RunError, match=r"training diverged in epoch 1: .* lower learning_rate \(1e\+30\)"):
        tiny_run(tmp_path, wild)


def test_flairs_log_and_device_are_as_before_and_nothing_is_printed(tmp_path, capfd):
    logger = logging.getLogger("flair")
    before = (logger.level, flair.device)
    tiny_run(tmp_path, replace(TINY, epochs=1))
    assert (logger.level, flair.device) == before
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_progress_rises_and_names_epoch_and_score(tmp_path):
    seen = []
    tiny_run(tmp_path, report=lambda fraction, words: seen.append((fraction, words)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert fractions[0] >= 0.0
    assert fractions[-1] <= 1.0
    epochs = [words for _, words in seen if words.startswith("epoch")]
    assert len(epochs) == TINY.epochs * math.ceil(len(TRAIN) / TINY.batch_size)
    assert epochs[0] == "epoch 1/5"
    assert epochs[-1].startswith("epoch 5/5, dev F1 ")


def test_parameters_and_operations_are_counted(tmp_path):
    import cellzoo

    settings = replace(TINY, epochs=1, layers=2, hidden_size=3)
    outcome = tiny_run(tmp_path, settings, cell="darts-v2")
    cell, size = cellzoo.load("darts-v2"), 5 + 2 * 2
    layers = [
        {"input_size": size, "hidden_size": 3},
        {"input_size": 6, "hidden_size": 3},
    ]
    assert outcome.parameters.cell == 2 * sum(cell.num_parameters(**layer) for layer in layers)
    assert outcome.flops_per_token == 2 * sum(cell.flops(**layer) for layer in layers)
    tags = 2 * 4 + 1 + 2  # BIOES of two types, O, start and stop
    rest = size * size + size + (6 + 1) * tags + tags * tags
    assert outcome.parameters.total_without_embeddings == outcome.parameters.cell + rest
    assert outcome.parameters.total > outcome.parameters.total_without_embeddings


def test_generators_are_put_back():
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    random.gauss(0, 1)
    np.random.standard_normal()
    tensors, rest = random_state()
    rest = json.loads(json.dumps(rest))

    def draw():
        drawn = [
            random.gauss(0, 1),
            random.random(),
            float(np.random.standard_normal()),
            float(np.random.rand()),
        ]
        return drawn + torch.rand(3).tolist()

    expected = draw()
    restore_random(tensors, rest)
    assert draw() == expected


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_an_optimizer_is_put_back(tmp_path, kind):
    def prepare():
        torch.manual_seed(0)
        weights = [torch.nn.Parameter(torch.randn(3)), torch.nn.Parameter(torch.randn(2, 2))]
        options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        return weights, kind(weights, lr=0.1, **options)

    def step(weights, optimizer):
        optimizer.zero_grad()
        sum((weight**3).sum() for weight in weights).backward()
        optimizer.step()

    weights, optimizer = prepare()
    step(weights, optimizer)
    optimizer.param_groups[0]["lr"] = 0.05
    tensors, rest = optimizer_state(optimizer)
    file = CheckpointFile(tmp_path / "c.safetensors", {"run": 1})
    kept = {"weights": {str(i): weight.detach().clone() for i, weight in enumerate(weights)}}
    file.write(Checkpoint({**kept, "optimizer": tensors}, {"optimizer": rest}))
    step(weights, optimizer)

    others, other = prepare()
    checkpoint = file.read()
    with torch.no_grad():
        for number, weight in enumerate(others):
            weight.copy_(checkpoint.tensors["weights"][str(number)])
    restore_optimizer(other, checkpoint.tensors["optimizer"], checkpoint.facts["optimizer"])
    step(others, other)
    assert all(torch.equal(one, two) for one, two in zip(weights, others, strict=True))


def test_frozen_weights_are_no_part_of_a_checkpoint():
    model = tagger("cell:gru")
    for weight in model.embeddings.embeddings[0].parameters():
        weight.requires_grad_(False)
    names = set(trained_weights(model))
    assert not any("list_embedding_0" in name for name in names)
    assert any("list_embedding_1" in name for name in names)
    assert {"linear.weight", "crf.transitions"} <= names


def test_a_type_that_only_dev_has_does_not_stop_the_training(tmp_path, monkeypatch):
    from tasks.data.conll import TaggedSentence

    extra = TaggedSentence(("Acme", "grows"), ("B-company", "O"))
    monkeypatch.setattr("tagging_samples.DEV", [*DEV, extra])
    outcome = tiny_run(tmp_path, replace(TINY, epochs=1))
    assert outcome.items[len(DEV)]["fn"] == 1

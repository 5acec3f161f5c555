"""Training a tagger: exact resumption, also after the process was killed, and which data are used."""

from __future__ import annotations

import json

import pytest
import torch
from tagging_samples import TRAIN, problem, python, train

from cellzoo.errors import RunError
from tasks.embeddings.features import Feature
from tasks.tagging.tagger import CellTagger
from tasks.training.events import read_events, without_times

ADAM = {"optimizer": "adam", "learning_rate": 0.02}

CHILD = """
import json, time
from pathlib import Path
from tagging_samples import train
from test_resume import comparable

folder = Path(sys.argv[1]) / "whole"
print("WHOLE", json.dumps(comparable(folder, train(folder))), flush=True)

def report(fraction, words):
    if words.startswith("epoch 3/5") and fraction > 2.3 / 5:
        print("IN THE MIDDLE OF", words, flush=True)
        time.sleep(600)

train(Path(sys.argv[1]) / "killed", report=report)
"""


def comparable(folder, fitted):
    """Return everything of a training except times as JSON, with all bits of the weights."""
    weights = {name: tensor.flatten().tolist() for name, tensor in fitted.model.state_dict().items()}
    return {
        "weights": weights,
        "events": without_times(read_events(folder / "events.jsonl")),
        "best": fitted.best_epoch,
        "tokens": fitted.standing.tokens,
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted trainings by their settings."""
    done = {}

    def run(crf=True, **training):
        key = (crf, *training.items())
        if key not in done:
            folder = tmp_path_factory.mktemp("whole")
            done[key] = comparable(folder, train(folder, problem(crf=crf), **training))
        return done[key]

    return run


class Stop(Exception):  # noqa: N818 - stands for a kill
    """Raised to interrupt a training."""


def stop_at(epoch, share=0.5):
    def report(fraction, words):
        if words.startswith(f"epoch {epoch}/") and fraction > (epoch - 1 + share) / 5:
            raise Stop

    return report


def test_a_killed_training_ends_as_if_it_had_not_been_killed_and_another_process_agrees(tmp_path, whole):
    code = f"sys.path.insert(0, {str(__file__).rpartition('/')[0]!r})\n{CHILD}"
    process = python(code, str(tmp_path))
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("IN THE MIDDLE OF epoch 3/5"):
            break
    process.kill()
    process.wait(timeout=60)
    others = [line.removeprefix("WHOLE ") for line in lines if line.startswith("WHOLE ")]
    assert others, "".join(lines)
    expected = json.loads(json.dumps(whole()))
    assert json.loads(others[0]) == expected
    seen = []
    resumed = train(tmp_path / "killed", report=lambda fraction, words: seen.append(words))
    assert not any(words.startswith(("epoch 1/", "epoch 2/")) for words in seen)
    assert comparable(tmp_path / "killed", resumed) == whole()


@pytest.mark.parametrize("options", [{}, {"crf": False, **ADAM}], ids=["sgd-crf", "adam-softmax"])
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_training_that_ended_anywhere_goes_on_exactly(tmp_path, whole, options, epoch):
    training = {name: value for name, value in options.items() if name != "crf"}
    tagging = problem(crf=options.get("crf", True))
    for share in (0.1, 0.9):
        with pytest.raises(Stop):
            train(tmp_path, tagging, report=stop_at(epoch, share), **training)
    assert comparable(tmp_path, train(tmp_path, tagging, **training)) == whole(**options)


def test_seeds_and_cells_make_a_difference(tmp_path):
    runs = [
        train(tmp_path / str(number), cell=cell, seed=seed, epochs=1).standing.history[0]["dev"]["loss"]
        for number, (cell, seed) in enumerate([("gru", 0), ("gru", 1), ("darts-v2", 0)])
    ]
    assert len(set(runs)) == 3


def test_the_result_is_that_of_the_epoch_with_the_best_dev_score(tmp_path):
    tagging = problem()
    fitted = train(tmp_path, tagging, epochs=3)
    scores = [epoch["dev"]["f1"] for epoch in fitted.standing.history]
    assert scores[-1] < max(scores), "the last epoch is the best: this shows nothing"
    assert tagging.evaluate(fitted.model, "dev").metrics["f1"] == max(scores)
    assert scores[fitted.best_epoch - 1] == max(scores)


def test_only_training_sentences_are_trained_on(tmp_path, monkeypatch):
    seen = []
    forward_loss = CellTagger.forward_loss

    def watched(self, sentences):
        seen.extend(tuple(token.text for token in sentence) for sentence in sentences)
        return forward_loss(self, sentences)

    monkeypatch.setattr(CellTagger, "forward_loss", watched)
    fitted = train(tmp_path, epochs=2)
    assert sorted(seen) == sorted(2 * [sentence.tokens for sentence in TRAIN])
    assert fitted.standing.tokens == 2 * sum(len(sentence.tokens) for sentence in TRAIN)


def test_a_dev_score_that_stays_zero_still_gives_a_model(tmp_path):
    """Flair's trainer keeps no best model then."""
    fitted = train(tmp_path, problem(crf=False), cell="lstm", epochs=1, learning_rate=1e-9)
    assert fitted.standing.history[0]["dev"]["f1"] == 0.0
    assert fitted.best_epoch == 1


def test_a_loss_that_is_not_a_number_ends_the_training_with_a_message(tmp_path):
    with pytest.raises(RunError, match=r"samples: stopped at epoch 1, step \d+: .*try a smaller learning_rate"):
        train(tmp_path, learning_rate=1e30, clip=1e30)


def test_word_vectors_that_are_given_are_not_in_checkpoints(tmp_path):
    from flair.embeddings import WordEmbeddings
    from tagging_samples import CPU, DATA, TINY

    from cellzoo.system.tensor_file import read_tensors
    from tasks.tagging.settings import TaggingSettings
    from tasks.tagging.tagging import Tagging

    words = WordEmbeddings(None, vocab={"saw": 0}, embedding_length=3, name="words")
    settings = TaggingSettings(**{**TINY, "vectors": "v"})
    tagging = Tagging("samples", DATA, settings, CPU, frozen=[(Feature("vectors", "v"), words)])
    fitted = train(tmp_path, tagging, epochs=1)
    tensors, _ = read_tensors(tmp_path / "checkpoint.safetensors")
    assert any("linear.weight" in name for name in tensors)
    assert not any("inner" in name for name in tensors)
    assert any("inner" in name for name in fitted.model.state_dict())
    assert torch.equal(words.embedding.weight, torch.zeros(2, 3))

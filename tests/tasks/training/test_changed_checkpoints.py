"""Checkpoints that were modified but have a valid digest: one error message, or no effect."""

from __future__ import annotations

import copy
import json
import os
import random
import socket

import pytest
import torch
from safetensors.torch import save_file
from sequence_sums import SequenceSums, Settings

import cellzoo
from cellzoo.errors import CellzooError, DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from tasks.training.events import read_events
from tasks.training.fit import fit
from tasks.training.loop import Place
from tasks.training.settings import TrainingSettings

NASTY = (
    *(None, True, False, 0, -1, 2**63, 10**30, 1e308, float("nan"), float("inf")),
    *("", "x", [], {}, [[]], {"a": 1}, [1, 2], 0.5),
)


def train(folder, epochs):
    settings = TrainingSettings(optimizer="adam", learning_rate=0.02, epochs=epochs)
    place = Place(folder, "a" * 64, "toy", lambda fraction, words: None)
    return fit(SequenceSums(Settings(), torch.device("cpu")), cellzoo.load("gru"), settings, 0, place)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    train(folder, 1)
    return *read_tensors(folder / "checkpoint.safetensors"), (folder / "events.jsonl").read_bytes()


def go_on(folder, saved, tensors, content):
    """Resume from a modified checkpoint."""
    write_tensors(folder / "checkpoint.safetensors", tensors, content)
    (folder / "events.jsonl").write_bytes(saved[2])
    return train(folder, 2)


def places(value, before=()):
    if isinstance(value, dict):
        for name in value:
            yield (*before, name)
            yield from places(value[name], (*before, name))
    elif isinstance(value, list):
        for number in range(min(3, len(value))):
            yield (*before, number)
            yield from places(value[number], (*before, number))


def test_content_of_another_type_is_one_message(tmp_path, saved):
    generator = random.Random(5)
    messages = []
    for _ in range(80):
        tensors, content = dict(saved[0]), copy.deepcopy(saved[1])
        *way, last = generator.choice(list(places(content)))
        place = content
        for name in way:
            place = place[name]
        if generator.random() < 0.3:
            del place[last]
        else:
            place[last] = generator.choice(NASTY)
        try:
            go_on(tmp_path, saved, tensors, content)
        except CellzooError as error:
            messages.append(str(error))
    assert len(messages) > 40
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("betas", "xx"),
        ("eps", {}),
        ("maximize", True),
        ("weight_decay", "0"),
        ("lr", float("nan")),
        ("lr", -1.0),
        ("lr", "0.1"),
        ("params", [0]),
    ],
)
def test_settings_of_the_optimizer_are_those_of_the_run(tmp_path, saved, name, value):
    content = copy.deepcopy(saved[1])
    content["learner"]["optimizers"]["weights"]["groups"][0][name] = value
    with pytest.raises(DataError, match=r"checkpoint\.safetensors: the saved"):
        go_on(tmp_path, saved, saved[0], content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors, key: tensors.pop(key), "differs in 'exp_avg_sq'"),
        (lambda tensors, key: tensors.update({key: torch.zeros(7, 7)}), "another shape"),
        (lambda tensors, key: tensors.update({key: tensors[key].long()}), "another shape or dtype"),
        (lambda tensors, key: tensors.update({key.replace(".0.", ".999."): torch.zeros(())}), "not there"),
        (lambda tensors, key: tensors.update({key.replace(".0.", ".x."): torch.zeros(())}), "not there"),
        (lambda tensors, key: tensors.update({f"{key}x": torch.zeros(())}), "differs in 'exp_avg_sqx'"),
    ],
)
def test_moments_of_another_kind_are_refused(tmp_path, saved, change, words):
    tensors = dict(saved[0])
    change(tensors, "learner.optimizer.weights.0.exp_avg_sq")
    with pytest.raises(DataError, match=words):
        go_on(tmp_path, saved, tensors, saved[1])


def test_weights_of_another_dtype_are_refused(tmp_path, saved):
    tensors = dict(saved[0])
    name = next(name for name in tensors if name.startswith("learner.module.model."))
    tensors[name] = tensors[name].double()
    with pytest.raises(DataError, match="another network"):
        go_on(tmp_path, saved, tensors, saved[1])


@pytest.mark.parametrize("epoch", [0, 2, 10**30])
def test_the_epochs_are_those_of_the_history(tmp_path, saved, epoch):
    content = copy.deepcopy(saved[1])
    content["standing"]["epoch"] = epoch
    with pytest.raises(DataError, match="standing"):
        go_on(tmp_path, saved, saved[0], content)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 500 + "]" * 500,
        "1" * 10_000,
        "[]",
        "3",
        "null",
        '"x"',
        "{",
        '{"a":' * 90 + "1" + "}" * 90,
    ],
)
def test_json_in_a_header_is_a_table_of_bounded_depth(tmp_path, text):
    path = tmp_path / "checkpoint.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"content": text, "sha256": "0" * 64})
    with pytest.raises(DataError, match=r"JSON in its header"):
        read_tensors(path)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "events.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_state_is_in_regular_files(tmp_path, saved, name, kind):
    write_tensors(tmp_path / "checkpoint.safetensors", saved[0], saved[1])
    (tmp_path / "events.jsonl").write_bytes(saved[2])
    path = tmp_path / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    with pytest.raises(CellzooError, match=r"regular file|[Ff]older|directory|cannot be written"):
        train(tmp_path, 2)
    if name == "events.jsonl":
        with pytest.raises(DataError, match="cannot be read"):
            read_events(path)


@pytest.mark.parametrize(
    "line", ["[" * 100_000, "1" * 10_000, '{"a":' * 100 + "1" + "}" * 100, "\ud800", "[]", "x"]
)
def test_events_by_hand_are_one_message(tmp_path, line):
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        json.dumps({"event": "start"}).encode() + b"\n" + line.encode(errors="surrogatepass") + b"\n"
    )
    with pytest.raises(DataError, match=r"events\.jsonl:2: "):
        read_events(path)

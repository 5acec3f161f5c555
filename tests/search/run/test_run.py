"""A search in its directory: events, checkpoints, kill and resume, and the cell file in the end."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
import torch
from fake_search import events_of, search, tag_plan, text_plan, write_text
from search.run.configuration import Configuration, read_configuration
from search.run.directory import RunDirectory
from search.run.events import read_events
from search.run.listener import Silent
from search.run.measures import beliefs, deviation, entropy, peak_memory, start_peak_memory

import cellzoo
from cellzoo.errors import DataError, OutputError
from cellzoo.system.tensor_file import read_tensors, write_tensors

HERE = Path(__file__).parents[2] / "helpers"


def stop_after(count):
    """A listener that stops the search within the step of that number, over all epochs."""

    class Stop(Silent):
        def __init__(self):
            self.steps = 0

        def step(self, step, numbers):
            self.steps += 1
            if self.steps == count:
                raise KeyboardInterrupt

    return Stop()


def test_a_search_leaves_configuration_events_checkpoint_and_cell(tmp_path):
    plan = text_plan(tmp_path)
    directory = search(plan, tmp_path / "out")
    assert read_configuration(directory.configuration)[0] == plan.configuration
    events = read_events(directory.events)
    assert [event["event"] for event in events if event["event"] != "step"] == ["start", *["epoch"] * 3, "end"]
    epochs = [event for event in events if event["event"] == "epoch"]
    wanted = {"epoch", "step", "train_loss", "validation_loss", "validation", "entropy", "deviation", "cell"}
    wanted |= {"temperature", "learning_rate", "seconds", "peak_memory"}
    for event in epochs:
        assert wanted <= set(event)
        assert math.isclose(math.exp(event["validation"]["loss"]), event["validation"]["perplexity"])
    assert [event["temperature"] for event in epochs] == [5.0, 5.0 - 4 / 3, 5.0 - 8 / 3]
    steps = [event["step"] for event in events if event["event"] == "step"]
    assert steps == sorted(set(steps))
    assert epochs[-1]["step"] >= steps[-1]
    assert epochs[0]["validation"]["loss"] > epochs[-1]["validation"]["loss"]
    assert all(event["peak_memory"] > 1_000_000 for event in epochs)
    assert sorted(event["seconds"] for event in events) == [event["seconds"] for event in events]


def test_the_cell_file_says_where_the_cell_comes_from(tmp_path):
    plan = text_plan(tmp_path, seed=5)
    directory = search(plan, tmp_path / "out")
    end = read_events(directory.events)[-1]
    entry = cellzoo.entry(directory.found)
    assert cellzoo.load(directory.found).hash == end["cell"]["hash"] == entry.cell.hash
    assert entry.notation == "darts"
    provenance = json.loads(entry.notes)
    assert provenance["sha256"] == dict(plan.configuration.sha256)
    assert provenance["search"] == plan.configuration.identity
    assert (provenance["seed"], provenance["method"]) == (5, "fake")
    assert "seed 5" in entry.source
    assert "aaaaaaaaaaaa, changed" in entry.source
    assert tomllib.loads(directory.found.read_text())["searched_on"].startswith("text:words.txt")


def test_a_search_on_tags_writes_the_same_kinds_of_events(tmp_path):
    directory = search(tag_plan(character_size=4, bidirectional=True), tmp_path)
    epochs = [event for event in read_events(directory.events) if event["event"] == "epoch"]
    assert [set(event["validation"]) for event in epochs] == [{"loss", "accuracy", "f1"}] * 2
    assert directory.found.exists()


@pytest.mark.parametrize("stop", [1, 20, 21, 45, 60])
def test_a_stopped_search_goes_on_exactly(tmp_path, stop):
    whole = search(text_plan(tmp_path), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(text_plan(tmp_path), tmp_path / "part", stop_after(stop))
    assert not (tmp_path / "part" / "found.toml").exists()
    torch.manual_seed(stop)
    part = search(text_plan(tmp_path), tmp_path / "part")
    assert events_of(part) == events_of(whole)
    assert without_seconds(part.found) == without_seconds(whole.found)


def test_a_search_on_tags_goes_on_exactly(tmp_path):
    whole = search(tag_plan(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(tag_plan(), tmp_path / "part", stop_after(11))
    part = search(tag_plan(), tmp_path / "part")
    assert events_of(part) == events_of(whole)


def without_seconds(found):
    content = tomllib.loads(found.read_text())
    notes = json.loads(content.pop("notes"))
    del notes["search_seconds"]
    return content, notes


def test_a_finished_search_is_left_as_it_is(tmp_path):
    directory = search(text_plan(tmp_path), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in directory.path.iterdir()}
    search(text_plan(tmp_path), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in directory.path.iterdir()} == before


def test_another_seed_gives_another_course_and_the_global_generator_is_left_alone(tmp_path):
    torch.manual_seed(9)
    before = torch.get_rng_state()
    first = search(text_plan(tmp_path, seed=1), tmp_path / "first")
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again = search(text_plan(tmp_path, seed=1), tmp_path / "again")
    other = search(text_plan(tmp_path, seed=2), tmp_path / "other")
    assert events_of(first) == events_of(again)
    assert events_of(first)[1:] != events_of(other)[1:]


SCRIPT = """\
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from fake_search import text_plan
from search.run.directory import RunDirectory
from search.run.listener import Silent
from search.run.loop import run_search

class Killer(Silent):
    steps = 0
    def step(self, step, numbers):
        self.steps += 1
        if self.steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
run_search(text_plan(folder), RunDirectory(folder / sys.argv[3]), Killer())
"""


def test_killed_in_the_midst_of_an_epoch_and_gone_on_in_another_process(tmp_path):
    write_text(tmp_path / "words.txt")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}

    def start(kill_at, name):
        command = [sys.executable, str(script), str(tmp_path), str(kill_at), name]
        return subprocess.run(command, env=environment, timeout=120, check=False).returncode

    assert start(0, "whole") == 0
    assert start(30, "killed") == -signal.SIGKILL
    killed = RunDirectory(tmp_path / "killed")
    assert killed.checkpoint.exists()
    assert not killed.found.exists()
    assert start(0, "killed") == 0
    whole = RunDirectory(tmp_path / "whole")
    assert events_of(killed) == events_of(whole)
    assert without_seconds(killed.found) == without_seconds(whole.found)


def test_two_commands_in_one_directory(tmp_path):
    class Second(Silent):
        def begin(self, *arguments):
            search(text_plan(tmp_path), tmp_path / "out")

    with pytest.raises(OutputError, match="another run is writing to it"):
        search(text_plan(tmp_path), tmp_path / "out", Second())


def test_a_directory_of_another_search(tmp_path):
    search(text_plan(tmp_path), tmp_path / "out")
    with pytest.raises(DataError, match=r"another configuration \(seed: 0 there, 1 here\)"):
        search(text_plan(tmp_path, seed=1), tmp_path / "out")
    with pytest.raises(DataError, match=r"method_settings\.spread: 0\.3 there, 0\.4 here"):
        search(text_plan(tmp_path, spread=0.4), tmp_path / "out")


def test_a_checkpoint_of_another_search_or_version(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(text_plan(tmp_path, seed=1), tmp_path / "one", stop_after(30))
    with pytest.raises(KeyboardInterrupt):
        search(text_plan(tmp_path, seed=2), tmp_path / "two", stop_after(30))
    one, two = (tmp_path / name / "checkpoint.safetensors" for name in ("one", "two"))
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    with pytest.raises(DataError, match="belongs to a search of another configuration"):
        search(text_plan(tmp_path, seed=1), tmp_path / "one")
    one.write_bytes(kept)
    tensors, content = read_tensors(one)
    write_tensors(one, tensors, {**content, "format": 99})
    with pytest.raises(DataError, match=r"another version of cellzoo \(format 99; this version has 1\)"):
        search(text_plan(tmp_path, seed=1), tmp_path / "one")
    write_tensors(one, tensors, {**content, "standing": {**content["standing"], "epoch": "3"}})
    with pytest.raises(DataError, match=r"lacks parts of a checkpoint \(epoch is '3'\)"):
        search(text_plan(tmp_path, seed=1), tmp_path / "one")
    one.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(DataError, match="is no complete safetensors file"):
        search(text_plan(tmp_path, seed=1), tmp_path / "one")
    one.write_bytes(kept)
    settings = tmp_path / "one" / "configuration.json"
    settings.write_text(settings.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(DataError, match="format 7"):
        search(text_plan(tmp_path, seed=1), tmp_path / "one")


def test_events_that_someone_cut(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(text_plan(tmp_path), tmp_path / "out", stop_after(30))
    events = tmp_path / "out" / "events.jsonl"
    events.write_bytes(events.read_bytes()[:100])
    with pytest.raises(DataError, match="has 100 bytes"):
        search(text_plan(tmp_path), tmp_path / "out")


def test_peak_memory_is_that_of_the_search_alone():
    device = torch.device("cpu")
    start_peak_memory(device)
    before = peak_memory(device)
    torch.ones(60_000_000).sum()
    assert peak_memory(device) > before + 200_000_000
    if sys.platform == "linux":
        start_peak_memory(device)
        assert peak_memory(device) < before + 100_000_000


def test_measures_of_beliefs():
    uniform, sure = torch.full((5,), 0.2), torch.tensor([1.0, 0, 0, 0, 0])
    assert math.isclose(entropy([uniform]), math.log(5), rel_tol=1e-6)
    assert entropy([sure]) == 0.0
    assert deviation([uniform]) == pytest.approx(0.0, abs=1e-7)
    assert deviation([sure]) == pytest.approx((0.8 + 4 * 0.2) / 5)
    both = beliefs({"cell": [uniform], "past": [sure, torch.tensor([0.5, 0.5])]})
    assert both["deviation"] == pytest.approx((0.0 + 1.6 + 0.0) / 12)
    assert both["entropy_by_group"] == {
        "cell": pytest.approx(math.log(5)),
        "past": pytest.approx(math.log(2) / 2),
    }
    assert beliefs({}) == {}


def test_the_identity_depends_on_everything(tmp_path):
    base = text_plan(tmp_path).configuration
    content = vars(base)
    changes = {
        "method": "x",
        "method_settings": {},
        "objective_settings": {},
        "data": "y",
        "sha256": {},
        "epochs": 9,
        "seed": 3,
        "device": "cuda",
        "threads": 2,
        "version": "9",
    }
    identities = {Configuration(**{**content, name: value}).identity for name, value in changes.items()}
    assert len(identities | {base.identity}) == len(changes) + 1

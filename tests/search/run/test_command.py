"""`cellzoo search` as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import run_search
from fake_search import write_text
from search.methods.registry import kinds as methods
from search.objectives.registry import kinds as objectives
from search.run.configuration import read_configuration
from search.run.events import read_events, without_times
from search.run.progress import Lines

import cellzoo
from cellzoo.errors import CellzooError, UnknownNameError
from search.run.presets import preset_names, read_preset, settings_for
from tasks.settings import Typed


@pytest.fixture
def book(tmp_path):
    (tmp_path / "tiny.toml").write_text(run_search.PRESET)
    return write_text(tmp_path / "book.txt")


def request(book, method="darts", out="out", **options):
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    folder = book.parent
    return [
        method,
        "--on",
        book,
        "--preset",
        folder / "tiny.toml",
        "--out",
        folder / out,
        "--device",
        "cpu",
        *flags,
    ]


def events(folder):
    return without_times(read_events(folder / "events.jsonl"))


def test_it_finds_a_cell_that_loads_and_draws_the_way(book, capsys):
    assert run_search.main([*request(book), "--plot"]) == 0
    shown = capsys.readouterr().out
    assert "darts on text:book.txt, seed 0: 3 epochs of about" in shown
    assert shown.count("validation perplexity") >= 3
    found = book.parent / "out" / "found.toml"
    assert cellzoo.load(found).hash == events(found.parent)[-1]["cell"]["hash"]
    assert f"cell file: {found}" in shown
    for name in ("trajectory.html", "trajectory.svg"):
        assert (found.parent / name).exists()
        assert name in shown


def test_a_dry_run_writes_nothing(book, capsys):
    before = sorted(book.parent.iterdir())
    assert run_search.main([*request(book), "--dry-run", "--set", "nodes=5", "--set", "epochs=7"]) == 0
    shown = capsys.readouterr().out
    assert "nodes = 5" in shown
    assert "7 epochs" in shown
    assert "nothing was written" in shown
    assert sorted(book.parent.iterdir()) == before
    assert run_search.main([*request(book), "--dry-run", "--then", "--full", "epochs=9"]) == 0
    shown = capsys.readouterr().out
    assert "searches   4, seeds 0, 1, 2, 3" in shown
    assert "epochs = 9" in shown
    assert sorted(book.parent.iterdir()) == before


def test_the_same_seed_in_another_process_gives_the_same_course_and_cell(book):
    runs = [run_search.start(*request(book, out=f"out{n}", seed=3), hash_seed=str(n)) for n in (1, 2)]
    for process in runs:
        output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, output + errors
    first, second = (events(book.parent / f"out{n}") for n in (1, 2))
    assert first == second
    assert first[-1]["event"] == "end"


def test_killed_in_the_midst_of_an_epoch_it_goes_on_exactly(book):
    assert run_search.main(request(book, out="whole")) == 0
    process = run_search.start(*request(book, out="killed"))
    log = book.parent / "killed" / "events.jsonl"
    for _ in range(2000):
        if log.exists() and '"event": "step", "epoch": 2' in log.read_text():
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (book.parent / "killed" / "found.toml").exists()
    done = run_search.run("--resume", book.parent / "killed")
    assert done.returncode == 0, done.stderr
    assert "1 there already" in done.stdout
    assert events(book.parent / "killed") == events(book.parent / "whole")
    names = [cellzoo.entry(book.parent / name / "found.toml").name for name in ("killed", "whole")]
    assert names[0] == names[1]


def test_ctrl_c_says_how_to_go_on(book):
    process = run_search.start(*request(book))
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from the last epoch" in output
    assert "Traceback" not in errors


def test_the_same_command_again_says_what_was_found(book, capsys):
    assert run_search.main(request(book)) == 0
    first = capsys.readouterr().out
    assert run_search.main(request(book)) == 0
    assert capsys.readouterr().out.splitlines() == first.splitlines()[-3:]
    assert run_search.main(["--resume", book.parent / "out"]) == 0


def test_a_directory_that_holds_another_search(book, capsys):
    assert run_search.main(request(book)) == 0
    assert run_search.main(request(book, seed=1)) == 3
    assert "seed: 0 there, 1 here" in capsys.readouterr().err


def test_data_that_changed_since(book, capsys):
    assert run_search.main(request(book)) == 0
    (book.parent / "out" / "found.toml").unlink()
    book.write_text(book.read_text().replace("w3", "w4"))
    assert run_search.main(["--resume", book.parent / "out"]) == 3
    assert "is not the data that the search was begun with" in capsys.readouterr().err


def test_data_that_moved(book, tmp_path, capsys):
    assert run_search.main(request(book, method="random")) == 0
    (book.parent / "out" / "found.toml").unlink()
    (tmp_path / "elsewhere").mkdir()
    book.rename(tmp_path / "elsewhere" / "book.txt")
    assert run_search.main(["--resume", book.parent / "out"]) == 3
    assert "book.txt: no such file" in capsys.readouterr().err
    assert run_search.main(["--resume", book.parent / "out", "--data", tmp_path / "elsewhere"]) == 0


def test_another_version_does_not_go_on(book, capsys):
    assert run_search.main(request(book, method="random")) == 0
    (book.parent / "out" / "found.toml").unlink()
    path = book.parent / "out" / "configuration.json"
    version = read_configuration(path)[0].version
    path.write_text(path.read_text().replace(f'"version": "{version}"', '"version": "0.0.1"', 1))
    assert run_search.main(["--resume", book.parent / "out"]) == 3
    assert "another version of cellzoo (version: '0.0.1' there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "METHOD is missing"),
        (["darts"], "--on is missing"),
        (["darts", "--on", "book.txt"], "--out is missing"),
        (["dart", "--on", "BOOK", "--out", "o"], "unknown method 'dart'. Did you mean 'darts'"),
        (["darts", "--on", "ptbx", "--out", "o"], "unknown data set 'ptbx'"),
        (["darts", "--on", "BOOK", "--out", "o", "--preset", "big"], "unknown preset 'big'"),
        (
            ["darts", "--on", "BOOK", "--out", "o", "--preset", "TINY", "--set", "nods=3"],
            "unknown setting 'nods'",
        ),
        (["darts", "--on", "BOOK", "--out", "o", "--preset", "TINY", "--set", "nodes=0"], "nodes"),
        (["darts", "--on", "BOOK", "--out", "o", "--preset", "TINY", "--set", "epochs=0"], "epochs is 0"),
        (["darts", "--on", "BOOK", "--out", "o", "--preset", "TINY", "--set", "bptt=x"], "bptt"),
        (["darts", "--on", "BOOK", "--out", "o", "--preset", "TINY", "--seed", "-1"], "--seed '-1'"),
        (
            ["darts", "--on", "BOOK", "--out", "o", "--preset", "TINY", "--seed", "9999999999"],
            "seed 9999999999",
        ),
        (["darts", "--on", "BOOK", "--out", "o", "--preset", "TINY", "--threads", "0"], "--threads '0'"),
        (["darts", "--on", "BOOK", "--out", "o", "--preset", "TINY", "--device", "tpu"], "device 'tpu'"),
        (["--resume", "nowhere"], "nowhere: holds no search"),
        (["darts", "--resume", "nowhere"], "leave METHOD out"),
        (["--resume", "nowhere", "--on", "ptb"], "leave --on out"),
        (["--resume", "nowhere", "--dry-run"], "leave --dry-run out"),
        (["--resume", "nowhere", "--set", "epochs=9"], "leave --set out"),
        (["--resume", "nowhere", "--preset", "paper"], "leave --preset out"),
        (["--plot", "nowhere"], "nowhere: holds no search"),
        (["--plot", "nowhere", "--seed", "1"], "leave --seed out"),
        (["darts", "--on", "BOOK", "--out", "o", "--full", "epochs=1"], "--full is of the retraining"),
        (["darts", "--on", "BOOK", "--out", "o", "--test-seeds", "1"], "--test-seeds is of the retraining"),
        (["darts", "--on", "BOOK", "--out", "o", "--threads", "9999999999"], "number from 1 to 1024"),
        (["darts", "--on", "BOOK", "--out", "BOOK", "--preset", "TINY"], "book.txt"),
        (
            ["random", "--on", "BOOK", "--out", "o", "--set", "epochs=7"],
            "expected a multiple of it, such as 6 or 9",
        ),
        (["random", "--on", "BOOK", "--dry-run", "--set", "epochs=7"], "expected a multiple of it"),
        (["darts", "--on", "BOOK", "--out", "o", "--preset", "TINY", "--set", "engine=fast"], "engine 'fast'"),
        (
            ["darts", "--on", "BOOK", "--dry-run", "--preset", "TINY", "--set", "hidden_size=1000000000000"],
            "memory ran out",
        ),
        (
            ["darts", "--on", "BOOK", "--out", "o", "--preset", "TINY", "--set", "weight_range=-1"],
            "weight_range",
        ),
        (
            ["ess", "--on", "conll:TAGS", "--dry-run", "--set", "inter_weights=diag"],
            "as wide as the state",
        ),
    ],
)
def test_bad_requests_are_one_message(book, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(book.parent)
    (book.parent / "TAGS").write_text("".join(f"word{n % 9} {['O', 'B-X'][n % 2]}\n\n" for n in range(400)))
    places = {"BOOK": str(book), "TINY": str(book.parent / "tiny.toml")}
    code = run_search.main([places.get(argument, argument) for argument in arguments] or ["--preset", "small"])
    error = capsys.readouterr().err
    assert code in (1, 2, 3, 5)
    assert message in error
    assert error.count("\n") == 1
    assert not (book.parent / "o").exists()


def test_help_imports_nothing_heavy():
    code = (
        "import sys, search.commands.search\n"
        "print(sorted({'torch', 'numpy', 'rich', 'pydantic', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_sound_for_every_objective(preset):
    content = read_preset(preset)
    assert set(content["methods"]) <= set(methods())
    for method in content["methods"]:
        for objective in objectives().values():
            settings = settings_for(preset, method, objective)
            assert settings.epochs == content["methods"][method].get("epochs", content.get("epochs", 50))
            assert settings.plain_method
            assert settings.plain_objective


def test_presets_by_layer(book):
    preset = str(book.parent / "tiny.toml")
    text, tags = objectives()["language-modeling"], objectives()["tagging"]
    assert settings_for(preset, "darts", text).objective_settings.bptt == 8
    assert settings_for(preset, "random-ws", text).objective_settings.bptt == 6
    assert settings_for(preset, "random-ws", text).method_settings.learning_rate == 1.0
    assert settings_for(preset, "random-ws", tags).method_settings.learning_rate == 0.25
    changed = settings_for(
        preset, "darts", text, {"method.learning_rate": Typed("2.5"), "objective.bptt": Typed("4"), "epochs": 9}
    )
    assert changed.method_settings.learning_rate == 2.5
    assert (changed.objective_settings.bptt, changed.epochs) == (4, 9)
    with pytest.raises(UnknownNameError, match=r"unknown setting 'method\.bptt'"):
        settings_for(preset, "darts", text, {"method.bptt": 4})
    with pytest.raises(CellzooError, match=r"expected method\.NAME or objective\.NAME"):
        settings_for(preset, "darts", text, {"other.bptt": 4})
    with pytest.raises(CellzooError, match="has nothing for the method 'enas'"):
        settings_for(preset, "enas", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs =", "is no TOML"),
        ("epoch = 3", "unknown key 'epoch'"),
        ("methods = 3", "methods must hold tables"),
        ("[methods.darts]\non = 3", "methods.darts.on must hold tables"),
        ("[methods.darts.on]\ntagging = 3", "methods.darts.on must hold tables"),
        ("[objectives.tagging.for]\ndarts = 3", "objectives.tagging.for must hold tables"),
        ("[then.tagging]\nbrief = 3", "then.tagging must hold tables"),
    ],
)
def test_presets_that_are_malformed(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(CellzooError, match=message):
        read_preset(str(path))
    with pytest.raises(CellzooError, match="cannot be read"):
        read_preset(str(tmp_path / "absent.toml"))


class FakeConsole:
    def __init__(self):
        self.lines = []

    def print(self, text, **options):
        self.lines.append(str(text))


def test_the_time_left_is_by_the_pace_of_this_process():
    now, console = [100.0], FakeConsole()
    lines = Lines(console, lambda: now[0])
    lines.begin("darts on ptb, seed 0", 10, 4, 20)
    assert console.lines == ["darts on ptb, seed 0: 10 epochs of about 20 steps, 4 there already"]
    for step in range(1, 21):
        lines.step(step, {"train_loss": 5.0})
        now[0] += 2.0
    event = {"epoch": 5, "validation": {"loss": 4.0, "perplexity": None}, "cell": {"hash": "abcdef12"}}
    lines.epoch({**event, "seconds_epoch": 40.0})
    # 19 of 20 steps in 40 seconds after the first report, so 5 epochs take a little more than 5 x 40 seconds.
    assert console.lines[-1] == (
        "epoch 5/10: validation loss 4, validation perplexity too large, cell abcdef, 40 s; 3 min 31 s left"
    )
    now[0] += 61.0
    lines.step(3, {"train_loss": 4.5})
    assert console.lines[-1].startswith("epoch 6/10, step 3 of about 20, loss 4.50; ")
    lines.concluding()
    now[0] += 70.0
    lines.judged(7, 10)
    assert console.lines[-1] == "choosing the cell: 7 of 10 candidates judged; 30 s left"
    lines.judged(8, 10)
    lines.end(stopped=False)
    assert console.lines[-1].startswith("choosing the cell: 7")
    lines.end(stopped=True)
    assert "goes on from the last epoch" in console.lines[-1]

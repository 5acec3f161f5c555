"""`cellzoo run` as a command: what is typed, what is shown, what it exits with."""

from __future__ import annotations

import pytest
import run_command
from hypothesis import given
from hypothesis import strategies as st

from cellzoo.errors import CellzooError
from cellzoo.selection import split_cells
from tasks.commands.run import COMMAND, parse_seeds, parse_settings
from tasks.settings import Typed


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run the command in this process; gives (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")

    def call(*arguments):
        code = run_command.main(["--executor", "serial", "--device", "cpu", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_runs_are_made_shown_and_skipped_the_second_time(command, tmp_path):
    code, output, errors = command("fake_task:Fake", "--cells", "lstm,gru", "--seeds", "2")
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0] == "4 runs to do; one at a time"
    assert lines[1] == "started   fake lstm seed 0"
    assert lines[2].startswith("finished  fake lstm seed 0: score 0.")
    assert " s left)" in lines[2]
    assert "(1/4, " in lines[2]
    assert lines[-2].endswith("(4/4)")
    assert lines[-1] == "4 records in results/records: 4 made now, 0 there before, 0 failed"
    assert len(list((tmp_path / "results" / "records").glob("*.json"))) == 4
    code, output, errors = command("fake_task:Fake", "--cells", "lstm,gru", "--seeds", "0,1")
    assert (code, output, errors) == (
        0,
        "4 records in results/records: 0 made now, 4 there before, 0 failed\n",
        "",
    )


def test_a_dry_run_shows_the_plan_and_writes_nothing(command, tmp_path):
    code, output, _ = command(
        "fake_task:Fake", "--cells", "lstm", "--seeds", "2", "--dry-run", "--set", "epochs=5"
    )
    assert code == 0
    assert output.splitlines() == [
        'task fake: epochs = 5, rate = 0.5, label = "x", shuffle = true, sizes = [1, 2], seconds = 0.0, '
        'fault = "", victim = "", padding = 0',
        "to do   fake lstm seed 0",
        "to do   fake lstm seed 1",
        "time  fake lstm: not known (--measure trains a few batches to find out)",
        "2 to do, 0 there already; nothing was written",
    ]
    assert list(tmp_path.iterdir()) == []
    command("fake_task:Fake", "--cells", "lstm", "--set", "epochs=5")
    before = sorted(tmp_path.rglob("*"))
    _, output, _ = command(
        "fake_task:Fake", "--cells", "lstm", "--seeds", "2", "--dry-run", "--set", "epochs=5"
    )
    assert "there   fake lstm seed 0" in output
    assert "1 to do, 1 there already; nothing was written" in output
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_names_the_data(command):
    code, output, _ = command("news-lm", "--cells", "lstm", "--dry-run")
    assert code == 0
    assert "data news: gensim" in output
    assert "lee_background.cor" in output


def test_a_failure_is_listed_and_the_exit_code_is_1(command):
    code, output, errors = command(
        "fake_task:Fake", "--cells", "lstm,gru", "--set", "fault=input", "--set", "victim=gru-0"
    )
    assert code == 1
    assert "failed    fake gru seed 0: corpus.txt: line 3: wrong  (2/2)" in output
    assert errors == "error: 1 of 2 runs failed:\n  fake gru seed 0: corpus.txt: line 3: wrong\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["demos", "--cells", "lstm"], 2, "unknown suite or task 'demos'. Did you mean 'demo'?"),
        (["no.toml", "--cells", "lstm"], 2, "no.toml: cannot be read: No such file or directory"),
        (["fake_task:Fake", "--cells", "lstmm"], 2, "unknown cell 'lstmm'. Did you mean 'lstm'"),
        (["fake_task:Fake", "--cells", "lstm,,gru"], 2, "--cells 'lstm,,gru': an empty name"),
        (["fake_task:Fake", "--cells", "lstm", "--seeds", "a"], 2, "--seeds 'a': expected how many, such as 5"),
        (["fake_task:Fake", "--cells", "lstm", "--seeds", "0"], 2, "0 seeds: expected at least 1"),
        (["fake_task:Fake", "--cells", "lstm", "--seeds", "9999999999"], 2, "9999999999 seeds: expected"),
        (["fake_task:Fake", "--cells", "lstm", "--set", "epochs"], 2, "--set 'epochs': expected KEY=VALUE"),
        (["fake_task:Fake", "--cells", "lstm", "--set", "epoch=2"], 2, "unknown setting 'epoch'. Did you mean"),
        (
            ["fake_task:Fake", "--cells", "lstm", "--set", "epochs=two"],
            2,
            "setting 'epochs' of task 'fake' is 'two'; it must be a whole number",
        ),
        (["fake_task:Fake", "--cells", "lstm", "--workers", "0"], 2, "--workers '0': expected a whole number"),
        (["fake_task:Fake", "--cells", "lstm", "--threads", "x"], 2, "--threads 'x': expected a whole number"),
        (["fake_task:Fake", "--cells", "lstm", "--log", "mlflow", "--dry-run"], 2, "unknown tracker 'mlflow'"),
        (
            ["fake_task:Fake", "--cells", "lstm", "--device", "tpu", "--dry-run"],
            2,
            "device 'tpu': expected auto",
        ),
        (["fake_task:Fake", "--cells", "lstm", "--executor", "slurm", "--dry-run"], 2, "executor 'slurm'"),
        (["fake_task:Fake", "--cells", "lstm", "--measure"], 2, "--measure belongs to --dry-run"),
        (["wnut17", "--cells", "lstm", "--data", "nowhere"], 3, "--data nowhere: does not exist"),
    ],
)
def test_bad_input_is_one_message_with_an_exit_code(command, tmp_path, arguments, code, words):
    result, output, errors = command(*arguments)
    assert result == code
    assert words in errors
    assert errors.count("error:") == 1
    assert output == ""
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_is_told_with_its_own_exit_code(command, tmp_path):
    command("fake_task:Fake", "--cells", "lstm")
    path = next((tmp_path / "results" / "records").glob("*.json"))
    path.write_text("{")
    code, output, errors = command("fake_task:Fake", "--cells", "lstm,gru")
    assert (code, output) == (4, "")
    assert path.name in errors
    assert "is not complete JSON" in errors


def test_a_foreign_file_is_a_note(command, tmp_path):
    command("fake_task:Fake", "--cells", "lstm")
    (tmp_path / "results" / "records" / "foreign.json").write_text('{"a": 1}')
    code, _, errors = command("fake_task:Fake", "--cells", "lstm,gru")
    assert code == 0
    assert errors.startswith("cellzoo: note: results/records/foreign.json: is JSON but not a run record")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("5", 5), (" 1 ", 1), ("0,3,7", [0, 3, 7]), ("7,", [7]), ("1, 2", [1, 2])],
)
def test_seeds_are_a_number_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


@given(st.text(max_size=20))
def test_any_text_is_seeds_or_one_error(text):
    try:
        seeds = parse_seeds(text)
    except CellzooError:
        return
    assert isinstance(seeds, int) or all(seed >= 0 for seed in seeds)


def test_cells_and_settings_are_split():
    assert split_cells("lstm, darts-*,a/b.toml") == ["lstm", "darts-*", "a/b.toml"]
    assert parse_settings(["a=1", "t.b = x=y"]) == {"a": Typed("1"), "t.b": Typed("x=y")}
    with pytest.raises(CellzooError, match="a is given twice"):
        parse_settings(["a=1", "a=2"])


def test_the_help_shows_examples_and_exit_codes():
    assert "cellzoo run demo --cells lstm,darts-v2" in COMMAND.examples
    assert "exit codes:" in COMMAND.examples

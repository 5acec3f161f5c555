"""`cellzoo search` and `cellzoo plot` as a user runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import run_search
from fake_search import TOY_PRESET, TOY_TASK, events_of, folder_of, write_text

import cellzoo
from cellzoo.cli.main import main
from cellzoo.errors import CellzooError
from search.registry import method_names, preset_names
from search.run.target import find_target

BOOK_PRESET = """\
epochs = 3
[methods.darts]
nodes = 3
learning_rate = 1.0
architecture_learning_rate = 0.05
[problems.language-modeling]
hidden_size = 8
batch_size = 4
validation_batch_size = 2
bptt = 8
jitter = "halved"
evaluation_streams = 2
dropout = 0.1
dropout_x = 0.1
dropout_i = 0.1
dropout_e = 0.0
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "tiny.toml").write_text(TOY_PRESET)
    (tmp_path / "book.toml").write_text(BOOK_PRESET)
    (tmp_path / "sums.toml").write_text(TOY_TASK)
    write_text(tmp_path / "book.txt")
    return tmp_path


def request(place, method="darts", out="out", on="sums.toml", preset="tiny.toml", **options):
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    where = ("--on", place / on, "--preset", place / preset, "--out", place / out)
    return [method, *where, "--device", "cpu", "--executor", "serial", *flags]


def test_it_finds_a_cell_in_a_text_that_loads_and_draws_the_way(place, capsys):
    assert run_search.main(request(place, on="book.txt", preset="book.toml")) == 0
    shown = capsys.readouterr().out
    found = place / "out" / "found.toml"
    events = events_of(place / "out")
    assert cellzoo.load(found).hash == events[-1]["cell"]["hash"]
    assert "dev_perplexity" in shown
    assert f"cell file: {found}" in shown
    assert cellzoo.entry(found).searched_on == "text-lm (language-modeling: text:book.txt)"
    assert main(["plot", str(place / "out")]) == 0
    for name in ("trajectory.html", "trajectory.svg"):
        assert (folder_of(place / "out") / name).exists()
        assert name in capsys.readouterr().out + shown + name


def test_a_dry_run_writes_nothing(place, capsys):
    before = sorted(place.iterdir())
    for more in ([], ["--then", "--full", "epochs=9", "--seeds", "4"]):
        code = run_search.main([*request(place), "--dry-run", "--set", "nodes=5", "--set", "epochs=7", *more])
        assert code == 0
        shown = capsys.readouterr().out
        assert "nodes = 5" in shown
        assert "7 epochs" in shown
        assert "nothing was written" in shown
        assert sorted(place.iterdir()) == before
    assert "seeds 0, 1, 2, 3" in shown
    assert "epochs = 9" in shown
    assert run_search.main([*request(place, "evolution"), "--dry-run"]) == 0
    assert "10 trials" in capsys.readouterr().out


def test_the_same_seed_in_another_process_gives_the_same_course_and_cell(place):
    runs = [run_search.start(*request(place, out=f"out{n}", seeds="3,"), hash_seed=str(n)) for n in (1, 2)]
    for process in runs:
        output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, output + errors
    first, second = (events_of(place / f"out{n}") for n in (1, 2))
    assert first == second
    assert first[-1]["event"] == "end"


def test_ctrl_c_stops_it_and_the_same_command_goes_on(place):
    process = run_search.start(*request(place), "--set", "sequences=65536")
    for line in process.stdout:
        if line.startswith("started"):
            break
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output + errors
    assert not (place / "out" / "found.toml").exists()


def test_the_same_command_again_says_what_was_found(place, capsys):
    assert run_search.main(request(place)) == 0
    first = capsys.readouterr().out
    assert run_search.main(request(place)) == 0
    again = capsys.readouterr().out
    assert first.endswith(again)
    assert "cell file" in again


SMALL_BOOK = [part for key in ("batch_size", "bptt", "evaluation_streams") for part in ("--set", f"{key}=2")]
SMALL_BOOK += ["--set", "validation_batch_size=2"]
BAD = [
    (["darts", "--on", "sums.toml"], "--out is missing"),
    (["dart", "--on", "sums.toml", "--out", "o"], "unknown method 'dart'. Did you mean 'darts'"),
    (["no.such:METHOD", "--on", "sums.toml", "--out", "o"], "no.such:METHOD fails at import"),
    (["darts", "--on", "ptbx", "--out", "o"], "unknown task 'ptbx'. Did you mean 'ptb'"),
    (["darts", "--on", "news-similarity", "--out", "o"], "nothing can be searched on it"),
    (["darts", "--on", "none.txt", "--out", "o"], "none.txt: no such file"),
    (["darts", "--on", "sums.toml", "--out", "o", "--preset", "big"], "unknown preset 'big'"),
    (["darts", "TINY", "--out", "o", "--set", "nods=3"], "unknown setting 'nods'"),
    (
        ["darts", "TINY", "--out", "o", "--set", "nodes=0"],
        "'nodes' of method 'darts' is 0; it must be at least 1",
    ),
    (["darts", "TINY", "--out", "o", "--set", "epochs=0"], "'epochs' of search darts is 0"),
    (["darts", "TINY", "--out", "o", "--set", f"hidden_size={2**63}"], "it must be at most 2,147,483,647"),
    (["random", "TINY", "--out", "o", "--set", f"hidden_size={2**63}"], "it must be at most 2,147,483,647"),
    (["evolution", "TINY", "--out", "o", "--set", f"population={2**63}"], "must be at most 2,147,483,647"),
    (["darts", "TINY", "--out", "o", "--set", "length=x"], "'length' of task 'sums' is 'x'"),
    (["darts", "TINY", "--out", "o", "--seeds", "-1"], "--seeds '-1'"),
    (["darts", "TINY", "--out", "o", "--seeds", "9999999999,"], "seed 9999999999"),
    (["darts", "TINY", "--out", "o", "--seeds", "0"], "0 seeds"),
    (["darts", "TINY", "--out", "o", "--seeds", ""], "--seeds ''"),
    (["darts", "TINY", "--out", "o", "--threads", "0"], "--threads '0'"),
    (["darts", "TINY", "--out", "o", "--threads", "9999999999"], "number from 1 to 1024"),
    (["darts", "TINY", "--out", "o", "--device", "tpu"], "device 'tpu'"),
    (["darts", "TINY", "--out", "o", "--executor", "magic"], "executor 'magic'"),
    (["darts", "TINY", "--out", "o", "--full", "epochs=1"], "--full is about the training of found cells"),
    (["darts", "TINY", "--out", "o", "--test-seeds", "1"], "--test-seeds is about the training"),
    (["darts", "TINY", "--out", ""], "--out"),
    (["darts", "TINY", "--out", "sums.toml"], "sums.toml"),
    (["darts", "TINY", "--out", "o", "--set", "engine=fast"], "engine 'fast'"),
    (["darts", "TINY", "--dry-run", "--set", "hidden_size=2000000000"], "memory ran out"),
    (["ess", "--on", "sums.toml", "--dry-run", "--set", "inter_weights=diag"], "as wide as the state"),
    (
        ["darts", "--on", "BOOK", "--dry-run", *SMALL_BOOK, "--set", "model=awd", "--set", "num_layers=2"],
        "a supernet is one recurrent layer",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_requests_are_one_message(place, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(place)
    replaced = []
    for word in arguments:
        replaced += {"TINY": ["--on", "sums.toml", "--preset", "tiny.toml"], "BOOK": ["book.txt"]}.get(
            word, [word]
        )
    code = run_search.main([*replaced, *([] if "--device" in arguments else ["--device", "cpu"])])
    error = capsys.readouterr().err
    assert code in (1, 2, 3, 5)
    assert message in error
    assert error.count("\n") == 1
    assert not (place / "o").exists()


def test_help_names_methods_and_presets_and_imports_nothing_heavy(capsys):
    code = (
        "import sys, search.commands.search, search.commands.plot, search.commands.lists\n"
        "print(sorted({'torch', 'numpy', 'rich', 'pydantic', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    shown = capsys.readouterr().out
    for name in (*method_names(), *preset_names()):
        assert name in shown


def test_lists_name_methods_and_presets(capsys):
    assert main(["list", "methods"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in method_names())
    assert "sampler" in shown
    assert main(["list", "presets", "--json"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in preset_names())


@pytest.mark.parametrize(
    ("on", "task", "corpus"),
    [("ptb", "ptb", None), ("BOOK", "text-lm", "text:book.txt"), ("conll:TAGS", "conll-tagging", "conll:TAGS")],
)
def test_what_is_searched_on(place, monkeypatch, on, task, corpus):
    monkeypatch.chdir(place)
    (place / "TAGS").write_text("Ann B-PER\n\n" * 100)
    target = find_target({"BOOK": str(place / "book.txt")}.get(on, on))
    assert target.task.name == task
    assert target.settings.get("corpus") == corpus
    with pytest.raises(CellzooError, match="unknown task"):
        find_target("nothing")


@pytest.mark.parametrize(
    ("tags", "message"),
    [("O O", "train and dev hold no entity"), ("B-x person", "is not a tag of spans"), ("B-x", "1 column in")],
)
def test_a_dry_run_reads_and_checks_the_data(place, capsys, tags, message):
    lines = "".join(f"{word}\t{tag}\n" for word, tag in zip("ab", tags.split(), strict=False))
    (place / "data.conll").write_text(f"{lines}c\tO\nd\n" if tags == "B-x" else f"{lines}\n" * 20)
    corpus = ("--set", "corpus=conll:data.conll", "--data", str(place))
    assert main(["search", "darts", "--on", "conll-tagging", *corpus, "--dry-run"]) == 3
    assert message in capsys.readouterr().err


def test_the_data_of_what_follows_a_search_is_checked_before_it_starts(place, capsys):
    stages = "".join(f"[then.language-modeling.{stage}]\nepochs = 1\n" for stage in ("brief", "full"))
    (place / "book.toml").write_text(BOOK_PRESET + stages)
    given = request(place, on="book.txt", preset="book.toml")
    then = ["--then", "--full", "bptt=20", "--brief", "batch_size=5000"]
    for more in (["--dry-run"], []):
        assert run_search.main([*given, *then, *more]) == 3
        shown = capsys.readouterr()
        assert "fewer than one batch of 5000 streams" in shown.out + shown.err
        assert not (place / "out" / "searches").exists()

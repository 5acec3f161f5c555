"""The command line as a whole: help, what it loads, and faults without a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("cellzoo")


def cellzoo(*arguments, **options):
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60, **options
    )


def test_help_names_every_command_with_examples_and_exit_codes():
    found = cellzoo("--help")
    assert found.returncode == 0
    assert found.stderr == ""
    for part in ("list", "show", "run", "board", "data", "demo", "examples:", "exit codes:"):
        assert part in found.stdout


@pytest.mark.parametrize("command", ["list", "show", "run", "board", "data", "demo"])
def test_each_command_has_examples(command):
    found = cellzoo(command, "--help")
    assert found.returncode == 0
    assert "examples:" in found.stdout
    assert f"cellzoo {command}" in found.stdout.split("examples:")[1]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "--help"], ["list", "cells", "--names"], ["run", "--help"]]
)
def test_help_and_names_import_nothing_heavy(arguments):
    code = (
        "import sys; from cellzoo.cli.main import main\n"
        f"try: main({arguments})\n"
        "except SystemExit: pass\n"
        "heavy = 'torch flair gensim numpy scipy pydantic rich jinja2 transformers datasets'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["rnu"], "unknown command 'rnu'. Did you mean 'run'", 2),
        (["show", "lstn"], "unknown cell 'lstn'. Did you mean 'lstm'", 2),
        (["show", "no/such.toml"], "no/such.toml: no such cell file", 2),
        (["list", "cells", "xyz*"], "unknown name or pattern among the cells 'xyz*'", 2),
        (["show", "lstm", "--hidden-size", "0"], "'0' is not a size", 2),
        (["show", "lstm", "--colour"], "unrecognized arguments: --colour", 2),
    ],
)
def test_faults_are_one_message_and_an_exit_code(arguments, message, code):
    found = cellzoo(*arguments)
    assert found.returncode == code
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""


def shell(line):
    return subprocess.run(line, shell=True, capture_output=True, text=True, check=False)  # noqa: S602 - the point


def test_output_into_a_closed_pipe_is_no_error():
    found = shell(f"'{COMMAND}' list cells --json | head -1")
    assert found.stdout.startswith("{")
    assert found.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", ["list cells", "show lstm", "list cells lstm --names"])
def test_output_onto_a_full_disk_is_one_message(arguments):
    found = shell(f"'{COMMAND}' {arguments} > /dev/full")
    assert found.returncode == 5
    assert found.stderr == "cellzoo: error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(streams):
    found = shell(f"'{COMMAND}' list cells lstm {streams}")
    assert (found.returncode, found.stderr) == (0, "")


def test_characters_that_the_terminal_lacks_are_replaced():
    found = cellzoo("show", "lstm", env={"PYTHONIOENCODING": "ascii"})
    assert (found.returncode, found.stderr) == (0, "")
    assert "4EH + 4H? + 4H at" in found.stdout


def test_usage_is_that_of_the_command_that_was_typed():
    found = cellzoo("show", "lstm", "--colour")
    assert found.stderr.startswith("usage: cellzoo show ")


def test_options_and_names_come_in_any_order():
    first = cellzoo("list", "cells", "darts*", "--names")
    assert first.stdout.split() == ["darts-v1", "darts-v2"]
    assert cellzoo("list", "--names", "cells", "darts*").stdout == first.stdout
    assert cellzoo("list", "cells", "--names", "darts*").stdout == first.stdout


def test_values_separated_by_blanks_where_commas_are_wanted():
    found = cellzoo("run", "small-ner", "--cells", "lstm", "gru", "--dry-run")
    assert found.returncode == 2
    assert "unrecognized arguments: gru; several values of --cells are separated by commas" in found.stderr


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        (("list", "darts*", "cells", "--names"), ("list", "cells", "darts*", "--names")),
        (("--names", "list", "cells", "darts*"), ("list", "cells", "darts*", "--names")),
        (("--equations", "show", "gru"), ("show", "gru", "--equations")),
        (("data", "small-ner", "check"), ("data", "check", "small-ner")),
        (("data", "small-ner", "--data", ".", "where"), ("data", "where", "small-ner", "--data", ".")),
    ],
)
def test_words_in_another_order_mean_the_same(typed, right):
    found, wanted = cellzoo(*typed), cellzoo(*right)
    assert (found.returncode, found.stdout, found.stderr) == (wanted.returncode, wanted.stdout, wanted.stderr)
    assert found.returncode == 0


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("--out", "run", "run", "small-ner"), "the command comes first: is it 'run' or 'run'?"),
        (("--names", "cells"), "usage: cellzoo "),
        (
            ("run", "small-ner", "--set", "epochs=1", "hidden_size=3", "--cells", "lstm"),
            "hidden_size=3; --set is given for each of several values: --set KEY=VALUE --set KEY=VALUE",
        ),
        (("bench", "--cells", "lstm", "gru"), "several values of --cells are separated by commas"),
    ],
)
def test_what_stands_in_a_wrong_place_is_named(typed, words):
    found = cellzoo(*typed)
    assert found.returncode == 2
    assert words in found.stderr


def test_escape_sequences_never_reach_the_terminal(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nnotation = "equations"\ngenotype = "h\' = tanh(linear(x, h))"\n'
        'source = "\\u001b]0;title\\u0007 \\u202e\\u009b2J"\nlicence = "\\u001b[31m"\n',
        encoding="utf-8",
    )
    for arguments in (
        ["show", tmp_path / "mine.toml"],
        ["show", "a\x1b[2J"],
        ["show", "lstm", "--\x1b[2J"],
        ["\x1b[2J"],
    ):
        found = cellzoo(*arguments)
        text = found.stdout + found.stderr
        assert "\ufffd" in text or "\\x1b" in text
        assert not set(text) & set("\x1b\x07\x9b\u202e")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes an installed package out of a module's text and its entry points."""

    def install(module, points):
        (tmp_path / "outside.py").write_text(module, encoding="utf-8")
        folder = tmp_path / "outside-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(points)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return install


@pytest.mark.parametrize("fault", ["1 / 0", "raise SystemExit(3)", "import absent_module", "def broken(:"])
@pytest.mark.parametrize("group", ["cellzoo.commands", "cellzoo.cells", "cellzoo.lists"])
def test_a_plug_in_that_fails_at_import_is_named_and_left_out(package, fault, group):
    package(fault, f"[{group}]\nbad = outside:THING\n")
    found = cellzoo("list", "cells", "darts*", "--names")
    assert (found.returncode, found.stdout.split()) == (0, ["darts-v1", "darts-v2"])
    assert found.stderr.startswith(f"cellzoo: warning: {group} 'bad' of the package 'outside' is left out: ")
    assert len(found.stderr.splitlines()) == 1


@pytest.mark.parametrize("fault", ["raise SystemExit(3)", "import absent_module"])
@pytest.mark.parametrize(("kind", "own"), [("tasks", "wnut17"), ("methods", "darts")])
def test_a_task_or_method_that_fails_at_import_is_left_out_of_its_list(package, fault, kind, own):
    package(fault, f"[cellzoo.{kind}]\nbad = outside:THING\n{own} = outside:THING\n")
    found = cellzoo("list", kind)
    assert found.returncode == 0
    assert f"\n{own} " in found.stdout
    assert "\nbad" not in found.stdout
    taken, broken = found.stderr.splitlines()
    assert f"{own!r} of the package 'outside' is left out: there is a {kind[:-1]} of that name" in taken
    assert broken.startswith("cellzoo: warning: bad is left out: ")
    assert "outside" in broken


@pytest.mark.parametrize("group", ["cellzoo.commands", "cellzoo.cells", "cellzoo.lists"])
def test_a_plug_in_of_the_wrong_type_is_named_and_left_out(package, group):
    package("THING = 7", f"[{group}]\nbad = outside:THING\n")
    found = cellzoo("list", "cells", "darts*", "--names")
    assert (found.returncode, found.stdout.split()) == (0, ["darts-v1", "darts-v2"])
    assert "'bad' of the package 'outside' is left out: expected a" in found.stderr


def test_a_package_cannot_take_the_name_of_a_command_or_cell_of_ours(package, tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "lstm.toml").write_text('name = "lstm"')
    package(
        f"from cellzoo.cli.command import Command\nCELLS = {str(tmp_path / 'cells')!r}\n"
        "SHOW = Command('show', '', '', '', lambda parser: None, lambda options: 7)",
        "[cellzoo.commands]\nashow = outside:SHOW\n[cellzoo.cells]\nacells = outside:CELLS\n",
    )
    found = cellzoo("show", "lstm", "--equations")
    assert found.returncode == 0
    assert "i = sigmoid" in found.stdout
    assert "'ashow' of the package 'outside' is left out: there is a command 'show' already" in found.stderr
    assert "'lstm' of the package 'outside' is left out: zoo has a cell of that name" in found.stderr


def test_a_display_whose_reader_is_gone_ends_quietly():
    code = (
        "from cellzoo.system.streams import console, mute\n"
        "try:\n for _ in range(9999): console().print('word ' * 99)\n"
        "except BrokenPipeError: mute(); raise SystemExit(141)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141

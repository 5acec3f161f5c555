"""Suite files: found, read strictly, wrong ones named with file and key."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellzoo.errors import CellzooError, UnknownNameError
from tasks.presets.preset import read_preset
from tasks.registry import build_task
from tasks.settings import configure
from tasks.suites import suite_names
from tasks.suites.suite import find_suite, parse_suite

TASK = 'name = "mine"\ntitle = "Mine"\nrevision = 1\nproblem = "tagging"\nsettings.corpus = "small-ner"\n'


def test_the_demo_suite_comes_with_the_package():
    assert "demo" in suite_names()
    suite = find_suite("demo")
    assert [task.name for task in suite.tasks] == ["small-ner", "news-lm", "news-similarity"]


def test_the_suite_of_glue_has_the_nine_tasks_of_its_paper():
    # Wang et al. 2019, "GLUE", table 1.
    names = ["cola", "sst-2", "mrpc", "sts-b", "rte", "wnli", "qqp", "mnli", "qnli"]
    assert [task.name for task in find_suite("glue").tasks] == names


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_that_comes_along_can_be_built(name):
    suite = find_suite(name)
    for task in suite.tasks:
        built = build_task(task.source)
        configure(built.settings, task.settings, task.name)
        assert built.name == task.name


def test_a_task_is_a_suite_of_one():
    suite = find_suite("wnut17")
    assert (suite.name, [task.name for task in suite.tasks]) == ("wnut17", ["wnut17"])


@pytest.mark.parametrize("prefix", ["", "\ufeff"])
def test_a_suite_file_is_read(tmp_path, prefix):
    path = tmp_path / "mine.toml"
    path.write_text(prefix + 'title = "Mine"\n[[task]]\nname = "news-lm"\n[task.settings]\nepochs = 2\n')
    suite = find_suite(str(path))
    assert (suite.name, suite.title, suite.source) == ("mine", "Mine", str(path))
    assert suite.tasks[0].settings == {"epochs": 2}


def test_an_unknown_name_is_answered_with_the_closest_suite_or_task():
    with pytest.raises(UnknownNameError, match="Did you mean 'demo'"):
        find_suite("demos")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", "is not TOML"),
        ("title = " + "9" * 5000, "is not TOML: Exceeds the limit"),
        ('title = "x"', "key 'task' is missing"),
        ("task = 3", "key 'task' is 3; it must be a list"),
        ("task = []", "key 'task' is []: list should have at least 1 item"),
        ("task = [3]", "key 'task[1]' is 3; it must be a table"),
        ("title = 3\n[[task]]\nname = 'news-lm'", "key 'title' is 3; it must be text"),
        ("titel = 'x'\n[[task]]\nname = 'news-lm'", "key 'titel': unknown key 'titel'. Did you mean 'title'?"),
        ("[[task]]\nnam = 'news-lm'", "key 'task[1].nam': unknown key 'nam'. Did you mean 'name'?"),
        ("[[task]]\n[task.settings]\nepochs = 1", "key 'task[1].name' is missing"),
        ("extends = 5", "key 'extends' is 5; it must be text or a list"),
        ("[[task]]\nname = 3", "key 'task[1].name' is 3; it must be text"),
        ("[[task]]\nname = 'news-lm'\nsettings = 4", "key 'task[1].settings' is 4; it must be a table"),
        ("[[task]]\nname = 'wnut71'", "key 'task[1].name': unknown task 'wnut71'. Did you mean 'wnut17'?"),
        (
            "[[task]]\nname = 'wnut17'\n[[task]]\nname = 'wnut17'",
            "key 'task[2].name': 'wnut17' is listed twice",
        ),
    ],
)
def test_a_wrong_file_is_one_message_with_file_and_key(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(CellzooError) as caught:
        find_suite(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_one_message(tmp_path):
    with pytest.raises(CellzooError, match=r"no\.toml: cannot be read: No such file"):
        find_suite(str(tmp_path / "no.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CellzooError, match=r"bytes\.toml: is not UTF-8 text"):
        find_suite(str(tmp_path / "bytes.toml"))


def test_a_suite_names_task_files_by_paths_from_its_folder(tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.toml").write_text(TASK)
    suite = tmp_path / "suite.toml"
    suite.write_text('[[task]]\nname = "tasks/mine.toml"\n[task.settings]\nepochs = 2\n')
    (task,) = find_suite(str(suite)).tasks
    assert (task.name, task.settings) == ("mine", {"epochs": 2})


def test_a_task_file_is_a_suite_of_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TASK)
    suite = find_suite(str(path))
    assert (suite.name, suite.title, [task.name for task in suite.tasks]) == ("mine", "Mine", ["mine"])


def test_only_a_regular_file_of_moderate_size_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * 1_000_001)
    (tmp_path / "endless.toml").symlink_to("/dev/zero")
    for name, words in (("pipe", "regular file"), ("endless", "regular file"), ("large", "1,000,001 bytes")):
        with pytest.raises(CellzooError, match=words):
            find_suite(str(tmp_path / f"{name}.toml"))


@given(st.text(max_size=200))
def test_any_text_is_a_suite_or_one_error(text):
    try:
        suite = parse_suite(text, name="any", source="any.toml")
    except CellzooError as error:
        assert str(error).startswith("any.toml: ")  # noqa: PT017 - both outcomes are right
    else:
        assert suite.tasks


def test_a_suite_extends_others(tmp_path):
    (tmp_path / "base.toml").write_text(
        'skips = true\n[[task]]\nname = "news-lm"\nsettings = {epochs = 2, bptt = 5}\n[[task]]\nname = "rte"\n'
    )
    child = tmp_path / "child.toml"
    child.write_text(
        'extends = "base.toml"\n[[task]]\nname = "cola"\n[[task]]\nname = "news-lm"\nsettings.epochs = 3\n'
    )
    suite = find_suite(str(child))
    assert [task.name for task in suite.tasks] == ["news-lm", "rte", "cola"]
    assert suite.tasks[0].settings == {"epochs": 3, "bptt": 5}
    assert suite.skips
    several = parse_suite('extends = ["tagging", "demo"]\nskips = false\n', name="s", source="s.toml")
    names = [task.name for name in ("tagging", "demo") for task in find_suite(name).tasks]
    assert ([task.name for task in several.tasks], several.skips) == (names, False)


def test_everything_is_all_suites():
    names = {task.name for task in find_suite("everything").tasks}
    for suite in ("tagging", "glue", "lm", "word-similarity"):
        assert {task.name for task in find_suite(suite).tasks} <= names


def test_what_a_suite_cannot_extend(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    with pytest.raises(CellzooError, match=r"b.toml: key 'extends': 'a.toml' extends this suite itself"):
        find_suite(str(path))
    with pytest.raises(UnknownNameError, match=r"s.toml: key 'extends': .*Did you mean 'glue'"):
        parse_suite('extends = "gleu"\n', name="s", source="s.toml")
    with pytest.raises(CellzooError, match="key 'task' is missing"):
        parse_suite('title = "x"\n', name="s", source="s.toml")


def test_the_small_suite_has_the_language_model_of_its_preset():
    (small,) = (task for task in find_suite("small").tasks if task.name == "ptb")
    built = build_task(small.source)
    configured = configure(built.settings, small.settings, "ptb")
    preset, _ = read_preset("ptb-200")
    assert configured == configure(built.settings, preset.problems["language-modeling"], "ptb")


def test_a_suite_that_extends_itself_by_another_path_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.toml").write_text('extends = "../x/a.toml"\n')
    (tmp_path / "x" / "b.toml").write_text('extends = "link.toml"\n')
    (tmp_path / "x" / "link.toml").symlink_to("b.toml")
    for name in ("a", "b"):
        with pytest.raises(CellzooError, match="extends this suite itself"):
            find_suite(str(tmp_path / "x" / f"{name}.toml"))

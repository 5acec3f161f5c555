"""The registry of tasks: lazy, open to other packages, clear about mistakes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cellzoo.errors import CellzooError, MissingDependencyError, UnknownNameError
from tasks import registry


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package without files that names entry points."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(package: str, group: str = registry.TASKS, **points: str) -> None:
        folder = tmp_path / f"{package}-2.5.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.5\n")
        lines = [f"{name} = {target}" for name, target in points.items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))

    return add


FILE = """\
name = "other-ner"
title = "Another corpus"
revision = 1
problem = "tagging"

[settings]
corpus = "small-ner"
hidden_size = 7

[training]
epochs = 5
"""


def test_the_built_in_tasks_are_listed_in_order():
    assert registry.task_names() == [
        "char-lm",
        "cola",
        "conll-tagging",
        "conll2000",
        "conll2000-pos",
        "conll2003",
        "mnli",
        "mnli-sample",
        "mrpc",
        "news-lm",
        "news-similarity",
        "ptb",
        "ptb-similarity",
        "qnli",
        "qnli-sample",
        "qqp",
        "qqp-sample",
        "rte",
        "small-ner",
        "sst-2",
        "sst-2-frozen",
        "sts-b",
        "text-lm",
        "text-similarity",
        "wikitext-103",
        "wikitext-2",
        "wikitext-2-awd",
        "wikitext-2-similarity",
        "wnli",
        "wnut17",
    ]


def test_listing_tasks_and_building_them_imports_nothing_heavy():
    code = (
        "import sys; from tasks import registry; [registry.find_task(name) for name in registry.task_names()];"
        "print(*{'torch', 'flair', 'gensim', 'scipy', 'transformers'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == ""


def test_another_package_adds_a_task(install):
    install("other", fake="fake_task:Fake")
    assert "fake" in registry.task_names()
    assert registry.find_task("fake").title == "Fake"
    assert registry.find_source("fake").origin == "package other 2.5"


def test_another_package_adds_a_folder_of_task_files(install, tmp_path):
    install("other", any_name="other_package.tasks")
    folder = tmp_path / "other_package" / "tasks"
    folder.mkdir(parents=True)
    (folder / "other-ner.toml").write_text(FILE)
    task = registry.find_task("other-ner")
    config = task.settings()
    assert (task.title, task.data(config), config.hidden_size, config.epochs) == (
        "Another corpus",
        ("small-ner",),
        7,
        5,
    )


def test_another_package_adds_a_kind_of_problem(install, tmp_path):
    install("other", registry.PROBLEMS, **{"sequence-sums": "sequence_sums:KIND"})
    path = tmp_path / "sums.toml"
    path.write_text('name = "sums"\ntitle = "Sums"\nrevision = 1\nproblem = "sequence-sums"\n')
    task = registry.find_task(str(path))
    assert [metric.name for metric in task.metrics(task.settings())] == ["error", "dev_error"]


def test_a_name_that_is_there_already_is_left_out_and_said(install, caplog):
    install("other", **{"news-lm": "fake_task:Fake"})
    assert registry.find_task("news-lm").title == "Language modelling, news"
    assert "'news-lm' of the package 'other' is left out: there is a task of that name" in caplog.text


def test_a_package_that_fails_at_import_is_left_out_and_said(install, tmp_path, caplog):
    (tmp_path / "broken_package").mkdir()
    (tmp_path / "broken_package" / "__init__.py").write_text("raise OSError('no such device')\n")
    install("other", mine="broken_package")
    assert "small-ner" in registry.task_names()
    assert "'mine' of the package 'other' is left out: OSError: no such device" in caplog.text


def test_one_package_found_twice_is_not_a_collision(install, tmp_path, monkeypatch, caplog):
    install("other", fake="fake_task:Fake")
    again = tmp_path / "again"
    (tmp_path / "other-2.5.dist-info").rename(tmp_path / "kept")
    again.mkdir()
    for folder in (tmp_path, again):
        target = folder / "other-2.5.dist-info"
        target.mkdir()
        for file in (tmp_path / "kept").iterdir():
            (target / file.name).write_text(file.read_text())
    monkeypatch.syspath_prepend(again)
    assert "fake" in registry.task_names()
    assert caplog.text == ""


def test_an_unknown_task_is_answered_with_the_closest_name():
    with pytest.raises(UnknownNameError, match=r"unknown task 'wnut-17'\. Did you mean 'wnut17'\?"):
        registry.find_task("wnut-17")


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ("no_such_module:Task", CellzooError, "there is no module 'no_such_module'"),
        ("fake_task.deeper:Task", CellzooError, "there is no module"),
        ("fake_task:Missing", CellzooError, "module 'fake_task' has no 'Missing'"),
        ("os:getcwd", CellzooError, "is not a task; expected a class"),
        ("pathlib:Path", CellzooError, "is not a task; expected a class"),
        ("fake_task:Fake", CellzooError, "is registered as 'broken' and calls itself 'fake'"),
        ("half:Half", CellzooError, "cannot be built without arguments"),
        ("half:Nameless", CellzooError, "has no name, title, revision, settings"),
        ("needs_more:Task", MissingDependencyError, "needs the package 'not_installed_here'"),
    ],
)
def test_an_entry_that_leads_nowhere_is_one_message(install, tmp_path, target, error, words):
    (tmp_path / "needs_more.py").write_text("import not_installed_here\n")
    (tmp_path / "half.py").write_text(
        "from tasks.task import Task\nclass Half(Task):\n    pass\n"
        "class Nameless(Task):\n    data = metrics = run = None\n"
    )
    install("other", broken=target)
    with pytest.raises(error, match=words) as caught:
        registry.find_task("broken")
    assert "of package other 2.5" in str(caught.value)


def test_a_class_that_is_not_registered_goes_by_module_and_name():
    assert registry.find_task("fake_task:Fake").name == "fake"
    with pytest.raises(CellzooError, match="no module 'nowhere'"):
        registry.find_task("nowhere:Fake")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("revision = 1", ""), "key 'revision' is missing"),
        (("revision = 1", "revision = 0"), "key 'revision' is 0; it must be at least 1"),
        (('name = "other-ner"', 'name = "Other"'), "key 'name' is 'Other'"),
        (("[training]", "[trainin]"), "key 'trainin': unknown key 'trainin'. Did you mean 'training'"),
        (('"tagging"', '"taging"'), "unknown kind of problem 'taging'. Did you mean 'tagging'?"),
        (("hidden_size = 7", "hiden_size = 7"), "unknown setting 'hiden_size'. Did you mean 'hidden_size'"),
        (("hidden_size = 7", "hidden_size = 0"), "setting 'hidden_size' of task 'other-ner' is 0; it must be"),
        (("hidden_size = 7", "clip = 7.0"), "key 'settings.clip' belongs below [training]"),
        (("epochs = 5", "crf = true"), "key 'training.crf' belongs below [settings]"),
        (("problem =", "probe ="), "key 'after' is missing"),
        (('problem = "tagging"', ""), "needs one of the keys 'problem'"),
        (('problem = "tagging"', 'problem = "tagging"\nafter = "news-lm"'), "key 'after' is for probes"),
        (("name =", "name "), "is not TOML"),
    ],
)
def test_a_wrong_task_file_is_one_message_with_file_and_key(tmp_path, change, words):
    path = tmp_path / "other-ner.toml"
    path.write_text(FILE.replace(*change, 1))
    with pytest.raises(CellzooError) as caught:
        registry.find_task(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_task_of_a_corpus_that_the_user_names_says_so_without_one():
    task = registry.find_task("conll-tagging")
    with pytest.raises(CellzooError, match="'conll-tagging': needs a corpus; name one with --set"):
        task.data(task.settings())

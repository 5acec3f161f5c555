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

    def add(package: str, **points: str) -> None:
        folder = tmp_path / f"{package}-2.5.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.5\n")
        lines = [f"{name} = {target}" for name, target in points.items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{registry.GROUP}]", *lines]))

    return add


def test_the_built_in_tasks_are_listed_in_order():
    assert registry.task_names() == [
        "conll-tagging",
        "news-lm",
        "small-ner",
        "text-lm",
        "wnut17",
        "word-similarity",
    ]


def test_listing_tasks_and_building_one_imports_nothing_heavy():
    code = (
        "import sys; from tasks import registry; registry.task_names(); registry.build_task('news-lm');"
        "registry.build_task('small-ner');"
        "print(*{'torch', 'flair', 'gensim', 'scipy', 'transformers'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == ""


def test_another_package_adds_a_task(install):
    install("other", fake="fake_task:Fake")
    assert "fake" in registry.task_names()
    assert registry.task_class("fake").title == "Fake"
    assert registry.task_entry("fake").origin == "package other 2.5"


def test_a_name_that_two_origins_give_is_an_error_that_names_both(install):
    install("other", **{"news-lm": "fake_task:Fake"})
    with pytest.raises(CellzooError) as caught:
        registry.task_names()
    message = str(caught.value)
    assert "'news-lm'" in message
    assert "cellzoo itself (tasks.language_modeling.news:NewsLanguageModel)" in message
    assert "package other 2.5 (fake_task:Fake)" in message


def test_one_package_found_twice_is_no_collision(install, tmp_path, monkeypatch):
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


def test_an_unknown_task_is_answered_with_the_closest_name():
    with pytest.raises(UnknownNameError, match=r"unknown task 'wnut-17'\. Did you mean 'wnut17'\?"):
        registry.task_class("wnut-17")


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ("no_such_module:Task", CellzooError, "there is no module 'no_such_module'"),
        ("fake_task.deeper:Task", CellzooError, "there is no module"),
        ("fake_task:Missing", CellzooError, "module 'fake_task' has no 'Missing'"),
        ("fake_task:Fake", CellzooError, "calls itself 'fake'"),
        ("os:getcwd", CellzooError, "os:getcwd is no task; expected a class"),
        ("pathlib:Path", CellzooError, "pathlib:Path is no task; expected a class"),
        ("needs_more:Task", MissingDependencyError, "needs the package 'not_installed_here'"),
    ],
)
def test_an_entry_that_leads_nowhere_is_one_message(install, tmp_path, target, error, words):
    (tmp_path / "needs_more.py").write_text("import not_installed_here\n")
    install("other", broken=target)
    with pytest.raises(error, match=words) as caught:
        registry.task_class("broken")
    assert "'broken' of package other 2.5" in str(caught.value)


def test_a_class_that_is_not_registered_goes_by_module_and_name():
    assert registry.task_class("fake_task:Fake").name == "fake"
    with pytest.raises(CellzooError, match="no module 'nowhere'"):
        registry.task_class("nowhere:Fake")


def test_settings_reach_the_configuration():
    task = registry.build_task("fake_task:Fake", {"epochs": 7, "sizes": [3]})
    assert (task.config.epochs, task.config.sizes, task.config.rate) == (7, (3,), 0.5)

"""Which code and machine a record names."""

from __future__ import annotations

import subprocess

import pytest

from tasks.runs.environment import describe_code, describe_environment


def git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def install(folder, name="cellzoo"):
    """Lay out a package's files."""
    (folder / "cellzoo").mkdir(parents=True)
    (folder / "cellzoo" / "cell.py").write_text("1\n")
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "9.8"\n')


@pytest.fixture
def checkout(tmp_path):
    """A committed checkout."""
    folder = tmp_path / "checkout"
    install(folder)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def head(folder):
    command = ["git", "-C", folder, "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_names_its_revision(checkout):
    code = describe_code(checkout)
    assert (code.version, code.revision, code.dirty) == ("9.8", head(checkout), False)


def test_changes_of_the_packages_are_dirty_and_results_are_not(checkout):
    (checkout / "results").mkdir()
    (checkout / "results" / "x.json").write_text("{}")
    assert describe_code(checkout).dirty is False
    (checkout / "cellzoo" / "new.py").write_text("2\n")
    assert describe_code(checkout).dirty is True
    (checkout / "cellzoo" / "new.py").unlink()
    (checkout / "cellzoo" / "cell.py").write_text("3\n")
    assert describe_code(checkout).dirty is True


def test_an_installation_inside_the_users_repository_does_not_take_its_revision(checkout):
    inside = checkout / ".venv" / "lib" / "site-packages"
    install(inside)
    assert describe_code(inside).revision is None
    assert describe_code(inside).dirty is None


def test_a_repository_of_another_project_is_not_ours(tmp_path):
    install(tmp_path, name="theirs")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    assert describe_code(tmp_path).revision is None


def test_outside_a_checkout_or_without_git_there_is_no_revision(tmp_path, checkout, monkeypatch):
    install(tmp_path / "plain")
    assert describe_code(tmp_path / "plain").revision is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_code(checkout).revision is None


def test_variables_of_git_do_not_mislead(checkout, tmp_path, monkeypatch):
    other = tmp_path / "other"
    install(other)
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "another")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    revision = describe_code(checkout).revision
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_WORK_TREE")
    assert revision == head(checkout)


def test_the_environment_names_versions_and_the_processor():
    import platform

    import numpy as np
    import torch

    found = describe_environment("cpu", 2)
    assert found.python == platform.python_version()
    assert found.packages["torch"] == torch.__version__
    assert found.packages["numpy"] == np.__version__
    assert (found.device, found.threads) == ("cpu", 2)
    assert found.processor

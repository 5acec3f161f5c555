"""Kills, Ctrl-C and two commands at once, with real processes."""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from pathlib import Path

import pytest
from run_command import run, start, wait_for

from cellzoo.errors import OutputError
from tasks.runs.lock import HOLDER, locked
from tasks.runs.record_file import read_record

EXECUTORS = pytest.mark.parametrize("executor", ["serial", "processes"])
REQUEST = (
    *("fake_task:Fake", "--cells", "lstm,gru", "--device", "cpu"),
    *("--set", "seconds=0.4", "--set", "epochs=6"),
)


def records(out):
    """File name -> all of a record but times and the code's revision, which a commit changes."""
    found = {path.name: read_record(path).comparable() for path in (out / "records").glob("*.json")}
    return {name: {**content, "code": None} for name, content in found.items()}


def wait_until(condition, what):
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


def state_of(pid):
    """Parent and state letter of a process, or None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[0]


def children_of(pid):
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [number for number in numbers if (state := state_of(number)) and state[0] == pid and state[1] != "Z"]


def alive(pid):
    state = state_of(pid)
    return state is not None and state[1] != "Z"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The records of a command that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert run(*REQUEST, "--out", out).returncode == 0
    return records(out)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks at processes in /proc")
@EXECUTORS
def test_killed_and_run_again_gives_the_same_numbers(tmp_path, executor, whole):
    process = start(*REQUEST, "--executor", executor, "--out", tmp_path)
    wait_for(process, "started")
    wait_until(lambda: list((tmp_path / "work").glob("*/state.json")), "a first checkpoint")
    children = children_of(process.pid)
    assert bool(children) is (executor == "processes")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(alive(child) for child in children), "the end of orphaned workers")
    assert (tmp_path / HOLDER).exists()
    done = run(*REQUEST, "--executor", executor, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path) == whole
    resumed = [int(path.read_text()) for path in (tmp_path / "artifacts").glob("*.txt")]
    assert max(resumed) > 0, "a run went on from its checkpoint"
    assert not (tmp_path / HOLDER).exists()
    assert not list((tmp_path / "work").iterdir())


@EXECUTORS
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(tmp_path, executor, whole):
    process = start(*REQUEST, "--executor", executor, "--out", tmp_path)
    wait_for(process, "started")
    wait_until(lambda: list((tmp_path / "work").glob("*/state.json")), "a first checkpoint")
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped with 0 of 2 runs over" in output
    assert "the same command goes on from there" in output
    assert "Traceback" not in output + errors
    assert errors == ""
    done = run(*REQUEST, "--executor", executor, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path) == whole
    assert max(int(path.read_text()) for path in (tmp_path / "artifacts").glob("*.txt")) > 0


def test_two_commands_into_one_folder_the_second_is_told_who_is_there(tmp_path):
    first = start(*REQUEST, "--out", tmp_path)
    wait_for(first, "started")
    second = run(*REQUEST, "--out", tmp_path)
    assert second.returncode == 5
    assert second.stdout == ""
    pattern = (
        rf"error: {tmp_path}: another run is writing to it \(process {first.pid}, since \d{{4}}-.*\)\. Wait"
    )
    assert re.match(pattern, second.stderr)
    _, errors = first.communicate(timeout=60)
    assert (first.returncode, errors) == (0, "")
    assert len(records(tmp_path)) == 2


def test_a_folder_is_held_against_this_process_too_and_let_go(tmp_path):
    with locked(tmp_path), pytest.raises(OutputError, match=f"process {os.getpid()}"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


DEEP = "[" * 4000 + "]" * 4000


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x", "since": 3}', DEEP, '{"pid": ' + DEEP + "}"])
def test_a_damaged_holder_file_does_not_matter(tmp_path, content):
    with locked(tmp_path):
        (tmp_path / HOLDER).write_text(content)
        with pytest.raises(OutputError, match=r"another run is writing to it\. Wait"), locked(tmp_path):
            pass


def test_a_holder_file_that_is_a_pipe_does_not_hang(tmp_path):
    with locked(tmp_path):
        (tmp_path / HOLDER).unlink()
        os.mkfifo(tmp_path / HOLDER)
        with pytest.raises(OutputError, match=r"another run is writing to it\. Wait"), locked(tmp_path):
            pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_called_that(tmp_path, monkeypatch, code):
    def flock(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    words = r"its file system has no locks .* another file system with --out"
    with pytest.raises(OutputError, match=words) as caught, locked(tmp_path):
        pass
    assert "Make room" not in str(caught.value)


def test_a_file_in_place_of_the_folder_is_one_message(tmp_path):
    (tmp_path / "out").write_text("x")
    for out in (tmp_path / "out", tmp_path / "out" / "deeper"):
        done = run(*REQUEST, "--out", out)
        assert done.returncode == 5
        assert done.stderr.startswith(f"error: {out}: ")
        assert done.stderr.count("\n") == 1
    assert (tmp_path / "out").read_text() == "x"


def test_a_file_size_limit_stands_for_a_full_disk(tmp_path):
    resource = pytest.importorskip("resource")
    small = ("fake_task:Fake", "--cells", "lstm,gru", "--device", "cpu", "--out", tmp_path)
    assert run(*small).returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "records").iterdir()}

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = run(*small, "--seeds", "9", "--set", "padding=30000", preexec_fn=limit)
    assert done.returncode == 5
    assert "cannot be written: File too large. Everything written before is kept." in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "records").iterdir()} == before
    assert run(*small).returncode == 0

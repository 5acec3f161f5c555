from __future__ import annotations

import signal
from contextlib import suppress
from types import SimpleNamespace

import pytest

from cellzoo.cli import main as command_line
from cellzoo.errors import MissingDependencyError, OutputError
from cellzoo.system.interrupt import raise_if_asked, remembered, was_asked
from tasks.runs.executors import serial
from tasks.runs.executors.pool import Pool


@pytest.fixture
def handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def drop_an_interrupt():
    """Press Ctrl-C where it is dropped, as compiled code does."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("handler")
def test_a_dropped_interrupt_is_raised_where_it_is_asked_for():
    with remembered():
        raise_if_asked()
        drop_an_interrupt()
        with pytest.raises(KeyboardInterrupt):
            raise_if_asked()
    raise_if_asked()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("own", [signal.SIG_IGN, lambda number, frame: None])
@pytest.mark.usefixtures("handler")
def test_a_handler_of_others_stays(own):
    signal.signal(signal.SIGINT, own)
    with remembered():
        assert signal.getsignal(signal.SIGINT) is own
        drop_an_interrupt()
        assert not was_asked()
    assert signal.getsignal(signal.SIGINT) is own


@pytest.mark.usefixtures("handler")
def test_what_fails_after_an_interrupt_is_one(monkeypatch, capsys):
    errors = {
        "module": ImportError("cannot load module more than once per process"),
        "package": MissingDependencyError("the package 'flair' is not installed"),
        "disk": OutputError("out: cannot be written: No space left on device"),
    }

    def fail(given):
        if "pressed" in given:
            drop_an_interrupt()
        raise errors[given[0]]

    monkeypatch.setattr(command_line, "_run", fail)
    for kind in ("module", "package"):
        assert command_line.main([kind, "pressed"]) == 130
        assert capsys.readouterr().err == "cellzoo: interrupted\n"
    assert command_line.main(["package"]) == MissingDependencyError.exit_code
    assert command_line.main(["disk", "pressed"]) == OutputError.exit_code
    assert "No space left" in capsys.readouterr().err
    with pytest.raises(ImportError):
        command_line.main(["module"])


class OneWorker(Pool[SimpleNamespace]):
    """Its worker never ends, and Ctrl-C is dropped when it is started."""

    stopped = False

    def start(self, job):
        drop_an_interrupt()
        return SimpleNamespace(job=job, alive=True)

    def give(self, worker, job):
        raise AssertionError("it is never idle")

    def listen(self):
        raise AssertionError("the interrupt is lost")

    def stop(self):
        self.stopped = True


LISTENER = SimpleNamespace(started=lambda job: None)


@pytest.mark.usefixtures("handler")
def test_workers_are_stopped_by_a_dropped_interrupt():
    pool = OneWorker(SimpleNamespace(take=lambda: "job"), None, LISTENER, 1, 60.0)
    with remembered(), pytest.raises(KeyboardInterrupt):
        pool.run()
    assert pool.stopped


@pytest.mark.usefixtures("handler")
def test_a_serial_run_ends_by_a_dropped_interrupt(monkeypatch):
    def attempt(job, setup, report):
        drop_an_interrupt()
        report(0.5, "")

    def keep(*result):
        raise AssertionError("the run goes on")

    monkeypatch.setattr(serial, "attempt", attempt)
    setup = SimpleNamespace(environment=SimpleNamespace(threads=1))
    listener = SimpleNamespace(started=lambda job: None, progressed=keep)
    with remembered(), pytest.raises(KeyboardInterrupt):
        serial.run_serially(SimpleNamespace(take=lambda: "job", done=keep, fail=keep), setup, listener)

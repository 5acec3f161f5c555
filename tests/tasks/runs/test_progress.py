"""What is shown while runs go on, and how well the time left is foretold."""

from __future__ import annotations

import io
import re

import pytest
from board_records import record
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tasks.registry import TaskSource
from tasks.runs.estimate import Estimate
from tasks.runs.events import Failure
from tasks.runs.job import Job
from tasks.runs.progress import Bars, Lines, show_progress
from tasks.runs.record import RunRecord
from tasks.task import Subject

RECORD = RunRecord.model_validate(record())


def job(task, cell, seed=0):
    name = f"{task}-{cell}-{seed}"
    source = TaskSource("m:C", "test")
    return Job(source, task, 1, task, {}, Subject(cell, None, "zoo"), seed, name, name, name)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_nothing_is_foretold_before_anything_is_known(clock):
    jobs = [job("a", "x"), job("a", "y")]
    estimate = Estimate(jobs, 1, clock)
    assert estimate.seconds_left() is None
    estimate.started(jobs[0])
    clock.now += 5
    assert estimate.seconds_left() is None


def test_a_running_run_foretells_itself_and_those_like_it(clock):
    jobs = [job("a", "x"), job("a", "y"), job("a", "z")]
    estimate = Estimate(jobs, 1, clock)
    estimate.started(jobs[0])
    clock.now += 10
    estimate.progressed(jobs[0], 0.25, "epoch 1")
    assert estimate.seconds_left() == pytest.approx(30 + 40 + 40)
    clock.now += 4
    assert estimate.seconds_left() == pytest.approx(26 + 40 + 40)


def test_a_resumed_run_is_measured_from_where_it_resumed(clock):
    one = job("a", "x")
    estimate = Estimate([one], 1, clock)
    estimate.started(one)
    estimate.progressed(one, 0.5, "resumed")
    clock.now += 10
    estimate.progressed(one, 0.6, "epoch 6")
    assert estimate.seconds_left() == pytest.approx(40)


def test_finished_runs_of_the_same_cell_and_then_of_the_task_foretell_the_rest(clock):
    jobs = [job("a", "x", 0), job("a", "y", 0), job("a", "x", 1), job("a", "z", 1), job("b", "x", 1)]
    estimate = Estimate(jobs, 1, clock)
    for one, seconds in ((jobs[0], 10), (jobs[1], 30)):
        estimate.started(one)
        clock.now += seconds
        assert estimate.over(one, finished=True) == seconds
    assert estimate.seconds_left() == pytest.approx(10 + 20 + 20)


def test_failed_runs_say_nothing_about_the_others(clock):
    jobs = [job("a", "x"), job("a", "y"), job("a", "z")]
    estimate = Estimate(jobs, 1, clock)
    estimate.started(jobs[0])
    clock.now += 1
    estimate.over(jobs[0], finished=False)
    assert estimate.seconds_left() is None
    estimate.over(jobs[1], finished=False)
    estimate.over(jobs[2], finished=False)
    assert estimate.seconds_left() == 0


@given(st.lists(st.floats(1, 100), min_size=1, max_size=12), st.integers(1, 4))
def test_the_time_left_is_that_of_a_first_come_first_served_queue(lengths, workers):
    clock = Clock()
    jobs = [job("a", f"c{number}") for number in range(len(lengths))]
    twins = [job("a", f"c{number}", 1) for number in range(len(lengths))]
    estimate = Estimate([*jobs, *twins], workers, clock)
    for one, seconds in zip(jobs, lengths, strict=True):
        estimate.started(one)
        clock.now += seconds
        estimate.over(one, finished=True)
    free = [0.0] * workers
    for seconds in lengths:
        first = free.index(min(free))
        free[first] += seconds
    assert estimate.seconds_left() == pytest.approx(max(free))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["start", "half", "over", "fail"]), st.floats(0, 50)),
        max_size=20,
    )
)
def test_the_time_left_is_never_negative(events):
    clock = Clock()
    jobs = [job("a", f"c{number}") for number in range(4)]
    estimate = Estimate(jobs, 2, clock)
    for number, what, seconds in events:
        clock.now += seconds
        running = jobs[number].key in estimate.running
        if what == "start" and not running and len(estimate.running) < 2:
            estimate.started(jobs[number])
        elif what == "half" and running:
            estimate.progressed(jobs[number], 0.5, "")
        elif what in ("over", "fail"):
            estimate.over(jobs[number], finished=what == "over" and running)
        left = estimate.seconds_left()
        assert left is None or left >= 0


def play(listener):
    """Two runs done, one failed."""
    jobs = [job("a", "x"), job("a", "y"), job("a", "[red]z")]
    listener.begin(jobs, 4, 2)
    listener.started(jobs[0])
    listener.progressed(jobs[0], 0.5, "epoch 1 of 2")
    listener.tick()
    listener.started(jobs[1])
    listener.finished(jobs[0], RECORD)
    listener.failed(Failure(jobs[1], "corpus.txt: line 3: wrong"))
    listener.started(jobs[2])
    listener.finished(jobs[2], RECORD)
    listener.end(stopped=False)


def test_lines_tell_the_whole_story_without_a_terminal():
    output = io.StringIO()
    listener = show_progress(Console(file=output, width=40))
    assert type(listener) is Lines
    play(listener)
    assert [re.sub(r", under 1 s( left)?", "", line) for line in output.getvalue().splitlines()] == [
        "3 runs to do, 4 there already; 2 at a time",
        "started   a x seed 0",
        "started   a y seed 0",
        "finished  a x seed 0: title of f1 50.00  (1/3)",
        "failed    a y seed 0: corpus.txt: line 3: wrong  (2/3)",
        "started   a [red]z seed 0",
        "finished  a [red]z seed 0: title of f1 50.00  (3/3)",
    ]


def test_a_terminal_gets_bars_with_the_time_left():
    output = io.StringIO()
    listener = show_progress(Console(file=output, width=100, force_terminal=True, color_system=None))
    assert isinstance(listener, Bars)
    play(listener)
    shown = output.getvalue()
    assert "a x seed 0" in shown
    assert " 50%  epoch 1 of 2" in shown
    assert "0 of 3, under 1 s left" in shown
    assert "0 of 3, time left not known yet" in shown
    assert "finished  a x seed 0: title of f1 50.00" in shown
    assert "failed    a y seed 0" in shown


def test_being_stopped_says_how_to_go_on():
    output = io.StringIO()
    listener = Lines(Console(file=output, width=200))
    listener.begin([job("a", "x")], 0, 1)
    listener.started(job("a", "x"))
    listener.end(stopped=True)
    assert output.getvalue().splitlines()[-1] == (
        "stopped with 0 of 1 run over. What is written is kept; the same command goes on from there."
    )


def test_a_run_that_is_quiet_for_a_minute_says_how_far_it_is(clock):
    out = io.StringIO()
    one = job("a", "x")
    lines = Lines(Console(file=out, width=200), clock)
    lines.begin([one], 0, 1)
    lines.started(one)
    clock.now += 59
    lines.progressed(one, 0.1, "epoch 1/10")
    assert "running" not in out.getvalue()
    clock.now += 1
    lines.progressed(one, 0.2, "epoch 2/10")
    clock.now += 1
    lines.progressed(one, 0.21, "epoch 2/10")
    assert out.getvalue().count("running   a x seed 0: 20%, epoch 2/10  (0/1") == 1

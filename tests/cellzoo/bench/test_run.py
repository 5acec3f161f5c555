"""What is compared and what is left out, turns, figures of known times, peak memory, progress."""

from __future__ import annotations

import gc
import io
import json
import re
import subprocess
import sys
import time
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from rich.console import Console

import cellzoo
from cellzoo.bench.case import LOOP, LSTM, LSTM_AUTOCAST, LSTM_BF16, PRODUCTS, Case, Shape
from cellzoo.bench.cells import cell_case
from cellzoo.bench.run import (
    MIN_ROUNDS,
    MIN_SAMPLE,
    Result,
    TimingSettings,
    compare,
    disagreement,
    peak_extra_bytes,
    take_turns,
)
from cellzoo.bench.show import about_the_run, print_table, progress, rows, write_file
from cellzoo.errors import RunError

SHAPE = Shape("s", 3, 4, 5, 6)


def sums(name, shape):
    """Adding numbers, as a case of another kind; what is called broken fails, what is called wrong is wrong."""

    def run():
        if name == "broken":
            raise RuntimeError("no\nway")
        return [torch.ones(1000 * shape.steps).sum() * (2 if name == "wrong" else 1)]

    return run


def sum_case(*engines, flops=100):
    candidates = dict.fromkeys((LOOP, *engines), flops)
    return Case("a sum", SHAPE, candidates, engines, sums, {"what": "sum"})


def unwatched(case):
    def watch(fraction, words):
        assert 0.0 <= fraction <= 1.0

    return nullcontext(watch)


class Machine:
    """A clock that goes on only while something runs, at a pace that changes."""

    def __init__(self, pace=lambda sample: 1.0):
        self.now = 0.0
        self.pace = pace
        self.runs = []

    def _run(self, name, seconds):
        self.runs.append(name)
        self.now += seconds * self.pace(len(self.runs))
        return []

    def take_turns(self, rounds, **seconds):
        passes = {name: partial(self._run, name, taken) for name, taken in seconds.items()}
        return take_turns(passes, lambda: self.now, lambda done: done >= rounds)


def test_candidates_take_turns():
    machine = Machine()
    seconds = machine.take_turns(4, a=1.0, b=2.0)
    assert machine.runs[2:] == ["a", "b"] * 4  # after one run each, to see how quick they are
    assert seconds == {"a": pytest.approx([1.0] * 4), "b": pytest.approx([2.0] * 4)}


def test_what_is_quick_runs_several_times_a_sample():
    machine = Machine()
    seconds = machine.take_turns(3, a=MIN_SAMPLE / 4, b=1.0)
    assert seconds["a"] == pytest.approx([MIN_SAMPLE / 4] * 3)
    assert (machine.runs.count("a"), machine.runs.count("b")) == (1 + 3 * 4, 1 + 3)


def test_a_machine_that_gets_slower_does_not_change_the_ratio():
    machine = Machine(pace=lambda sample: 1.0 if sample < 20 else 50.0)
    seconds = machine.take_turns(11, loop=1.0, b=3.0)
    (_, row) = rows(Result(Case("", SHAPE, {"loop": 1, "b": 1}, (), sums, {}), seconds))
    assert row["ratios"][LOOP] == {"median": 3.0, "low": 3.0, "high": 3.0}


def test_results_have_all_candidates():
    cell, options = cellzoo.load("lstm"), {"dtype": "float32", "engines": ("reference",)}
    cases = [cell_case(cell, SHAPE, training=training, **options) for training in (True, False)]
    before = torch.get_num_threads()
    found = []
    for result in compare(cases, TimingSettings(threads=(before + 1,), rounds=3), unwatched):
        assert torch.get_num_threads() == before
        found.append(result)
    for result, case in zip(found, cases, strict=True):
        assert list(result.seconds) == list(case.flops)
        assert all(len(taken) == 3 and min(taken) > 0 for taken in result.seconds.values())
        assert result.left_out == {}


def test_what_fails_or_is_wrong_is_left_out():
    (result,) = compare([sum_case("good", "wrong", "broken")], TimingSettings(rounds=3), unwatched)
    assert list(result.seconds) == [LOOP, "good"]
    assert result.left_out == {
        "wrong": "its outputs differ from the loop's by 1.0e+00 of their norm",
        "broken": "RuntimeError: no",
    }


def test_disagreement_is_found_and_rounding_is_not():
    generator = torch.Generator().manual_seed(1)
    value = torch.randn(4, 3, 6, generator=generator)
    rounded = value * (1 + 1e-6)
    wrong = value.clone()
    wrong[2, 1, 3] += 0.1
    assert disagreement([rounded], [value]) == ""
    assert "outputs differ from the loop's by" in disagreement([wrong], [value])
    assert "gradients of x differ" in disagreement([value, wrong], [value, value])
    assert "have shape" in disagreement([value[:2]], [value])
    broken = value.clone()
    broken[0, 0, 0] = torch.nan
    assert "outputs differ" in disagreement([broken], [value])
    assert disagreement([broken], [broken]) == ""
    assert disagreement([value.bfloat16().float()], [value]) != ""
    assert disagreement([value.bfloat16().float()], [value], rounded=True) == ""
    assert disagreement([value * 1.2], [value], rounded=True) != ""


def test_the_budget_ends_a_case_that_has_some_rounds():
    (result,) = compare([sum_case()], TimingSettings(rounds=10_000, budget=0.01), unwatched)
    assert MIN_ROUNDS <= len(result.seconds[LOOP]) < 10_000


def test_threads_and_garbage_collection_are_fixed_in_the_meantime():
    states = []

    def build(name, shape):
        return lambda: states.append((torch.get_num_threads(), gc.isenabled())) or []

    list(compare([Case("", SHAPE, {LOOP: 1}, (), build, {})], TimingSettings(rounds=1), unwatched))
    assert set(states) == {(1, False)}
    assert gc.isenabled()


def test_times_are_cpu_time_with_one_thread_and_wall_clock_with_more():
    assert str(TimingSettings()) == "CPU time, 1 thread"
    assert str(TimingSettings(threads=(2,))) == "wall-clock time, 2 threads"
    assert str(TimingSettings(threads=(1, 2))) == "wall-clock time, 1 and 2 threads"
    assert TimingSettings(threads=(1, 2)).words(1) == "wall-clock time, 1 thread"
    clocks = [TimingSettings(threads=threads).clock for threads in ((1,), (1, 2))]
    began = [clock() for clock in clocks]
    time.sleep(0.2)
    taken = [clock() - start for clock, start in zip(clocks, began, strict=True)]
    assert taken[0] < 0.1 < taken[1]


def test_counts_of_threads_take_turns_and_are_compared():
    """Two threads take .1 s for what one takes .2 s for."""
    seen = []

    def build(name, shape):
        def run():
            seen.append((name, torch.get_num_threads()))
            time.sleep(0.2 / torch.get_num_threads())
            return []

        return run

    case = Case("a nap", SHAPE, {LOOP: 1, "b": 1}, (), build, {})
    one, two = compare([case], TimingSettings(threads=(1, 2), rounds=3, budget=0.1), unwatched)
    assert seen[-4:] == [(LOOP, 1), (LOOP, 2), ("b", 1), ("b", 2)]
    assert (one.threads, one.first, two.threads, two.first) == (1, None, 2, one)
    assert {row["speedup"] for row in rows(one)} == {None}
    for row in rows(two):
        assert row["speedup"]["median"] == pytest.approx(2, rel=0.5)
        assert row["speedup"]["low"] <= row["speedup"]["median"] <= row["speedup"]["high"]


def test_figures_of_bfloat16_are_over_the_faster_way():
    """2 s for 200 FLOPs against nn.LSTM's 4 s for 100 under autocast, 5 s as a module."""
    known = {"native bf16": (2.0, 200), LSTM: (8.0, 100), LSTM_BF16: (5.0, 100), LSTM_AUTOCAST: (4.0, 100)}
    case = Case("", SHAPE, {name: flops for name, (_, flops) in known.items()}, (), sums, {})
    found = rows(Result(case, {name: [taken] * 3 for name, (taken, _) in known.items()}))
    assert [row["per_flop_bf16"]["median"] for row in found] == [0.25, 2.0, 1.25, 1.0]
    assert [row["per_flop"]["median"] for row in found] == [0.125, 1.0, 0.625, 0.5]


def test_figures_of_known_times():
    """nn.LSTM: 2 s for 100 FLOPs. The engine: 3 s for 300, so half the time for each."""
    known = {LOOP: (12.0, 300), "native": (3.0, 300), LSTM: (2.0, 100), PRODUCTS: (1.5, 200)}
    case = Case("", SHAPE, {name: flops for name, (_, flops) in known.items()}, ("native",), sums, {})
    seconds = {name: [taken * number**0.5 for number in range(1, 6)] for name, (taken, _) in known.items()}
    found = {row["name"]: row for row in rows(Result(case, seconds, {LOOP: 400, "native": 100}))}
    native = found["native"]
    medians = {base: ratio["median"] for base, ratio in native["ratios"].items()}
    assert medians == pytest.approx({LOOP: 0.25, LSTM: 1.5, PRODUCTS: 2.0})
    assert native["per_flop"]["median"] == pytest.approx(0.5)
    assert found[LSTM]["per_flop"]["median"] == pytest.approx(1.0)
    expected = np.percentile(seconds["native"], [50, 25, 75])
    assert list(native["median"].values()) == pytest.approx(list(expected))
    assert (native["peak_bytes"], native["peak_ratio"]) == (100, 0.25)
    assert found[LSTM]["peak_bytes"] is None


def test_pairing_is_not_the_ratio_of_the_medians():
    """Ratios 4, 1, 1/4; the medians' ratio would be 2 / 2, and so would that of the sorted times."""
    case = Case("", SHAPE, {LOOP: 1, "native": 1}, (), sums, {})
    row = rows(Result(case, {LOOP: [1.0, 2.0, 4.0], "native": [4.0, 2.0, 1.0]}))[1]
    assert row["ratios"] == {LOOP: {"median": 1.0, "low": 0.625, "high": 2.5}}
    row = rows(Result(case, {LOOP: [2.0, 1.0, 3.0], "native": [1.0, 5.0, 6.0]}))[1]
    assert row["ratios"][LOOP]["median"] == 2.0
    assert row["per_flop"] is None


def test_another_kind_of_case_is_shown_and_written_alike(tmp_path):
    settings = TimingSettings(rounds=3)
    (result,) = compare([sum_case("good", "wrong")], settings, unwatched)
    write_file(tmp_path / "bench.json", about_the_run(settings), [result], finished=True)
    (found,) = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["cases"]
    assert found["what"] == "sum"
    assert [set(row["ratios"]) for row in found["candidates"]] == [{LOOP}, {LOOP}]
    output = io.StringIO()
    print_table(result, settings, Console(file=output, width=120))
    assert output.getvalue().startswith("a sum: CPU time, 1 thread, 3 rounds")
    assert "left out: wrong: its outputs differ" in output.getvalue()


def test_progress_is_a_line_a_case_where_it_cannot_change():
    output = io.StringIO()
    cases = [sum_case("good"), sum_case("wrong")]
    watched = progress(cases, Console(file=output, width=200))
    for case in cases:
        with watched(case) as watch:
            watch(0.5, "round 5 of 10")
    assert output.getvalue().splitlines() == ["1 of 2: a sum: loop, good", "2 of 2: a sum: loop, wrong"]


def test_progress_in_a_terminal_says_the_time_left(monkeypatch):
    """Of three equal cases one and a half are done after 30 s: 30 s are left."""
    now = [100.0]
    output = io.StringIO()
    terminal = Console(file=output, width=100, force_terminal=True, get_time=lambda: now[0])
    cases = [sum_case(str(number)) for number in range(3)]
    watched = progress(cases, terminal)
    for case, fractions in zip(cases, ([0.0, 0.5], [0.0, 0.5]), strict=False):
        with watched(case) as watch:
            for fraction in fractions:
                watch(fraction, "a round")
                now[0] += 10.0
    assert "2 of 3: a sum: a round" in output.getvalue()
    assert re.search(r"0:00:[23]\d", output.getvalue())
    assert output.getvalue().endswith("\x1b[2K")  # the line is gone


MEASURE = """
import sys, torch
from cellzoo.bench.run import extra_bytes
torch.ones(10)
ballast = torch.ones({ballast} * 250_000) if {ballast} else None
del ballast
print(extra_bytes(lambda: torch.ones({size} * 250_000).sum()))
"""


@pytest.mark.parametrize("ballast", [0, 200])
def test_peak_memory_of_a_known_allocation(ballast):
    """{size} MB of ones; what was used and given back before does not count where the mark can be reset."""
    code = MEASURE.format(ballast=ballast, size=80)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if ballast and sys.platform != "linux":
        pytest.skip("the high-water mark can be reset on Linux only")
    assert int(answer.stdout) / 1e6 == pytest.approx(80, abs=6)


def test_peak_memory_of_a_candidate():
    """The loop keeps a sigmoid's and a tanh's result for each of nine nodes at every step, at the least."""
    shape = Shape("s", 64, 40, 64, 128)
    case = cell_case(cellzoo.load("darts-v2"), shape, training=True, dtype="float32", engines=())
    found = peak_extra_bytes(case, LOOP, 1)
    kept = 64 * 40 * 128 * 4
    assert 18 * kept < found < 100 * kept


def test_memory_that_cannot_be_measured_says_why():
    case = cell_case(cellzoo.load("lstm"), SHAPE, training=True, dtype="float32", engines=())
    with pytest.raises(RunError, match=r"memory of nonsense: no measurement: .*nonsense"):
        peak_extra_bytes(case, "nonsense", 1)

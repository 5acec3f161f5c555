"""Paired statistics of the bench, and the figures made of them, on times that are known."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellzoo
from cellzoo.bench.candidate import Candidate
from cellzoo.bench.cell_case import CellCase
from cellzoo.bench.compare import Result
from cellzoo.bench.figures import lines
from cellzoo.bench.ratios import Quartiles, paired_ratios, spread
from cellzoo.bench.shapes import Shape
from cellzoo.bench.turns import MIN_ROUNDS, MIN_SAMPLE, Times, take_turns

POSITIVE = st.floats(1e-6, 1e6)


class Machine:
    """A clock that goes on only while something runs, at a pace that changes."""

    def __init__(self, pace=lambda sample: 1.0):
        self.now = 0.0
        self.pace = pace
        self.runs = []

    def candidate(self, name, seconds, flops=1):
        def run():
            self.runs.append(name)
            self.now += seconds * self.pace(len(self.runs))
            return []

        return Candidate(name, flops, run)

    def take_turns(self, candidates, rounds=5, is_over=lambda: False, watch=lambda done: None):
        return take_turns(candidates, rounds=rounds, clock=lambda: self.now, is_over=is_over, watch=watch)


@given(st.lists(POSITIVE, min_size=1, max_size=30))
def test_spread_is_what_numpy_says(values):
    found = spread(values)
    expected = np.percentile(values, [50, 25, 75])
    assert [found.median, found.low, found.high] == pytest.approx(list(expected))


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=20))
def test_paired_ratios_are_those_of_the_rounds(pairs):
    ours, base = zip(*pairs, strict=True)
    found = paired_ratios(ours, base)
    ratios = np.array(ours) / np.array(base)
    assert found.median == pytest.approx(np.median(ratios))
    assert [found.low, found.high] == pytest.approx(list(np.percentile(ratios, [25, 75])))


def test_pairing_is_not_the_ratio_of_the_medians():
    """The machine is ten times as slow in one round, and the pair of that round does not notice."""
    found = paired_ratios([2.0, 20.0, 4.0], [1.0, 10.0, 2.0])
    assert found == Quartiles(2.0, 2.0, 2.0)
    # Ratios 4, 1, 1/4; the medians' ratio would be 2 / 2, and so would that of the sorted times.
    assert paired_ratios([4.0, 2.0, 1.0], [1.0, 2.0, 4.0]) == Quartiles(1.0, 0.625, 2.5)
    assert paired_ratios([1.0, 5.0, 9.0], [5.0, 1.0, 9.0]).median == 1.0
    assert paired_ratios([1.0, 5.0, 6.0], [2.0, 1.0, 3.0]).median == 2.0


@pytest.mark.parametrize(("ours", "base"), [([1.0], [1.0, 2.0]), ([], []), ([1.0], [0.0])])
def test_what_cannot_be_paired_is_refused(ours, base):
    with pytest.raises(ValueError, match=r"paired|clock"):
        paired_ratios(ours, base)


def test_candidates_take_turns():
    machine = Machine()
    times = machine.take_turns([machine.candidate("a", 1.0), machine.candidate("b", 2.0)], rounds=4)
    assert machine.runs[2:] == ["a", "b"] * 4  # after one run each, to see how quick they are
    assert times["a"].seconds == pytest.approx([1.0] * 4)
    assert times["b"].seconds == pytest.approx([2.0] * 4)
    assert times["a"].runs == times["b"].runs == 1


def test_a_machine_that_gets_slower_does_not_change_the_ratio():
    machine = Machine(pace=lambda sample: 1.0 if sample < 20 else 50.0)
    candidates = [machine.candidate("a", 1.0), machine.candidate("b", 3.0)]
    times = machine.take_turns(candidates, rounds=11)
    found = paired_ratios(times["b"].seconds, times["a"].seconds)
    assert found.median == found.low == found.high == pytest.approx(3.0)


def test_what_is_quick_runs_several_times_a_sample():
    machine = Machine()
    times = machine.take_turns([machine.candidate("a", MIN_SAMPLE / 4), machine.candidate("b", 1.0)], rounds=3)
    assert times["a"].runs == 4
    assert times["a"].seconds == pytest.approx([MIN_SAMPLE / 4] * 3)
    assert machine.runs.count("a") == 1 + 3 * 4
    assert machine.runs.count("b") == 1 + 3


def test_a_race_ends_early_but_has_some_rounds():
    machine, seen = Machine(), []
    times = machine.take_turns([machine.candidate("a", 1.0)], 100, is_over=lambda: True, watch=seen.append)
    assert seen == list(range(1, MIN_ROUNDS + 1))
    assert len(times["a"].seconds) == MIN_ROUNDS


def test_garbage_is_not_collected_within_a_race():
    states = []
    candidate = Candidate("a", 1, lambda: states.append(gc.isenabled()) or [])
    ticks = iter(range(10_000))
    take_turns([candidate], rounds=3, clock=lambda: next(ticks), is_over=lambda: False, watch=lambda done: None)
    assert not any(states)
    assert gc.isenabled()


def test_figures_of_known_times():
    """nn.LSTM: 2 s for 100 FLOPs. The engine: 3 s for 300, so half the time for each."""
    known = {
        "loop": (12.0, 300),
        "native": (3.0, 300),
        "nn.LSTM": (2.0, 100),
        "torch.mm products": (2.0, 200),
        "best products": (1.5, 200),
    }
    names = list(known)
    case = CellCase(cellzoo.load("lstm"), Shape("s", 2, 3, 4, 5), training=True)
    candidates = {name: Candidate(name, flops, list) for name, (_, flops) in known.items()}
    rounds = [number**0.5 for number in range(1, 6)]
    times = {name: Times(tuple(known[name][0] * pace for pace in rounds), 1) for name in names}
    found = {line.name: line for line in lines(Result(case, candidates, times, {"loop": 400, "native": 100}))}
    native = found["native"]
    assert {base: ratio.median for base, ratio in native.ratios.items()} == pytest.approx(
        {"loop": 0.25, "nn.LSTM": 1.5, "torch.mm products": 1.5, "best products": 2.0}
    )
    assert native.per_flop.median == pytest.approx(0.5)
    assert found["nn.LSTM"].per_flop.median == pytest.approx(1.0)
    assert native.seconds.median == pytest.approx(3.0 * 3**0.5)
    assert native.flops_per_second == pytest.approx(300 / (3.0 * 3**0.5))
    assert (native.peak, native.peak_ratio) == (100, 0.25)
    assert found["nn.LSTM"].peak is None


def test_figures_do_without_a_base_that_was_left_out():
    case = CellCase(cellzoo.load("lstm"), Shape("s", 2, 3, 4, 5), training=True)
    result = Result(case, {"native": Candidate("native", 9, list)}, {"native": Times((3.0,), 1)})
    (line,) = lines(result)
    assert line.ratios == {}
    assert line.per_flop is None

"""What is compared, what is left out, peak memory, and the time left."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time

import pytest
import torch
from rich.console import Console

import cellzoo
from cellzoo.bench.agreement import disagreement
from cellzoo.bench.candidate import Candidate
from cellzoo.bench.cell_case import BASELINES, LOOP, CellCase, build_candidate, candidate_names
from cellzoo.bench.compare import TimingSettings, compare, torch_threads
from cellzoo.bench.memory import peak_extra_bytes
from cellzoo.bench.progress import BenchProgress
from cellzoo.bench.report import BenchReport
from cellzoo.bench.shapes import Shape
from cellzoo.bench.table import show
from cellzoo.bench.work import pass_flops
from cellzoo.cells.canonical import canonical_form
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.errors import RunError

SHAPE = Shape("s", 3, 4, 5, 6)


class Silent:
    def begin(self, case, names):
        pass

    def advance(self, fraction, words):
        assert 0.0 <= fraction <= 1.0

    def end(self):
        pass


def case(name="darts-v2", *, training=True, dtype="float64", shape=SHAPE):
    return CellCase(cellzoo.load(name), shape, training, dtype)


@pytest.mark.parametrize("name", ["darts-v2", "lstm", "nbnlp-8045"])
def test_reference_and_loop_agree_in_outputs_and_gradients(name):
    found, expected = (build_candidate(case(name), who).run() for who in ("reference", LOOP))
    assert [tensor.shape for tensor in found] == [(4, 3, 6), (4, 3, 5)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_cell_with_other_names_races_against_the_same_loop():
    """Canonical names are not those of the DARTS notation, by which the loop finds its weights."""
    renamed = CellCase(canonical_form(cellzoo.load("darts-v2")), SHAPE, True, "float64")
    found, expected = (build_candidate(renamed, who).run() for who in ("reference", LOOP))
    assert disagreement(found, expected) == ""


@pytest.mark.parametrize("training", [True, False])
def test_every_candidate_runs(training):
    chosen = case(training=training, dtype="float32")
    for name in (*BASELINES, "reference"):
        candidate = build_candidate(chosen, name)
        tensors = candidate.run()
        assert all(not tensor.requires_grad for tensor in tensors)
        assert candidate.flops > 0
        assert len(tensors) == (0 if "products" in name else 1 + training)


def test_flops_of_the_candidates_are_their_own():
    chosen = case()
    lstm = pass_flops(cellzoo.load("lstm"), SHAPE, training=True)
    assert build_candidate(chosen, "nn.LSTM").flops == lstm
    assert build_candidate(chosen, LOOP).flops == build_candidate(chosen, "reference").flops == chosen.flops
    products = 3 * 2 * 12 * (2 * 6 * 5 + 18 * 6 * 6)
    assert build_candidate(chosen, "torch.mm products").flops == products


def test_gradients_are_taken_anew_in_each_run():
    candidate = build_candidate(case(), "nn.GRU")
    first = [tensor.clone() for tensor in candidate.run()]
    for one, other in zip(candidate.run(), first, strict=True):
        assert torch.equal(one, other)


def test_a_cell_without_products_does_not_race_against_products():
    nodes = (Node("r", "recast", ("x",)), Node("h_next", "add", ("r", "h")))
    cell = Cell((State("h", "h_next"),), nodes, "h_next")
    chosen = CellCase(cell, Shape("s", 2, 3, 4, 4), training=True)
    assert candidate_names(chosen, ["reference"]) == [LOOP, "reference", "nn.LSTM", "nn.GRU"]
    wide = Cell((State("h", "h_next"),), (linear("h_next", "x", "h"),), "h_next")
    assert candidate_names(CellCase(wide, SHAPE, True), [])[-2:] == ["torch.mm products", "best products"]


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


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_results_have_all_candidates():
    cases = [case(dtype="float32"), case("lstm", training=False, dtype="float32")]
    found = list(compare(cases, TimingSettings(("reference",), rounds=3), Silent()))
    for result, chosen in zip(found, cases, strict=True):
        assert list(result.candidates) == candidate_names(chosen, ["reference"])
        assert all(len(times.seconds) == 3 and min(times.seconds) > 0 for times in result.times.values())
        assert result.left_out == {}


def broken(monkeypatch, replacement):
    original = CellCase.build

    def build(chosen, name, clock):
        candidate = original(chosen, name, clock)
        return replacement(candidate) if name == "reference" else candidate

    monkeypatch.setattr(CellCase, "build", build)
    (result,) = compare([case()], TimingSettings(("reference",), rounds=3), Silent())
    assert "reference" not in result.times
    assert {LOOP, "nn.LSTM", "best products"} <= set(result.times)
    return result.left_out["reference"]


def test_an_engine_with_wrong_results_is_left_out(monkeypatch):
    def wrong(candidate):
        return Candidate(candidate.name, candidate.flops, lambda: [2 * out for out in candidate.run()])

    assert "its outputs differ from the loop's by 1.0e+00 of their norm" in broken(monkeypatch, wrong)


def test_an_engine_that_fails_is_left_out(monkeypatch):
    def failing(candidate):
        def run():
            raise RuntimeError("no\nway")

        return Candidate(candidate.name, candidate.flops, run)

    assert broken(monkeypatch, failing) == "RuntimeError: no"


def test_the_budget_ends_races(monkeypatch):
    settings = TimingSettings((), rounds=10_000, budget=0.01)
    (result,) = compare([case(dtype="float32")], settings, Silent())
    assert 3 <= len(result.times[LOOP].seconds) < 10_000


class Sum:
    """Another kind of case: adding numbers, in three ways of known work."""

    flops = 1000

    def __str__(self):
        return "a sum"

    def candidates(self, engines):
        return [LOOP, *engines]

    def build(self, name, clock):
        count = {"loop": 30, "fast": 10, "wrong": 20}[name]
        return Candidate(name, count, lambda: [torch.zeros(10 * count).sum() + (name == "wrong")])

    def describe(self):
        return {"what": "sum"}

    def recipe(self):
        return "nowhere:nothing", {}

    def tiny(self):
        return self


def test_another_kind_of_case_races_alike(tmp_path):
    settings = TimingSettings(("fast", "wrong"), rounds=3)
    (result,) = compare([Sum()], settings, Silent())
    assert list(result.times) == ["loop", "fast"]
    assert "outputs differ" in result.left_out["wrong"]
    report = BenchReport(tmp_path / "bench.json", settings, 1)
    report.write([result])
    (row,) = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["cases"]
    assert (row["what"], row["flops"]) == ("sum", 1000)
    assert [set(found["ratios"]) for found in row["candidates"]] == [{"loop"}, {"loop"}]
    output = io.StringIO()
    show(result, settings, Console(file=output, width=120))
    assert output.getvalue().startswith("a sum: CPU time, 1 thread, 3 rounds")


def test_times_are_cpu_time_with_one_thread_and_wall_clock_with_more():
    assert (TimingSettings().clock_name, TimingSettings(threads=2).clock_name) == (
        "CPU time",
        "wall-clock time",
    )
    began = [TimingSettings(threads=count).clock() for count in (1, 2)]
    time.sleep(0.2)
    taken = [TimingSettings(threads=count).clock() - start for count, start in zip((1, 2), began, strict=True)]
    assert taken[0] < 0.1 < taken[1]


MEASURE = """
import sys, torch
from cellzoo.bench.candidate import Candidate
from cellzoo.bench.memory import extra_bytes
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
    tokens = shape.batch * shape.steps
    chosen = case(dtype="float32", shape=shape)
    found = peak_extra_bytes(chosen, LOOP, 1)
    kept = tokens * 128 * 4
    assert 18 * kept < found < 100 * kept


def test_memory_that_cannot_be_measured_says_why():
    with pytest.raises(RunError, match=r"memory of nonsense: no measurement: .*nonsense"):
        peak_extra_bytes(case(), "nonsense", 1)


def test_time_left_follows_the_work():
    """Of three equal cases one and a half are done after 30 s: 30 s are left."""
    now = [100.0]
    output = io.StringIO()
    cases = [case()] * 3
    progress = BenchProgress(cases, Console(file=output, width=200), lambda: now[0])
    assert progress.seconds_left(0.0) is None
    progress.begin(cases[0], ["a", "b"])
    progress.end()
    progress.begin(cases[1], ["a", "b"])
    now[0] += 30.0
    assert progress.seconds_left(0.5) == pytest.approx(30.0)
    progress.advance(0.5, "round 5 of 10")
    lines = output.getvalue().splitlines()
    assert lines[0].startswith("1 of 3: darts-v2, shape s (3x4x5x6), training step, float64: a, b")
    assert lines[-1].endswith("round 5 of 10, 30 s left")
    progress.advance(0.6, "round 6 of 10")
    assert len(output.getvalue().splitlines()) == len(lines)

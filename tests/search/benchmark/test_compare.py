"""Searches in simulated time: budgets, order, continued trainings, determinism; the comparison."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys

import numpy as np
import pytest
from nas_bench_nlp_logs import RECIPES, WIKITEXT2, log, real_logs, write_logs
from one_command import invoke
from real_data import data_folder
from scipy import stats

from cellzoo.errors import CellzooError
from search.benchmark.build import build_table
from search.benchmark.compare import all_methods, parse_methods
from search.benchmark.pool import PoolSpace, searchable
from search.benchmark.regret import GRID, Curves, Method, Protocol, run_trial, run_trials
from search.benchmark.released import run_released
from search.benchmark.session import Session
from search.benchmark.simulate import EXHAUSTED, NOTHING_NEW, simulate
from search.benchmark.summary import Comparison, interval, table_rows
from search.benchmark.table import Table
from search.benchmark.timing import make_clock
from search.samplers.sampler import Proposal

# Those whose trials take milliseconds; others are slow because of what they learn, not of what they ask.
QUICK = ("random", "evolution", "hyperband", "asha", "local-search")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    found = tmp_path_factory.mktemp("table") / "table.npz"
    build_table(data_folder(WIKITEXT2)).write(found)
    return found


@pytest.fixture
def small(tmp_path):
    """Four recipes; the epochs of the first take 10 s, of the second 20 s, and so on."""
    logs = [
        log(1_000_010 + place, recipe, wall_times=[10.0 * (place + 1)] * 5)
        for place, recipe in enumerate(RECIPES)
    ]
    return build_table(None, [write_logs(tmp_path / "logs.zip", logs)])


class Script:
    """A sampler that proposes what it was given, and keeps what it is told."""

    def __init__(self, *proposals):
        self.proposals = [Proposal(number, *pair) for number, pair in enumerate(proposals)]
        self.told = []

    def ask(self):
        return self.proposals.pop(0) if self.proposals else None

    def tell(self, proposal, score):
        self.told.append((proposal.number, score))


def search(table, script, seconds=1e6, workers=1):
    return simulate(
        script, searchable(table), Session(table, make_clock(table)), seconds=seconds, workers=workers
    )


def test_results_come_in_the_order_of_simulated_finish(small):
    script = Script((1_000_012, 5), (1_000_010, 5), (1_000_011, 5))
    course = search(small, script, workers=2)
    # 150 s and 50 s begin together; the worker that is free after 50 s takes 100 s, as long as the first.
    assert [(point.number, point.seconds) for point in course.points] == [
        (1_000_010, 50.0),
        (1_000_012, 150.0),
        (1_000_011, 150.0),
    ]
    assert [number for number, _ in script.told] == [1, 0, 2]
    assert course.ended == EXHAUSTED


def test_a_training_goes_on_where_it_ended_and_is_paid_once(small):
    script = Script((1_000_010, 2), (1_000_010, 5), (1_000_010, 3))
    course = search(small, script)
    assert [point.seconds for point in course.points] == [20.0, 50.0, 50.0]
    losses = log(1_000_010)["val_losses"]
    assert script.told == [(0, losses[1]), (1, losses[4]), (2, losses[2])]


def test_a_recipe_that_trains_already_is_waited_for(small):
    script = Script((1_000_010, 2), (1_000_010, 5))
    course = search(small, script, workers=2)
    assert [point.seconds for point in course.points] == [20.0, 50.0]


def test_what_would_end_after_the_budget_never_ends(small):
    script = Script((1_000_010, 5), (1_000_011, 5), (1_000_012, 1))
    course = search(small, script, seconds=149.0)
    assert [point.number for point in course.points] == [1_000_010]
    assert (course.seconds, course.unfinished, course.ended) == (50.0, 1, "budget")
    assert [number for number, _ in script.told] == [0]
    exactly = search(small, Script((1_000_010, 5), (1_000_011, 5)), seconds=150.0)
    assert len(exactly.points) == 2


def test_a_sampler_that_only_repeats_is_stopped(small):
    class Stubborn(Script):
        def ask(self):
            return Proposal(0, 1_000_010, 5)

    assert search(small, Stubborn()).ended == NOTHING_NEW


def test_a_sampler_that_says_the_space_is_used_up_ends(small):
    class Strict(Script):
        def ask(self):
            if not self.proposals:
                raise CellzooError("all cells were proposed")
            return super().ask()

    course = search(small, Strict((1_000_010, 5)))
    assert (course.ended, len(course.points)) == (EXHAUSTED, 1)


def test_the_best_is_chosen_by_validation_and_shown_on_test(small):
    course = search(small, Script((1_000_010, 5), (1_000_011, 5), (1_000_012, 5), (1_000_013, 5)))
    seen = []
    for point, place in zip(course.points, range(4), strict=True):
        one = log(1_000_010 + place)
        seen += [(valid, test) for valid, test in zip(one["val_losses"], one["test_losses"], strict=True)]
        assert (point.valid, point.test) == min(seen)


def test_the_pool_samples_all_and_mutates_to_near_recipes(path):
    table = Table.read(path)
    space = searchable(table, hand_designed=False)
    assert len(space.numbers) == 288
    draw = random.Random(0)
    seen = {space.sample(draw) for _ in range(5000)}
    assert len(seen) > 280
    for number in space.numbers[:20]:
        children = {space.mutate(number, draw) for _ in range(60)}
        assert number not in children
        assert len(children) <= space.neighbours
    codes = {space.encode(number) for number in space.numbers}
    assert len(codes) == 288
    assert len({len(code) for code in codes}) == 1
    with pytest.raises(CellzooError, match="at least 2"):
        PoolSpace(table, table.pool()[:1])


def test_features_are_the_released_ones_or_components_of_words(path):
    table = Table.read(path)
    space = searchable(table)
    ten, fifty = (space.features(space.numbers, count) for count in (10, 50))
    assert (ten.shape, fifty.shape) == ((291, 10), (291, 50))
    missing = 0
    for number, row in zip(space.numbers, ten, strict=True):
        released = table.features(table.find(number))
        missing += released is None
        assert released is None or np.array_equal(row, released)
    assert missing == 291 - 259
    assert np.isfinite(ten).all()
    # Components: distances are those of the weighted counts that they are made of, as far as 50 hold them.
    whole = space.features(space.numbers, 291)
    counts = np.array([space.encode(number)[:-1] for number in space.numbers], dtype=float)
    weighted = np.log1p(counts) * np.log(1 + len(counts) / (counts > 0).sum(axis=0))
    assert np.linalg.norm(whole[0] - whole[1]) == pytest.approx(np.linalg.norm(weighted[0] - weighted[1]))
    assert np.array_equal(whole[:, :50], fifty)


def test_equal_graphs_are_nearest_to_each_other(path):
    table = Table.read(path)
    space = searchable(table)
    twins = [found for found in table.pool() if len(table.of_graph(found.hash)) == 2]
    assert twins
    for found in twins:
        other = next(one for one in table.of_graph(found.hash) if one != found)
        assert space.encode(found.number)[:-1] == space.encode(other.number)[:-1]


def test_no_sampler_exceeds_its_budget_and_a_longer_one_only_adds(path):
    methods, _ = all_methods(Table.read(path))
    for seed, method in enumerate(method for method in methods if method.name in QUICK):
        short, *_ = run_trial(Protocol(path, hours=35.0), method, seed)
        long, *_ = run_trial(Protocol(path, hours=70.0), method, seed)
        assert all(point.seconds <= 35 * 3600 for point in short.points)
        assert all(point.seconds <= 70 * 3600 for point in long.points)
        assert long.points[: len(short.points)] == short.points


PROGRAM = """
import sys
from pathlib import Path
from search.benchmark.compare import all_methods
from search.benchmark.regret import Protocol, run_trial
from search.benchmark.table import Table
path = Path(sys.argv[1])
for method in all_methods(Table.read(path))[0]:
    if method.name in sys.argv[2:]:
        print(method.label, run_trial(Protocol(path, hours=25.0, workers=3), method, 5)[0].points)
"""


@pytest.mark.slow
def test_a_seed_means_one_trajectory_in_every_process(path):
    runs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, path, *QUICK],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] != ""


def test_the_number_of_processes_does_not_change_what_comes_out(path):
    protocol, methods = Protocol(path, hours=20.0), [Method("random", "random")]
    one, two = (run_trials(protocol, methods, 6, processes=count)[0] for count in (1, 2))
    assert np.array_equal(one.inference, two.inference, equal_nan=True)
    assert one.found == two.found


def test_random_search_has_the_regret_of_a_simulation_of_its_own(path):
    """An independent simulation with numpy from the raw logs; the means agree within their errors."""
    raw = real_logs(data_folder(WIKITEXT2))
    curves = run_trials(Protocol(path, hours=50.0), [Method("random", "random")], 150)[0]
    groups = {}
    for one in raw.values():
        groups.setdefault(one["recepie"], []).append(one)
    draw, finals = np.random.default_rng(0), []
    for _ in range(150):
        world = [group[draw.integers(len(group))] for group in groups.values()]
        left, best, seen = 50 * 3600.0, math.inf, set()
        while True:
            pick = int(draw.integers(len(world)))
            cost = 0.0 if pick in seen else sum(world[pick]["wall_times"])
            if cost > left:
                break
            left -= cost
            seen.add(pick)
            best = min(best, *(value for value in world[pick]["val_losses"] if not math.isnan(value)), math.inf)
        finals.append(
            best - min(min(value for value in one["val_losses"] + [99.0] if value == value) for one in world)
        )
    ours = curves.simple[:, -1]
    assert np.isfinite(ours).all()
    error = math.sqrt(np.var(ours) / 150 + np.var(finals) / 150)
    assert abs(ours.mean() - np.mean(finals)) < 3.5 * error


def test_the_released_protocol_ends_where_its_pool_is_used_up(path):
    """Ten epochs each and 500 trainings use up the pool: what is left is a closed form of the raw logs."""
    table = Table.read(path)
    curves = {one.label: one for one in run_released(table)}
    assert list(curves) == ["RS 50E", "RS 10E", "HB", "RE"]
    raw = real_logs(data_folder(WIKITEXT2))
    pool = [found for found in table.pool() if table.features(found) is not None]
    logs = [raw[table.run_names[table.runs(found)[0]]] for found in pool]
    oracle = min(value for one in logs for value in one["test_losses"] if not math.isnan(value))
    # Eleven epochs are seen, ten are paid.
    seen = [pair for one in logs for pair in zip(one["val_losses"][:11], one["test_losses"], strict=False)]
    best = min(pair for pair in seen if not math.isnan(pair[0]))
    paid = sum(sum(one["wall_times"][: min(10, len(one["wall_times"]) - 1)]) for one in logs)
    last = curves["RS 10E"]
    assert last.regret[:, -1] == pytest.approx(best[1] - oracle, abs=1e-12)
    assert last.hours[:, -1] == pytest.approx(paid / 3600, rel=1e-9)
    for one in curves.values():
        assert (one.regret[:, -1] >= 0).all()
        assert (np.diff(one.hours, axis=1) >= 0).all()


def test_intervals_are_those_of_a_t_test_and_differences_are_paired(path):
    protocol = Protocol(path, hours=40.0)
    methods = [Method("random", "random"), Method("random, 10 epochs", "random", (("epochs", 10),))]
    curves = run_trials(protocol, methods, 20)
    rows = table_rows(Comparison("", protocol, tuple(curves), (20.0, 40.0)))
    assert [row["hours"] for row in rows] == [20.0, 20.0, 40.0, 40.0]
    for row, place in ((rows[1], GRID // 2 - 1), (rows[3], GRID - 1)):
        first, second = (one.inference[:, place] for one in curves)
        both = np.isfinite(first) & np.isfinite(second)
        found = stats.ttest_rel(second[both], first[both])
        mean, low, high = row["difference"]
        assert mean == pytest.approx(float(np.mean(second[both] - first[both])))
        assert (low, high) == pytest.approx(tuple(found.confidence_interval(0.95)))
    assert all(map(math.isnan, interval(np.array([math.nan]))))


def test_the_command_writes_page_and_numbers(path, tmp_path, monkeypatch, capsys):
    out = tmp_path / "regret"
    given = ["table", "compare", "--table", path, "--trials", "4", "--hours", "20,40", "--out", out]
    assert (
        invoke(monkeypatch, *given, "--methods", "random,random:epochs=10,evolution:population=4:sample=2") == 0
    )
    content = json.loads((out / "regret.json").read_text())
    assert [one["pool"] for one in content["comparisons"]] == ["All recipes", "Without RNN, LSTM and GRU"]
    labels = [method["label"] for method in content["comparisons"][0]["methods"]]
    assert labels == ["random", "random, epochs=10", "evolution, population=4, sample=2"]
    assert {row["hours"] for row in content["comparisons"][0]["rows"]} == {20.0, 40.0}
    page = (out / "regret.html").read_text()
    assert page.count("<svg") == 6
    assert "The released protocol" in page
    assert all(one["hours_used"][1] <= 40.0 for part in content["comparisons"] for one in part["methods"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "randon"], "unknown method"),
        (["--methods", "darts"], "trains a supernet"),
        (["--methods", "random:epochs"], "expected NAME:KEY=VALUE"),
        (["--methods", "random:epochs=x"], "epochs"),
        (["--methods", "random,random"], "twice"),
        (["--hours", "0"], "expected hours above 0"),
        (["--hours", "0.1,200"], "so expected at least 1"),
        (["--clock", "wall"], "unknown clock"),
        (["--pool", "half"], "unknown pool"),
        (["--trials", "0"], "expected a whole number"),
    ],
)
def test_wrong_arguments_are_named(path, tmp_path, monkeypatch, capsys, arguments, message):
    given = ["table", "compare", "--table", path, "--trials", "2", "--out", tmp_path / "out", *arguments]
    assert invoke(monkeypatch, *given) == 2
    assert message in capsys.readouterr().err


def test_a_horizon_between_two_steps_does_not_see_what_comes_after_it():
    """150 hours are 200 steps of 0.75; 50 hours lie between the steps 66 and 67."""
    values = np.tile(np.arange(1, GRID + 1) * 0.75, (2, 1))
    curves = Curves(Method("a", "a"), values, values, np.zeros(2), np.zeros(2, dtype=int), ("", ""), (0, 0))
    (row, _) = table_rows(Comparison("", Protocol(None, hours=150.0), (curves,), (50.0, 150.0)))
    assert row["inference"][0] == 49.5


def test_nothing_is_compared_if_a_pool_is_too_small(tmp_path, monkeypatch, capsys):
    logs = [log(1_000_000 + place, recipe) for place, recipe in enumerate(RECIPES)]
    build_table(None, [write_logs(tmp_path / "logs.zip", logs)]).write(tmp_path / "table.npz")
    given = ["table", "compare", "--table", tmp_path / "table.npz", "--methods", "random", "--trials", "2"]
    assert invoke(monkeypatch, *given, "--out", tmp_path / "out") == 2
    told = capsys.readouterr()
    assert "a pool of 1 recipes" in told.err
    assert "All recipes" not in told.out


def test_a_comparison_is_written_where_few_recipes_have_features(small, tmp_path, monkeypatch):
    """The released protocol needs the features of 20 recipes; without them the page has no such section."""
    few = {"feature_number": np.array([1_000_010]), "features": np.zeros((1, 10))}
    table = Table(small.architectures, small.run_names, small.arrays | few, (), ())
    table.write(tmp_path / "table.npz")
    given = ["table", "compare", "--table", tmp_path / "table.npz", "--methods", "random", "--trials", "2"]
    assert invoke(monkeypatch, *given, "--hours", "0.1", "--out", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "regret.json").read_text())["released"] == []


def test_a_regret_without_an_interval_or_a_value_is_said_so(small, tmp_path, monkeypatch, capsys):
    small.write(tmp_path / "table.npz")
    given = ["table", "compare", "--table", tmp_path / "table.npz", "--methods", "random", "--trials", "1"]
    for hours in ("1", "0.001"):
        assert invoke(monkeypatch, *given, "--hours", hours, "--out", tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert "nan" not in told
    assert "inference regret undefined after 0.001 h" in told


def test_the_default_population_stays_where_other_settings_change():
    (method,) = parse_methods("evolution:epochs=10")
    assert {name: getattr(value, "text", value) for name, value in method.settings} == {
        "population": 10,
        "sample": 5,
        "epochs": "10",
    }


def test_methods_are_read_from_text():
    assert parse_methods("all") is None
    assert [method.label for method in parse_methods("random, evolution:sample=3")] == [
        "random",
        "evolution, sample=3",
    ]

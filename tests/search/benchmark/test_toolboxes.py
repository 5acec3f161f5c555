"""The adapters to other toolboxes, tested with the real library if it is installed."""

from __future__ import annotations

import inspect
import json
import math
import random

import numpy as np
import pytest
from nas_bench_nlp_logs import WIKITEXT2, real_logs
from real_data import data_folder

from cellzoo.errors import CellzooError
from search.benchmark.build import build_table
from search.benchmark.timing import make_clock
from search.benchmark.toolboxes import (
    UNIFORM_LOSS,
    NatsBenchInterface,
    compact_form,
    filled,
    mf_prior_bench,
    naslib_dictionary,
    optunahub_problem,
    syne_tune_blackbox,
)

WHY = "{} is not installed; pip install 'cellzoo[toolboxes]'"


@pytest.fixture(scope="module")
def table():
    return build_table(data_folder(WIKITEXT2))


@pytest.fixture(scope="module")
def clock(table):
    return make_clock(table)


@pytest.fixture(scope="module")
def raw():
    return real_logs(data_folder(WIKITEXT2))


def first_log(table, raw, number):
    return raw[table.run_names[table.runs(table.find(number))[0]]]


def test_what_diverged_is_filled_and_nothing_else(table, clock, raw):
    for found in table.pool():
        for run in table.runs(found):
            one, rows = raw[table.run_names[run]], filled(table, clock, run)
            good = sum(not math.isnan(value) for value in one["val_losses"])
            assert rows[:good, 0].tolist() == one["val_losses"][:good]
            assert rows[:good, 1].tolist() == one["test_losses"][:good]
            assert (rows[good:, :2] == UNIFORM_LOSS).all()
            assert np.isfinite(rows).all()
            assert (np.diff(rows[:, 2]) >= 0).all()


def test_syne_tune_asks_the_blackbox_and_searches_on_it(table, clock, raw, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    pytest.importorskip("syne_tune", reason=WHY.format("syne-tune"))
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
    from syne_tune.blackbox_repository import UserBlackboxBackend
    from syne_tune.optimizer.baselines import ASHA

    blackbox = syne_tune_blackbox(table, clock)
    for number in (1000001, 1007537, 1000000):
        one = first_log(table, raw, number)
        for epoch in (1, 17, 50):
            found = blackbox.objective_function(
                {"recipe": str(number), "data": "wikitext-2"}, fidelity={"epoch": epoch}, seed=0
            )
            assert found["valid_loss"] == one["val_losses"][epoch - 1]
            assert found["test_loss"] == one["test_losses"][epoch - 1]
            assert found["seconds"] == pytest.approx(sum(one["wall_times"][:epoch]))
    backend = UserBlackboxBackend(blackbox=blackbox, elapsed_time_attr="seconds")
    scheduler = ASHA(
        config_space=blackbox.configuration_space,
        metric="valid_loss",
        time_attr="epoch",
        max_t=50,
        random_seed=0,
    )
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(max_num_trials_started=30),
        n_workers=4,
        sleep_time=0,
        callbacks=[SimulatorCallback()],
        save_tuner=False,
    )
    tuner.run()
    seen = tuner.tuning_status.get_dataframe()
    seen = seen[seen["epoch"].notna()]
    assert len(seen) >= 25
    for number, epoch, loss in zip(seen["recipe"], seen["epoch"], seen["valid_loss"], strict=True):
        runs = table.runs(table.find(str(number)))
        assert loss in {filled(table, clock, run)[int(epoch) - 1, 0] for run in runs}


def test_mf_prior_bench_queries_the_table(table, clock, raw):
    pytest.importorskip("mfpbench", reason=WHY.format("mf-prior-bench"))
    benchmark = mf_prior_bench(table, clock)
    assert benchmark.fidelity_range == (1, 50, 1)
    assert len(benchmark.configs) == len(table.pool())
    for number in (1000001, 1007537):
        one = first_log(table, raw, number)
        for epoch in (1, 17, 50):
            result = benchmark.query(str(number), at=epoch)
            assert result["valid_loss"].value == one["val_losses"][epoch - 1]
            assert result["test_loss"].value == one["test_losses"][epoch - 1]
            assert float(result.error) == one["val_losses"][epoch - 1]
            assert float(result.cost) == pytest.approx(sum(one["wall_times"][:epoch]))
    curve = benchmark.trajectory("1007537")
    assert [point["valid_loss"].value for point in curve] == first_log(table, raw, 1007537)["val_losses"]
    lstm = benchmark.configs["1000001"]
    assert (lstm.states, lstm.matrices) == (2, 8)


def test_optuna_studies_the_problem(table, clock, raw):
    optuna = pytest.importorskip("optuna", reason=WHY.format("optuna"))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = optunahub_problem(table, clock, epochs=10)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0), directions=problem.directions)
    study.optimize(problem, n_trials=25)
    best = study.best_trial
    assert best.value == first_log(table, raw, int(best.params["recipe"]))["val_losses"][9]
    tried = {trial.params["recipe"] for trial in study.trials}
    paid = sum(sum(first_log(table, raw, int(number))["wall_times"][:10]) for number in tried)
    assert problem.session.seconds == pytest.approx(paid)
    with pytest.raises(CellzooError, match="expected 1 to 50"):
        optunahub_problem(table, clock, epochs=51)


def test_the_problem_has_what_optunahub_asks_of_one(table, clock):
    benchmarks = pytest.importorskip("optunahub", reason=WHY.format("optunahub")).benchmarks
    problem = optunahub_problem(table, clock)
    wanted = ("search_space", "directions", "evaluate", "__call__")
    assert all(hasattr(benchmarks.BaseProblem, name) and hasattr(problem, name) for name in wanted)


def test_nats_bench_four_numbers(table, clock, raw):
    api = NatsBenchInterface(table, clock)
    one = first_log(table, raw, 1007537)
    value, latency, cost, used = api.simulate_train_eval("1007537", "wikitext-2", iepoch=11)
    assert value == -one["val_losses"][11]
    assert math.isnan(latency)
    assert cost == used == pytest.approx(sum(one["wall_times"][:12]))
    again = api.simulate_train_eval(api.query_index_by_arch(one["recepie"]), iepoch=None)
    assert again[0] == -one["val_losses"][-1]
    assert again[3] == api.used_time == pytest.approx(cost + sum(one["wall_times"]))
    assert api.simulate_train_eval(0, account_time=False)[3] == api.used_time
    api.reset_time()
    assert api.used_time == 0.0
    assert 0 <= api.random(random.Random(0)) < len(api)
    for wrong in ({"dataset": "cifar10"}, {"iepoch": 50}):
        with pytest.raises(CellzooError, match=r"expected 0 to 49|known only for wikitext-2"):
            api.simulate_train_eval(0, **wrong)
    with pytest.raises(CellzooError, match="no epochs of the architecture"):
        api.simulate_train_eval(len(api))


def test_nats_bench_names_its_arguments_as_we_do():
    theirs = pytest.importorskip("nats_bench.api_utils", reason=WHY.format("nats-bench")).NASBenchMetaAPI
    names = list(inspect.signature(theirs.simulate_train_eval).parameters)
    assert names == list(inspect.signature(NatsBenchInterface.simulate_train_eval).parameters)
    assert all(hasattr(theirs, name) for name in ("used_time", "reset_time", "random", "query_index_by_arch"))


def test_naslib_finds_every_recipe_and_reads_it_back(table, raw):
    """The form by NASLib's own rule: sources 0 to 3, nodes from 4 on, operations by number."""
    found = naslib_dictionary(table)
    assert set(found["nlp_arches"]) == set(found["nlp_data"])
    names = ["in", "sigm", "tanh", "leaky_relu", "sum", "prod", "linear", "blend"]
    for architecture in table.pool():
        recipe = json.loads(architecture.recipe)
        edges, operations, hiddens = compact_form(recipe)
        assert all(source < node for source, node in edges)
        assert operations[:4] == (0, 0, 0, 0)
        assert len(hiddens) >= 1
        ours = sorted(names[op] for op in operations[4:])
        assert ours == sorted(
            node["op"].rpartition("_")[2].replace("relu", "leaky_relu") for node in recipe.values()
        )
        assert len(edges) == sum(len(node["input"]) for node in recipe.values())
    gru = first_log(table, raw, 1000002)
    assert found["nlp_data"][compact_form(json.loads(gru["recepie"]))]["val_losses"] == gru["val_losses"]


def test_naslib_form_of_a_small_recipe_by_hand():
    recipe = {
        "h_new_0": {"op": "blend", "input": ["z", "h_prev_0", "n"]},
        "z": {"op": "activation_sigm", "input": ["a"]},
        "a": {"op": "linear", "input": ["x", "h_prev_0"]},
        "n": {"op": "activation_tanh", "input": ["a"]},
    }
    # a is node 4, n node 5, z node 6, h_new_0 node 7: what reads a later node goes to the end, in turn.
    edges, operations, hiddens = compact_form(recipe)
    assert operations == (0, 0, 0, 0, 6, 2, 1, 7)
    assert edges == ((0, 4), (1, 4), (4, 5), (4, 6), (6, 7), (1, 7), (5, 7))
    assert hiddens == (7,)

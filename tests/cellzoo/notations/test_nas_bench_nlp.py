"""Recipes of NAS-Bench-NLP: what is computed, what is refused, and what is written."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import zipfile

import pytest
import torch
from real_data import data_folder

import cellzoo
from cellzoo.errors import NotationError
from cellzoo.notations import nas_bench_nlp

T, B, E, H = 3, 2, 3, 4

RNN = {
    "f": {"op": "linear", "input": ["x", "h_prev_0"]},
    "h_new_0": {"op": "activation_tanh", "input": ["f"]},
}
LSTM = {
    "i": {"op": "linear", "input": ["x", "h_prev_0"]},
    "i_act": {"op": "activation_tanh", "input": ["i"]},
    "j": {"op": "linear", "input": ["x", "h_prev_0"]},
    "j_act": {"op": "activation_sigm", "input": ["j"]},
    "f": {"op": "linear", "input": ["x", "h_prev_0"]},
    "f_act": {"op": "activation_sigm", "input": ["f"]},
    "o": {"op": "linear", "input": ["x", "h_prev_0"]},
    "o_act": {"op": "activation_tanh", "input": ["o"]},
    "h_new_1_part1": {"op": "elementwise_prod", "input": ["f_act", "h_prev_1"]},
    "h_new_1_part2": {"op": "elementwise_prod", "input": ["i_act", "j_act"]},
    "h_new_1": {"op": "elementwise_sum", "input": ["h_new_1_part1", "h_new_1_part2"]},
    "h_new_1_act": {"op": "activation_tanh", "input": ["h_new_1"]},
    "h_new_0": {"op": "elementwise_prod", "input": ["h_new_1_act", "o_act"]},
}
GRU = {
    "r": {"op": "linear", "input": ["x", "h_prev_0"]},
    "r_act": {"op": "activation_sigm", "input": ["r"]},
    "z": {"op": "linear", "input": ["x", "h_prev_0"]},
    "z_act": {"op": "activation_sigm", "input": ["z"]},
    "rh": {"op": "elementwise_prod", "input": ["r_act", "h_prev_0"]},
    "h_tilde": {"op": "linear", "input": ["x", "rh"]},
    "h_tilde_act": {"op": "activation_tanh", "input": ["h_tilde"]},
    "h_new_0": {"op": "blend", "input": ["z_act", "h_prev_0", "h_tilde_act"]},
}
NLP_7537 = {
    "node_0": {"op": "linear", "input": ["h_prev_0", "x"]},
    "node_1": {"op": "activation_sigm", "input": ["node_0"]},
    "node_2": {"op": "linear", "input": ["x", "node_1"]},
    "node_5": {"op": "linear", "input": ["node_1", "h_new_1"]},
    "node_6": {"op": "activation_tanh", "input": ["node_5"]},
    "node_7": {"op": "blend", "input": ["h_prev_1", "h_prev_0", "node_6"]},
    "h_new_0": {"op": "blend", "input": ["node_1", "node_7", "h_new_1"]},
    "h_new_1": {"op": "activation_sigm", "input": ["node_2"]},
}
NLP_7507 = {
    "node_0": {"op": "linear", "input": ["h_prev_1", "h_prev_0"]},
    "node_1": {"op": "activation_tanh", "input": ["node_0"]},
    "node_2": {"op": "linear", "input": ["x", "h_prev_0"]},
    "node_3": {"op": "activation_tanh", "input": ["node_2"]},
    "node_4": {"op": "linear", "input": ["node_3", "node_1"]},
    "node_11": {"op": "linear", "input": ["node_1", "x"]},
    "node_12": {"op": "activation_sigm", "input": ["node_11"]},
    "h_new_1": {"op": "blend", "input": ["node_4", "node_3", "node_0"]},
    "h_new_0": {"op": "elementwise_prod", "input": ["node_12", "h_new_1"]},
}

# Made with the reference implementation (search_space.py and custom_rnn.py of the benchmark) in float64: the
# sum of all outputs, then the last step of the first sequence where it was noted.
GOLDEN = {
    "rnn": (RNN, 0.943193444539, [0.2072838986, -0.3318715033, 0.6637702401, -0.6689316229]),
    "lstm": (LSTM, -1.594191241528, [0.0243550732, 0.0026999974, 0.0278798605, -0.1905058892]),
    "gru": (GRU, 4.548098161763, [0.4204913409, 0.0322212369, 0.6713386637, -0.2531701252]),
    "7537": (NLP_7537, 9.410323119926, [0.5538984926, 0.2094196916, 0.3902439811, 0.654213593]),
    "7507": (NLP_7507, -0.822920723798, [-0.0119572315, 0.2305681262, -0.2594225699, 0.1833493551]),
}
GOLDEN_EXAMPLES = (
    0.943193444539,
    -1.594191241528,
    4.548098161763,
    -0.509075034226,
    12.878496622320,
    7.115399230715,
    3.851965056102,
    -0.411315350239,
    0.288556835873,
    4.756787428317,
)


def golden_output(recipe) -> torch.Tensor:
    """Fill weights by the recipe's keys in order: the matrices of a linear, then its bias."""
    cell = nas_bench_nlp.parse(recipe)
    rnn = cellzoo.CellRNN(cell, E, H, dtype=torch.float64)
    weights = rnn.directions[0].weights
    names = [
        weight
        for key, spec in recipe.items()
        if spec["op"] == "linear"
        for weight in [*(f"{key}_{position}" for position in range(len(spec["input"]))), f"{key}_b"]
    ]
    assert sorted(names) == sorted(weights.keys())
    with torch.no_grad():
        for index, name in enumerate(names):
            flat = torch.arange(weights[name].numel(), dtype=torch.float64)
            weights[name].copy_((0.5 * torch.sin(0.7 * flat + index)).view_as(weights[name]))
    x = torch.cos(0.3 * torch.arange(T * B * E, dtype=torch.float64)).view(T, B, E)
    return rnn(x)[0].detach()


@pytest.mark.parametrize("name", GOLDEN)
def test_outputs_equal_the_golden_values(name):
    recipe, total, last = GOLDEN[name]
    output = golden_output(recipe)
    assert output.sum().item() == pytest.approx(total, rel=1e-9)
    # The row was written down with ten digits.
    assert output[-1, 0].tolist() == pytest.approx(last, abs=6e-11)


def test_outputs_of_the_published_examples_equal_the_golden_values():
    path = data_folder("nas-bench-nlp/recepies_example.json") / "nas-bench-nlp" / "recepies_example.json"
    recipes = json.loads(path.read_text(encoding="utf-8"))
    assert recipes[:3] == [RNN, LSTM, GRU]
    for recipe, total in zip(recipes, GOLDEN_EXAMPLES, strict=True):
        assert golden_output(recipe).sum().item() == pytest.approx(total, rel=1e-9)


def test_text_and_data_are_one_recipe():
    assert nas_bench_nlp.parse(json.dumps(LSTM)).hash == cellzoo.parse(LSTM, "nas-bench-nlp").hash


@pytest.mark.parametrize("name", GOLDEN)
def test_the_order_of_the_keys_has_no_meaning(name):
    recipe = GOLDEN[name][0]
    expected = nas_bench_nlp.parse(recipe).hash
    generator = random.Random(2)
    for _ in range(20):
        keys = generator.sample(list(recipe), len(recipe))
        assert nas_bench_nlp.parse({key: recipe[key] for key in keys}).hash == expected


def test_states_and_ordinary_nodes_are_told_apart_by_digits():
    cell = nas_bench_nlp.parse(LSTM)
    assert [(state.name, state.next) for state in cell.states] == [
        ("h_prev_0", "h_new_0"),
        ("h_prev_1", "h_new_1"),
    ]
    assert cell.output == "h_new_0"
    assert {"h_new_1_part1", "h_new_1_act"} <= {node.name for node in cell.nodes}


def one_step(recipe, **states) -> float:
    """Run one step of width 1; linear passes x on."""
    rnn = cellzoo.CellRNN(nas_bench_nlp.parse(recipe), 1, 1, dtype=torch.float64)
    with torch.no_grad():
        for name, weight in rnn.directions[0].weights.items():
            weight.fill_(0.0 if name.endswith("_b") else 1.0)
    hx = tuple(torch.full((1, 1, 1), value, dtype=torch.float64) for value in states.values())
    x = torch.full((1, 1, 1), 0.5, dtype=torch.float64)
    return rnn(x, hx if len(hx) > 1 else hx[0])[0].item()


def test_blend_takes_the_gate_first_and_the_kept_value_second():
    recipe = {
        "a": {"op": "linear", "input": ["x"]},
        "h_new_0": {"op": "blend", "input": ["a", "h_prev_0", "h_prev_1"]},
        "h_new_1": {"op": "elementwise_sum", "input": ["a", "h_prev_1"]},
    }
    assert one_step(recipe, h0=2.0, h1=-3.0) == 0.5 * 2.0 + (1 - 0.5) * -3.0


def test_the_slope_of_leaky_relu():
    recipe = {
        "a": {"op": "linear", "input": ["x", "h_prev_0"]},
        "h_new_0": {"op": "activation_leaky_relu", "input": ["a"]},
    }
    assert one_step(recipe, h0=-2.5) == pytest.approx(-0.02)
    assert one_step(recipe, h0=1.5) == 2.0


def test_each_input_of_a_linear_has_a_matrix_of_its_own():
    cell = nas_bench_nlp.parse({"h_new_0": {"op": "linear", "input": ["h_prev_0", "x", "h_prev_0"]}})
    assert cell.num_parameters(input_size=3, hidden_size=5) == 5 * 5 + 5 * 3 + 5 * 5 + 5


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "line 1, column 1: Expecting value; expected JSON such as"),
        ("{", "line 1, column 2"),
        ("[1]", r"expected a mapping such as .*, found \[1\]"),
        ("{}", "expected a mapping"),
        ('"h_new_0"', "expected a mapping"),
        ("[" * 15_000, "not readable"),
        ('{"a": 1' + "1" * 6000 + "}", "not readable"),
        (" " * 20_001, "20001 characters; at most 20000"),
        ('{"a": 1, "a": 2}', "the key 'a' is repeated"),
        ({"h new": {}}, "node name 'h new': expected a letter"),
        ({3: {}}, "node name 3"),
        ({"x": RNN["f"]}, "'x' is the input or a state"),
        ({"h_prev_0": RNN["f"]}, "'h_prev_0' is the input or a state"),
        ({"f": RNN["f"]}, "h_new_0 does not exist; each state"),
        ({"h_new_1": RNN["f"]}, "h_new_0 does not exist although h_new_1 does"),
        ({"h_new_0": RNN["f"], "h_new_2": RNN["f"]}, "h_new_1 does not exist although h_new_2 does"),
        ({"h_new_01": RNN["f"]}, "'h_new_01': expected a state's number from 0 to 31 without leading zeros"),
        ({"h_new_99": RNN["f"]}, "'h_new_99': expected a state's number"),
        ({"h_new_" + "9" * 50: RNN["f"]}, "expected a state's number"),
        ({"h_new_0": "linear"}, "node 'h_new_0': is 'linear'; expected"),
        ({"h_new_0": {"op": "linear"}}, "node 'h_new_0': is .*; expected"),
        ({"h_new_0": {"op": "linear", "input": ["x"], "bias": 1}}, "expected"),
        ({"h_new_0": {"op": "Linear", "input": ["x"]}}, "unknown operation 'Linear'. Did you mean 'linear'"),
        ({"h_new_0": {"op": ["linear"], "input": ["x"]}}, "unknown operation"),
        ({"h_new_0": {"op": "linear", "input": []}}, "input is .*; expected a list of at least one name"),
        ({"h_new_0": {"op": "linear", "input": "x"}}, "input is 'x'; expected a list"),
        ({"h_new_0": {"op": "linear", "input": ["x", 3]}}, "unknown input '3'"),
        ({"h_new_0": {"op": "linear", "input": ["x", "h_prev_1"]}}, "unknown input 'h_prev_1'"),
        ({"h_new_0": {"op": "linear", "input": ["x", "h_new_0"]}}, "'h_new_0': reads itself"),
        (
            {"h_new_0": {"op": "activation_tanh", "input": ["x"]}},
            "activation_tanh reads x; x may only enter linear",
        ),
        ({"h_new_0": {"op": "blend", "input": ["h_prev_0"] * 2}}, r"blend takes 3 input\(s\), not 2"),
        ({"h_new_0": {"op": "elementwise_sum", "input": ["h_prev_0"] * 3}}, r"takes 2 input\(s\), not 3"),
        ({"h_new_0": {"op": "activation_tanh", "input": ["h_prev_0"] * 2}}, r"takes 1 input\(s\), not 2"),
        ({f"n{k}": RNN["f"] for k in range(101)}, "101 nodes; at most 100"),
        (
            {
                "h_new_0": {"op": "linear", "input": ["x", "a"]},
                "a": {"op": "activation_tanh", "input": ["b"]},
                "b": {"op": "elementwise_sum", "input": ["h_prev_0", "c"]},
                "c": {"op": "activation_tanh", "input": ["a"]},
            },
            "the nodes a <- b <- c <- a form a cycle",
        ),
        (
            {"h_new_0": {"op": "activation_tanh", "input": ["h_prev_0"]}},
            "neither the output nor a state depends on the input x",
        ),
    ],
)
def test_faults_are_named(source, message):
    with pytest.raises(cellzoo.CellzooError, match=message) as caught:
        nas_bench_nlp.parse(source)
    assert "\n" not in str(caught.value)


def test_random_members_are_written_and_read_as_themselves():
    generator = random.Random(11)
    for number in range(1000):
        text = nas_bench_nlp.sample(generator, hidden_states=1 + number % 3)
        cell = nas_bench_nlp.parse(text)
        written = nas_bench_nlp.write(cell)
        again = nas_bench_nlp.parse(written)
        assert again.hash == cell.hash
        if number % 10 == 0:
            assert nas_bench_nlp.write(again) == written


def test_members_drawn_obey_the_generators_rules():
    generator = random.Random(3)
    arities = []
    for _ in range(300):
        recipe = json.loads(nas_bench_nlp.sample(generator))
        sources = {source for spec in recipe.values() for source in spec["input"]}
        assert {"x", "h_prev_0", "h_prev_1"} <= sources
        assert len(recipe) <= 2 + 7 + 1
        for state in ("h_new_0", "h_new_1"):
            assert not any(source.startswith("h_prev") for source in recipe[state]["input"])
        for spec in recipe.values():
            assert len(set(spec["input"])) == len(spec["input"])
            if spec["op"] == "linear":
                arities.append(len(spec["input"]))
                sources = [recipe[name] for name in spec["input"] if name in recipe]
                assert all(source["op"].startswith("activation") for source in sources)
    # Two inputs have weight 4, three have weight 1, but that accepted recipes tend to read more.
    assert set(arities) == {2, 3}
    assert 2 < arities.count(2) / arities.count(3) < 5


def test_a_seed_means_one_recipe_in_every_process():
    program = (
        "import random; from cellzoo.notations.nas_bench_nlp import sample; print(sample(random.Random(7)))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


def test_equal_graphs_are_written_alike_whatever_their_names():
    renamed = {
        "h_new_0": {"op": "activation_tanh", "input": ["zz"]},
        "zz": {"op": "linear", "input": ["h_prev_0", "x"]},
    }
    assert nas_bench_nlp.write(nas_bench_nlp.parse(renamed)) == nas_bench_nlp.write(nas_bench_nlp.parse(RNN))


@pytest.mark.parametrize(
    ("equations", "why"),
    [
        ("h' = relu(linear(x, h))", "no recipe has the operation 'relu'"),
        ("h' = tanh(linear(x, h; bias=no))", "a linear without a bias"),
        ("h' = linear(linear(x; width=3), h)", "a linear of the width 3"),
        ("h' = linear(tanh(x), h)", "tanh reads x; in a recipe only linear does"),
        ("h' = linear(x: A, h: A2) * linear(x: A)", "it shares weights"),
        ("h' = linear(x: A, h; bias=b) * linear(x; bias=b)", "it shares weights"),
        ("h' = linear(x, h, d)\nd' = x", "it carries an input"),
        ("h' = linear(x, h)\noutput = tanh(h')", "its output is not the next value"),
        ("h' = linear(x, h, c)\nc' = h", "would be one node or no node"),
        ("h' = linear(x, h, c)\nc' = h'", "would be one node or no node"),
        ("a = linear(x, h)\nh' = add(a, a, a)", "elementwise_sum takes 2 inputs, not 3"),
        (
            "a1 = linear(x, h)\n" + "".join(f"a{k} = a{k - 1} * h\n" for k in range(2, 103)) + "h' = a102",
            "at most 100",
        ),
    ],
)
def test_what_no_recipe_can_say_is_refused(equations, why):
    cell = cellzoo.parse(equations, "equations")
    with pytest.raises(NotationError, match=f"cannot be written in this notation: .*{why}"):
        nas_bench_nlp.write(cell)


@pytest.mark.parametrize("name", cellzoo.list_cells("nbnlp-*"))
def test_the_zoos_recipes_are_written_and_read_as_themselves(name):
    cell = cellzoo.load(name)
    assert nas_bench_nlp.parse(nas_bench_nlp.write(cell)).hash == cell.hash


def published_runs() -> list[dict]:
    path = (
        data_folder("nas-bench-nlp/train_logs_wikitext-2.zip") / "nas-bench-nlp" / "train_logs_wikitext-2.zip"
    )
    with zipfile.ZipFile(path) as archive:
        return [json.loads(archive.read(name)) for name in archive.namelist()]


def test_every_published_recipe_is_written_and_read_as_itself():
    runs = published_runs()
    assert len(runs) == 345
    for run in runs:
        cell = nas_bench_nlp.parse(run["recepie"])
        assert nas_bench_nlp.parse(nas_bench_nlp.write(cell)).hash == cell.hash


def test_the_zoo_has_the_best_twenty_with_the_numbers_of_the_logs():
    graphs: dict[str, list[dict]] = {}
    for run in published_runs():
        if run["status"] == "OK":
            graphs.setdefault(nas_bench_nlp.parse(run["recepie"]).hash, []).append(run)
    best = sorted(graphs.values(), key=lambda runs: min(min(run["val_losses"]) for run in runs))[:20]
    entries = [cellzoo.entry(name) for name in cellzoo.list_cells("nbnlp-*")]
    found = {entry.cell.hash: entry for entry in entries}
    assert len(entries) == len(best) == 20
    assert {"nbnlp-7537", "nbnlp-7507", "nbnlp-gru", "nbnlp-lstm-tanh-gate"} <= {
        entry.name for entry in entries
    }
    for runs in best:
        entry = found[nas_bench_nlp.parse(runs[0]["recepie"]).hash]
        assert set(entry.aliases) == {f"nbnlp-{run['recepie_id']}" for run in runs}
        rows = {row["run"]: row for row in entry.published}
        for run in runs:
            valid = min(run["val_losses"])
            row = rows.pop(run["recepie_id"])
            assert row["valid"] == pytest.approx(math.exp(valid), abs=0.0051)
            assert row["test"] == pytest.approx(
                math.exp(run["test_losses"][run["val_losses"].index(valid)]), abs=0.0051
            )
            assert row["params"] == run["num_params"]
        assert not rows


def test_the_zoos_recipes_of_known_cells():
    assert cellzoo.load("nbnlp-7537").hash == nas_bench_nlp.parse(NLP_7537).hash
    assert cellzoo.load("nbnlp-7507").hash == nas_bench_nlp.parse(NLP_7507).hash
    assert cellzoo.load("nbnlp-gru").hash == nas_bench_nlp.parse(GRU).hash
    assert cellzoo.load("nbnlp-lstm-tanh-gate").hash == nas_bench_nlp.parse(LSTM).hash
    assert cellzoo.load("rnn").hash == nas_bench_nlp.parse(RNN).hash
    sigmoid_gate = {**LSTM, "o_act": {"op": "activation_sigm", "input": ["o"]}}
    assert cellzoo.load("lstm").hash == nas_bench_nlp.parse(sigmoid_gate).hash

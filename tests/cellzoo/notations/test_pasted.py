"""Genotypes as search code holds and prints them, and what people paste around them."""

from __future__ import annotations

import itertools
import json
from argparse import Namespace
from collections import OrderedDict, deque, namedtuple
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import torch

from cellzoo.errors import NotationError
from cellzoo.notations import parse

Genotype = namedtuple("Genotype", "recurrent concat")
Intra = namedtuple("Intra", "recurrent concat past_inputs past_states inter_weights")
CODES = {
    "darts": "Genotype(recurrent=[('sigmoid', 0), ('relu', 1), ('identity', 0)], concat=range(1, 4))",
    "idarts": "IDARTS(recurrent=[[('relu', 0), ('tanh', 0)], [('relu', 1)]], concat=range(1, 3), "
    "combine='sum')",
    "egs": "EGS(recurrent=[[(['tanh', 'relu'], 0)], [(['relu'], 0), (['identity'], 1)]], concat=range(1, 3))",
    "ess": "ESS(recurrent=[('relu', 0), ('tanh', 1)], concat=range(1, 3), "
    "past_inputs=['tanh', 'drop', 'relu'], past_states=['sigmoid'], inter_weights='lowrank:3')",
    "enas": "nao: 0 2 1 0 2 1",
    "fenas": "n1 = A_sig(x, h); n2 = A_tanh(x, h); n3 = n1 * n2",
    "nas-bench-nlp": '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, '
    '"h_new_0": {"op": "activation_tanh", "input": ["f"]}}',
}
IN_CALLS = [name for name, code in CODES.items() if code.endswith(")") and "recurrent" in code]


def same(source, notation):
    assert parse(source, notation).hash == parse(CODES[notation], notation).hash


@pytest.mark.parametrize(
    ("source", "notation"),
    [
        (Genotype([("sigmoid", 0), ("relu", 1), ("identity", 0)], range(1, 4)), "darts"),
        (Genotype((("sigmoid", 0), ("relu", 1), ("identity", 0)), (3, 1, 2)), "darts"),
        (
            Genotype([["sigmoid", np.int64(0)], ["relu", np.int32(1)], [np.str_("identity"), 0]], [1, 2, 3]),
            "darts",
        ),
        (
            {
                "recurrent": np.array([("sigmoid", 0), ("relu", 1), ("identity", 0)]),
                "concat": np.arange(1, 4),
            },
            "darts",
        ),
        (
            {
                "recurrent": np.array([("sigmoid", 0), ("relu", 1), ("identity", 0)], dtype=object),
                "concat": torch.arange(1, 4),
            },
            "darts",
        ),
        (
            OrderedDict(
                recurrent=[("sigmoid", torch.tensor(0)), ("relu", torch.tensor([1])[0]), ("identity", 0)],
                concat=torch.tensor([1.0, 2.0, 3.0]),
            ),
            "darts",
        ),
        (
            MappingProxyType(
                {"recurrent": (("sigmoid", 0), ("relu", 1), ("identity", 0)), "concat": {1, 2, 3}}
            ),
            "darts",
        ),
        ([0.03, {"best": Genotype([("sigmoid", 0), ("relu", 1), ("identity", 0)], range(1, 4))}], "darts"),
        (CODES["darts"].encode(), "darts"),
        (np.str_(CODES["darts"]), "darts"),
        (
            {
                "recurrent": [[("relu", np.int64(0)), ("tanh", np.int64(0))], [("relu", np.int64(1))]],
                "concat": np.array([1, 2]),
                "combine": np.str_("sum"),
                "highway": np.bool_(True),
            },
            "idarts",
        ),
        (
            {
                "recurrent": [
                    [(np.array(["tanh", "relu"]), np.int64(0))],
                    [(("relu",), torch.tensor(0)), (["identity"], 1)],
                ],
                "concat": torch.Size([1, 2]),
                "normalize": np.True_,
            },
            "egs",
        ),
        (
            Intra(
                [("relu", 0), ("tanh", 1)],
                [1, 2],
                np.array(["tanh", "drop", "relu"]),
                ("sigmoid",),
                "lowrank:3",
            ),
            "ess",
        ),
        ({"table": "nao", "arc": np.array([0, 2, 1, 0, 2, 1])}, "enas"),
        ({"table": "nao", "arc": torch.tensor([[0, 2], [1, 0], [2, 1]])}, "enas"),
        ({"table": "nao", "arc": [(0, 2), (1, 0), (2, 1)]}, "enas"),
        ({"table": "nao", "arc": "0 2 1 0 2 1"}, "enas"),
        (("nao", [0, 2, 1, 0, 2, 1]), "enas"),
        (["n1 = A_sig(x, h)", "n2 = A_tanh(x, h)", "n3 = n1 * n2"], "fenas"),
        (np.array(["n1 = A_sig(x, h)", "n2 = A_tanh(x, h)", "n3 = n1 * n2"]), "fenas"),
        (
            {
                "f": {"op": np.str_("linear"), "input": np.array(["x", "h_prev_0"])},
                "h_new_0": OrderedDict(op="activation_tanh", input=("f",)),
            },
            "nas-bench-nlp",
        ),
        ({"recepie": CODES["nas-bench-nlp"], "status": "OK", "num_params": 5}, "nas-bench-nlp"),
    ],
)
def test_objects_in_memory(source, notation):
    same(source, notation)


@pytest.mark.parametrize("notation", IN_CALLS)
@pytest.mark.parametrize(
    "around",
    [
        "FOUND = %s",
        "BEST_3 = %s  # epoch 49\n",
        "\ufeff%s\r\n",
        "06/27 01:25:46 PM genotype = %s",
        "2019-05-01 00:09:08,007 [INFO] it's epoch 007, genotype: %s; loss 4.07",
        "import genotypes\n\nprint(genotypes.%s)",
        "genotypes.%s",
        "search.genotypes.%s",
        "args = Namespace(lr=0.1, genotype=%s, seed=1)",
        "[epoch 3] %s \n[epoch 4] %s",
        'genotype: "%s"',
        "'''%s'''",
        "(%s,)",
        '{"epoch": 3, "loss": NaN, "best": null, "ok": true, "genotype": "%s"}',
        "result {'time': 1561598746.123, 'genotype': %s}",
    ],
)
def test_text_around_a_genotype(notation, around):
    same(around.replace("%s", CODES[notation]), notation)


@pytest.mark.parametrize("notation", IN_CALLS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0)", "np.int64(0))"),
        ("0)", "int64(0))"),
        ("0)", "numpy.int32( 0 ))"),
        ("0)", "tensor(0))"),
        ("0)", "torch.tensor(0, device='cuda:0'))"),
        ("('relu'", "(np.str_('relu')"),
        ("range(1, 3)", "array([1, 2])"),
        ("range(1, 3)", "np.array([1, 2], dtype=int32)"),
        ("range(1, 3)", "tensor([1., 2.])"),
        ("range(1, 3)", "np.arange(1, 3)"),
        ("range(1, 3)", "range(1, 3, 1)"),
        ("range(1, 3)", "list(range(1, 3))"),
        ("range(1, 3)", "tuple((1, 2))"),
        ("range(1, 3)", "{1, 2}"),
        ("range(1, 4)", "array([1,\n       2, 3])"),
    ],
)
def test_numbers_as_numpy_and_torch_print_them(notation, old, new):
    same(CODES[notation].replace(old, new), notation)
    same(f"FOUND = {CODES[notation].replace(old, new)}", notation)


@pytest.mark.parametrize("notation", IN_CALLS)
@pytest.mark.parametrize(
    "form", ["OrderedDict([{pairs}])", "OrderedDict({{{items}}})", "dict({named})", "x = {{{items}}}"]
)
def test_dicts_as_they_are_printed(notation, form):
    call, _, rest = CODES[notation].partition("(")
    named = rest[:-1]
    parts = eval(f"dict({named})")  # noqa: S307 - of a text above
    pairs = ", ".join(f"('{name}', {value!r})" for name, value in parts.items())
    items = ", ".join(f"'{name}': {value!r}" for name, value in parts.items())
    same(form.format(pairs=pairs, items=items, named=named), notation)
    same(f"result: {call}  {form.format(pairs=pairs, items=items, named=named)}", notation)


def test_arguments_may_stand_by_position():
    same("Genotype([('sigmoid', 0), ('relu', 1), ('identity', 0)], range(1, 4))", "darts")


def parts_of(notation):
    return eval(f"dict({CODES[notation].partition('(')[2][:-1]})")  # noqa: S307 - of a text above


@pytest.mark.parametrize("notation", IN_CALLS)
@pytest.mark.parametrize(
    "name", ["Genotype", "rnn.Genotype", "Arch", "search.TopologyOfRNN", "namespace", "_G2"]
)
def test_a_record_may_have_any_name(notation, name):
    rest = CODES[notation].partition("(")[2]
    same(f"{name}({rest}", notation)
    same(f"12:01 epoch 7 best {name}({rest} ppl 61.2", notation)


@pytest.mark.parametrize("notation", IN_CALLS)
def test_a_named_tuple_in_json_is_a_list(notation):
    parts = parts_of(notation)
    genotype = namedtuple("Genotype", list(parts))(*parts.values())
    written = json.dumps(genotype, default=list)
    assert written.startswith("[[")
    same(written, notation)
    same(json.dumps({"epoch": 2, "loss": [4.5, 4.25], "genotype": genotype}, default=list), notation)
    same(tuple(genotype), notation)
    same(str(genotype).replace("recurrent=", "").replace("concat=", ""), notation)


class Found:
    """A record without anything that says so."""

    def __init__(self, **parts):
        self.__dict__.update(parts)


@pytest.mark.parametrize("notation", IN_CALLS)
@pytest.mark.parametrize("kind", [Namespace, SimpleNamespace, Found])
def test_objects_with_attributes(notation, kind):
    same(kind(**parts_of(notation)), notation)
    same(kind(seed=3, genotype=kind(**parts_of(notation))), notation)


def test_nodes_may_come_one_by_one():
    edges = [("sigmoid", 0), ("relu", 1), ("identity", 0)]
    for nodes in (iter(edges), (edge for edge in edges), dict(enumerate(edges)).values(), deque(edges)):
        same({"recurrent": nodes, "concat": iter([1, 2, 3])}, "darts")
    with pytest.raises(NotationError, match="more than 100000 items"):
        parse({"recurrent": itertools.count(), "concat": [1]}, "darts")


@pytest.mark.parametrize("notation", list(CODES))
@pytest.mark.parametrize(
    "copied",
    [
        lambda code: f"\x1b[1;32m{code}\x1b[0m",
        lambda code: code.replace(" ", "\u00a0"),
        lambda code: "\u200b" + code.replace("'", "\u2019").replace('"', "\u201d"),
        lambda code: code.replace("'", "\u2018", 1) if code.count("'") > 1 else code,
        lambda code: f"\ufeff{code}\r\n",
        lambda code: f"\x1b]8;;file:///tmp/log\x1b\\{code}\x1b]8;;\x07",
        lambda code: code.replace(", ", ",\u202f"),
    ],
)
def test_what_terminals_and_pages_add(notation, copied):
    same(copied(CODES[notation]), notation)


LINES = CODES["fenas"].split("; ")
EQUATIONS = "z = sigmoid(linear(x, h))\nh' = blend(z, tanh(linear(x, h; bias=no)), h)"


@pytest.mark.parametrize(
    "around",
    [
        "CELL = '%s'",
        "%s  # the best one",
        "INFO 12:00 best cell: %s",
        "```\n%s\n```",
        "see\n\n```text\n%s\n```\nppl 61",
    ],
)
def test_node_lists_in_text(around):
    same(around.replace("%s", CODES["fenas"]), "fenas")


@pytest.mark.parametrize(
    "source",
    [
        "\n".join(f"INFO:root:{line}" for line in LINES),
        "\r".join(LINES),
        repr(LINES),
        json.dumps(LINES),
        json.dumps({"epoch": 4, "cell": {"nodes": LINES, "ppl": 61.5}}),
        json.dumps({"cell": CODES["fenas"]}),
        'CELL = """\n' + "\n".join(LINES) + '\n"""\nSTEPS = 3\n',
        dict(line.split(" = ") for line in LINES),
        json.dumps(dict(line.split(" = ") for line in LINES)),
        {"best": [{"nodes": LINES}]},
        "# found by FENAS\n" + "\n".join(f"{line}  # node" for line in LINES),
    ],
)
def test_node_lists_as_they_are_kept(source):
    same(source, "fenas")


@pytest.mark.parametrize(
    "source",
    [
        f'name = "mine"\nnotation = "equations"\ngenotype = """\n{EQUATIONS}\n"""\n',
        repr(EQUATIONS),
        json.dumps({"name": "mine", "genotype": EQUATIONS}),
        json.dumps({"log": json.dumps([{"cell": EQUATIONS.split("\n")}])}),
        EQUATIONS.replace("\n", "\r"),
        EQUATIONS.replace("\n", "; "),
        EQUATIONS.replace("'", "\u2032"),
        f"As in the paper:\n\n```\n{EQUATIONS}\n```\n",
        {"z": "sigmoid(linear(x, h))", "h'": "blend(z, tanh(linear(x, h; bias=no)), h)"},
        Found(genotype=EQUATIONS, seed=1),
    ],
)
def test_equations_as_they_are_kept(source):
    assert parse(source, "equations").hash == parse(EQUATIONS, "equations").hash


@pytest.mark.parametrize(
    "text",
    [
        "INFO epoch 3 nao: 0 2 1 0 2 1 ppl=60.1",
        "nao: 0 2 1 0 2 1, ppl: 60.1",
        "nao: [0 2 1 0 2 1] | loss 4.5",
        '{"nao": [0, 2, 1, 0, 2, 1]}',
        {"nao": np.array([0, 2, 1, 0, 2, 1])},
        "nao: 0 2 1 0 2 1\nnao: 0 2 1 0 2 1\n",
        "Arc(table='nao', arc=[0, 2, 1, 0, 2, 1])",
    ],
)
def test_arcs_in_logs(text):
    same(text, "enas")


@pytest.mark.parametrize(
    "text",
    [
        "nao: [0, 2, 1, 0, 2, 1]",
        "nao: [(0, 2), (1, 0), (2, 1)]",
        "nao: array([0, 2, 1, 0, 2, 1])",
        "nao: '0 2 1 0 2 1'",
        "06/27 01:25:46 PM nao: 0 2 1 0 2 1",
        "ARC = 'nao: 0 2 1 0 2 1'",
        "found nao: arc = [0 2 1 0 2 1]",
        '{"table": "nao", "arc": [0, 2, 1, 0, 2, 1]}',
        "dict(table='nao', arc='0 2 1 0 2 1')",
        "('nao', [0, 2, 1, 0, 2, 1])",
        '{"epoch": 3, "best": {"table": "nao", "arc": [[0, 2], [1, 0], [2, 1]]}}',
    ],
)
def test_arcs_as_they_are_printed(text):
    same(text, "enas")


RECIPE = json.loads(CODES["nas-bench-nlp"])


@pytest.mark.parametrize(
    "text",
    [
        repr(RECIPE),
        repr(OrderedDict(RECIPE)),
        f"recipe = {RECIPE}",
        json.dumps(json.dumps(RECIPE)),
        json.dumps({"recepie": json.dumps(RECIPE), "status": "OK", "val_loss": [4.5, 4.25]}),
        json.dumps({"recepie": RECIPE, "val_loss": [float(step) for step in range(9000)]}),
        json.dumps([{"model": 0, "log": json.dumps({"recepie": json.dumps(RECIPE)})}]),
        f"INFO 12:00:01 model 7: {json.dumps(RECIPE)}",
        f"it's {json.dumps({'recepie': json.dumps(RECIPE)})} done",
        str({"recepie": str(RECIPE), "np": 3}),
    ],
)
def test_recipes_as_they_are_logged(text):
    same(text, "nas-bench-nlp")


OTHER = "Genotype(recurrent=[('tanh', 0)], concat=[1])"


@pytest.mark.parametrize(
    ("source", "notation", "message"),
    [
        (
            f"A = {CODES['darts']}\nB = {OTHER}\n",
            "darts",
            "found 2 that differ; give one of them alone: Genotype",
        ),
        ([CODES["darts"], OTHER], "darts", "found 2 that differ"),
        ("nao: 0 1\nBEST = 1\nnao-ws: 0 1", "enas", "number|differ"),
        ("first nao: 0 1\nthen nao-ws: 0 1", "enas", "found 2 that differ; give one of them alone"),
        ([RECIPE, {**RECIPE, "g": RECIPE["f"]}], "nas-bench-nlp", "found 2 that differ"),
        ([0, 2, 1, 0], "enas", "an arc without its table; expected .*TABLE one of enas_lm"),
        (torch.tensor([0, 2, 1, 0]), "enas", "an arc without its table"),
        ("0 2 1 0", "enas", "TABLE one of enas_lm"),
        ("FOUND = Genotype(recurrent=[('rleu', 0)], concat=[1])", "darts", "unknown operation 'rleu'.*'relu'"),
        ("FOUND = Genotype(recurrent=[('relu', 0)])", "darts", "lacks 'concat'"),
        (
            "FOUND = Genotype(recurrent=[('relu', f(0))], concat=[1])",
            "darts",
            r"'f\(0\)' at column .* is not part",
        ),
        ("FOUND = Genotype(recurrent=[('relu', 0)", "darts", "line 1"),
        (np.zeros((1000, 1000)), "darts", "more than 100000 items"),
        ({"recurrent": range(10**12), "concat": [1]}, "darts", "more than 100000 items"),
        (object(), "darts", "expected Genotype"),
        (None, "enas", "expected TABLE"),
        (np.float64(2.5), "egs", "expected EGS"),
        (42, "fenas", "expected text"),
        (
            f"A = '{CODES['fenas']}'\nB = 'n1 = A_sig(x, h)'",
            "fenas",
            "found 2 that differ; give the lines of one",
        ),
        ({"a": EQUATIONS, "b": EQUATIONS.replace("tanh", "relu")}, "equations", "found 2 that differ"),
        ("CELL = 'n1 = A_sgi(x, h)'", "fenas", "give the lines alone, without other text around them"),
        ('{"cell": "h\' = tnah(linear(x, h))"}', "equations", "give the lines alone"),
        ("nao: 0 2 1 0 2 1\nnao: 0 2 1 0 2 2", "enas", "found 2 that differ"),
        ("nao: 0 2 1 0 2 1 x 3", "enas", "number 7 is 'x'; expected a number"),
        ("Genotype(recurrent=[('relu', 0), ...], concat=[1])", "darts", "'...' at column .* was left out"),
        (None, "equations", "expected text"),
        (torch.zeros(2), "nas-bench-nlp", "expected a mapping"),
        (
            {"recurrent": [("relu", np.float64(0.5))], "concat": [1]},
            "darts",
            "predecessor .*0.5.* does not exist",
        ),
        ({"recurrent": [("relu", np.array([0, 1]))], "concat": [1]}, "darts", "predecessor .* does not exist"),
    ],
)
def test_what_is_not_one_genotype_is_said_in_one_line(source, notation, message):
    with pytest.raises(NotationError, match=message) as caught:
        parse(source, notation)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_what_holds_itself_ends():
    loop = [1]
    loop.append(loop)
    for source in (loop, {"recurrent": loop, "concat": loop}, deque([loop])):
        for notation in CODES:
            with pytest.raises(NotationError):
                parse(source, notation)


@pytest.mark.parametrize(
    "text", ["{" * 19_000, "Genotype(" * 2_000, "{'a': " * 3_000, "dict(" * 3_000 + ")" * 3_000]
)
def test_texts_of_brackets_end_soon(text):
    for notation in ("darts", "nas-bench-nlp"):
        with pytest.raises(NotationError):
            parse(text, notation)

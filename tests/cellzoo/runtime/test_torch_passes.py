"""Rewriting kernels changes no value: random ones, before and after, over whole numbers modulo a prime."""

from __future__ import annotations

import random
import sys
from dataclasses import replace

import pytest
from engine_cases import Case, call, draw

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.runtime.plan import build_plan
from cellzoo.runtime.program import Buffer, BufferKind, Op
from cellzoo.runtime.torch_engine import TorchRuntime, registers
from cellzoo.runtime.torch_engine.blocks import Blocks
from cellzoo.runtime.torch_engine.compiled import compile_plan
from cellzoo.runtime.torch_engine.gradients import postpone_sums
from cellzoo.runtime.torch_engine.lanes import alike, neighbours, one_by_one
from cellzoo.runtime.torch_engine.merge import in_a_row, merge
from cellzoo.runtime.torch_engine.operands import Biases, BufferColumns, Register, Scratch
from cellzoo.runtime.torch_engine.products import KernelProducts, MatMul, homes, wishes
from cellzoo.runtime.torch_engine.registers import Together, allocate
from cellzoo.runtime.torch_engine.simplify import simplify
from cellzoo.runtime.torch_engine.steps import Body, Factor, Step

PRIME = 2_147_483_647
BUFFERS = 5
WIDTH = "hidden"
FUNCTIONS = {
    Op.COPY: lambda a: a,
    Op.NEGATE: lambda a: -a,
    Op.ADD: lambda a, b: a + b,
    Op.SUBTRACT: lambda a, b: a - b,
    Op.MULTIPLY: lambda a, b: a * b,
    Op.MULTIPLY_ADD: lambda a, b, c: a * b + c,
    Op.BLEND: lambda z, a, b: b + z * (a - b),
}


def view(buffer):
    return BufferColumns((buffer,))


def random_body(generator):
    """One kernel: some products, then a program that copies and repeats itself more than most."""
    factors, inits = [], {}
    products = generator.choice((0, 1, 2, 2, 3, 4))
    for number in range(products):
        for _ in range(generator.choice((1, 1, 2, 3))):
            source = view(generator.randrange(BUFFERS))
            factors.append(Factor(source, Register(number), generator.randrange(6), generator.random() < 0.5))
        inits[Register(number)] = generator.choice(
            (None, Biases((6,), WIDTH), view(generator.randrange(BUFFERS)))
        )
    registers = [Register(number) for number in range(products)]
    steps = []
    for number in range(products, products + generator.randint(1, 9)):
        if steps and generator.random() < 0.3:
            op, args = (earlier := generator.choice(steps)).op, earlier.args
        else:
            op = generator.choice((Op.COPY, Op.COPY, Op.COPY, *FUNCTIONS))
            known = [*registers, *registers, *map(view, range(BUFFERS))]
            args = tuple(generator.choice(known) for _ in range(FUNCTIONS[op].__code__.co_argcount))
        target = view(generator.randrange(BUFFERS))
        if generator.random() < 0.6:
            target = Register(number)
            registers.append(target)
        steps.append(Step(op, target, args))
    return Body(WIDTH, tuple(factors), inits, tuple(steps))


def weight(index):
    return 0 if index is None else 7919 * index + 3


def buffers_before():
    return {("buffer", index): 1_000_003 * index + 11 for index in range(BUFFERS)}


def as_written(kernels):
    """What the buffers hold after all kernels, one after the other."""
    memory = buffers_before()

    def read(place):
        if isinstance(place, Biases):
            return weight(place.weights[0])
        return memory[place if isinstance(place, Register) else ("buffer", place.buffers[0])]

    for body in kernels:
        sums = {}
        for register, init in body.inits.items():
            sums[register] = 0 if init is None else read(init)
        for factor in body.factors:
            sums[factor.register] += read(factor.source) * weight(factor.weight)
        memory.update(sums)
        for step in body.steps:
            value = FUNCTIONS[step.op](*map(read, step.args)) % PRIME
            memory[step.target if isinstance(step.target, Register) else ("buffer", step.target.buffers[0])] = (
                value
            )
    return {key: value % PRIME for key, value in memory.items() if isinstance(key, tuple)}


def plan_with_buffers():
    plan = build_plan(cellzoo.load("rnn"))
    return replace(plan, buffers=(Buffer(BufferKind.ALL, WIDTH),) * BUFFERS)


def as_rewritten(kernels, group):
    """The same, from what the engine makes of them."""
    merged = merge(kernels)
    rewritten = [simplify(body) for body in (in_a_row(merged) if group is alike else merged)]
    asked = [wish for body in rewritten for wish in wishes(body)]
    asked += [wish for body in rewritten for wish in neighbours(group(body.steps, homes(body)))]
    blocks = Blocks(plan_with_buffers(), asked)
    memory = buffers_before()

    def cells(place):
        if isinstance(place, BufferColumns):
            return [("buffer", index) for index in place.buffers]
        return [(place.name, place.total, place.first + offset) for offset in range(place.count)]

    def read(place):
        if isinstance(place, Biases):
            return [weight(index) for index in place.weights]
        return [memory.get(cell, 0) for cell in cells(place)]

    for body in rewritten:
        products = KernelProducts(body, blocks)
        for step in (*products.calls, *allocate(group(body.steps, products.places), WIDTH, blocks)):
            if isinstance(step, Together):
                run_together(step, memory, cells, read)
                continue
            targets = cells(step.target)
            if isinstance(step, MatMul):
                sources = read(step.source)
                start = [0] * len(targets) if step.init is None else read(step.init)
                assert step.init == step.target or not {*cells(step.source)} & {*targets}
                grid = (
                    step.matrix.grid
                    if not step.matrix.transposed
                    else list(zip(*step.matrix.grid, strict=True))
                )
                for column, target in enumerate(targets):
                    total = sum(source * weight(row[column]) for source, row in zip(sources, grid, strict=True))
                    memory[target] = (start[column] + total) % PRIME
            elif step.op is Op.FILL:
                memory[targets[0]] = 0
            else:
                assert isinstance(step.target, BufferColumns | Scratch)
                values = [read(arg)[0] for arg in step.args]
                memory[targets[0]] = FUNCTIONS[step.op](*values) % PRIME
    return {key: value % PRIME for key, value in memory.items() if key[0] == "buffer"}


def run_together(together, memory, cells, read):
    """Lanes are read from where they are put, and no step overwrites what another lane still reads."""
    for parts, room in together.gathered:
        memory.update(zip(cells(room), [read(part)[0] for part in parts], strict=True))
    targets, count = cells(together.target.whole), len(together.steps)
    assert len(targets) == len(set(targets)) == count
    lanes = []
    for arg in together.args:
        assert cells(arg.whole) == targets or not {*cells(arg.whole)} & {*targets}
        lanes.append(read(arg.whole) * (count if arg.count == 1 else 1))
    values = [FUNCTIONS[together.steps[0].op](*args) % PRIME for args in zip(*lanes, strict=True)]
    memory.update(zip(targets, values, strict=True))


@pytest.mark.parametrize("group", [one_by_one, alike])
@pytest.mark.parametrize(
    "seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 8))]
)
def test_rewritten_kernels_leave_the_same_in_memory(seed, group, monkeypatch):
    # As if all steps were so much work that it is worth putting their operands side by side.
    monkeypatch.setattr(registers, "_WORK", dict.fromkeys(FUNCTIONS, 8))
    generator = random.Random(seed)
    for _ in range(400):
        kernels = [random_body(generator) for _ in range(generator.randint(1, 5))]
        assert as_rewritten(kernels, group) == as_written(kernels), kernels


def test_a_sum_over_rows_waits_only_for_rows_that_stay():
    """Of three values in memory, one is overwritten by its own kernel, and one by a later kernel."""
    sums = [Step(Op.REDUCE_ROWS, None, (view(index),), index) for index in range(3)]
    first = Body(WIDTH, (), {}, (*sums, Step(Op.NEGATE, view(0), (view(0),))))
    second = Body(WIDTH, (), {}, (Step(Op.COPY, view(1), (view(0),)),))
    (left, _), postponed = postpone_sums(plan_with_buffers(), [first, second])
    assert postponed == [(2, 2)]
    assert left.steps == (*sums[:2], first.steps[-1])


def test_blocks_hold_what_one_product_reads_or_writes():
    blocks = Blocks(plan_with_buffers(), map(frozenset, ((0, 3), (0, 1, 3), (1, 2, 4), (2, 4))))
    # {1, 2, 4} would tear the others apart.
    assert blocks.members == ((0, 3, 1), (2, 4))
    assert blocks.join([view(3), view(1)]) == BufferColumns((3, 1))
    assert blocks.join([view(1), view(3)]) is None
    assert blocks.runs(map(view, (4, 1, 3))) == [(view(3), view(1)), (view(4),)]


def test_values_of_a_step_and_of_all_rows_do_not_share_a_block():
    plan = plan_with_buffers()
    plan = replace(plan, buffers=(Buffer(BufferKind.STEP, WIDTH), *plan.buffers[1:]))
    assert Blocks(plan, [frozenset((0, 1))]).members == ((0,), (1,), (2,), (3,), (4,))


def test_an_lstm_step_is_as_short_as_it_can_be():
    """Forward: a product in place, four activations, c' in two, tanh, h', and the output; nothing is copied."""
    plan = build_plan(cellzoo.load("lstm"))
    code = compile_plan(plan, frozenset(), frozenset(range(len(plan.weights))))
    assert len(code.forward_input.actions) == 1
    assert len(code.forward_step.actions) == 10
    assert [len(product.weights) for product in code.weight_products] == [4, 4]
    assert len(code.sums) == 4


def of_nodes(*nodes):
    return Cell((State("h", nodes[-1].name),), nodes, nodes[-1].name)


def sum_of_many(n):
    return of_nodes(linear("a", "x", "h"), Node("b", "tanh", ("a",)), Node("y", "add", ("b",) * n))


def many_matrices(n):
    weights = tuple(f"w{k}" for k in range(n))
    return of_nodes(linear("a", "x", "h"), Node("b", "tanh", ("a",)), Node("y", "linear", ("b",) * n, weights))


def many_sources(n):
    values = [Node(f"v{k + 1}", "tanh", (f"v{k}",)) for k in range(n)]
    names, weights = tuple(value.name for value in values), tuple(f"w{k}" for k in range(n))
    return of_nodes(linear("v0", "x", "h"), *values, Node("y", "linear", names, weights))


def many_linears(n):
    """All read h, so they are one kernel."""
    values = [linear(f"a{k}", "x", "h") for k in range(n)]
    gates = [Node(f"b{k}", "sigmoid", (value.name,)) for k, value in enumerate(values)]
    return of_nodes(*values, *gates, Node("y", "add", tuple(gate.name for gate in gates)))


def chain_of_linears(n):
    """One kernel after the other."""
    nodes = [linear("a0", "x", "h"), Node("b0", "tanh", ("a0",))]
    for k in range(1, n):
        nodes += [
            Node(f"a{k}", "linear", (f"b{k - 1}", "h"), (f"w{k}", f"v{k}")),
            Node(f"b{k}", "tanh", (f"a{k}",)),
        ]
    return of_nodes(*nodes)


def elementwise(n):
    generator = random.Random(0)
    nodes = [linear("v0", "x", "h")]
    for k in range(1, n):
        op = generator.choice(("tanh", "sigmoid", "multiply", "add", "minimum", "blend"))
        others = {"tanh": 0, "sigmoid": 0, "blend": 2}.get(op, 1)
        names = [f"v{generator.randrange(max(0, k - 20), k)}" for _ in range(others)]
        nodes.append(Node(f"v{k}", op, (f"v{k - 1}", *names)))
    return of_nodes(*nodes)


def calls_to_compile(cell):
    """How many functions are called, those of the interpreter and steps of generators included."""
    plan = build_plan(cell)
    compile_plan.cache_clear()
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        compile_plan(plan, frozenset(), frozenset(range(len(plan.weights))))
    finally:
        sys.setprofile(previous)
    return calls


@pytest.mark.parametrize(
    "cell", [sum_of_many, many_matrices, many_sources, many_linears, chain_of_linears, elementwise]
)
def test_the_work_of_compiling_grows_with_the_cell_and_no_faster(cell):
    """Four times the cell is about four times the work; pairs of steps would be sixteen times as many."""
    assert calls_to_compile(cell(200)) < 6 * calls_to_compile(cell(50))


def test_engines_of_one_cell_share_what_was_compiled():
    case = Case(3, 4, (2, 1))
    first, second = (TorchRuntime(cellzoo.load("lstm")) for _ in range(2))
    compile_plan.cache_clear()
    for runtime, backwards in ((first, False), (second, True)):
        one = replace(case, reverse=backwards)
        call(runtime, one, draw(runtime.cell, one))
    assert (compile_plan.cache_info().misses, compile_plan.cache_info().hits) == (1, 1)

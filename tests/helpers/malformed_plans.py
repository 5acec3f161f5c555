"""Gives the native library plans with numbers changed; it must refuse them, or run them within its memory.

Every matrix and vector that it is handed is large enough for widths up to `MOST_UNITS`; what asks for more than
that is only looked at.
"""

from __future__ import annotations

import ctypes
import random
import sys
from collections import Counter

import cellzoo
from cellzoo.runtime.native import binding
from cellzoo.runtime.native.encoding import encode
from cellzoo.runtime.plan import build_plan, plan_graph, plan_sizes
from search.supernets.graph import GraphOutline, supernet_graph
from search.supernets.layout import Layout
from search.supernets.terms import layout_terms

BATCH_SIZES = (3, 2)
MOST_UNITS = 64
MOST_BYTES = 2**24
VALUES = (-(2**63), -(2**40), -2, -1, 0, 1, 2, 3, 5, 63, 64, 4096, 2**24, 2**31, 2**40, 2**63 - 1)
# Sums of rows, a scalar, masks, products of two levels, and values of x's width.
CELL = """
a = sigmoid(linear(x, h) * scalar[k])
x1 = linear(h; width=input) * x
c' = a * c + vector[v] * tanh(linear(x1, h))
h' = mean(linear(tanh(c'); bias=no), minimum(a, h))
"""


class Memory:
    """What every call is handed."""

    def __init__(self) -> None:
        self.room = (ctypes.c_double * (MOST_BYTES // 8))()
        self.many = (ctypes.c_void_p * 4096)(*[ctypes.addressof(self.room)] * 4096)
        self.workspaces = [ctypes.create_string_buffer(MOST_BYTES + 64) for _ in range(2)]
        self.sizes = (ctypes.c_int64 * 2)()

    def call(self) -> binding.Call:
        room, many = ctypes.addressof(self.room), ctypes.cast(self.many, ctypes.c_void_p)
        saved, scratch = (-(-ctypes.addressof(each) // 64) * 64 for each in self.workspaces)
        return binding.Call(
            dtype=1,
            isa=0,
            threads=1,
            steps=len(BATCH_SIZES),
            batch=BATCH_SIZES[0],
            rows=sum(BATCH_SIZES),
            batch_sizes=(ctypes.c_int64 * len(BATCH_SIZES))(*BATCH_SIZES),
            reverse=False,
            training=True,
            inputs=room,
            outputs=room,
            initial=many,
            final=many,
            masks=many,
            weights=many,
            parameters=room,
            saved=saved,
            scratch=scratch,
            grad_outputs=room,
            grad_final=many,
            grad_inputs=room,
            grad_initial=many,
            grad_weights=many,
            grad_parameters=room,
            norm_statistics=room,
        )


def plans():
    """Encoded plans: numbers, and constants."""
    layout = Layout(nodes=2)
    terms = tuple(layout_terms(layout))
    for plan in (
        build_plan(cellzoo.parse(CELL, "equations"), masked_x=True, masked_h=True),
        plan_graph(supernet_graph(GraphOutline(layout, terms, "batch", True, True))),
    ):
        encoded = encode(plan, plan_sizes(plan, input_size=3, hidden_size=5))
        yield list(encoded.integers), encoded.constants


def changed(numbers, generator, count):
    """One number at a time, each in every way; then several, and more or fewer of them."""
    for position, number in enumerate(numbers):
        for value in {*VALUES, number + 1, number - 1, -number} - {number}:
            if -(2**63) <= value < 2**63:
                yield [*numbers[:position], value, *numbers[position + 1 :]]
    for _ in range(count):
        other = list(numbers)
        for _ in range(generator.choice((2, 3, 10))):
            other[generator.randrange(len(other))] = generator.choice((*VALUES, *numbers))
        yield other
        cut = generator.randrange(len(numbers))
        yield numbers[:cut]
        yield [*numbers[:cut], generator.choice(VALUES), *numbers[cut:]]


def attempt(lib, memory, call, numbers, constants) -> str:
    """What became of a plan."""
    plan = ((ctypes.c_int64 * len(numbers))(*numbers), len(numbers))
    is_wide = (
        any(number > MOST_UNITS for number in numbers[2 : 2 + max(0, min(numbers[1], len(numbers)))])
        if len(numbers) > 1
        else False
    )
    outcome = "run"
    for backward, name in enumerate(("cellzoo_forward", "cellzoo_backward")):
        status = lib.cellzoo_workspace(*plan, call, backward, memory.sizes)
        if status == 0 and (is_wide or max(memory.sizes) > MOST_BYTES):
            return "too large to run here"
        if status == 0:
            status = getattr(lib, name)(*plan, constants, call)
        assert status in (0, -1, -2, -3), status
        if status:
            outcome = "refused"
    return outcome


def main(count: int = 300) -> None:
    lib, memory, generator = binding.load(), Memory(), random.Random(1)
    call, outcomes = memory.call(), Counter()
    for numbers, constants in plans():
        assert attempt(lib, memory, call, numbers, constants) == "run"
        outcomes.update(
            attempt(lib, memory, call, other, constants) for other in changed(numbers, generator, count)
        )
    assert outcomes["refused"] > outcomes.total() / 2
    assert outcomes["run"] > 100
    sys.stdout.write(f"{dict(outcomes)}\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        binding._NAME = sys.argv[1]
    main()
    sys.stdout.write("done\n")

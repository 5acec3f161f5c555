"""The cases of `cellzoo bench --benchmark supernet`."""

import json
from functools import partial

import torch

from cellzoo.bench.case import LOOP, Shape, benchmark_cases
from search.supernets.benchmark import cases

SHAPE = Shape("small", 5, 4, 7, 7)
ENGINES = ("reference", "torch", "native")


def test_engines_compute_what_the_loop_of_the_code_computes():
    for case in cases(SHAPE, "float64", ENGINES):
        assert list(case.flops) == [LOOP, *ENGINES]
        expected = case.build(LOOP, SHAPE)()
        for name in ENGINES:
            for one, other in zip(case.build(name, SHAPE)(), expected, strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


def test_counts_the_products():
    every, alone = (case.flops[LOOP] for case in cases(SHAPE, "float32", ()))
    # 20 rows; x and h (7 + 7) x 14 once, 36 edges of 7 x 14; forward, to the states, to the weights.
    assert every == 3 * 2 * 20 * (14 * 14 + 36 * 7 * 14)
    assert alone * 3 == every * 2


def test_is_found_and_goes_to_another_process():
    found = benchmark_cases("supernet", [SHAPE], "float32", ENGINES)
    assert [case.title for case in found] == [case.title for case in cases(SHAPE, "float32", ENGINES)]
    build = found[1].build
    again = partial(build.func, **json.loads(json.dumps(build.keywords)))
    for one, other in zip(again(LOOP, SHAPE)(), found[1].build(LOOP, SHAPE)(), strict=True):
        assert torch.equal(one, other)

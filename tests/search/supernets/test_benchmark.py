"""What `cellzoo bench --benchmark supernet` times."""

import time

import torch

from cellzoo.bench.benchmarks import benchmark_cases
from cellzoo.bench.shapes import Shape
from search.supernets.benchmark import LOOP, cases, rebuild_case

SHAPE = Shape("small", 5, 4, 7, 7)


def test_engines_compute_what_the_loop_of_the_code_computes():
    for case in cases(SHAPE, "float64"):
        names = case.candidates(("reference", "torch", "native"))
        assert names == [LOOP, "reference", "torch", "native"]
        expected = case.build(LOOP, time.process_time).run()
        for name in names[1:]:
            for one, other in zip(case.build(name, time.process_time).run(), expected, strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


def test_counts_the_products():
    every, alone = cases(SHAPE, "float32")
    # 20 rows; x and h (7 + 7) x 14 once, 36 edges of 7 x 14; forward, to the states, to the weights.
    assert every.flops == 3 * 2 * 20 * (14 * 14 + 36 * 7 * 14)
    assert alone.flops * 3 == every.flops * 2


def test_is_found_and_built_again():
    found = benchmark_cases("supernet", [SHAPE], "float32")
    assert found == cases(SHAPE, "float32")
    _, arguments = found[0].recipe()
    assert rebuild_case(**arguments) == found[0]

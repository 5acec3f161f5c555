"""Latency of single items: what is timed, with how many threads, and what comes back as it was."""

from __future__ import annotations

import time
from itertools import pairwise

import torch
from torch import nn

from tasks.latency import ITEMS, measure_latency


class Sleeper:
    """Takes 1 ms for most items, and 8 ms for one in ten."""

    def __init__(self, items, seconds=0.001):
        self.test_items = items
        self.seconds = seconds
        self.seen, self.threads, self.modes = [], set(), set()

    def answer(self, model, number):
        self.seen.append(number)
        self.threads.add(torch.get_num_threads())
        self.modes.add((model.training, torch.is_grad_enabled()))
        end = time.perf_counter() + self.seconds * (8 if number % 10 == 3 else 1)
        while time.perf_counter() < end:
            pass


def test_items_alone_by_one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    model = nn.Sequential(nn.Dropout(), nn.Linear(1, 1).eval())
    sleeper = Sleeper(1000)
    try:
        found = measure_latency(sleeper, model)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert (model.training, model[0].training, model[1].training) == (True, True, False)
    assert sleeper.threads == {1}
    assert sleeper.modes == {(False, False)}
    assert 10 <= found.items <= ITEMS
    # Other processes may take time away, and never give any.
    assert found.most >= found.median >= 1.0
    places = sorted(sleeper.seen[3:])
    assert {b - a for a, b in pairwise(places)} <= set(range(10, 1000, 10))


def test_slow_models_take_ten_items_and_small_data_all():
    assert measure_latency(Sleeper(500, 0.04), nn.Dropout()).items == 10
    small = Sleeper(4, 0.0)
    assert measure_latency(small, nn.Dropout()).items == 4
    assert sorted(small.seen[3:]) == [0, 1, 2, 3]

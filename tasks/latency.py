"""How long a trained model takes for one sentence or example, as in use: one at a time, by one thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from tasks.task import Latency

if TYPE_CHECKING:
    from torch import nn

    from tasks.problem import AnswersOne

ITEMS = 100
_WARM_UP = 3
_SECONDS = 0.3
_FEWEST = 10


@torch.no_grad()
def measure_latency(problem: AnswersOne, model: nn.Module) -> Latency:
    """Time up to 100 items spread evenly over test, for about 0.3 s in all, but at least 10 of them.

    Features of pretrained models that are computed once for all runs are looked up here, too, so that their
    time is not in it.

    Args:
        problem: Whose test items.
        model: A model of the problem; its mode and the number of threads come back as they were.
    """
    count = min(ITEMS, problem.test_items)
    places = [number * problem.test_items // count for number in range(count)]
    training = [module for module in model.modules() if module.training]
    threads = torch.get_num_threads()
    model.eval()
    torch.set_num_threads(1)
    try:
        for place in places[:_WARM_UP]:
            problem.answer(model, place)
        taken: list[float] = []
        order = np.random.default_rng(0).permutation(places).tolist()
        end = time.perf_counter() + _SECONDS
        for place in order:
            begin = time.perf_counter()
            problem.answer(model, place)
            now = time.perf_counter()
            taken.append(1e3 * (now - begin))
            if now > end and len(taken) >= _FEWEST:
                break
    finally:
        torch.set_num_threads(threads)
        for module in training:
            module.training = True
    return Latency(float(np.median(taken)), float(np.quantile(taken, 0.95)), len(taken))

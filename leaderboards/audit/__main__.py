"""`python -m leaderboards.audit --out docs/statistics.md`: simulate, and write the page of the docs."""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
from pathlib import Path

from cellzoo.system.atomic import write_atomically
from leaderboards.audit.page import render
from leaderboards.audit.simulation import shares_of
from leaderboards.audit.worlds import METRICS, Setting

SEEDS, ITEMS, CELLS = (3, 5, 10), (300, 2000), (2, 8, 20)


def main() -> None:
    """Simulate every setting, the page growing with each; the same arguments give the same page."""
    parser = argparse.ArgumentParser(prog="python -m leaderboards.audit", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the page; figures go to FILE.json"
    )
    parser.add_argument("--worlds", type=int, default=1000, help="boards a setting (default: 1000)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args()
    order = itertools.product(CELLS, SEEDS, ITEMS, METRICS)
    settings = [Setting(metric, cells, seeds, items) for cells, seeds, items, metric in order]
    tasks = [(number, setting, options.worlds) for number, setting in enumerate(settings)]
    results = []
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for result in pool.imap(shares_of, tasks):
            results.append(result)
            write_atomically(options.out.with_suffix(".json"), json.dumps(results, indent=1).encode() + b"\n")
            write_atomically(options.out, render(results).encode())


if __name__ == "__main__":
    main()

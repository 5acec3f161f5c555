"""`python -m leaderboards.audit --out docs/statistics.md`: simulates boards and writes the page of the docs."""

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
    """Simulate all settings; the page is updated after each one. Equal arguments give equal pages."""
    parser = argparse.ArgumentParser(prog="python -m leaderboards.audit", description=__doc__)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="page to write; numbers go into the .json file next to it",
    )
    parser.add_argument("--worlds", type=int, default=1000, help="number of boards per setting (default: 1000)")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes (default: 1)")
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

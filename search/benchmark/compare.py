"""The comparison as the command makes it: which methods, both pools, the released protocol, page and JSON."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError
from search.benchmark.pool import searchable
from search.benchmark.regret import BASELINE, Method, Protocol, build_sampler, run_trials
from search.benchmark.released import run_released
from search.benchmark.summary import Comparison, interval, write_comparison
from search.benchmark.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ALL = "all"
# What `all` leaves out, and why.
SLOW = {"zero-cost": "it scores every cell anew in each trial; name it to compare it"}
# What is compared beside the samplers as they are, as in the paper: fewer epochs, more dimensions.
VARIANTS = {
    BASELINE: Method("random, 10 epochs", BASELINE, (("epochs", 10),)),
    "bayes": Method("bayes, 50 dimensions", "bayes", (("dimensions", 50),)),
}
# The horizons are so short that the usual populations would never be complete: a whole training takes 5.7
# hours.
SETTINGS: dict[str, tuple[tuple[str, Any], ...]] = {"evolution": (("population", 10), ("sample", 5))}
_TITLES = {True: "All recipes", False: "Without RNN, LSTM and GRU"}


def parse_methods(text: str) -> tuple[Method, ...] | None:
    """Read names of samplers with settings, such as `random,evolution:population=20:sample=5`; None for `all`.

    Raises:
        CellzooError: A setting is not KEY=VALUE, or a method is there twice.
    """
    from tasks.settings import Typed

    if text.strip() == ALL:
        return None
    methods = []
    for part in text.split(","):
        name, *pairs = part.strip().split(":")
        settings = []
        for pair in pairs:
            key, sign, value = pair.partition("=")
            if not sign or not key:
                raise CellzooError(f"--methods {part!r:.80}: expected NAME:KEY=VALUE, such as random:epochs=10")
            settings.append((key.strip(), Typed(value.strip())))
        label = ", ".join([name, *(pair.strip() for pair in pairs)])
        methods.append(Method(label, name, tuple(settings) or SETTINGS.get(name, ())))
    if len({method.label for method in methods}) < len(methods):
        raise CellzooError(f"--methods {text!r:.80}: a method is there twice")
    return tuple(methods)


def all_methods(table: Table) -> tuple[list[Method], list[str]]:
    """Every sampler that can search a table, and why the others cannot."""
    from search.registry import find_method, method_names
    from search.samplers.kind import SamplerKind

    space = searchable(table)
    names = [name for name in method_names() if isinstance(find_method(name), SamplerKind)]
    methods: list[Method] = []
    notes = []
    for name in sorted(names, key=lambda name: (name != BASELINE, name)):
        if name in SLOW:
            notes.append(f"{name} is left out: {SLOW[name]}")
            continue
        method = Method(name, name, SETTINGS.get(name, ()))
        try:
            build_sampler(method, space, random.Random(0))  # noqa: S311 - a seed
        except CellzooError as error:
            notes.append(f"{name} is left out: {error}")
        else:
            methods += [method, *([VARIANTS[name]] if name in VARIANTS else [])]
    return methods, notes


def compare(
    path: Path,
    out: Path,
    *,
    methods: Sequence[Method] | None,
    trials: int,
    horizons: tuple[float, ...],
    clock: str,
    workers: int,
    pools: tuple[bool, ...],
    seed: int,
    processes: int,
    say: Callable[[str], None],
) -> None:
    """Run the comparison and write it to `out`.

    Args:
        path: File of the table.
        out: Output folder.
        methods: What is compared; all that can be when None.
        trials: Searches of each method.
        horizons: Simulated hours, rising.
        clock: What trainings cost.
        workers: Simulated workers.
        pools: Of each pool whether RNN, LSTM and GRU are in it.
        seed: Of the first trial.
        processes: Of this machine.
        say: Takes lines for the user.

    Raises:
        CellzooError: A method or clock is unknown, or a setting is wrong.
        DataError: The table cannot be read.
        OutputError: The folder cannot be written.
    """
    table = Table.read(path)
    notes: list[str] = []
    if methods is None:
        methods, notes = all_methods(table)
    for method in methods:
        build_sampler(method, searchable(table), random.Random(0))  # noqa: S311 - a seed
    for note in notes:
        say(f"note: {note}")
    comparisons = []
    for hand_designed in pools:
        protocol = Protocol(path, clock, horizons[-1], workers, hand_designed, seed)
        curves = []
        for method in methods:
            began = time.perf_counter()
            curves += run_trials(protocol, [method], trials, processes=processes)
            mean, low, high = interval(curves[-1].inference[:, -1])
            say(
                f"{_TITLES[hand_designed]}: {method.label}: "
                f"inference regret {mean:.3f} [{low:.3f}, {high:.3f}] "
                f"after {horizons[-1]:g} h; {trials} trials in {time.perf_counter() - began:.1f} s"
            )
        comparisons.append(Comparison(_TITLES[hand_designed], protocol, tuple(curves), horizons))
    has_features = any(table.features(found) is not None for found in table.pool())
    released = run_released(table) if has_features else []
    for path_written in write_comparison(out, comparisons, released):
        say(f"written: {path_written}")

"""The comparison of `cellzoo table compare`: methods, pools, the released protocol, page and JSON."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError
from search.benchmark.pool import searchable
from search.benchmark.regret import BASELINE, GRID, Method, Protocol, build_sampler, run_trials
from search.benchmark.released import can_run_released, run_released
from search.benchmark.summary import Comparison, interval, mean_text, write_comparison
from search.benchmark.table import Table
from search.benchmark.timing import make_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ALL = "all"
# Samplers that `all` leaves out, and why.
SLOW = {"zero-cost": "it scores every cell again in each trial; name it to compare it"}
# Variants that `all` compares, too, as in the paper: fewer epochs, more dimensions.
VARIANTS = {
    BASELINE: Method("random, 10 epochs", BASELINE, (("epochs", 10),)),
    "bayes": Method("bayes, 50 dimensions", "bayes", (("dimensions", 50),)),
}
# A complete training takes 5.7 hours, so within the usual horizons the default population would never be full.
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
        methods.append(Method(label, name, tuple({**dict(SETTINGS.get(name, ())), **dict(settings)}.items())))
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
        methods: The methods to compare; None for all that can search a table.
        trials: Searches of each method.
        horizons: Simulated hours, ascending.
        clock: Gives the training times.
        workers: Simulated workers.
        pools: For each pool whether RNN, LSTM and GRU are in it.
        seed: Of the first trial.
        processes: Worker processes.
        say: Prints lines for the user.

    Raises:
        CellzooError: A method or clock is unknown, a setting is wrong, a horizon is too short to have a value,
            or a pool is too small; nothing was run.
        DataError: The table cannot be read.
        OutputError: The folder cannot be written.
    """
    table = Table.read(path)
    if horizons[0] * GRID < horizons[-1]:
        raise CellzooError(
            f"{horizons[0]:g} hours: regret is recorded in {GRID} steps up to the longest horizon, so expected "
            f"at least {horizons[-1] / GRID:g}"
        )
    make_clock(table, clock)
    spaces = [searchable(table, hand_designed=hand_designed) for hand_designed in pools]
    notes: list[str] = []
    if methods is None:
        methods, notes = all_methods(table)
    for method in methods:
        for space in spaces:
            build_sampler(method, space, random.Random(0))  # noqa: S311 - a seed
    for note in notes:
        say(f"note: {note}")
    comparisons = []
    for hand_designed in pools:
        protocol = Protocol(path, clock, horizons[-1], workers, hand_designed, seed)
        curves = []
        for method in methods:
            began = time.perf_counter()
            curves += run_trials(protocol, [method], trials, processes=processes)
            regret = mean_text(interval(curves[-1].inference[:, -1])) or "undefined"
            say(
                f"{_TITLES[hand_designed]}: {method.label}: inference regret {regret} "
                f"after {horizons[-1]:g} h; {trials} trials in {time.perf_counter() - began:.1f} s"
            )
        comparisons.append(Comparison(_TITLES[hand_designed], protocol, tuple(curves), horizons))
    released = run_released(table) if can_run_released(table) else []
    for path_written in write_comparison(out, comparisons, released):
        say(f"written: {path_written}")

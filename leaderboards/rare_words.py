"""`cellzoo rare-words`: the loss of language models on words, grouped by their frequency in the training text.

The analysis of Li et al. 2020 (ESS), table 3: the loss of two models on the words of a split, for rare and for
frequent words.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, RecordError
from cellzoo.selection import split_cells
from cellzoo.system.paths import path_option
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from leaderboards.collect import Collection
    from tasks.runs.record import RunRecord

UNKNOWN = "<unk>"
_FIELDS = ("word", "count", "tokens", "nll")
BINS = ((0, 10), (10, 100), (100, 1_000), (1_000, 10_000), (10_000, None))
"""Ranges of occurrences in the training text: lower end (included), upper end (excluded)."""
_DESCRIPTION = """\
Compare language models on rare and on frequent words. Words are grouped by how often they occur in the training
text; for each group the mean loss per word of each cell is shown, in nats, with its standard deviation over
seeds. Then come the words on which the other cells differ most from the first one. It reads the results of
`cellzoo run` on a language-modelling task; <unk> has a row of its own.
"""


@dataclass(frozen=True)
class WordLoss:
    """The loss on one word of a split.

    Attributes:
        count: Number of occurrences in the training text.
        tokens: Number of occurrences in the split.
        losses: For each run, the mean loss per occurrence in nats.
    """

    count: int
    tokens: int
    losses: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean of `losses`."""
        return sum(self.losses) / len(self.losses)


def word_losses(paths: Sequence[Path], split: str) -> dict[str, WordLoss]:
    """Read the losses on the words of a split, of several runs of one cell on one text.

    Args:
        paths: Per-item files, one for each run.
        split: `dev` or `test`.

    Raises:
        CellzooError: A file has no word losses, as those of other tasks and of older runs.
        RecordError: A file cannot be read, or its words are not those of the other files.
    """
    from leaderboards.evidence import read_columns

    found: dict[str, WordLoss] = {}
    for path in paths:
        columns = read_columns(path, f"{split} words")
        if not columns:
            raise CellzooError(f"{path}: has no losses of words, as other tasks and older runs have none")
        here: dict[str, WordLoss] = {}
        try:
            for word, count, tokens, nll in zip(*(columns[name] for name in _FIELDS), strict=True):
                before = found[word].losses if found else ()
                here[word] = WordLoss(count, tokens, (*before, nll / tokens))
        except (KeyError, TypeError, ZeroDivisionError) as error:
            raise RecordError(f"{path}: its words are not those of {paths[0]} ({error})") from error
        if found and here.keys() != found.keys():
            raise RecordError(f"{path}: its words are not those of {paths[0]}")
        found = here
    return found


def by_frequency(words: Mapping[str, WordLoss]) -> dict[str, WordLoss]:
    """Sum up the words of each bin, of `<unk>`, and all words.

    Returns:
        Label -> sum over the words of the bin, with their smallest count; empty bins are left out.
    """
    groups = {
        f"{low:,} and more" if high is None else f"{low:,} to {high - 1:,}": [
            entry
            for word, entry in words.items()
            if word != UNKNOWN and entry.count >= low and (high is None or entry.count < high)
        ]
        for low, high in BINS
    }
    groups[UNKNOWN] = [words[UNKNOWN]] if UNKNOWN in words else []
    groups["all"] = list(words.values())
    return {label: _sum(group) for label, group in groups.items() if group}


def differences(
    one: Mapping[str, WordLoss], other: Mapping[str, WordLoss]
) -> list[tuple[float, str, WordLoss]]:
    """(loss of the second - loss of the first, word, its entry), summed over occurrences; smallest first."""
    return sorted(
        ((other[word].mean - entry.mean) * entry.tokens, word, entry)
        for word, entry in one.items()
        if word in other and word != UNKNOWN
    )


def _sum(group: Sequence[WordLoss]) -> WordLoss:
    tokens = sum(entry.tokens for entry in group)
    runs = zip(*(entry.losses for entry in group), strict=True)
    sums = (sum(loss * entry.tokens for loss, entry in zip(run, group, strict=True)) for run in runs)
    return WordLoss(min(entry.count for entry in group), tokens, tuple(total / tokens for total in sums))


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results",
        nargs="+",
        type=path_option("RESULTS"),
        metavar="RESULTS",
        help="output folders of `cellzoo run`",
    )
    parser.add_argument(
        "--cells",
        required=True,
        metavar="A,B,...",
        help="cells by name; the others are compared with the first",
    )
    parser.add_argument("--task", metavar="TASK", help="the task, if the results have several")
    parser.add_argument(
        "--split", choices=("dev", "test"), default="dev", help="default dev, as in the ESS paper"
    )
    parser.add_argument(
        "--words", type=int, default=8, metavar="N", help="how many words to list at each end; default 8"
    )


def _execute(options: argparse.Namespace) -> int:
    from leaderboards.collect import collect

    collection = collect(options.results)
    cells = list(dict.fromkeys(split_cells(options.cells)))
    found = {cell: word_losses(_files(collection, cell, options.task), options.split) for cell in cells}
    lines = [*_table(found), *_most(found, cells, max(1, options.words))]
    sys.stdout.write(printable("\n".join(lines) + "\n"))
    return 0


def _files(collection: Collection, cell: str, task: str | None) -> list[Path]:
    records = [record for record in collection.records if record.cell.name == cell and _is_text(record, task)]
    # Files of different data hold different words, and runs of different cells may have the same name.
    identities = {
        (record.cell.hash, json.dumps([record.configuration, _data(record)], sort_keys=True))
        for record in records
    }
    if not records:
        names = sorted({record.cell.name for record in collection.records if _is_text(record, task)})
        raise CellzooError(
            f"no run of {cell!r} on a language-modelling task; "
            f"there are runs of {', '.join(names) or 'no cell'}"
        )
    tasks = sorted({record.task.name for record in records})
    if len(tasks) > 1:
        raise CellzooError(f"{cell} has runs on {', '.join(tasks)}; choose one with --task")
    if len(identities) > 1:
        raise CellzooError(
            f"{cell} has runs on {tasks[0]} with different settings, data or cells of this name; "
            "give a results folder that contains only one of them"
        )
    return [collection.items[record.key] for record in records]


def _is_text(record: RunRecord, task: str | None) -> bool:
    is_result = record.purpose != "tuning" and "perplexity" in record.metrics
    return is_result and task in (None, record.task.name)


def _data(record: RunRecord) -> dict[str, dict[str, str]]:
    return {name: reference.sha256 for name, reference in record.data.items()}


def _table(found: Mapping[str, Mapping[str, WordLoss]]) -> Iterable[str]:
    binned = {cell: by_frequency(words) for cell, words in found.items()}
    first = next(iter(binned.values()))
    yield f"{'in training':>16}  {'words':>9}" + "".join(f"  {cell:>20}" for cell in binned)
    for label, entry in first.items():
        row = "".join(f"  {_shown(bins.get(label)):>20}" for bins in binned.values())
        yield f"{label:>16}  {entry.tokens:9,}{row}"
    runs = ", ".join(f"{cell} {len(bins['all'].losses)}" for cell, bins in binned.items())
    yield f"loss per word in nats ± standard deviation over runs; number of runs: {runs}"


def _shown(entry: WordLoss | None) -> str:
    from statistics import stdev

    if entry is None:
        return "-"
    spread = f" ± {stdev(entry.losses):.3f}" if len(entry.losses) > 1 else ""
    return f"{entry.mean:.3f}{spread}"


def _most(found: Mapping[str, Mapping[str, WordLoss]], cells: Sequence[str], count: int) -> Iterable[str]:
    for cell in cells[1:]:
        changes = differences(found[cells[0]], found[cell])
        for title, part in (("better", changes[:count]), ("worse", changes[::-1][:count])):
            yield f"\nwords on which {cell} is {title} than {cells[0]} by most"
            yield f"{'word':>20}  {'in training':>11}  {'here':>6}  {'loss change':>13}"
            for change, word, entry in part:
                yield f"{word:>20}  {entry.count:11,}  {entry.tokens:6,}  {change / entry.tokens:13.3f}"


COMMAND = Command(
    name="rare-words",
    summary="compare language models on rare and on frequent words",
    description=_DESCRIPTION,
    examples="  cellzoo rare-words results --cells lstm,darts-v2 --task ptb",
    configure=_configure,
    execute=_execute,
)

"""The provenance of a board's results: code, packages, machines, data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from leaderboards.collect import Collection
    from tasks.runs.record import RunRecord

REVISION_DIGITS = 12


@dataclass(frozen=True)
class Fact:
    """One line of provenance: its title, and all values that occur, the most frequent first."""

    title: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Provenance:
    """Summary of the provenance of all records.

    Attributes:
        records: Number of results, without trials of `--tune`.
        first: Date of the earliest record.
        last: Date of the latest record.
        facts: Code, Python, packages, hardware, data.
    """

    records: int
    first: str
    last: str
    facts: tuple[Fact, ...]


def trace(collection: Collection) -> Provenance:
    """Summarise the provenance of all records; values that only some records have come with their number."""
    records = collection.records
    dates = sorted(record.created[:10] for record in records)
    facts = [
        _fact("Code", (_code(record) for record in records), len(records)),
        _fact("Python", (record.environment.python for record in records), len(records)),
        _fact("Platform", (record.environment.platform for record in records), len(records)),
        _fact("Processor", (record.environment.processor for record in records), len(records)),
        _fact("Device", (_device(record) for record in records), len(records)),
        _fact("Packages", (_packages(record) for record in records), len(records)),
        *_data(records),
    ]
    if collection.repeats:
        facts.append(
            Fact("Duplicates", (f"{collection.repeats} further files have results that are shown here",))
        )
    trials = sum(record.purpose == "tuning" for record in records)
    if trials:
        facts.append(Fact("Tuning", (f"{trials} trials, which are not counted as results",)))
    return Provenance(len(records) - trials, dates[0], dates[-1], tuple(facts))


def _fact(title: str, values: Iterable[str], total: int) -> Fact:
    counts = Counter(values).most_common()
    return Fact(
        title, tuple(value if count == total else f"{value} ({count} records)" for value, count in counts)
    )


def _code(record: RunRecord) -> str:
    code = record.code
    if code.revision is None:
        return f"cellzoo {code.version}, not from a git checkout"
    changed = ", with uncommitted changes" if code.dirty else ""
    return f"cellzoo {code.version}, revision {code.revision[:REVISION_DIGITS]}{changed}"


def _device(record: RunRecord) -> str:
    threads = record.environment.threads
    return f"{record.environment.device}, {threads} thread{'s' if threads != 1 else ''}"


def _packages(record: RunRecord) -> str:
    packages = sorted(record.environment.packages.items())
    return ", ".join(f"{name} {version}" for name, version in packages) or "none named"


def _data(records: Sequence[RunRecord]) -> list[Fact]:
    """One fact for each data set: the digests of its files by role, and where they came from."""
    digests: dict[str, dict[str, None]] = {}
    for record in records:
        for name, reference in sorted(record.data.items()):
            for role, digest in sorted(reference.sha256.items()):
                text = f"{role}: sha256 {digest} (from {reference.origin})"
                digests.setdefault(name, {})[text] = None
    return [Fact(f"Data {name}", tuple(texts)) for name, texts in sorted(digests.items())]

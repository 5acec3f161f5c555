"""The signature of a number: one line that says what decided it, to be quoted beside it, as sacrebleu has one.

    wnut17:r2|features:glove-6b-50d+char|settings:9f2c41d0|data:77ab03cc|cell:darts-v2@1b0c3a5e|seeds:0,1,2|cellzoo:0.1.0

`settings` (the protocol: every setting of model and training but the features) and `data` (what the files hold)
are the first digits of digests. Further parts stand there where they apply: `equal` (what was held equal for
all cells), `init` (published rules by which weights start), `purpose`. Equal lines mean runs of one kind.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tasks.runs.record import RunRecord

DIGITS = 8
_FEATURES = ("features", "vectors", "character_hidden")
"""Settings that say what is read of each token."""


def signature(records: Sequence[RunRecord]) -> str:
    """The signature of runs that differ in nothing but their seeds.

    Args:
        records: At least one, by seed.
    """
    return "|".join(f"{name}:{value}" for name, value in _parts(records))


def _parts(records: Sequence[RunRecord]) -> Iterator[tuple[str, str]]:
    first = records[0]
    configuration = dict(first.configuration)
    yield first.task.name, f"r{first.task.revision}"
    if features := features_of(configuration):
        yield "features", features
        for name in _FEATURES[:2]:
            configuration.pop(name, None)
    yield "settings", digest(configuration)
    yield "data", digest({name: reference.sha256 for name, reference in first.data.items()})
    if first.held is not None:
        yield "equal", first.held.quantity
    if first.tuning is not None and first.tuning.trials is not None:
        yield "tuned", str(first.tuning.trials)
    cell = first.cell
    yield "cell", f"{cell.name}@{cell.hash[:DIGITS] if cell.hash else 'baseline'}"
    if cell.init:
        yield "init", digest(list(map(list, cell.init.items())))
    if first.purpose != "evaluation":
        yield "purpose", first.purpose
    yield "seeds", ",".join(str(record.seed) for record in records)
    yield "cellzoo", "+".join(sorted({record.code.version for record in records}))


def features_of(configuration: Mapping[str, Any]) -> str:
    """What is read of each token, such as `glove-6b-50d+char`; empty where settings do not say.

    Files are named without their folders: what they hold is in the digest of the data.
    """
    if not {"features", "vectors"} <= configuration.keys():
        return ""
    from tasks.embeddings.features import declared

    said = str(configuration["features"])
    try:
        found = declared(said, str(configuration["vectors"]), int(configuration.get("character_hidden", 0)))
    except (CellzooError, ValueError):
        return _plain(said)
    names = [f"pooled:{one.data}" if one.is_pooled else one.data or one.kind for one in found]
    return "+".join(map(_plain, names))


def digest(content: Any) -> str:
    """The first digits of the sha256 of canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]


def _plain(name: str) -> str:
    """A name without folders, and without what would end a part of the line."""
    kind, colon, rest = name.rpartition(":")
    words = " ".join(rest.rpartition("/")[2].split())
    return f"{kind}{colon}{words}".replace("|", "_").replace(" ", "_")

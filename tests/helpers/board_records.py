"""Hand-made run records for the tests of the boards."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from tasks.runs.record_key import content_digest, record_key

if TYPE_CHECKING:
    from pathlib import Path


def cell_hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def record(
    cell: str = "lstm",
    seed: int = 0,
    *,
    task: str = "small-ner",
    revision: int = 1,
    metrics: dict[str, float] | None = None,
    higher: bool = True,
    digits: int = 2,
    baseline: bool = False,
    hash_of: str | None = None,
    configuration: dict[str, Any] | None = None,
    data: dict[str, str] | None = None,
    seconds: dict[str, float] | None = None,
    parameters: tuple[int, int, int] = (1000, 2000, 5000),
    title: str | None = None,
    genotype: str = "",
    speed: float = 1500.0,
    package: str = "2.13.0",
    corpus: str = "corpus",
    history: list[dict[str, Any]] | None = None,
    latency: float | None = None,
    held: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A sound record as JSON content; `hash_of` gives the cell the hash of another name."""
    digest = None if baseline else cell_hash(hash_of or cell)
    configuration = (
        {"epochs": 4, "optimizer": {"name": "sgd", "rate": 0.1}} if configuration is None else configuration
    )
    files = {"train": "a" * 64, "test": "b" * 64} if data is None else data
    values = {"f1": 50.0} if metrics is None else metrics
    key = record_key(
        task=task,
        revision=revision,
        subject=digest or f"baseline:{cell}",
        configuration=configuration,
        data={corpus: files},
        seed=seed,
    )
    return {
        "schema_version": 1,
        "key": key,
        "task": {"name": task, "revision": revision, "title": title or f"Title of {task}"},
        "cell": {
            "name": cell,
            "kind": "baseline" if baseline else "cell",
            "hash": digest,
            "origin": "baseline" if baseline else "zoo",
            "notation": "" if baseline else "equations",
            "genotype": genotype,
            "init": {},
        },
        "seed": seed,
        "purpose": "evaluation",
        "configuration": configuration,
        "data": {corpus: {"origin": "generated", "sha256": files}},
        "after": None,
        "metrics": {
            name: {"value": value, "title": f"title of {name}", "higher_is_better": higher, "digits": digits}
            for name, value in values.items()
        },
        "primary": next(iter(values)),
        "items": {"file": f"{key[:12]}.items.jsonl", "sha256": "c" * 64, "count": 3},
        "parameters": {
            "cell": 0 if baseline else parameters[0],
            "total_without_embeddings": parameters[1],
            "total": parameters[2],
        },
        "flops_per_token": 0 if baseline else 12345,
        "tokens": 6000,
        "timing": {
            "seconds": {"train": 4.0, "evaluate": 1.0} if seconds is None else seconds,
            "total_seconds": 5.0,
            "tokens_per_second": speed,
            "latency": latency and {"median_ms": latency, "p95_ms": 2 * latency, "items": 100},
        },
        "history": [{"epoch": 1, "loss": 0.5, "seconds": 2.0}] if history is None else history,
        "facts": {"train words": 6000},
        "held": held,
        "tuning": None,
        "notes": [],
        "code": {"version": "0.1.0", "revision": "0123456789abcdef0123", "dirty": False},
        "environment": {
            "python": "3.11.7",
            "packages": {"torch": package},
            "platform": "Linux",
            "processor": "a processor",
            "device": "cpu",
            "threads": 1,
        },
        "created": "2026-01-02T03:04:05+00:00",
    }


def signed(content: dict[str, Any]) -> dict[str, Any]:
    """A record's content as a file holds it; what has no digest, such as NaN, gets another's."""
    try:
        return {**content, "digest": content_digest(content)}
    except ValueError:
        return {**content, "digest": "0" * 64}


def write(folder: Path, *contents: dict[str, Any]) -> Path:
    """Write records as the runner lays them out and return the results folder."""
    records = folder / "records"
    records.mkdir(parents=True, exist_ok=True)
    for content in contents:
        parts = content["task"]["name"], content["cell"]["name"], f"seed{content['seed']}", content["key"][:12]
        name = "--".join(parts)
        (records / f"{name}.json").write_text(json.dumps(signed(content)), encoding="utf-8")
        (records / f"{name}.items.jsonl").write_text("{}\n", encoding="utf-8")
    return folder


def write_with_items(folder: Path, content: dict[str, Any], items: list[dict[str, Any]]) -> Path:
    """Write one record with its items beside it."""
    lines = "".join(json.dumps(item) + "\n" for item in items).encode()
    name = f"{content['task']['name']}--{content['cell']['name']}--seed{content['seed']}--{content['key'][:12]}"
    reference = {
        "file": f"{name}.items.jsonl",
        "sha256": hashlib.sha256(lines).hexdigest(),
        "count": len(items),
    }
    write(folder, {**content, "items": reference})
    (folder / "records" / reference["file"]).write_bytes(lines)
    return folder

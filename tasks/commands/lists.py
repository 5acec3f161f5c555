"""What `cellzoo list` says of tasks, suites and data sets."""

from __future__ import annotations

from cellzoo.cli.listing import Item, Kind


def _task_names() -> list[str]:
    from tasks.registry import task_names

    return task_names()


def _task(name: str) -> Item:
    from tasks.registry import find_source, find_task

    file = find_source(name).file
    task = find_task(name)
    settings = task.settings()
    metric = task.metrics(settings)[0]
    data = _data(name)
    return Item(
        name,
        (metric.title, ", ".join(data) or "the user's own", task.title),
        {
            "title": task.title,
            "metric": metric.name,
            "data": list(data),
            "problem": (file.problem or file.probe) if file else "",
            "after": task.after,
            "revision": task.revision,
        },
    )


def _data(name: str) -> tuple[str, ...]:
    from cellzoo.errors import CellzooError
    from tasks.registry import find_task

    task = find_task(name)
    try:
        return task.data(task.settings())
    except CellzooError:  # its corpus is the user's to name
        return ()


def _suite_names() -> list[str]:
    from tasks.suites import suite_names

    return suite_names()


def _suite(name: str) -> Item:
    from tasks.suites.suite import find_suite

    suite = find_suite(name)
    tasks = [task.name for task in suite.tasks]
    return Item(name, (suite.title, ", ".join(tasks)), {"title": suite.title, "tasks": tasks})


def _set_names() -> list[str]:
    from tasks.data.catalog import set_names

    return set_names()


def _set(name: str) -> Item:
    from tasks.data.catalog import find_set

    found = find_set(name)
    shipped = f"package {found.package.name}" if found.package else "--data"
    return Item(
        name,
        (found.format, shipped, found.title),
        {"title": found.title, "format": found.format, "from": shipped, "terms": found.terms},
    )


TASKS = Kind(
    name="tasks",
    summary="what cells are evaluated on",
    headings=("metric", "data", "what it is"),
    names=_task_names,
    item=_task,
    notes=lambda: ["A task file of your own is named by its path, which ends in .toml."],
)
SUITES = Kind(
    name="suites",
    summary="tasks that are run together",
    headings=("what it is", "tasks"),
    names=_suite_names,
    item=_suite,
)
DATA = Kind(
    name="data",
    summary="data sets: corpora, word pairs and word vectors",
    headings=("format", "from", "what it is"),
    names=_set_names,
    item=_set,
    counted="data sets",
)

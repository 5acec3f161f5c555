"""The listings of `cellzoo list methods` and `cellzoo list presets`."""

from __future__ import annotations

from cellzoo.cli.listing import Item, Kind
from search.registry import find_method, method_names, preset_names


def _method(name: str) -> Item:
    from search.methods.kind import MethodKind

    found = find_method(name)
    what = "supernet" if isinstance(found, MethodKind) else "sampler"
    settings = {setting: repr(field.default) for setting, field in sorted(found.settings.model_fields.items())}
    return Item(name, (what, found.summary), {"kind": what, "summary": found.summary, "settings": settings})


def _preset(name: str) -> Item:
    from search.run.presets import read_preset

    found = read_preset(name)
    methods = sorted(found.methods)
    problems = sorted(found.problems)
    return Item(
        name,
        (found.title, ", ".join(methods)),
        {"title": found.title, "methods": methods, "problems": problems},
    )


METHODS = Kind(
    name="methods",
    summary="search methods: those that train a supernet, and samplers",
    headings=("kind", "what it does"),
    names=method_names,
    item=_method,
)
PRESETS = Kind(
    name="presets",
    summary="named settings of searches",
    headings=("title", "methods"),
    names=preset_names,
    item=_preset,
)

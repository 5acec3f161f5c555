"""The course of a search on one page: the chart, and each derived cell drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cellzoo.draw import svg
from cellzoo.draw.style import style as cell_style
from cellzoo.notations import parse
from cellzoo.system.duration import duration
from cellzoo.system.text import printable
from search.plot.chart import chart
from search.plot.chart import style as chart_style

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search.plot.course import Course, DerivedCell


@dataclass(frozen=True)
class _Shown:
    heading: str
    hash: str
    genotype: str
    picture: Any
    same_as: int = 0
    same_words: str = ""


def render_page(course: Course) -> str:
    """Write the page; the same course gives the same text."""
    from markupsafe import Markup

    text = _template().render(
        course=course,
        cells=list(_shown(course)),
        chart=Markup(chart(course, is_part=True)),  # noqa: S704 - ElementTree escapes
        style=Markup(_source("page.css") + chart_style() + cell_style()),  # noqa: S704 - files of this project
        time=duration(course.seconds),
    )
    return printable(text)


def _shown(course: Course) -> Iterator[_Shown]:
    """Each derived cell, and the one found where that is another; a cell that comes back is drawn once."""
    from markupsafe import Markup

    entries = [(_heading(cell), cell) for cell in course.cells]
    if course.found is not None:
        if course.found.hash == course.cells[-1].hash:
            entries[-1] = (f"{entries[-1][0]}: found", course.cells[-1])
        else:
            entries.append(("Found, by a choice of its own after the last epoch", course.found))
    drawn: dict[str, tuple[int, str]] = {}
    for place, (heading, cell) in enumerate(entries, start=1):
        if cell.hash in drawn:
            yield _Shown(heading, cell.hash, cell.genotype, None, *drawn[cell.hash])
            continue
        drawn[cell.hash] = (place, heading[:1].lower() + heading[1:])
        picture = svg(parse(cell.genotype, cell.notation), is_part=True)
        yield _Shown(heading, cell.hash, cell.genotype, Markup(picture))  # noqa: S704 - ElementTree escapes


def _heading(cell: DerivedCell) -> str:
    return f"Epoch {cell.first}" if cell.first == cell.last else f"Epochs {cell.first} to {cell.last}"


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("search.plot", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html.j2")


@cache
def _source(name: str) -> str:
    return files("search.plot").joinpath(name).read_text(encoding="utf-8")

"""The course of a search as an HTML page: the chart, and a drawing of each derived cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.draw import svg
from cellzoo.draw.style import style as cell_style
from cellzoo.notations import parse
from cellzoo.pages.chart import chart_style
from cellzoo.pages.page import picture
from cellzoo.pages.page import render_page as render
from cellzoo.system.text import duration
from search.plot.chart import draw_course, in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search.plot.course import Course


@dataclass(frozen=True)
class _Shown:
    heading: str
    hash: str
    genotype: str
    picture: Any
    same_as: int = 0
    same_words: str = ""


def render_page(course: Course) -> str:
    """Render the page; the same course gives the same text."""
    return render(
        "search.plot/page.html.j2",
        course.title,
        {
            "course": course,
            "cells": list(_shown(course)),
            "chart": picture(draw_course(course).to_svg()),
            "time": duration(course.seconds),
            "cost": "" if course.flops is None else f", {course.flops / 1e9:,.4g} GFLOPs of the supernet",
        },
        styles=["body { max-width: 60rem; }\nsection { margin-top: 1.5rem; }", chart_style(), cell_style()],
    )


def _shown(course: Course) -> Iterator[_Shown]:
    """The derived cells, and the found cell if it is another one; a cell that occurs again is drawn once."""
    entries = [(in_words(cell, course.unit).capitalize(), cell) for cell in course.cells]
    if course.found is not None:
        if course.found.hash == course.cells[-1].hash:
            entries[-1] = (f"{entries[-1][0]}: found", course.cells[-1])
        else:
            entries.append(("Found, by a selection after the last epoch", course.found))
    drawn: dict[str, tuple[int, str]] = {}
    for place, (heading, cell) in enumerate(entries, start=1):
        if cell.hash in drawn:
            yield _Shown(heading, cell.hash, cell.genotype, None, *drawn[cell.hash])
            continue
        drawn[cell.hash] = (place, heading[:1].lower() + heading[1:])
        drawing = picture(svg(parse(cell.genotype, cell.notation), is_part=True))
        yield _Shown(heading, cell.hash, cell.genotype, drawing)

"""Writes the chart and the page of a search into its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from cellzoo.pages.chart import standalone
from cellzoo.system.atomic import write_atomically
from search.plot.chart import draw_course
from search.plot.course import read_course
from search.plot.page import render_page
from tasks.training.loop import EVENTS

if TYPE_CHECKING:
    from pathlib import Path


def search_folders(folder: Path) -> list[Path]:
    """The folders of searches: this one, or those in the output folder of `cellzoo search`.

    Raises:
        DataError: There is none.
    """
    if (folder / EVENTS).is_file():
        return [folder]
    below = sorted(path.parent for path in folder.glob(f"searches/*/{EVENTS}"))
    if not below:
        raise DataError(f"{folder}: holds no search; expected {EVENTS}, or searches/NAME/{EVENTS}")
    return below


def write_plot(folder: Path) -> tuple[Path, Path]:
    """Draw a search, also one that is still running.

    Returns:
        The page and the picture.

    Raises:
        DataError: The folder has no search, or no epoch of it is completed yet.
        OutputError: They cannot be written.
    """
    course = read_course(folder)
    page, picture = folder / "trajectory.html", folder / "trajectory.svg"
    write_atomically(page, render_page(course).encode())
    write_atomically(picture, standalone([draw_course(course, heading=course.title)]).encode())
    return page, picture

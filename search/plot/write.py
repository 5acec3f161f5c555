"""Write the picture and the page of a search into its directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.pages.chart import standalone
from cellzoo.system.atomic import write_atomically
from search.plot.chart import draw_course
from search.plot.course import read_course
from search.plot.page import render_page

if TYPE_CHECKING:
    from pathlib import Path


def write_plot(folder: Path) -> tuple[Path, Path]:
    """Draw a search, also one that is still running.

    Returns:
        The page and the picture.

    Raises:
        DataError: The directory holds no search, or no epoch of it is over yet.
        OutputError: They cannot be written.
    """
    course = read_course(folder)
    page, picture = folder / "trajectory.html", folder / "trajectory.svg"
    write_atomically(page, render_page(course).encode())
    write_atomically(picture, standalone([draw_course(course, heading=course.title)]).encode())
    return page, picture

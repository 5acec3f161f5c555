"""One self-contained HTML page: style, script and pictures are in the file.

Its content security policy allows only that style and that script, by digest, so text from a cell file or a
record could neither run nor load anything even if it were not escaped.

A package keeps its template beside its code. It begins with `{% extends "shell.html.j2" %}` and fills the
blocks `header` and `main`; every value is escaped unless it comes from `picture`. Undefined names are errors.
The shell's style (shell.css) has the colours as variables (--ground, --raised, --ink, --quiet, --line,
--accent, --second, --warn-ground, --warn-line), light and dark, print rules, and the classes quiet, hidden,
picture, scroll, warning.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cellzoo.system.text import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment
    from markupsafe import Markup


def render_page(
    template: str, title: str, content: dict[str, Any], *, styles: Sequence[str] = (), script: str = ""
) -> str:
    """Write a page; the same content gives the same text.

    Args:
        template: Package and file, such as `leaderboards.render/board.html.j2`.
        title: Of the window.
        content: What the template shows, by name. It has the filter `shortened(limit)` too.
        styles: Style sheets after the shell's own: text of the project, such as `chart_style()`.
        script: Text of the project.
    """
    from markupsafe import Markup

    package, _, name = template.rpartition("/")
    style = "\n".join([source("cellzoo.pages/shell.css"), *styles])
    policy = f"default-src 'none'; style-src '{_digest(style)}'"
    if script:
        policy += f"; script-src '{_digest(script)}'"
    text = (
        _environment(package)
        .get_template(name)
        .render(
            content,
            page_title=title,
            page_policy=policy,
            page_style=Markup(style),  # noqa: S704 - text of the project
            page_script=Markup(script),  # noqa: S704 - text of the project
        )
    )
    return printable(text)


def picture(svg: str) -> Markup:
    """Mark SVG that ElementTree wrote, and so escaped, as safe for a template."""
    from markupsafe import Markup

    return Markup(svg)  # noqa: S704 - ElementTree escapes


@cache
def source(place: str) -> str:
    """Read a file of a package, such as `leaderboards.render/page.css`."""
    package, _, name = place.rpartition("/")
    return files(package).joinpath(name).read_text(encoding="utf-8")


@cache
def _environment(package: str) -> Environment:
    from jinja2 import ChoiceLoader, Environment, FunctionLoader, StrictUndefined

    own = FunctionLoader(lambda name: source(f"{package}/{name}") if name != "shell.html.j2" else None)
    shell = FunctionLoader(lambda name: source(f"cellzoo.pages/{name}"))
    environment = Environment(
        loader=ChoiceLoader([own, shell]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["shortened"] = shortened
    return environment


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

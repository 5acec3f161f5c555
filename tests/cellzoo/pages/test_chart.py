"""Charts are well-formed, say themselves in words, and have a style for every class."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from cellzoo.pages.axis import linear_axis
from cellzoo.pages.chart import TINTS, Chart, chart_style, standalone

SVG = "{http://www.w3.org/2000/svg}"


def drawn(title="Title"):
    chart = Chart.new(300, 100, title, "all of it in words", "picture-1")
    axis = linear_axis(0, 10)
    chart.x_axis(axis, 50, 250, 10, 80)
    chart.y_axis(axis, 50, 250, 10, 80)
    chart.curve([(50, 10), (250, 80)])
    chart.line(60, 10, 60, 80, "change")
    for place, kind in enumerate(("first", "second")):
        group = chart.group(kind)
        group.text(10, 20, "<name>", "name", tip="all & everything\x1b")
        group.dot(60, 20)
        group.square(70, 20)
        group.line(50, 20, 80, 20, "mark")
        group.line(60, 10, 60, 30, "mean")
        group.arrow(80, 20, -6)
        group.box(50, 50, 20, 10, f"tint{TINTS - 1 - place}")
    return chart


def test_a_chart_is_xml_with_a_title_and_words():
    root = ElementTree.fromstring(drawn("a <b> & c\x00").to_svg())  # noqa: S314 - written here
    assert root.find(f"{SVG}title").text == "a <b> & c\ufffd"
    assert root.find(f"{SVG}desc").text == "all of it in words"
    identities = {element.get("id") for element in root.iter()} - {None}
    assert identities == {root.get("aria-labelledby"), root.get("aria-describedby")}


def test_ticks_stand_where_their_values_are():
    root = ElementTree.fromstring(drawn().to_svg())  # noqa: S314 - written here
    labels = {
        text.text: float(text.get("x")) for text in root.iter(f"{SVG}text") if "middle" in text.get("class")
    }
    assert labels == {"0": 50, "2": 90, "4": 130, "6": 170, "8": 210, "10": 250}


def test_every_class_has_a_rule_and_every_rule_stays_inside_charts():
    used = set(re.findall(r'class="([^"]+)"', drawn().to_svg()))
    names = {name for kind in used for name in kind.split()} - {"cellzoo-chart", "first", "second"}
    style = chart_style()
    assert all(f".{name} " in style or f".{name}," in style for name in names), names
    for line in style.splitlines():
        assert line.startswith((".cellzoo-chart", "  .cellzoo-chart", "@media", "}"))


def test_charts_stand_one_below_the_other_in_a_file():
    root = ElementTree.fromstring(standalone([drawn("one"), drawn("two")]))  # noqa: S314 - written here
    assert (root.get("width"), root.get("height")) == ("300", "200")
    assert [chart.get("y") for chart in root.findall(f"{SVG}svg")] == ["0", "100"]
    assert "prefers-color-scheme: dark" in root.find(f"{SVG}style").text

"""Pages hold everything they need and let nothing else in."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from jinja2 import UndefinedError

from cellzoo.pages.chart import Chart
from cellzoo.pages.page import picture, render_page

HOSTILE = "</style><script>alert(1)</script>\"'&\x1b[31m"


TEMPLATE = """\
{% extends "shell.html.j2" %}
{% block main %}
<p title="{{ text }}">{{ text }}{{ chart }}</p>
{% endblock %}
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    (folder / "pages_of_a_test").mkdir()
    (folder / "pages_of_a_test" / "__init__.py").write_text("")
    (folder / "pages_of_a_test" / "page.html.j2").write_text(TEMPLATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield "pages_of_a_test/page.html.j2"


def test_text_is_escaped_and_pictures_are_not(package):
    chart = Chart.new(10, 10, HOSTILE, "words").to_svg()
    page = render_page(
        package, HOSTILE, {"text": HOSTILE, "chart": picture(chart)}, styles=["p { margin: 0; }"]
    )
    assert page.count("<script") == 0
    assert page.count("</style>") == 1
    assert "\x1b" not in page
    assert chart in page
    assert "<title>&lt;/style&gt;" in page


def test_only_the_style_and_script_of_the_page_are_admitted(package):
    page = render_page(
        package, "t", {"text": "", "chart": ""}, styles=["p { margin: 0; }"], script="let a = 1 < 2;"
    )
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1).replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    for kind in ("style", "script"):
        (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_a_name_that_nobody_gave_is_an_error(package):
    with pytest.raises(UndefinedError):
        render_page(package, "t", {"text": ""})

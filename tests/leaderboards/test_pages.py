from __future__ import annotations

import base64
import hashlib
import math
import re
import shlex
import xml.etree.ElementTree as ET

import pytest
from board_pages import Page
from board_records import record
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.build import build_board
from leaderboards.collect import Collection, Fault
from leaderboards.render import numbers
from leaderboards.render.html import render_html
from leaderboards.render.markdown import plain, render_markdown
from leaderboards.render.picture import all_pictures, axis_for
from leaderboards.stats.seeds import summarize
from tasks.runs.record import RunRecord

NASTY = "</title><script>alert(1)</script><img src=x onerror=alert(1)> \" ' & ]]> <!-- {{ 7*7 }} | `x` \x1b[31m"


def board_of(*contents, title="A board", faults=()):
    records = tuple(RunRecord.model_validate(content) for content in contents)
    return build_board(Collection(records, tuple(faults), 0), title)


def small_board(**options):
    """lstm with two seeds and two metrics, gru with one seed and one metric, a baseline, two tasks."""
    return board_of(
        record("lstm", 0, metrics={"f1": 88.0, "recall": 80.0}, seconds={"train": 100.0}),
        record("lstm", 1, metrics={"f1": 90.0, "recall": 82.0}, seconds={"train": 300.0}),
        record("gru", 0, metrics={"f1": 91.0}, parameters=(1234567, 2345678, 3456789)),
        record("skip-gram", 0, task="similarity", metrics={"rho": 30.0}, baseline=True, seconds={}),
        record("lstm", 0, task="similarity", metrics={"rho": 20.0}),
        **options,
    )


def shown(table):
    return [[cell.text for cell in row] for row in table]


def executed(page):
    return [attributes for attributes in page.all("script") if attributes.get("type") != "application/json"]


def test_overview_shows_mean_deviation_seeds_and_rank():
    # Deviation of 88 and 90: sqrt(2) = 1.41.
    assert shown(Page(render_html(small_board())).tables[0]) == [
        ["Cell", "Title of similarity title of rho ↑", "Title of small-ner title of f1 ↑"],
        ["lstm", "20.00 1 seed, unranked", "89.00 ± 1.41 2 seeds, unranked"],
        ["gru", "—", "91.00 1 seed, unranked"],
        ["skip-gram baseline", "30.00 1 seed, unranked", "—"],
    ]


def test_task_table_shows_everything_about_a_run():
    # Interval of 88 and 90: 89 ± 12.7062 (Cauchy's 97.5 % point) * sqrt(2) / sqrt(2).
    assert shown(Page(render_html(small_board())).tables[2]) == [
        [
            *("Cell", "Rank", "title of f1 ↑", "title of recall ↑", "95 % interval this test set", "Seeds"),
            *("Parameters of the cell", "Parameters without embeddings", "Parameters all"),
            *("FLOPs a token of the cell", "Training time mean", "Tokens a second mean"),
        ],
        [
            *("gru", "—", "91.00 1 seed", "—", "—", "1"),
            *("1,234,567", "2,345,678", "3,456,789", "12,345", "4.0 s", "1,500"),
        ],
        [
            *("lstm", "—", "89.00 ± 1.41", "81.00 ± 1.41", "76.29 to 101.71", "2"),
            *("1,000", "2,000", "5,000", "12,345", "3 min 20 s", "1,500"),
        ],
    ]


def test_missing_fields_show_a_dash_and_have_nothing_to_sort_by():
    page = Page(render_html(small_board()))
    fields = [cell for table in page.tables for row in table[1:] for cell in row]
    for cell in fields:
        assert (cell.text == "—") == ("data-value" not in cell.attributes)
    # Overview 2; ranks 4; skip-gram: cell parameters, FLOPs, time; gru: recall, interval of one seed.
    assert sum(cell.text == "—" for cell in fields) == 11


def test_sort_values_are_the_numbers_behind_the_text():
    page = Page(render_html(small_board()))
    assert [cell.attributes["data-value"] for cell in page.column(2, 6)] == ["1234567", "1000"]
    assert [cell.attributes["data-value"] for cell in page.column(2, 10)] == ["4", "200"]
    assert [float(cell.attributes["data-value"]) for cell in page.column(2, 2)] == [91.0, 89.0]


def test_every_heading_is_a_button_in_a_column_header():
    page = Page(render_html(small_board()))
    headings = [cell for table in page.tables for cell in table[0]]
    assert len(page.all("button")) == len(headings) + 1, "and one that clears the filter"
    for cell in headings:
        assert cell.attributes["scope"] == "col"
        assert cell.attributes["data-kind"] in ("number", "text")
        assert cell.attributes["data-first"] in ("ascending", "descending")
    for table in page.tables:
        assert all(row[0].attributes["scope"] == "row" for row in table[1:])


@pytest.mark.parametrize(("higher", "direction"), [(True, "descending"), (False, "ascending")])
def test_a_first_press_sorts_the_best_to_the_top(higher, direction):
    board = board_of(
        record("a", metrics={"m": 1.0}, higher=higher), record("b", metrics={"m": 2.0}, higher=higher)
    )
    heads = Page(render_html(board)).tables[1][0]
    assert heads[2].attributes["data-first"] == direction
    assert ("↑" in heads[2].text, "↓" in heads[2].text) == (higher, not higher)


def test_baselines_are_marked_in_every_table():
    page = Page(render_html(small_board()))
    assert [row.get("class") for row in page.all("tr")].count("baseline") == 2


def nasty_board():
    contents = [
        record(cell, seed, metrics={"f1": 50.0 + seed, NASTY: 1.0}, title=NASTY, genotype=NASTY)
        for cell in ("lstm", "gru")
        for seed in (0, 1)
    ] + [record("lstm", 0, metrics={"f1": 1.0}, configuration={NASTY: NASTY}, title=NASTY)]
    for content in contents:
        content["cell"]["notation"] = content["cell"]["origin"] = NASTY
        for metric in content["metrics"].values():
            metric["title"] = NASTY
        for name in ("python", "platform", "processor", "device"):
            content["environment"][name] = NASTY
        content["environment"]["packages"] = {NASTY: NASTY}
        content["code"]["version"] = content["code"]["revision"] = content["created"] = NASTY
        content["data"]["corpus"]["origin"] = NASTY
    return board_of(*contents, title=NASTY, faults=[Fault(None, NASTY)])


def test_text_from_records_stays_text():
    page = Page(render_html(nasty_board()))
    plain_page = Page(render_html(small_board()))
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain_page.tags} | {"strong", "li"}
    assert len(executed(page)) == 1
    assert len(page.all("script")) == 2
    assert "<" not in page.data
    assert not page.all("img")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text("h1") == NASTY.replace("\x1b", "\ufffd")
    assert "{{ 7*7 }}" in page.text("h2")


def test_the_page_loads_nothing():
    for board in (small_board(), nasty_board()):
        text = render_html(board)
        page = Page(text)
        for tag, attributes in page.tags:
            assert "src" not in attributes
            assert tag not in ("link", "iframe", "object", "embed", "base")
            assert "action" not in attributes
            if "href" in attributes:
                assert attributes["href"].startswith("#")
        assert "url(" not in page.text("style")
        assert "@import" not in page.text("style")
        assert not re.search(r"https?:", text.replace("http://www.w3.org/2000/svg", ""))


def test_links_on_the_page_lead_somewhere_and_ids_are_unique():
    page = Page(render_html(small_board()))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert link["href"][1:] in ids
    for _, attributes in page.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids


def test_the_policy_admits_this_style_and_script_and_nothing_else():
    page = Page(render_html(small_board()))
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    script = page.text("script").removeprefix(page.data)
    for text, directive in ((page.text("style"), "style-src"), (script, "script-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_what_was_left_out_stands_on_the_page_and_in_the_markdown():
    board = small_board(faults=[Fault(None, "old/cut.json: line 3: is not complete JSON")])
    assert "Left out: 1 file" in Page(render_html(board)).text("strong")
    assert "old/cut.json: line 3" in Page(render_html(board)).text("li")
    assert "old/cut.json: line 3" in render_markdown(board, "x.svg")
    assert "Left out" not in render_html(small_board())


def test_different_settings_are_stated_where_the_results_stand():
    board = board_of(record("lstm"), record("lstm", configuration={"epochs": 9}))
    page = Page(render_html(board))
    assert "(A)" in page.tables[0][0][1].text
    assert "(B)" in page.tables[0][0][2].text
    assert "epochs = 4" in page.text("p")
    assert "epochs = 9" in page.text("p")
    assert "optimizer.rate = not set" in page.text("p")
    assert "epochs = 9" in render_markdown(board, "x.svg")


def test_the_same_records_give_the_same_bytes():
    first, second = small_board(), small_board()
    assert render_html(first) == render_html(second)
    assert render_markdown(first, "x.svg") == render_markdown(second, "x.svg")


def rendered(markdown):
    markdown_it = pytest.importorskip("markdown_it")
    return Page(markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


def test_markdown_tables_render_to_the_same_fields():
    page = rendered(render_markdown(small_board(), "board.svg"))
    assert shown(page.tables[0]) == [
        ["Cell", "Title of similarity, title of rho ↑", "Title of small-ner, title of f1 ↑"],
        ["lstm", "20.00 (1 seed, unranked)", "89.00 ± 1.41 (2 seeds, unranked)"],
        ["gru", "—", "91.00 (1 seed, unranked)"],
        ["skip-gram (baseline)", "30.00 (1 seed, unranked)", "—"],
    ]
    assert [row[2].text for row in page.tables[2][1:]] == ["91.00 (1 seed)", "89.00 ± 1.41"]
    assert page.all("img") == [{"src": "board.svg", "alt": "Results by task"}]


def test_markdown_keeps_text_from_records_as_text():
    page = rendered(render_markdown(nasty_board(), "board.svg"))
    assert {tag for tag, _ in page.tags} <= {
        *("h1", "h2", "p", "ul", "li", "strong", "em", "table", "thead", "tbody", "tr", "th", "td"),
        *("img", "details", "summary"),
    }
    assert len(page.all("img")) == 1
    assert page.text("h1") == NASTY.replace("\x1b", "\ufffd")


@given(st.text(max_size=30))
def test_escaped_text_renders_to_itself(text):
    page = rendered("x " + plain(text))
    assert page.text("p").split() == ["x", *text.replace("\x00", "\ufffd").split()]
    assert [tag for tag, _ in page.tags] == ["p"]


def test_pictures_are_sound_xml_with_a_dot_for_each_seed():
    root = ET.fromstring(all_pictures(small_board().tables))  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    similarity, ner = root.findall(f"{space}svg")
    titles = [
        dot.find(f"{space}title").text
        for picture in (similarity, ner)
        for dot in picture.iter()
        if dot.get("class") == "dot" and dot.find(f"{space}title") is not None
    ]
    assert titles == [
        "lstm, seed 0: 20.00",
        "skip-gram, seed 0: 30.00",
        "gru, seed 0: 91.00",
        "lstm, seed 0: 88.00",
        "lstm, seed 1: 90.00",
    ]
    assert "lstm 89.00 ± 1.41 (2 seeds)" in ner.find(f"{space}desc").text
    assert {"circle", "rect"} <= {
        dot.tag.removeprefix(space) for dot in root.iter() if dot.get("class") == "dot"
    }


def test_pictures_of_hostile_text_are_sound_xml():
    root = ET.fromstring(all_pictures(nasty_board().tables))  # noqa: S314 - our own
    assert not [element for element in root.iter() if element.tag.endswith(("script", "img"))]


def test_dots_lie_where_their_values_are():
    board = board_of(
        *(record("lstm", seed, metrics={"m": value}) for seed, value in enumerate([1.0, 2.0, 4.0]))
    )
    root = ET.fromstring(all_pictures(board.tables))  # noqa: S314 - our own
    dots = [dot for dot in root.iter() if dot.get("class") == "dot" and len(dot)]
    first, second, third = (float(dot.get("cx")) for dot in dots)
    assert (third - first) / (second - first) == pytest.approx(3.0, abs=0.01)


@given(
    st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4),
        min_size=1,
        max_size=5,
    )
)
def test_axis_holds_every_value_and_few_round_ticks(entries):
    summaries = [summarize(values) for values in entries]
    axis = axis_for(summaries)
    assert axis.low < axis.high
    assert len(axis.ticks) <= 11
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    values = [value for values in entries for value in values]
    if max(map(abs, values)) < 1e300:
        assert axis.low <= min(values) <= max(values) <= axis.high
    assert all(0 <= axis.share(value) <= 1 for value in values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 10.0, 5.0], 2.0), ([88.0, 88.5, 89.0], 0.2), ([1200.0, 2000.0, 1500.0], 200.0)],
)
def test_ticks_are_one_two_or_five_times_a_power_of_ten(values, expected):
    ticks = axis_for([summarize([value]) for value in values]).ticks
    assert ticks[1] - ticks[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(41.2, 2, "41.20"), (-0.001, 2, "0.00"), (-1.5, 1, "-1.5"), (3.0, 0, "3"), (123456789.0, 2, "1.23e+08")],
)
def test_metrics_are_written_with_their_digits(value, digits, expected):
    assert numbers.metric(value, digits) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        *((None, "—"), (0.04, "0.0 s"), (99.94, "99.9 s"), (99.96, "1 min 40 s"), (200, "3 min 20 s")),
        *((5999, "99 min 59 s"), (7500, "2 h 05 min"), (3600 * 1000, "1,000 h 00 min")),
    ],
)
def test_durations(seconds, expected):
    assert numbers.duration(seconds) == expected


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        *(((0,), "1"), ((0, 1, 2), "3"), ((3,), "1 seed 3"), ((1, 2), "2 seeds 1, 2")),
        ((0, 2, 4, 6, 8), "5 seeds 0, 2, 4, 6, …"),
    ],
)
def test_seeds_are_named_unless_they_count_from_0(seeds, expected):
    board = board_of(*(record(seed=seed) for seed in seeds))
    page = Page(render_html(board))
    column = [head.text.strip() for head in page.tables[1][0]].index("Seeds")
    assert page.column(1, column)[0].text == expected


def test_one_seed_shows_no_deviation():
    assert numbers.mean_and_std(summarize([2.0]), 1) == "2.0"
    assert numbers.interval(summarize([2.0]).interval, 1) == "—"
    assert numbers.mean_and_std(summarize([2.0, 2.0]), 1) == "2.0 ± 0.0"
    assert math.isclose(summarize([2.0, 2.0]).std, 0.0)


def test_the_command_of_a_card_is_complete():
    settings = {"cutoffs": [10, 20], "tags": None, "crf": True, "rate": 0.5, "features": "glove + char"}
    configuration = settings | {f"setting_{number}": "a" * 20 for number in range(40)}
    page = Page(render_html(board_of(record("lstm", configuration=configuration))))
    (command,) = [text for text in page.texts["code"] if text.startswith("cellzoo run")]
    words = shlex.split(command)
    given = dict(words[place + 1].split("=", 1) for place, word in enumerate(words) if word == "--set")
    as_json = {"cutoffs": "[10, 20]", "tags": "null", "crf": "true", "rate": "0.5", "features": "glove + char"}
    assert given == configuration | as_json

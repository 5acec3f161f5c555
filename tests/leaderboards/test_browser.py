"""The page in headless Chromium: sorting, filters, comparison, keyboard, phones, accessibility.

Skipped where Chromium or playwright is not installed (Debian: apt-get install chromium).
"""

from __future__ import annotations

import shutil

import pytest
from board_records import record, write

from cellzoo.cli.main import main

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

F1 = {"lstm": 50.0, "gru": 60.0, "enas": 55.0, "nao": 52.0, "janet": 45.0}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    for cell, base in F1.items():
        options = {"parameters": (int(1000 * base), int(2000 * base), int(3000 * base))}
        history = [{"epoch": n, "dev": {"f1": base - 9 / n}} for n in range(1, 6)]
        for seed in range(3):
            write(
                folder,
                record(cell, seed, task="wnut17", metrics={"f1": base + seed / 10}, history=history, **options),
                record(
                    cell, seed, task="ptb", metrics={"perplexity": 300 - base - seed}, higher=False, **options
                ),
            )
    held = {"quantity": "parameters", "target": 900.0, "reached": 891.0, "hidden_size": 9}
    for cell in ("lstm", "gru"):
        write(folder, record(cell, 0, task="rte", metrics={"f1": F1[cell]}, held=held))
    write(folder, record("constant", 0, task="wnut17", metrics={"f1": 1.0}, baseline=True))
    assert main(["board", str(folder), "--out", str(folder / "board")]) == 0
    return (folder / "board" / "board.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The page, which may say nothing on the console and ask for nothing but itself."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    yield page
    page.close()
    assert said == []
    assert [url.partition("#")[0] for url in asked] == [address]


def names(page, table):
    return page.eval_on_selector_all(
        f"#{table}-table tbody tr:not([hidden]) th[scope=row]",
        "found => found.map(one => one.innerText.split(/\\s/)[0])",
    )


def section(page, task):
    """The identity of the section of a task."""
    return page.locator("section[data-kind=task]", has_text=f"Task {task},").get_attribute("aria-labelledby")


def heading(page, table, words):
    return page.locator(f"#{table}-table thead button", has_text=words).first


def test_a_press_sorts_and_the_next_turns_the_order_round(page):
    table = section(page, "wnut17")
    button = heading(page, table, "title of f1")
    button.click()
    first = names(page, table)
    button.click()
    second = names(page, table)
    by_score = sorted(F1, key=F1.get, reverse=True)
    assert [name for name in first if name in F1] == by_score
    assert [name for name in second if name in F1] == by_score[::-1]
    assert heading(page, table, "title of f1").locator("xpath=..").get_attribute("aria-sort")


def test_filters_leave_what_fits_and_can_be_cleared(page):
    table = section(page, "wnut17")
    everything = names(page, table)
    page.fill("#filter-name", "gr")
    assert [name for name in names(page, table) if name in F1] == ["gru"]
    page.click("#controls button[type=reset]")
    # The page applies a reset after the event.
    rows = page.locator(f"#{table}-table tbody tr:not([hidden]) th[scope=row]")
    playwright.expect(rows).to_have_count(len(everything))
    assert names(page, table) == everything
    page.fill("#filter-parameters", "151000")
    assert {name for name in names(page, table) if name in F1} == {"lstm", "janet"}


def test_the_protocol_filter_leaves_tasks_on_equal_terms(page):
    shown = page.locator("section[data-kind=task]:not([hidden]) > h2")
    everything = shown.all_inner_texts()
    assert len(everything) == 3
    page.select_option("#filter-protocol", label="equal parameters")
    assert shown.all_inner_texts() == ["Title of rte"]
    page.click("#controls button[type=reset]")
    playwright.expect(shown).to_have_text(everything)


def test_two_cells_are_compared(page):
    page.select_option("#first", label="gru")
    page.select_option("#second", label="lstm")
    rows = page.locator("#comparison tbody tr").all_inner_texts()
    (f1,) = [row.split("\t") for row in rows if "wnut17" in row]
    assert [field.strip() for field in f1[1:4]] == ["60.10", "50.10", "+10.00"]


def test_a_link_opens_the_card_of_a_cell_with_its_learning_curves(page):
    table = section(page, "wnut17")
    page.locator(f"#{table}-table tbody a", has_text="gru").click()
    (opened,) = page.locator("details.card[open]").all()
    assert "gru" in opened.locator("summary").inner_text()
    assert opened.locator(".runs").inner_text().count("seed") or opened.locator(".runs table").count()
    assert "dev f1" in opened.inner_text()


def test_everything_by_keyboard_alone(page):
    table = section(page, "wnut17")
    target = heading(page, table, "title of f1")
    for _ in range(400):
        page.keyboard.press("Tab")
        if target.evaluate("button => button === document.activeElement"):
            break
    else:
        pytest.fail("the heading cannot be reached by keyboard")
    page.keyboard.press("Enter")
    assert [name for name in names(page, table) if name in F1] == sorted(F1, key=F1.get, reverse=True)


@pytest.mark.parametrize("width", [360, 768, 1200])
def test_nothing_is_wider_than_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.emulate_media(color_scheme=scheme)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    found = axe.Axe().run(page)
    assert [violation["id"] for violation in found.response["violations"]] == []

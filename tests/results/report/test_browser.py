"""The page in a real browser: headless Chromium, where one is installed. Nothing is downloaded."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tuning.results import report
from tuning.results.report.importance import Importance, Share

playwright = pytest.importorskip("playwright.sync_api", reason="the extra `test` installs playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
    pytest.mark.usefixtures("no_pictures"),
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
#: Milliseconds to the first paint of 1,000 trials; about 250 on two idle cores of 2023, and they are not always idle.
FIRST_PAINT = 1000


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """visit(path, viewport) opens a page and scrolls through all of it; whatever goes wrong there fails the test."""
    pages, complaints = [], []

    def go(path: Path, viewport=DESKTOP, scheme="light", read: bool = True, scripts: bool = True):
        page = browser.new_page(
            viewport=viewport, color_scheme=scheme, reduced_motion="reduce", java_script_enabled=scripts
        )
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
        page.goto(path.as_uri())
        if scripts:
            page.wait_for_selector("html[data-ready]", state="attached")
        if read and scripts:
            height = page.evaluate("document.documentElement.scrollHeight")
            for y in range(0, height, 600):
                page.evaluate("y => scrollTo({ top: y, behavior: 'instant' })", y)
                page.wait_for_timeout(30)
        return page

    yield go
    for page in pages:
        page.close()
    assert complaints == []


@pytest.fixture(scope="module")
def kept() -> dict[str, bytes]:
    """Pages by name: writing one takes seconds, and no test changes it."""
    return {}


@pytest.fixture
def finished(request, tmp_path, kept) -> Path:
    """The page of a finished search: 15 configurations that ended well, two finalists and the baseline."""
    if "finished" not in kept:
        new_search = request.getfixturevalue("hyperband")(max_epochs=9)
        request.getfixturevalue("finish")(new_search, [("0013", 1, 0.9), ("0012", 2, 0.7), (None, None, 0.5)])
        request.getfixturevalue("save")(new_search)
        kept["finished"] = report.write(request.getfixturevalue("workspace"), "s")[0].read_bytes()
    path = tmp_path / "report.html"
    path.write_bytes(kept["finished"])
    return path


def shown(page) -> int:
    """Configurations that the table lists, all of them unfolded."""
    if page.locator("#whole").count():
        page.locator("#whole").check()
    return page.locator("#trials tbody tr:visible").count()


def last_place(page, selector: str) -> tuple[float, float]:
    """Where the last of the paths that match ends, in units of its chart."""
    found = re.findall(r"[ML](\S+?) ([\d.]+)", page.locator(selector).last.get_attribute("d"))
    return float(found[-1][0]), float(found[-1][1])


def pick_row(page, place: int) -> str:
    """Clicks a row of the table; returns its trial."""
    row = page.locator("#trials tbody tr").nth(place)
    row.locator("button").click()
    return row.get_attribute("data-trial")


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_every_chart_is_there_and_nothing_is_wider_than_the_window(visit, finished, viewport, scripts):
    page = visit(finished, viewport, scripts=scripts)
    found = page.locator(".plot:visible")
    assert {chart.get_attribute("data-chart") for chart in found.all()} == {
        "best",
        "cost",
        "curves",
        "rungs",
        "parallel",
        "slices",
        "calibration",
    }
    for chart in found.all():
        box, name = chart.locator("svg").bounding_box(), chart.get_attribute("data-chart")
        assert box["width"] > 150, name
        assert box["height"] > 100, name
        # Marks beside the grid, and labels in a size that can be read.
        assert chart.locator("svg > :not(.grid)").count() > 1, name
    for text in page.locator(".plot:visible .x:visible, .plot:visible .y").all()[:40]:
        assert text.bounding_box()["height"] >= 12
    body = page.locator("body").bounding_box()
    main = page.locator("main").bounding_box()
    assert main["x"] + main["width"] <= body["width"] == viewport["width"]
    if scripts:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # The table is there too, and what is chosen by buttons.
    assert page.locator("#trials tbody tr:visible").count() == 12
    page.locator('label[for="curve-1"]').click()
    assert page.locator('[data-chart="loss"]').is_visible()
    assert not page.locator('[data-chart="curves"]').is_visible()


def test_on_paper_no_chart_is_cut(visit, finished):
    page = visit(finished, {"width": 700, "height": 1000})
    page.emulate_media(media="print")
    for chart in page.locator(".plot:visible").all():
        # What cannot be broken has to fit on a page, or it is broken all the same.
        kept = chart.evaluate(
            "e => { const f = e.closest('figure, .card'); return [getComputedStyle(f).breakInside, f.offsetHeight] }"
        )
        assert kept[0] == "avoid"
        assert kept[1] < 800
        assert chart.evaluate("e => e.getBoundingClientRect().right <= innerWidth")
    assert page.locator("#brushes").is_hidden()


def test_a_click_opens_the_details_of_a_configuration(visit, finished):
    page = visit(finished)
    detail = page.locator("#detail")
    assert detail.is_hidden()
    trial = pick_row(page, 3)
    assert detail.locator("h2").inner_text() == f"trial {trial}"
    assert detail.locator("thead th").all_inner_texts() == ["", f"trial {trial}", "baseline"]
    rows = dict(zip(detail.locator("tbody th").all_inner_texts(), range(99), strict=False))
    cells = detail.locator("tbody tr").nth(rows["rate"]).locator("td")
    assert cells.count() == 2
    assert cells.nth(1).inner_text() == "0.001"
    assert cells.nth(0).get_attribute("class") == "other"
    # Its curve and the baseline's, and nothing else.
    assert detail.locator(".plot [data-c]").count() == 2
    assert f"--from-trial s/{trial}" in detail.inner_text()
    assert "was not retrained" in detail.inner_text()
    page.keyboard.press("Escape")
    assert detail.is_hidden()
    # The keyboard is back where it was.
    assert page.evaluate("document.activeElement.closest('tr').dataset.trial") == trial


def test_a_finalist_leads_to_the_folder_of_its_run(visit, finished):
    page = visit(finished)
    page.locator("#trials tbody tr", has_text="★1").locator("button").click()
    link = page.locator("#detail a").first
    assert link.get_attribute("href") == "../../trials/s-01-t0013-cccccccc-s0/"
    assert link.inner_text().startswith("seed 0: test 0.")


def test_two_configurations_are_compared(visit, finished):
    page = visit(finished)
    one = pick_row(page, 2)
    page.locator("#compare").check()
    other = pick_row(page, 4)
    assert page.locator("#detail h2").inner_text() == f"trial {one} and trial {other}"
    assert page.locator("#detail tbody tr").first.locator("td").count() == 3
    assert page.locator("#detail .plot [data-c]").count() == 3
    # In every chart, both are marked.
    assert page.locator('[data-chart="curves"] .pick').first.get_attribute("d").count("M") == 2


def test_a_line_of_a_chart_opens_its_details(visit, finished):
    page = visit(finished)
    chart = page.locator('main [data-chart="curves"]')
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    # Where the best one ends.
    x, y = last_place(page, "[data-chart=curves] .curve.s7")
    page.mouse.click(box["x"] + x / 1000 * box["width"], box["y"] + y / 1000 * box["height"])
    assert page.locator("#detail h2").inner_text() == "trial 0019"


def test_a_brush_keeps_the_lines_that_cross_it(visit, finished):
    page = visit(finished)
    before = shown(page)
    assert before == 15
    grip = page.locator(".grip").first
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    x, top, bottom = box["x"] + box["width"] / 2, box["y"] - 6, box["y"] + box["height"]
    page.mouse.move(x, top)
    page.mouse.down()
    page.mouse.move(x, (top + bottom) / 2, steps=5)
    page.mouse.up()
    # The first axis is the score after as many epochs as all had, the first: the upper half of it is selected.
    assert 0 < shown(page) < before
    words = page.locator("#brush-words").inner_text()
    assert words.startswith(f"{shown(page)} of 15 configurations selected; best: trial ")
    # The other charts follow: what is not selected fades.
    assert page.locator('[data-chart="cost"].filtered .kept').get_attribute("d").count("M") == shown(page)
    assert page.locator('[data-chart="curves"] .curve.out').count() > 0
    # A click clears the axis.
    page.mouse.click(x, bottom - 8)
    assert shown(page) == before
    assert page.locator("#brush-clear").is_disabled()


def test_the_brushes_work_by_keyboard_alone(visit, finished):
    page = visit(finished)
    before = shown(page)
    low = page.locator("#brushes input").first
    low.focus()
    for _ in range(50):
        page.keyboard.press("ArrowRight")
    assert low.input_value() == "50"
    assert 0 < shown(page) < before
    page.locator("#brush-clear").focus()
    page.keyboard.press("Enter")
    assert shown(page) == before
    assert low.input_value() == "0"
    # Every axis can be chosen.
    names = page.locator("#brushes option").all_inner_texts()
    assert sorted(names) == sorted(["val macro-F1", "rate", "width", "head", "units", "blocks", "norm"])


def test_charts_can_be_read_by_keyboard_and_by_pointer(visit, finished):
    page = visit(finished)
    chart = page.locator('[data-chart="curves"]')
    chart.focus()
    page.keyboard.press("ArrowRight")
    first = page.locator(".tip").inner_text()
    assert "trial " in first
    assert "at epoch 1" in first
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip").inner_text() != first
    page.keyboard.press("Escape")
    assert page.locator(".tip").is_hidden()
    page.keyboard.press("Enter")
    assert page.locator("#detail").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#detail").is_hidden()
    chart = page.locator('[data-chart="cost"]')
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    x, y = last_place(page, "[data-chart=cost] .ring.hot")
    page.mouse.move(box["x"] + x / 1000 * box["width"], box["y"] + y / 1000 * box["height"])
    assert "finalist" in page.locator(".tip").inner_text()


def test_tab_reaches_every_control(visit, finished):
    page = visit(finished)
    page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(e => e.id || e.closest('[data-chart]')?.dataset.chart || e.ariaLabel || e.getAttribute('href') ||"
                " e.tagName)(document.activeElement)"
            )
        )
    assert {"theme", "best-0", "curve-0", "best", "curves", "cost", "parallel", "axis", "copy", "SUMMARY"} <= reached
    assert "matrix-0-0" in reached


def test_the_theme_is_the_system_s_until_it_is_chosen(visit, finished):
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = visit(finished, read=False), visit(finished, scheme="dark", read=False)
    assert light.evaluate(ground) == "rgb(255, 255, 255)"
    assert dark.evaluate(ground) == "rgb(20, 23, 29)"
    light.locator("#theme").focus()
    light.keyboard.press("Enter")
    assert light.evaluate(ground) == "rgb(20, 23, 29)"


def test_the_table_is_sorted_by_its_heads(visit, finished):
    page = visit(finished)
    scores = "[...document.querySelectorAll('#trials tbody td:nth-child(2)')].map(e => +e.textContent)"
    falling = page.evaluate(scores)
    assert falling == sorted(falling, reverse=True)
    page.locator("#trials th:nth-child(2) button").click()
    rising = page.evaluate(scores)
    assert rising == sorted(rising)
    assert page.locator("#trials th:nth-child(2)").get_attribute("aria-sort") == "ascending"


def test_what_a_stranger_named_runs_nothing(visit, workspace, new_search, save):
    hostile = '</script><img src=x onerror="document.title=1"><script>document.title=1</script>'
    search = new_search()
    search.records[1]["result"]["space"].append(
        {"class_name": "Choice", "config": {"name": hostile, "values": [hostile, "b"]}}
    )
    for number in range(3):
        search.tell(search.ask(f"{number:04d}", {**search.values(number), hostile: hostile}, None), 3)
    save(search)
    page = visit(report.write(workspace, "s")[0])
    assert page.title() == "s · search report"
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.usefixtures("no_importances")
def test_a_search_without_a_result_has_no_error_either(visit, workspace, new_search, save):
    search = new_search()
    search.fail(search.ask("0000", search.values(0), 1))
    save(search)
    page = visit(report.write(workspace, "s")[0])
    assert "The one trial that has ended failed." in page.locator("#verdict").inner_text()


@pytest.mark.alone
def test_a_thousand_trials_are_painted_within_a_second(visit, workspace, hyperband, save, monkeypatch):
    # Found beforehand, so that the coordinates are drawn: to find what mattered is not the page's doing.
    known = (Importance(1, 600, 0.5, 0.4, 0.6, (Share("rate", 0.3, 0.2, 0.4),)),)
    monkeypatch.setattr("tuning.results.report.importances", lambda history, seed: known)
    new_search = hyperband(15, max_epochs=27)
    assert sum(record["type"] == "ask" for record in new_search.records) > 1000
    save(new_search)
    path = report.write(workspace, "s")[0]
    assert path.stat().st_size < 5_000_000
    # The best of three: what else the machine does is not the page's doing.
    paints = []
    for _ in range(3):
        page = visit(path, read=False)
        # A page may be loaded before it is painted.
        painted = page.wait_for_function("performance.getEntriesByName('first-contentful-paint')[0]")
        paints.append(painted.evaluate("entry => entry.startTime"))
    assert min(paints) < FIRST_PAINT
    page = visit(path)
    page.locator("#brushes").scroll_into_view_if_needed()
    slowest = page.evaluate(
        """() => {
        const low = document.querySelector("#brushes input");
        const began = performance.now();
        low.value = 40;
        low.dispatchEvent(new Event("input"));
        return performance.now() - began;
    }"""
    )
    # A brush that moves, and all charts that follow it.
    assert slowest < 1000

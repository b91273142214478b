"""The page over all searches of a workspace."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import msgspec
import pytest

from tuning.results.report import overview
from tuning.results.schema import UsedBase

pytestmark = pytest.mark.usefixtures("no_importances", "no_pictures")


@pytest.fixture
def two_searches(workspace, save, random_search, finish):
    """`first` with a tested run on other data, and `second`, which was at work later, without one."""
    first = random_search(4, name="first", data_digest="e" * 64)
    finish(first, [("0002", 1, 0.9), (None, None, 0.5)])
    for age, search in ((60, first), (0, random_search(3, name="second"))):
        journal = save(search) / "journal.jsonl"
        os.utime(journal, (1e9 - age, 1e9 - age))
    return workspace


def test_every_search_has_a_line_with_its_data_its_best_and_a_link(two_searches):
    path, rows, problems = overview.write_overview(two_searches)
    text = path.read_text(encoding="utf-8")
    assert [row.name for row in rows] == ["second", "first"]
    assert problems == []
    assert path == two_searches.searches / "report.html"
    # Two data sets, two tables: their scores are not comparable.
    assert re.findall(r"<h2>Data <code>(.*?)</code>", text) == ["d" * 12, "e" * 12]
    assert re.search(
        r"<b>test 0\.9\d\d ★</b> \(0\.\d+–0\.\d+\), <a href=\"../trials/first-01-t0002-.*?/\">trial 0002</a>", text
    )
    assert re.search(r"validation 0\.\d{3}, not tested yet", text)
    assert "2001-09-0" in text
    for address in re.findall(r'href="(.*?)"', text):
        assert (two_searches.searches / address).exists(), address


@pytest.mark.parametrize(("overlap", "words"), [(None, "not checked"), (3, "3 accepted"), (0, None)])
def test_what_a_base_may_have_seen_stands_beside_the_figure(two_searches, overlap, words):
    _, rows, _ = overview.write_overview(two_searches)
    row = next(row for row in rows if row.name == "first")
    base = UsedBase(name="faces", sha256="a" * 64, overlap=overlap)
    row = replace(row, run=msgspec.structs.replace(row.run, base=base))
    said = f", started from base {'a' * 12}, overlap {words}" if words else ")"
    assert row.words.endswith(said)
    page = overview.render([row], [], None, False)
    assert (f"</a>{said}</td>" in page) == (words is not None)
    assert ("started from" in page) == (words is not None)


def test_pages_that_are_missing_or_old_are_written_anew(two_searches):
    overview.write_overview(two_searches)
    pages = {name: two_searches.search(name) / "report.html" for name in ("first", "second")}
    assert all('href="../report.html"' in page.read_text(encoding="utf-8") for page in pages.values())
    for page in pages.values():
        page.write_text("as it was")
    journal = two_searches.search("first") / "journal.jsonl"
    os.utime(journal, (4e9, 4e9))
    overview.write_overview(two_searches)
    assert pages["second"].read_text() == "as it was"
    assert pages["first"].read_text(encoding="utf-8").startswith("<!doctype html>")
    # What other runs tell of the luck of a seed is in its verdict.
    os.utime(journal, (1e9, 1e9))
    two_searches.leaderboard.write_text("as it was")
    for age, written in ((60, False), (-60, True)):
        os.utime(pages["second"], (2e9, 2e9))
        os.utime(two_searches.leaderboard, (2e9 - age, 2e9 - age))
        overview.write_overview(two_searches)
        assert (pages["second"].read_text(encoding="utf-8") != "as it was") == written


def test_a_damaged_search_is_named_and_hides_no_other(two_searches):
    (two_searches.search("first") / "search.json").write_text("[]")
    path, rows, problems = overview.write_overview(two_searches)
    assert [row.name for row in rows] == ["second"]
    assert len(problems) == 1
    assert problems[0].startswith("first: ")
    assert "holds no settings" in path.read_text(encoding="utf-8")


def test_a_workspace_without_searches_says_so(workspace):
    path, rows, problems = overview.write_overview(workspace)
    assert (rows, problems) == ([], [])
    assert "There is no search" in path.read_text(encoding="utf-8")

"""The command `report`, for searches in any state."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tuning import report
from tuning.core.settings import SearchSettings, freeze
from tuning.core.workspace import Workspace
from tuning.engine import journal
from tuning.engine.entries import from_json
from tuning.results.aliases import alias

TRIAL = {"trial_id": "0000", "values": {}, "epochs": None, "initial_epoch": 0, "continues": None, "root": "0000"}
RESULT = {
    "trial_id": "0000",
    "status": "COMPLETED",
    "score": 0.5,
    "curve": [{"epoch": 1, "val_f1_macro": 0.5, "val_loss": 1.0}],
    "seconds": [1.0],
    "failure": None,
    "space": [],
}
RECORDS = (
    {"type": "ask", "trial": TRIAL, "completed": 0},
    {"type": "attempt", "key": "trial/0000", "epoch": 0},
    {"type": "result", "key": "trial/0000", "fence": 1, "result": RESULT},
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path).create()


@pytest.fixture
def begin(workspace):
    """`begin(name, records)` writes a search whose journal has the first `records` entries; returns its folder."""

    def write(name: str = "s", records: int = len(RECORDS)) -> Path:
        settings = SearchSettings(
            name=name,
            space="baseline_cnn",
            strategy="random",
            max_epochs=9,
            retrain_epochs=9,
            window=64,
            top_k=2,
            dtype_policy="float32",
            space_digest="a" * 64,
            data_digest="d" * 64,
            backend="tensorflow",
        )
        directory = workspace.search(name)
        freeze(directory, settings)
        lines = [journal.encode(from_json({"n": n, **record})) for n, record in enumerate(RECORDS[:records])]
        (directory / "journal.jsonl").write_bytes(b"".join(lines))
        return directory

    return write


def test_it_writes_the_page_and_says_the_verdict(workspace, begin, capsys):
    directory = begin()
    assert report.main(["--root", str(workspace.root), "s", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["report"] == str(directory / "report.html")
    assert answer["standing"] == "trials only"
    assert answer["verdict"].startswith("Of 1 trial, trial 0000 leads with a validation macro-F1 of 0.500")
    assert (directory / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_without_a_name_it_takes_the_search_that_was_last_at_work(workspace, begin, capsys):
    for age, name in enumerate(("new", "old")):
        os.utime(begin(name) / "journal.jsonl", (1e9 - age, 1e9 - age))
    assert report.main(["--root", str(workspace.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["search"] == "new"


def test_a_run_stands_for_its_search(workspace, begin, make_run, capsys):
    begin("new")
    begin("old")
    make_run(workspace, "old-01-t0000-aaaaaaaa-s0", search="old")
    make_run(workspace, "alone", search=None, trial=None, rank=None, kind="train")
    for name in ("old-01-t0000-aaaaaaaa-s0", alias("old-01-t0000-aaaaaaaa-s0")):
        report.main(["--root", str(workspace.root), name, "--json"])
        assert json.loads(capsys.readouterr().out)["search"] == "old"
    assert report.main(["--root", str(workspace.root), alias("alone")]) == 2
    assert "run alone was made by no search" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "remedy"), [(["t"], "use one of s"), (["../searches/s"], "use one of s"), ([""], "use one of s")]
)
def test_an_unknown_search_is_refused(workspace, begin, capsys, argv, remedy):
    begin()
    assert report.main(["--root", str(workspace.root), *argv]) == 2
    error = capsys.readouterr().err
    assert "there is no search" in error
    assert remedy in error


def test_where_nothing_was_searched_it_says_how(tmp_path, capsys):
    Workspace(tmp_path).create()
    assert report.main(["--root", str(tmp_path)]) == 2
    assert "python -m tuning.search" in capsys.readouterr().err


def test_watching_writes_it_again_until_the_search_ends(workspace, begin, capsys, monkeypatch):
    """The page refreshes itself while the search runs; the last page does not."""
    directory, pages = begin(records=2), []
    monkeypatch.setattr("tuning.results.report.is_open", lambda directory: len(pages) < 2)
    monkeypatch.setattr(report, "WATCH_SECONDS", 1)

    def sleep(seconds):
        pages.append((directory / "report.html").read_text(encoding="utf-8"))
        begin()

    monkeypatch.setattr(report.time, "sleep", sleep)
    assert report.main(["--root", str(workspace.root), "s", "--watch"]) == 0
    assert len(pages) == 2
    assert "No trial has ended yet." in pages[0]
    assert "After 1 trial, trial 0000 leads" in pages[1]
    assert all('http-equiv="refresh"' in page for page in pages)
    assert 'http-equiv="refresh"' not in (directory / "report.html").read_text(encoding="utf-8")
    assert "trial 0000 leads" in capsys.readouterr().out


def test_all_searches_are_on_one_page(workspace, begin, capsys):
    begin("s")
    begin("t")
    assert report.main(["--root", str(workspace.root), "--all", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["report"] == str(workspace.searches / "report.html")
    assert sorted(row["search"] for row in answer["searches"]) == ["s", "t"]
    assert {row["val_f1_macro"] for row in answer["searches"]} == {0.5}
    # The pages that it links to exist.
    assert (workspace.search("t") / "report.html").is_file()


def test_all_and_one_search_are_not_asked_for_at_once(workspace, begin, capsys):
    begin()
    assert report.main(["--root", str(workspace.root), "--all", "s"]) == 2
    assert "leave one of them out" in capsys.readouterr().err


def test_a_search_that_cannot_be_read_is_said(workspace, begin, capsys):
    begin("s")
    (begin("t") / "search.json").write_text("[]")
    assert report.main(["--root", str(workspace.root), "--all"]) == 3
    said = capsys.readouterr().out
    assert "1 search, newest first" in said
    assert "t: " in said

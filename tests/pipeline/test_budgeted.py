"""A search with a budget, end to end, with toys for trials: its plan, the time it takes, and its replay."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace

import pytest

from tests.written_searches import PLAN
from tuning.core.errors import UsageError
from tuning.core.settings import SearchSettings, load
from tuning.core.workspace import Workspace
from tuning.engine import journal
from tuning.engine.entries import Closing, Extended, PlannedFinals, ShortenedFinals, Stopped
from tuning.oracles.ranking import RankedTrial
from tuning.pipeline import budgeted
from tuning.pipeline.resources import Resources
from tuning.pipeline.search import run_search

from .conftest import before_its_finals, toys_instead

#: Of the search, and of an epoch, in seconds.
BUDGET, EPOCH = 40.0, 0.1
GIVEN = {"space": "stress.tiny_cnn:build_model", "dtype": "float32", "name": "s"}


@pytest.fixture(scope="module")
def ended(prepared, sample_environment, tmp_path_factory):
    """A search that ended with its budget, and what it took in seconds."""
    workspace = Workspace(tmp_path_factory.mktemp("ended") / "workspace")
    shutil.copytree(prepared.root, workspace.root)
    with pytest.MonkeyPatch.context() as patch:
        toys_instead(patch, sample_environment, EPOCH)
        began = time.monotonic()
        result = run_search(workspace, budget=BUDGET, resources=Resources(workers=1), **GIVEN)
    return workspace, result, time.monotonic() - began


@pytest.fixture
def budgeted_search(ended, copied, sample_environment, monkeypatch):
    """(workspace, result, seconds) of that search, to go on from."""
    toys_instead(monkeypatch, sample_environment, EPOCH)
    workspace = copied(ended[0])
    return workspace, replace(ended[1], directory=workspace.search("s")), ended[2]


@pytest.mark.slow
def test_a_budget_is_used_and_kept_and_replayed_on_other_workers(budgeted_search, tmp_path, monkeypatch):
    workspace, result, seconds = budgeted_search
    settings = load(result.directory, SearchSettings)
    assert settings.plan is not None
    assert (settings.max_epochs, settings.min_epochs) == (settings.plan.max_epochs, settings.plan.first_rung)
    # The seconds kept for new workers, an ensemble and the page are much of so short a time.
    assert 0.6 * BUDGET < seconds < 1.05 * BUDGET
    entries = journal.read(result.directory / "journal.jsonl")
    decided = [entry for entry in entries if isinstance(entry, PlannedFinals | ShortenedFinals)]
    planned = [run for entry in decided if isinstance(entry, PlannedFinals) for run in entry.runs]
    left_out = [run for entry in decided if isinstance(entry, ShortenedFinals) for run in entry.runs if not run.until]
    assert planned
    # On a busy machine, too little time may be left to close: the search then ends at once.
    assert any(isinstance(entry, Closing | Stopped) for entry in entries)
    assert len(planned) - len(left_out) == sum("-ensemble-" not in run for run in result.runs)

    # A busy machine may be late in one of the two and not in the other, which would be a decision of its own.
    monkeypatch.setattr(budgeted, "TOLERANCE", 9.0)
    other = before_its_finals(workspace, tmp_path / "other", decided)
    again = run_search(other, resources=Resources(workers=2), **GIVEN)
    assert set(again.runs) == set(result.runs)
    assert other.leaderboard.read_bytes() == workspace.leaderboard.read_bytes()

    with pytest.raises(UsageError, match="has used"):
        run_search(other, budget=1.0, resources=Resources(workers=1), **GIVEN)


def test_too_small_a_budget_leaves_nothing_and_names_the_least(workspace, sample_environment, monkeypatch):
    toys_instead(monkeypatch, sample_environment, seconds=5)
    with pytest.raises(UsageError, match="cannot search this space") as refused:
        run_search(workspace, budget=60.0, resources=Resources(workers=1), **GIVEN)
    assert "m or more" in refused.value.remedy
    assert not workspace.search("s").exists()


def test_what_was_only_seen_at_the_first_rung_is_no_finalist_while_something_went_further():
    whole, short = RankedTrial("0000", 20, 0.5, ""), RankedTrial("0001", 3, 0.9, "")
    assert budgeted.finalists([(whole, {}), (short, {})], PLAN, 3) == [(whole, {})]
    assert budgeted.finalists([(short, {})], PLAN, 3) == [(short, {})]


def test_what_ranks_behind_the_defaults_is_no_finalist_but_for_the_best_where_none_is_ahead():
    first, defaults, third, fourth = (
        (RankedTrial(name, 20, score, ""), {})
        for name, score in [("0003", 0.6), ("0000", 0.5), ("0001", 0.4), ("0002", 0.3)]
    )
    assert budgeted.finalists([first, defaults, third, fourth], PLAN, 3) == [first, defaults]
    assert budgeted.finalists([defaults, third, fourth], PLAN, 3) == [defaults, third]
    assert budgeted.finalists([first, third, fourth], PLAN, 2) == [first, third]


@pytest.mark.slow
def test_a_larger_budget_goes_on_where_the_search_ended_and_keeps_its_runs(budgeted_search):
    workspace, result, _ = budgeted_search
    again = run_search(workspace, budget=2 * BUDGET, resources=Resources(workers=2), **GIVEN)
    assert again.trials > result.trials
    trained = [run for run in result.runs if "-ensemble-" not in run]
    assert set(trained) < set(again.runs)
    rows = workspace.leaderboard.read_text()
    assert all(run in rows for run in again.runs)
    entries = journal.read(again.directory / "journal.jsonl")
    (extended,) = [entry for entry in entries if isinstance(entry, Extended)]
    assert extended.budget == 2 * BUDGET
    # Nothing is left to do, and a smaller budget was used already.
    before = workspace.leaderboard.read_bytes()
    same = run_search(workspace, resources=Resources(workers=1), **GIVEN)
    assert set(same.runs) == set(again.runs)
    assert workspace.leaderboard.read_bytes() == before
    with pytest.raises(UsageError, match="has used"):
        run_search(workspace, budget=5.0, resources=Resources(workers=1), **GIVEN)


def test_time_for_an_ensemble_grows_with_what_its_members_look_at_and_is_kept():
    counts = {"train": 28_000, "val": 3_500, "test": 3_500}
    one, double = (budgeted.ensemble_seconds(counts, epoch, 9) for epoch in (50.0, 100.0))
    # Five members, two views, 7,000 images: a sixth of what an epoch takes, each.
    assert 30 < one < double < 2 * one
    assert budgeted.ensemble_seconds({**counts, "val": 35_000}, 50.0, 9) > 2 * one
    assert budgeted.ensemble_seconds(counts, 50.0, 2) < 0.5 * one

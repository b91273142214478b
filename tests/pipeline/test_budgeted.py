"""A search with a budget, end to end, with toys for trials: its plan, the time it takes, and its replay."""

from __future__ import annotations

import shutil
import time

import pytest

from stress import toy
from tuning.core.errors import UsageError
from tuning.core.plan import Plan, Price
from tuning.core.settings import SearchSettings, load
from tuning.core.workspace import Workspace
from tuning.engine import journal
from tuning.engine.entries import PlannedFinals, from_json, to_json
from tuning.oracles.ranking import RankedTrial
from tuning.pipeline import budgeted
from tuning.pipeline.resources import Resources
from tuning.pipeline.search import run_search

BUDGET = 40.0
PLAN = Plan(
    budget=3600,
    seats=2,
    price=Price(epoch=20, low=10, high=30, start=2, default=8),
    max_epochs=20,
    first_rung=3,
    trainings=9.0,
    finals=1260,
    window=4,
)
GIVEN = {"space": "stress.tiny_cnn:build_model", "dtype": "float32", "name": "s"}


@pytest.fixture
def budgeted_search(toy_search, workspace, monkeypatch):
    """A search that ended with its budget, and what it took in seconds."""
    monkeypatch.setenv(toy.SECONDS, "0.1")
    began = time.monotonic()
    result = run_search(workspace, budget=BUDGET, resources=Resources(workers=1), **GIVEN)
    return result, time.monotonic() - began


@pytest.mark.slow
def test_a_budget_is_used_and_kept_and_replayed_on_other_workers(budgeted_search, workspace, tmp_path):
    result, seconds = budgeted_search
    settings = load(result.directory, SearchSettings)
    assert settings.plan is not None
    assert (settings.max_epochs, settings.min_epochs) == (settings.plan.max_epochs, settings.plan.first_rung)
    # The seconds kept for new workers, an ensemble and the page are much of so short a time.
    assert 0.6 * BUDGET < seconds < 1.05 * BUDGET
    entries = journal.read(result.directory / "journal.jsonl")
    decided = [entry for entry in entries if isinstance(entry, PlannedFinals)]
    assert decided
    # Beside the mean of some of them.
    assert sum(len(entry.runs) for entry in decided) == len([run for run in result.runs if "-ensemble-" not in run])

    other = Workspace(tmp_path / "other")
    shutil.copytree(workspace.root, other.root)
    shutil.rmtree(other.trials)
    other.leaderboard.unlink()
    path = other.search("s") / "journal.jsonl"
    first = next(entry.n for entry in entries if isinstance(entry, PlannedFinals))
    path.unlink()
    with journal.Journal(path) as copied:
        for entry in [*entries[:first], *decided]:
            copied.append(from_json({**to_json(entry), "n": -1}))
    again = run_search(other, resources=Resources(workers=2), **GIVEN)
    assert set(again.runs) == set(result.runs)
    assert other.leaderboard.read_bytes() == workspace.leaderboard.read_bytes()

    with pytest.raises(UsageError, match="has used"):
        run_search(other, budget=1.0, resources=Resources(workers=1), **GIVEN)


def test_too_small_a_budget_leaves_nothing_and_names_the_least(toy_search, workspace, monkeypatch):
    monkeypatch.setenv(toy.SECONDS, "5")
    with pytest.raises(UsageError, match="cannot search this space") as refused:
        run_search(workspace, budget=60.0, resources=Resources(workers=1), **GIVEN)
    assert "m or more" in refused.value.remedy
    assert not workspace.search("s").exists()


def test_a_plan_is_told_in_three_lines():
    first, search, finals = budgeted.plan_text(PLAN)
    assert "2 trainings at a time" in first
    assert "20.0 s" in first
    assert "20 epochs, the shortest 3 to 6" in search
    assert "9 full trainings (6 to 18)" in search
    assert "21 min or more" in finals


def test_what_was_only_seen_at_the_first_rung_is_no_finalist_while_something_went_further():
    whole, short = RankedTrial("0000", 20, 0.5, ""), RankedTrial("0001", 3, 0.9, "")
    assert budgeted.finalists([(whole, {}), (short, {})], PLAN, 3) == [(whole, {})]
    assert budgeted.finalists([(short, {})], PLAN, 3) == [(short, {})]


def test_time_for_an_ensemble_grows_with_what_its_members_look_at_and_is_kept():
    counts = {"train": 28_000, "val": 3_500, "test": 3_500}
    one, double = (budgeted.ensemble_seconds(counts, epoch) for epoch in (50.0, 100.0))
    # Five members, two views, 7,000 images: a sixth of what an epoch takes, each.
    assert 30 < one < double < 2 * one
    assert budgeted.ensemble_seconds({**counts, "val": 35_000}, 50.0) > 2 * one


def test_a_budget_that_is_used_up_is_refused_at_a_resume_and_a_larger_one_is_not():
    budgeted.check_budget(PLAN, 3600, 3000)
    budgeted.check_budget(PLAN, 7200, 3600)
    budgeted.check_budget(PLAN, 2000, 1000)
    with pytest.raises(UsageError, match="has used 3000 s"):
        budgeted.check_budget(PLAN, 2000, 3000)

"""What `--dry-run` says is what the search would do; the work is a toy."""

from __future__ import annotations

import pytest

import tuning
from tests.written_searches import PLAN
from tuning.core import settings as config
from tuning.core.errors import DataError, UsageError
from tuning.engine.entries import Extended, Spent
from tuning.engine.journal import Journal
from tuning.pipeline.plan import plan_search
from tuning.pipeline.settings import search_settings

from .conftest import TOY, toys_instead

GIVEN = {name: value for name, value in TOY.items() if name not in ("search_only", "resources")}


@pytest.fixture
def planned(workspace, monkeypatch, sample_environment):
    toys_instead(monkeypatch, sample_environment)
    return lambda **given: plan_search(workspace, name="s", resources=TOY["resources"], **{**GIVEN, **given})


@pytest.fixture
def begun(workspace, planned):
    """A search that began with a budget of an hour, and has spent half of it."""
    directory = workspace.search("s")
    config.freeze(directory, search_settings(workspace, name="s", plan=PLAN, **GIVEN))

    def add(*entries):
        with Journal(directory / "journal.jsonl") as journal:
            for entry in entries:
                journal.append(entry)

    add(Spent(seconds=1800.0))
    return add


def test_the_budget_that_is_given_holds_and_without_one_the_latest(begun, planned):
    assert planned().budget[0].startswith("budget of 1 h 00 min,")
    wider = planned(budget=7200.0)
    assert wider.schedule == ""
    assert wider.budget[0].startswith("budget of 2 h 00 min,")
    assert "up to 1 h 15 min" in wider.budget[1] and "42 min or more" in wider.budget[2]
    begun(Extended(asks=0, budget=10800.0, finals=3780.0))
    assert planned().budget[0].startswith("budget of 3 h 00 min,")


def test_a_budget_that_is_used_is_refused_before_anything_is_timed(begun, planned):
    with pytest.raises(UsageError, match="has used 30 min of its 1h"):
        planned(budget=900.0)


def test_a_search_that_began_without_a_budget_is_given_no_plan_later(toy_search, planned):
    toy_search("s")
    found = planned(budget=3600.0)
    assert found.budget == ()
    assert found.schedule.endswith("; begun without a budget, it keeps this plan and ends after 1 h 00 min")
    assert found.schedule in found.text()
    assert "ends after" not in planned().text()


def test_finals_that_were_asked_for_are_in_the_plan_and_in_those_of_other_budgets(planned):
    found = planned(budget=600.0, retrain_epochs=60, executions=2)
    assert any("as requested: up to 8 trainings of 60 epochs" in line for line in found.budget)
    half, four_times = (line.rpartition("; ")[2] for line in found.budget[-2:])
    assert half == four_times and half.endswith(" for the finals")
    assert any(
        "or more, unless five seeds of each take less: the best" in line for line in planned(budget=600.0).budget
    )


def test_a_workspace_is_enough(tmp_path):
    with pytest.raises(DataError, match="no prepared data"):
        tuning.plan_search(tmp_path / "nowhere")

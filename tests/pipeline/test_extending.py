"""What becomes of a plan when the search is given another budget than it began with."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.written_searches import PLAN
from tuning.core.console import Console
from tuning.core.errors import UsageError
from tuning.core.plan import FinalTraining
from tuning.engine.entries import Extended, PlannedFinals, Stopped
from tuning.engine.state import apply, replay
from tuning.pipeline import budgeted, budgeted_finals, extending
from tuning.pipeline.timing import Clock


class Journaled:
    """A dispatcher whose journal held some entries when the command began, and holds those `written` since."""

    def __init__(self, *entries) -> None:
        self.state, self.written = replay(entries), []

    def record(self, entry):
        self.written.append(entry)
        apply(self.state, entry)


def extended(plan, budget, spent, *entries, search_only=False):
    """The plan that holds with such a budget, after such a journal; and what was journaled."""
    session, progress = SimpleNamespace(dispatcher=Journaled(*entries)), Console(quiet=True)
    found = extending.extended(session, plan, budget, spent, progress, search_only)
    return found, session.dispatcher.written


#: A plan as of an hour, of which most is kept for the finals.
MOSTLY = replace(PLAN, finals=2340.0)
#: A larger budget, of which the same share is kept for the finals.
DOUBLE = Extended(n=9, asks=0, budget=7200.0, finals=2520.0)
FINALS = PlannedFinals(n=8, runs=[FinalTraining(key="s-baseline-8b340a37", seed=0, epochs=20)])


@pytest.mark.parametrize("entries", [(), (DOUBLE,)])
def test_a_smaller_budget_keeps_its_own_share_for_the_finals_and_writes_nothing(entries):
    plan, written = extended(PLAN, 1800.0, 600.0, *entries)
    assert (plan.budget, plan.search, plan.finals, plan.trainings) == (1800.0, 1125.0, 630.0, 4.5)
    assert written == []


def test_a_larger_budget_keeps_for_new_finals_a_share_of_the_time_that_there_is_for_them(settings):
    # Not of what the search and its finals have used already, be that more than the budget.
    plan, written = extended(MOSTLY, 7200.0, 3600.0, FINALS, Stopped())
    assert written == [Extended(asks=0, budget=7200.0, finals=2340.0)]
    assert (plan.budget, plan.finals, plan.search) == (7200.0, 2340.0, 4680.0)
    left = plan.budget - 3600.0 - budgeted.Reserve(plan, 2, {}, settings()).seconds()
    assert left > 2 * (plan.max_epochs * plan.price.epoch + plan.price.start)
    assert extended(MOSTLY, 7200.0, 4200.0, FINALS, Stopped())[0].finals == 1950.0
    # There have been none yet; or none since it was made larger the last time.
    assert extended(MOSTLY, 7200.0, 3000.0)[0].finals == 4680.0
    assert extended(MOSTLY, 10800.0, 6000.0, FINALS, Extended(asks=0, budget=7200.0, finals=2340.0))[0].finals == 4680.0
    with pytest.raises(UsageError, match="has used 1 h 05 min of its 1h"):
        extended(MOSTLY, 3700.0, 3900.0, FINALS)


def test_another_budget_that_leaves_next_to_nothing_for_the_finals_is_refused():
    for budget, spent in [(1800.0, 1620.0), (3900.0, 3600.0)]:
        with pytest.raises(UsageError, match="too short for its finals"):
            extended(MOSTLY, budget, spent)
        # There are none to come, or they have begun.
        assert extended(MOSTLY, budget, spent, search_only=True)[0].budget == budget
        assert extended(MOSTLY, budget, spent, FINALS)[0].budget == budget
    assert extended(MOSTLY, 1800.0, 1500.0)[0].finals == 1170.0
    # Its own budget is never refused.
    assert extended(MOSTLY, 3600.0, 4000.0) == (MOSTLY, [])


@pytest.mark.parametrize("entries", [(), (DOUBLE,)])
def test_only_the_search_s_own_budget_is_exceeded_where_it_has_left_nothing_for_the_finals(entries, settings):
    session = SimpleNamespace(dispatcher=Journaled(*entries), settings=settings(plan=MOSTLY))
    own, _ = extended(MOSTLY, None, 0.0, *entries)

    def seconds(plan, spent):
        clock = Clock(plan.budget, SimpleNamespace(elapsed=lambda: spent))
        return budgeted_finals.for_first_finals(session, clock, 30.0, plan.finals, Console(quiet=True))

    assert seconds(own, own.budget - 300) == own.finals
    assert seconds(own, own.budget - 1000) == pytest.approx(966 - 0.01 * own.budget)
    smaller = replace(own, budget=1800.0, finals=1170.0)
    assert seconds(smaller, 1600.0) == pytest.approx(148)
    assert seconds(smaller, 1900.0) < 0

"""A budget at a resume of a search that was begun without one."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from stress import toy
from tuning.core.errors import BudgetEnded, StateError, UsageError
from tuning.engine import journal
from tuning.engine.entries import Ask, Extended, Result, Stopped
from tuning.engine.state import SearchState, apply
from tuning.pipeline.unplanned import limited

from .conftest import records, rewrite_journal


class Search:
    """One of which only the journal's state counts."""

    def __init__(self, *entries: Stopped | Extended) -> None:
        self.state, self.recorded, self.said = SearchState(), [], []
        for entry in entries:
            apply(self.state, entry)

    def record(self, entry: Extended) -> None:
        self.recorded.append(entry)
        apply(self.state, entry)

    def give(self, budget: float | None, spent: float) -> list[tuple[int, float, float]]:
        """What is journaled of a budget."""
        self.recorded.clear()
        self.said.clear()
        limited(self, budget, spent, SimpleNamespace(say=self.said.append))
        return [(entry.asks, entry.budget, entry.finals) for entry in self.recorded]


def test_without_a_budget_nothing_is_journaled():
    search = Search()
    assert search.give(None, 600) == search.said == []


def test_a_first_budget_and_each_larger_one_is_journaled_once():
    search = Search()
    assert search.give(1800, 600) == [(0, 1800, 0)]
    assert search.give(1800, 900) == []
    assert search.give(1200, 900) == []
    assert search.give(3600, 900) == [(0, 3600, 0)]
    assert search.said == []


def test_what_its_budget_has_ended_goes_on_with_a_larger_one_and_says_how_with_none():
    search = Search(Extended(asks=0, budget=1800, finals=0), Stopped())
    for budget in (None, 1800):  # the same command again
        assert search.give(budget, 1900) == []
        assert search.said == ["this search has used up its budget after 32 min; a larger --budget resumes it"]
        assert search.state.stopped
    assert search.give(3600, 1900) == [(0, 3600, 0)]
    assert search.said == ["budget: 1 h 00 min; the search resumes where it ended"]
    assert not search.state.stopped


@pytest.mark.parametrize("entries", [(), (Extended(asks=0, budget=2000, finals=0), Stopped())])
def test_a_budget_that_has_been_used_is_refused(entries):
    search = Search(*entries)
    with pytest.raises(UsageError, match="--budget is 10m, but this search has used 32 min"):
        search.give(600, 1900)
    assert search.recorded == []


def test_what_a_budget_has_ended_with_nothing_but_failures_is_tried_again_with_a_larger_one(
    toy_search, workspace, monkeypatch
):
    monkeypatch.setenv(toy.BROKEN, "0000,0001,0002")
    with pytest.raises(StateError, match="all 3 trials"):
        toy_search("s", max_trials=3)
    rewrite_journal(workspace, [*journal.read(workspace.search("s") / "journal.jsonl"), Stopped()])
    with pytest.raises(BudgetEnded) as ended:
        toy_search("s", max_trials=3)
    with pytest.raises(StateError, match="its budget has ended it") as refused:
        toy_search("s", max_trials=3, retry_failed=True)
    assert all("larger --budget" in error.value.remedy for error in (ended, refused))
    monkeypatch.setenv(toy.BROKEN, "")
    assert toy_search("s", max_trials=3, retry_failed=True, budget=3600.0).failed == 0


def test_a_search_that_was_ended_is_gone_on_with_to_the_end_it_would_have_had(toy_search, workspace, monkeypatch):
    # Checkpoints that the whole search had no use for are gone: what goes on from them begins anew.
    monkeypatch.setenv(toy.BROKEN, "")

    def answers() -> list[tuple[str, object]]:
        entries = journal.read(path)
        results = {
            entry.key: entry.result["curve"]
            for entry in entries
            if isinstance(entry, Result) and "curve" in entry.result
        }
        asked = [entry.trial.trial_id for entry in entries if isinstance(entry, Ask)]
        return [(trial, results.get(f"trial/{trial}")) for trial in asked]

    path = workspace.search("s") / "journal.jsonl"
    toy_search("s", strategy="hyperband", max_epochs=4, max_trials=9)
    whole = answers()
    entries = journal.read(path)
    third = [n for n, entry in enumerate(entries) if isinstance(entry, Result) and "curve" in entry.result][2]
    rewrite_journal(workspace, [*itertools.islice(entries, third + 1), Stopped()])
    assert toy_search("s", strategy="hyperband", max_epochs=4, max_trials=9).trials == 3
    assert answers() != whole
    again = toy_search("s", strategy="hyperband", max_epochs=4, max_trials=9, budget=3600.0)
    assert again.trials == 9 and answers() == whole
    assert [record["budget"] for record in records(workspace, "extended")] == [3600.0]

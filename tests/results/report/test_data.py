"""What the charts and the table of the report show."""

from __future__ import annotations

from tuning.results.report.data import SHADES, compared_entries, ordered, rungs, scored
from tuning.results.report.html import value_words
from tuning.results.report.importance import Importance, Share


def test_rungs_hold_the_trials_of_all_brackets(hyperband, random_search):
    found = rungs(hyperband().history())
    assert {epochs: len(trials) for epochs, trials in found.items()} == {1: 9, 3: 8, 9: 5}
    assert rungs(random_search().history()) == {}


def test_configurations_without_a_score_have_no_place(hyperband):
    history = hyperband().history()
    entries = scored(history, ())
    assert len(entries) == len([entry for entry in history.configurations if entry.score is not None])
    assert [entry.number for entry in entries] == list(range(len(entries)))
    assert {entry.shade for entry in entries} <= set(range(SHADES))
    best = max(entries, key=lambda entry: entry.score)
    assert best.shade == SHADES - 1
    # A configuration is called by the trial that trained it longest.
    assert best.trial == history.best.trial_ids[-1]
    assert [entry.baseline for entry in entries].count(True) == 1


def test_what_matters_comes_first_and_what_never_varies_not_at_all(random_search):
    history = random_search().history()
    found = Importance(None, 12, 0.5, 0.4, 0.6, (Share("head", 0.3, 0.1, 0.4), Share("gone", 0.2, 0.1, 0.3)))
    names = [parameter.name for parameter in ordered(history, (found,))]
    assert names == ["head", "rate", "width", "units", "blocks", "norm"]


def test_values_are_shown_as_people_write_them():
    shown = [value_words(value) for value in (True, False, 0.30000000000000004, 3, "dense")]
    assert shown == ["yes", "no", "0.3", "3", "dense"]


def test_those_that_may_be_compared_have_the_scores_of_equal_budgets(hyperband):
    history = hyperband().history()
    entries = scored(history, ())
    after = {entry.root: score for entry in history.configurations if (score := entry.score_after(1)) is not None}
    equal = compared_entries(entries, after)
    assert len(equal) == len(after)
    assert [entry.score for entry in equal] == [after[entry.configuration.root] for entry in equal]
    assert max(equal, key=lambda entry: entry.score).shade == SHADES - 1

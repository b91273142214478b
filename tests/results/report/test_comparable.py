"""Only configurations with as many epochs are compared, and only where more than chance tells them apart."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.history.records import Parameter
from tuning.results.report import importance, render
from tuning.results.report.comparable import comparable, groups
from tuning.results.report.importance import Importance, importances

SHARE = importance.Share("rate", 0.5, 0.4, 0.6)


def found(epochs: float | None, low: float) -> Importance:
    return Importance(epochs, 20, low + 0.2, low, low + 0.4, (SHARE,) if low > 0 else ())


def test_scores_are_those_after_the_same_epochs(hyperband):
    history = hyperband(2).history()
    compared = comparable(history, [found(1, 0.1), found(3, 0.3), found(9, -0.1)])
    assert compared.epochs == 3 and not compared.why_not
    assert compared.words == "20 configurations, each after 3 epochs"
    longest = [entry for entry in history.configurations if entry.epochs == 9]
    assert all(compared.scores[entry.root] == entry.score_after(3) for entry in longest)
    assert any(compared.scores[entry.root] < entry.score for entry in longest)
    # Those that were left after the first rung have no score after three epochs.
    assert {e.root for e in history.configurations if e.epochs < 3}.isdisjoint(compared.scores)


def test_where_nothing_is_explained_nothing_is_drawn_and_the_page_says_why(workspace, save, hyperband, monkeypatch):
    from tuning.results import report

    save(hyperband(2))
    for given, why in (
        (
            (found(1, -0.3),),
            "explains -10 % (90 % interval -30 % to 10 %) of the variance of unseen scores after 1 epoch",
        ),
        ((), "fewer than 10 were trained for equally many epochs"),
    ):
        monkeypatch.setattr("tuning.results.report.importances", lambda history, seed, given=given: given)
        page = render(report.collect(workspace, "s"))
        assert page.count(why) == 1 and page.count("Not drawn, for the reason") == 2
        for chart in ("parallel", "slices"):
            assert f'data-chart="{chart}" role="img"' not in page
        assert 'class="bars' not in page
        # The table of configurations stays.
        assert 'id="trials"' in page
    monkeypatch.setattr("tuning.results.report.importances", lambda history, seed: (found(1, 0.2),))
    page = render(report.collect(workspace, "s"))
    assert all(f'data-chart="{chart}" role="img"' in page for chart in ("parallel", "slices"))
    assert 'class="bars' in page


def test_chance_is_seldom_taken_for_a_pattern(random_search):
    """Scores that have nothing to do with the hyperparameters; cross-validated R² alone is above 0 more often."""
    search = random_search(15)
    results = [record["result"] for record in search.records if record["type"] == "result"][1:]
    told = 0
    for seed in range(12):
        for result, score in zip(results, np.random.default_rng(seed).normal(0.5, 0.1, len(results)), strict=True):
            result["score"] = float(score)
        (one,) = importances(search.history(), seed)
        assert one.low <= one.explained <= one.high
        assert one.tells == bool(one.shares)
        told += one.tells
    assert told <= 2


def test_groups_have_the_interval_of_student_s_t():
    from scipy import stats

    scores = {str(n): 0.5 + 0.01 * n for n in range(9)}
    number = Parameter("rate", "number", low=0.0, high=9.0)
    parts = groups(number, {root: float(root) for root in scores}, scores)
    assert [(part.start, part.end) for part in parts] == [(0, 2), (3, 5), (6, 8)]
    low, high = stats.t.interval(0.95, 2, 0.51, stats.sem([0.5, 0.51, 0.52]))
    assert (parts[0].mean, parts[0].low, parts[0].high) == pytest.approx((0.51, low, high))
    choice = Parameter("head", "choice", ("dense", "average", "none"))
    values = {root: "dense" if int(root) < 7 else "average" for root in scores} | {"8": None}
    (only,) = groups(choice, values, scores)
    assert (only.start, only.end, only.mean) == pytest.approx((0, 0, 0.53))

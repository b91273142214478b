from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.oracles.ranking import RankedTrial, best_first, rank


def ids(trials) -> list[str]:
    return [trial.trial_id for trial in trials]


def test_longer_trained_trials_come_first_whatever_the_score():
    trials = [RankedTrial("0000", 1, 0.9), RankedTrial("0001", 27, 0.4), RankedTrial("0002", 27, 0.5)]
    assert ids(rank(trials, "max")) == ["0002", "0001", "0000"]
    assert ids(rank(trials, "min")) == ["0001", "0002", "0000"]


def test_a_promoted_configuration_counts_once_by_its_longest_trial():
    trials = [
        RankedTrial("0003", 9, 0.6, root="0000"),
        RankedTrial("0000", 3, 0.7, root="0000"),
        RankedTrial("0001", 9, 0.5, root="0001"),
        RankedTrial("0002", 3, 0.9),
    ]
    assert ids(rank(trials, "max")) == ["0003", "0001", "0002"]


def test_a_promotion_that_failed_leaves_its_parent_in_the_ranking():
    trials = [RankedTrial("0000", 3, 0.7, root="0000"), RankedTrial("0001", 9, None, root="0000")]
    assert ids(rank(trials, "max")) == ["0000"]


@pytest.mark.parametrize("score", [None, math.nan, math.inf, -math.inf])
def test_trials_without_a_finite_score_are_left_out(score):
    assert ids(rank([RankedTrial("0000", 9, score), RankedTrial("0001", 1, 0.1)], "max")) == ["0001"]


@pytest.mark.parametrize("direction", ["max", "min"])
def test_ties_go_to_the_earlier_trial_beyond_four_digits_too(direction):
    trials = [RankedTrial("10000", 9, 0.5), RankedTrial("9999", 9, 0.5), RankedTrial("0001", 9, 0.5)]
    assert ids(rank(trials, direction)) == ["0001", "9999", "10000"]
    assert best_first({"10000": 0.5, "9999": 0.5}, direction) == ["9999", "10000"]


def test_an_unknown_direction_is_refused():
    with pytest.raises(ValueError, match="up"):
        rank([], "up")
    with pytest.raises(ValueError, match="up"):
        best_first({}, "up")


@given(st.permutations([RankedTrial(f"{i:04d}", i % 3, i % 5 / 10, root=f"{i % 7:04d}") for i in range(20)]))
def test_the_order_of_the_input_does_not_matter_within_configurations_of_growing_budget(trials):
    # Two trials of one configuration never have the same number of epochs in a search; here the later one is dropped.
    unique = {(trial.root, trial.epochs): trial for trial in sorted(trials, key=lambda t: t.trial_id)}
    kept = [trial for trial in trials if trial in unique.values()]
    assert rank(kept, "max") == rank(list(unique.values()), "max")

"""Which runs make an ensemble: none where one run is best, and the same whatever order they come in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.pipeline.choosing import PICKS, chosen_members
from tuning.trials.metrics import confusion_matrix, macro_f1

LABELS = np.arange(120) % 3


def run(seed: int, skill: float = 1.0) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(size=(len(LABELS), 3)) + skill * np.eye(3)[LABELS]
    return (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)


def score(probabilities: np.ndarray) -> float:
    return macro_f1(confusion_matrix(LABELS, probabilities.argmax(axis=1), 3))


def test_independent_runs_are_better_together():
    runs = {f"run-{seed}": run(seed) for seed in range(6)}
    members = chosen_members(LABELS, runs)
    assert 1 < len(members) <= sum(members.values()) <= PICKS
    mean = sum(weight * runs[name].astype(np.float64) for name, weight in members.items())
    assert score(mean) > max(map(score, runs.values()))


@pytest.mark.parametrize("runs", [{}, {"one": run(1)}, {"one": run(1), "copy": run(1)}])
def test_what_gains_nothing_is_no_ensemble(runs):
    assert chosen_members(LABELS, runs) == {}


def test_a_run_far_better_than_the_rest_stays_alone():
    perfect = np.eye(3, dtype=np.float32)[LABELS]
    assert chosen_members(LABELS, {"best": perfect, "other": run(1), "third": run(2)}) == {}


@given(st.permutations(range(5)))
def test_the_order_of_the_runs_decides_nothing(order):
    expected = chosen_members(LABELS, {f"run-{seed}": run(seed) for seed in range(5)})
    assert chosen_members(LABELS, {f"run-{seed}": run(seed) for seed in order}) == expected

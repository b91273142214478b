from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from tuning.trials.intervals import intervals, proportion


@pytest.mark.parametrize(("right", "images"), [(0, 7), (7, 7), (3, 9), (1, 1), (50, 200)])
def test_a_proportion_has_the_interval_of_clopper_and_pearson(right, images):
    answers = np.arange(images) < right
    expected = binomtest(right, images).proportion_ci(0.95, "exact")
    assert proportion(answers, np.ones(images, int)) == pytest.approx(tuple(expected), abs=1e-9)


def test_of_nothing_nothing_is_known():
    assert proportion(np.zeros(3, int), np.zeros(3, int)) == (0, 1)


def test_units_that_agree_in_themselves_count_once_and_those_that_do_not_count_fully():
    alike = np.array([9, 9, 9, 0, 0, 9, 9, 9, 0, 9])
    low, high = proportion(alike, np.full(10, 9))
    once = proportion(alike // 9, np.ones(10, int))
    assert (low, high) == pytest.approx(once, abs=1e-9)
    mixed = np.array([6, 6, 7, 6, 6, 6, 5, 6, 6, 6])
    low, high = proportion(mixed, np.full(10, 9))
    assert high - low < 0.25 < once[1] - once[0]


def test_all_right_in_few_units_is_not_certain():
    low, high = proportion(np.full(4, 20), np.full(4, 20))
    assert high == 1
    assert low == pytest.approx(binomtest(4, 4).proportion_ci(0.95, "exact").low, abs=1e-9)


def test_no_interval_is_without_width():
    labels = np.arange(54) % 3
    for predicted in (labels, (labels + 1) % 3):
        found = intervals(labels, predicted, 3)
        for low, high in (found.f1_macro, found.accuracy, *found.f1, *found.precision, *found.recall):
            assert high - low > 0.05
    assert intervals(labels, labels, 3).f1_macro[1] == 1


def test_each_class_has_an_interval_around_its_f1():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, 200)
    predicted = np.where(rng.random(200) < 0.6, labels, rng.integers(0, 4, 200))
    # The last class is neither true nor predicted.
    found = intervals(labels, predicted, 5)
    expected = f1_score(labels, predicted, labels=range(5), average=None, zero_division=0)
    assert all(low < f1 < high for f1, (low, high) in zip(expected[:4], found.f1[:4], strict=True))
    assert found.f1[4] == (0, 1)
    assert found.units_of == np.bincount(labels, minlength=5).tolist()


def test_the_intervals_hold_as_often_as_they_say():
    """Coverage in a small simulation; `python -m benchmarks.claims coverage` has the table."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 8)
    # Errors go to the other classes alike, so that F1 is the recall.
    held = np.zeros((3, 2))
    skills = (0.5, 0.8, 0.96)
    for row, skill in enumerate(skills):
        for _ in range(150):
            wrong = rng.random(24) > skill
            predicted = np.where(wrong, (labels + rng.integers(1, 3, 24)) % 3, labels)
            found = intervals(labels, predicted, 3)
            held[row] += found.f1_macro[0] <= skill <= found.f1_macro[1], found.f1[0][0] <= skill <= found.f1[0][1]
    assert (held / 150 > 0.9).all()

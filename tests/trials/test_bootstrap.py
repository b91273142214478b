from __future__ import annotations

import numpy as np
import pytest

from tuning.core.errors import DataError
from tuning.trials.bootstrap import macro_f1_difference, resample
from tuning.trials.intervals import intervals
from tuning.trials.metrics import confusion_matrix, macro_f1


def answers(images: int, classes: int, seed: int, right: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and predictions of which a share of at least `right` is right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    return labels, np.where(rng.random(images) < right, labels, rng.integers(0, classes, images))


def test_the_paired_interval_is_that_of_resampled_images():
    labels, one = answers(300, 4, 0, 0.7)
    other = np.where(np.random.default_rng(1).random(300) < 0.1, (one + 1) % 4, one)
    difference, low, high = macro_f1_difference(labels, one, other, 4)

    def score(predictions, chosen):
        return macro_f1(confusion_matrix(labels[chosen], predictions[chosen], 4))

    everything = np.arange(300)
    assert difference == pytest.approx(score(one, everything) - score(other, everything), abs=1e-12)
    draws = [np.random.default_rng(seed).integers(0, 300, 300) for seed in range(1000)]
    drawn = np.quantile([score(one, chosen) - score(other, chosen) for chosen in draws], [0.025, 0.975])
    assert [low, high] == pytest.approx(drawn, abs=0.006)
    assert macro_f1_difference(labels, one, other, 4) == (difference, low, high)
    assert macro_f1_difference(labels, other, one, 4) == pytest.approx((-difference, -high, -low), abs=1e-3)


def test_pairing_tells_apart_what_overlapping_intervals_do_not():
    labels, one = answers(1000, 5, 2, 0.7)
    other = one.copy()
    right = np.flatnonzero(one == labels)[:20]
    other[right] = (labels[right] + 1) % 5
    mine, its = (intervals(labels, each, 5).f1_macro for each in (one, other))
    assert mine[0] < its[1]
    assert macro_f1_difference(labels, one, other, 5)[1] > 0


def test_equal_predictions_differ_by_nothing():
    labels, one = answers(50, 3, 3, 0.5)
    assert macro_f1_difference(labels, one, one, 3) == (0, 0, 0)


def test_predictions_for_other_images_are_not_compared():
    with pytest.raises(DataError, match="3 labels but 2 predictions"):
        macro_f1_difference(np.array([0, 1, 1]), np.array([0, 1, 1]), np.array([0, 1]), 2)


def test_a_unit_is_drawn_with_all_its_images():
    """The cluster bootstrap by hand: whole units, each with all its images, as often as they are drawn."""
    labels, one = answers(240, 3, 5, 0.6)
    units = np.arange(240) // 8
    found = resample(labels, [one], 3, units)
    rng = np.random.default_rng(1)
    by_hand = []
    for _ in range(1500):
        chosen = np.concatenate([np.flatnonzero(units == unit) for unit in rng.integers(0, 30, 30)])
        by_hand.append(macro_f1(confusion_matrix(labels[chosen], one[chosen], 3)))
    assert np.quantile(found.inside, [0.025, 0.5, 0.975]) == pytest.approx(
        np.quantile(by_hand, [0.025, 0.5, 0.975]), abs=0.012
    )
    assert found.scores[0] == macro_f1(confusion_matrix(labels, one, 3))


def test_what_is_outside_of_a_resample_is_not_inside():
    """With two units a resample that leaves one out holds the other alone."""
    labels, one = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])
    found = resample(labels, [one], 2, np.array([0, 0, 1, 1]))
    pairs = {(round(inside, 6), round(outside, 6)) for inside, outside in np.c_[found.inside, found.outside]}
    assert pairs == {(0.5, 0.0), (0.0, 0.5), (0.333333, 0.0)}


def test_names_of_units_do_not_matter():
    labels, one = answers(90, 3, 6, 0.7)
    units = np.arange(90) // 3
    first, second = (resample(labels, [one], 3, names).inside for names in (units, 7 * units + 100))
    assert (first == second).all()

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_recall_fscore_support
from sklearn.metrics import confusion_matrix as sklearn_confusion

from tuning.core.errors import DataError
from tuning.trials.metrics import (
    class_f1_intervals,
    classification_metrics,
    confusion_matrix,
    macro_f1,
    macro_f1_difference,
    macro_f1_interval,
)


def sample(images: int, classes: int, seed: int, missing: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities; the classes of `missing` are neither true nor predicted."""
    rng = np.random.default_rng(seed)
    present = np.setdiff1d(np.arange(classes), missing)
    labels = rng.choice(present, images)
    scores = rng.random((images, classes)) + np.eye(classes)[labels] * 0.7
    scores[:, list(missing)] = 0
    return labels, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("images", "classes", "missing"), [(1, 2, ()), (50, 2, (1,)), (400, 7, ()), (90, 12, (0, 5))])
def test_figures_equal_those_of_scikit_learn(images, classes, missing):
    labels, probabilities = sample(images, classes, seed=images, missing=missing)
    predictions = probabilities.argmax(axis=1)
    names = [f"class {index}" for index in range(classes)]
    found = classification_metrics(labels, probabilities, names)
    expected = precision_recall_fscore_support(labels, predictions, labels=range(classes), zero_division=0)

    confusion = confusion_matrix(labels, predictions, classes)
    assert confusion.dtype == np.int64
    assert np.array_equal(confusion, sklearn_confusion(labels, predictions, labels=range(classes)))
    reference = f1_score(labels, predictions, labels=range(classes), average="macro", zero_division=0)
    assert macro_f1(confusion) == pytest.approx(reference, abs=1e-12)
    assert found["f1_macro"] == pytest.approx(reference, abs=1e-6)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predictions), abs=1e-6)
    assert found["precision_macro"] == pytest.approx(expected[0].mean(), abs=1e-6)
    assert found["recall_macro"] == pytest.approx(expected[1].mean(), abs=1e-6)
    for index, name in enumerate(names):
        row = found["per_class"][name]
        values = [row["precision"], row["recall"], row["f1"], row["support"]]
        assert values == pytest.approx([part[index] for part in expected], abs=1e-6)
    assert found["confusion_matrix"] == confusion.tolist()
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert found["loss"] == pytest.approx(log_loss(labels, exact, labels=range(classes)), abs=2e-6)


def test_loss_of_a_certain_mistake_is_finite():
    found = classification_metrics(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]), ["a", "b"])
    assert found["loss"] == pytest.approx(-np.log(1e-7) / 2, abs=1e-6)


def test_loss_of_certainty_is_zero_without_a_sign():
    assert str(classification_metrics(np.array([0]), np.array([[1.0, 0.0]]), ["a", "b"])["loss"]) == "0.0"


def test_metrics_are_plain_json_with_six_decimals():
    labels, probabilities = sample(300, 3, seed=1)
    found = classification_metrics(labels, probabilities, ["a", "b", "c"])
    assert json.loads(json.dumps(found)) == found
    floats = [found[name] for name in ("accuracy", "precision_macro", "recall_macro", "f1_macro", "loss")]
    assert all(value == round(value, 6) for value in floats + found["f1_macro_interval"])


def test_interval_agrees_with_resampling_images():
    """The multinomial shortcut has the distribution of the textbook bootstrap over images."""
    labels, probabilities = sample(250, 4, seed=5)
    predictions = probabilities.argmax(axis=1)
    low, high = macro_f1_interval(confusion_matrix(labels, predictions, 4))
    rng = np.random.default_rng(11)
    scores = []
    for _ in range(1500):
        chosen = rng.integers(0, 250, 250)
        scores.append(macro_f1(confusion_matrix(labels[chosen], predictions[chosen], 4)))
    assert (low, high) == pytest.approx(tuple(np.quantile(scores, [0.025, 0.975])), abs=0.012)
    assert low < macro_f1(confusion_matrix(labels, predictions, 4)) < high


def test_interval_is_the_same_each_time_and_narrows_with_more_images():
    confusion = np.array([[30, 10], [8, 25]])
    low, high = macro_f1_interval(confusion)
    assert (low, high) == macro_f1_interval(confusion)
    more_low, more_high = macro_f1_interval(confusion * 100)
    assert more_high - more_low < (high - low) / 5


def test_no_images_give_zeros():
    assert macro_f1(confusion_matrix(np.array([], int), np.array([], int), 3)) == 0.0


@pytest.mark.parametrize(
    ("labels", "predictions", "says"),
    [
        ([0, 3], [0, 1], "labels reach from 0 to 3"),
        ([0, 1], [-1, 1], "predictions reach from -1"),
        ([0.5, 1.0], [0, 1], "labels must be"),
        ([[0, 1]], [0, 1], "labels must be"),
        ([0, 1], [0], "2 labels but 1 predictions"),
    ],
)
def test_class_indices_that_cannot_be_meant_are_refused(labels, predictions, says):
    with pytest.raises(DataError, match=says):
        confusion_matrix(np.array(labels), np.array(predictions), 3)


@pytest.mark.parametrize(
    ("labels", "probabilities", "says"),
    [
        ([], np.zeros((0, 2)), "no images"),
        ([0], [[0.5, 0.25, 0.25]], r"expected \(1, 2\)"),
        ([0], [[np.nan, 1.0]], "NaN"),
        ([0], [[2.0, -1.0]], "not probabilities"),
        ([0], [[3.0, 4.0]], "not probabilities"),
    ],
)
def test_predictions_that_cannot_be_meant_are_refused(labels, probabilities, says):
    with pytest.raises(DataError, match=says):
        classification_metrics(np.array(labels, int), np.array(probabilities), ["a", "b"])


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
    mine, its = (macro_f1_interval(confusion_matrix(labels, each, 5)) for each in (one, other))
    assert mine[0] < its[1]
    assert macro_f1_difference(labels, one, other, 5)[1] > 0


def test_equal_predictions_differ_by_nothing():
    labels, one = answers(50, 3, 3, 0.5)
    assert macro_f1_difference(labels, one, one, 3) == (0, 0, 0)


def test_predictions_for_other_images_are_not_compared():
    with pytest.raises(DataError, match="3 labels but 2 predictions"):
        macro_f1_difference(np.array([0, 1, 1]), np.array([0, 1, 1]), np.array([0, 1]), 2)


def test_each_class_has_an_interval_around_its_f1():
    labels, predictions = answers(200, 4, 4, 0.6)
    # The last class is neither true nor predicted.
    intervals = class_f1_intervals(confusion_matrix(labels, predictions, 5))
    expected = f1_score(labels, predictions, labels=range(5), average=None, zero_division=0)
    assert len(intervals) == 5
    assert all(low <= f1 <= high for f1, (low, high) in zip(expected, intervals, strict=True))
    assert intervals[4] == (0, 0)
    assert all(high - low > 0.05 for low, high in intervals[:4])

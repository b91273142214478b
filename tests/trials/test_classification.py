from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_recall_fscore_support
from sklearn.metrics import confusion_matrix as sklearn_confusion

from tuning.core.errors import DataError
from tuning.trials.classification import classification_metrics
from tuning.trials.metrics import confusion_matrix, macro_f1


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
        assert row["f1_interval"][0] <= row["f1"] <= row["f1_interval"][1]
        assert row["units"] == row["support"]
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


def test_copies_of_a_test_split_widen_and_narrow_nothing():
    labels, probabilities = sample(60, 3, seed=2)
    once = classification_metrics(labels, probabilities, ["a", "b", "c"])
    units = np.tile(np.arange(60), 9)
    nine = classification_metrics(np.tile(labels, 9), np.tile(probabilities, (9, 1)), ["a", "b", "c"], units)
    assert (once["units"], nine["units"]) == (60, 60)
    assert nine["f1_macro_interval"] == pytest.approx(once["f1_macro_interval"], abs=0.02)
    assert nine["accuracy_interval"] == pytest.approx(once["accuracy_interval"], abs=1e-6)
    alone = classification_metrics(np.tile(labels, 9), np.tile(probabilities, (9, 1)), ["a", "b", "c"])
    low, high = alone["f1_macro_interval"]
    assert high - low < (once["f1_macro_interval"][1] - once["f1_macro_interval"][0]) / 2.5

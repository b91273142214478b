"""All metrics of one evaluation, as metrics.json records them for the test split. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuning.core.errors import DataError
from tuning.core.jobs import Additions
from tuning.trials.calibration import Calibration, calibration, untempered
from tuning.trials.intervals import Interval, intervals
from tuning.trials.metrics import (
    PROBABILITY_SLACK,
    class_indices,
    confusion_matrix,
    cross_entropy,
    f1_by_class,
    ratio,
    rounded,
)


def classification_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    units: np.ndarray | None = None,
    additions: Additions | None = None,
) -> dict[str, Any]:
    """Computes all metrics of one evaluation, ready for JSON: floats rounded to 6 decimals, no NumPy types.

    Args:
        labels: (n,) integers in [0, k).
        probabilities: (n, k) floats; each row sums to 1 (not logits).
        class_names: the k names, by index.
        units: (n,) the unit of each image, see `intervals`; None: each image is its own unit.
        additions: what the model's graph adds to the network; None: nothing.

    Returns:
        The fields of `results.schema.Evaluation`; loss is the mean cross entropy, in nats.

    Raises:
        DataError: no images; shapes that disagree; labels outside the classes; rows that are not probabilities.
    """
    classes = len(class_names)
    labels = class_indices("labels", labels, classes)
    probabilities = _checked_probabilities(probabilities, len(labels), classes)
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, classes)
    true_positives = np.diagonal(confusion)
    support = confusion.sum(axis=1)
    precision = ratio(true_positives, confusion.sum(axis=0))
    recall = ratio(true_positives, support)
    f1 = f1_by_class(confusion)
    found = intervals(labels, predicted, classes, units)
    return {
        "accuracy": rounded(int(true_positives.sum()) / len(labels)),
        "precision_macro": rounded(precision.mean()),
        "recall_macro": rounded(recall.mean()),
        "f1_macro": rounded(f1.mean()),
        "loss": rounded(max(0.0, cross_entropy(labels, probabilities))),
        "per_class": {
            name: {
                "precision": rounded(precision[index]),
                "recall": rounded(recall[index]),
                "f1": rounded(f1[index]),
                "support": int(support[index]),
                "units": found.units_of[index],
                "precision_interval": _rounded_interval(found.precision[index]),
                "recall_interval": _rounded_interval(found.recall[index]),
                "f1_interval": _rounded_interval(found.f1[index]),
            }
            for index, name in enumerate(class_names)
        },
        "confusion_matrix": confusion.tolist(),
        "f1_macro_interval": _rounded_interval(found.f1_macro),
        "accuracy_interval": _rounded_interval(found.accuracy),
        "units": found.units,
        "calibration": _reliability(calibration(labels, probabilities, units=units)),
        "untempered": _reliability(untempered(labels, probabilities, additions, units)),
    }


def _reliability(measured: Calibration | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    return {
        "error": rounded(measured.error),
        "interval": _rounded_interval((measured.low, measured.high)),
        "overconfident": rounded(measured.overconfident),
    }


def _rounded_interval(interval: Interval) -> list[float]:
    return [rounded(bound) for bound in interval]


def _checked_probabilities(probabilities: np.ndarray, images: int, classes: int) -> np.ndarray:
    probabilities = np.asarray(probabilities)
    if images == 0:
        raise DataError("there are no images to evaluate on", "prepare data with a non-empty split")
    if probabilities.shape != (images, classes):
        raise DataError(
            f"probabilities have shape {probabilities.shape}, expected ({images}, {classes})",
            "give one row per image and one column per class",
        )
    probabilities = probabilities.astype(np.float64)
    if not np.isfinite(probabilities).all():
        raise DataError("the model predicts NaN or infinity", "lower the learning rate and train again")
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > PROBABILITY_SLACK:
        raise DataError("the predictions are not probabilities: rows do not sum to 1", "apply softmax to logits first")
    return probabilities

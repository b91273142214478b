"""Classification metrics: pure functions over labels, predictions and probabilities.

NumPy only, so that workers, reports and tests compute them by the same code.
"""

from __future__ import annotations

import numpy as np

from tuning.core.errors import DataError

#: Metrics are rounded to this many decimals wherever they are written, so that files are reproducible.
DECIMALS = 6
#: Cross entropy is computed from probabilities clipped to [CLIP, 1], with Keras's own epsilon.
CLIP = 1e-7
#: By how much the sum of a float16 or bfloat16 softmax may differ from 1.
PROBABILITY_SLACK = 0.02


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts the pairs (true class, predicted class).

    Args:
        labels: (n,) integers in [0, classes).
        predictions: (n,) integers in [0, classes).
        classes: the number of classes, k.

    Returns:
        (k, k) int64; rows are true classes, columns predicted ones.

    Raises:
        DataError: the lengths differ, or a label or prediction lies outside [0, classes).
    """
    labels = class_indices("labels", labels, classes)
    predictions = class_indices("predictions", predictions, classes)
    if labels.shape != predictions.shape:
        raise DataError(
            f"{labels.size} labels but {predictions.size} predictions", "give one prediction for each label"
        )
    return np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes)


def macro_f1(confusion: np.ndarray) -> float:
    """Returns the unweighted mean over all k classes of F1 = 2·TP / (support + predicted).

    A class with neither support nor predictions counts as 0, as scikit-learn's `zero_division=0` over all k labels.

    Args:
        confusion: (k, k) counts, rows true, columns predicted.
    """
    return float(f1_by_class(confusion).mean())


def macro_f1_of(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns `macro_f1` where each row of `scores` (n, k) predicts its highest class, the first of equals."""
    return macro_f1(confusion_matrix(labels, scores.argmax(axis=1), scores.shape[1]))


def softmax(outputs: np.ndarray) -> np.ndarray:
    """Converts logits (n, k) to probabilities (n, k)."""
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def cross_entropy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the mean cross entropy, in nats, of probabilities (n, k) for labels (n,)."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(chosen, CLIP, 1.0)).mean())


def rounded(value: float) -> float:
    """Returns `value` as a Python float rounded to `DECIMALS`."""
    return round(float(value), DECIMALS)


def f1_by_class(confusion: np.ndarray) -> np.ndarray:
    """Returns F1 of each class, (…, k), from confusion matrices (…, k, k)."""
    true_positives = np.diagonal(confusion, axis1=-2, axis2=-1)
    return ratio(2 * true_positives, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Returns numerator / denominator, and 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


def class_indices(what: str, values: np.ndarray, classes: int) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DataError(
            f"{what} must be a one-dimensional array of integers, not {values.dtype} of shape {values.shape}",
            "give class indices",
        )
    if values.size and (values.min() < 0 or values.max() >= classes):
        raise DataError(
            f"{what} reach from {values.min()} to {values.max()}, but there are {classes} classes",
            "give class indices from 0 to one less than the number of classes",
        )
    return values.astype(np.int64, copy=False)

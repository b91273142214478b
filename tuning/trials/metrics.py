"""The figures a classifier is judged by: pure functions over labels, predictions and probabilities.

NumPy only, so that a worker, a report and a test compute the same number by the same lines.
"""

from __future__ import annotations

import numpy as np

from tuning.core.errors import DataError

#: Figures are rounded to this many decimals wherever they are written, so that files are reproducible.
DECIMALS = 6
#: Cross entropy is computed from probabilities clipped to [CLIP, 1], Keras's own epsilon.
CLIP = 1e-7
#: What the sum of a float16 or bfloat16 softmax may miss 1 by.
PROBABILITY_SLACK = 0.02


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts of (true class, predicted class).

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
    """The unweighted mean over all k classes of F1 = 2·TP / (support + predicted).

    A class with neither support nor prediction counts as 0, as scikit-learn's `zero_division=0` over all k labels.

    Args:
        confusion: (k, k) counts, rows true, columns predicted.
    """
    return float(f1_by_class(confusion).mean())


def macro_f1_of(labels: np.ndarray, scores: np.ndarray) -> float:
    """`macro_f1` where of each row of `scores` (n, k) the class with the highest is said, the first among equals."""
    return macro_f1(confusion_matrix(labels, scores.argmax(axis=1), scores.shape[1]))


def softmax(outputs: np.ndarray) -> np.ndarray:
    """Probabilities (n, k) of logits (n, k)."""
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def cross_entropy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean cross entropy, in nats, of probabilities (n, k) for labels (n,)."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(chosen, CLIP, 1.0)).mean())


def rounded(value: float) -> float:
    """`value` as a Python float with the decimals that files carry."""
    return round(float(value), DECIMALS)


def f1_by_class(confusion: np.ndarray) -> np.ndarray:
    """F1 of each class, (…, k), of confusion matrices (…, k, k)."""
    true_positives = np.diagonal(confusion, axis1=-2, axis2=-1)
    return ratio(2 * true_positives, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, and 0 where the denominator is 0."""
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

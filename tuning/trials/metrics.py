"""The figures a classifier is judged by: pure functions over labels, predictions and probabilities.

NumPy only, so that a worker, a report and a test compute the same number by the same lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuning.core.errors import DataError

#: Figures are rounded to this many decimals wherever they are written, so that files are reproducible.
DECIMALS = 6
#: Cross entropy is computed from probabilities clipped to [CLIP, 1], Keras's own epsilon.
CLIP = 1e-7

BOOTSTRAP_RESAMPLES = 1_000
BOOTSTRAP_LEVEL = 0.95
_TAILS = ((1 - BOOTSTRAP_LEVEL) / 2, 1 - (1 - BOOTSTRAP_LEVEL) / 2)
_BOOTSTRAP_SEED = 20_130_713
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
    labels = _class_indices("labels", labels, classes)
    predictions = _class_indices("predictions", predictions, classes)
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
    return float(_f1(confusion).mean())


def macro_f1_interval(confusion: np.ndarray) -> tuple[float, float]:
    """The 95 % bootstrap percentile interval of macro-F1 (Efron 1979; Efron & Tibshirani 1993, chapter 13).

    Args:
        confusion: (k, k) counts, rows true, columns predicted, with at least one image.

    Returns:
        (low, high), both in [0, 1]. It covers the choice of test images only, not the training seed.
    """
    low, high = np.quantile(_resampled_f1(confusion).mean(axis=-1), _TAILS)
    return float(low), float(high)


def class_f1_intervals(confusion: np.ndarray) -> list[tuple[float, float]]:
    """The interval of each class's F1, (low, high), from the same resamples as `macro_f1_interval`."""
    low, high = np.quantile(_resampled_f1(confusion), _TAILS, axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _resampled_f1(confusion: np.ndarray) -> np.ndarray:
    """F1 of each class, (resamples, k), of bootstrap resamples of the images counted in `confusion`, (k, k).

    Resampling n images with replacement is a multinomial draw over the cells of the confusion matrix, so 1,000
    resamples cost one vectorised draw. The seed is fixed: the same matrix always has the same resamples.
    """
    classes = len(confusion)
    cells = np.flatnonzero(confusion)
    counts = confusion.reshape(-1)[cells]
    total = int(counts.sum())
    drawn = np.random.default_rng(_BOOTSTRAP_SEED).multinomial(total, counts / total, size=BOOTSTRAP_RESAMPLES)
    resampled = np.zeros((BOOTSTRAP_RESAMPLES, classes * classes), np.int64)
    resampled[:, cells] = drawn
    return _f1(resampled.reshape(BOOTSTRAP_RESAMPLES, classes, classes))


def macro_f1_difference(
    labels: np.ndarray, one: np.ndarray, other: np.ndarray, classes: int
) -> tuple[float, float, float]:
    """Macro-F1 of `one` less that of `other`, and the 95 % interval of this difference by paired bootstrap.

    Both are scored on the same resampled images (Koehn, Statistical significance tests for machine translation
    evaluation, EMNLP 2004; percentile interval as in `macro_f1_interval`), so that what makes a test image hard for
    both cancels out: the intervals of two runs may overlap while one is better on every resample. Resampling images is
    a multinomial draw over the combinations of label, prediction and other prediction that occur.

    Args:
        labels: (n,) integers in [0, classes), n > 0.
        one, other: (n,) predictions for the same images.
        classes: the number of classes, k.

    Returns:
        (difference, low, high), each in [-1, 1]. The seed is fixed: the same predictions always give the same interval.

    Raises:
        DataError: the lengths differ, or a label or prediction lies outside [0, classes).
    """
    difference = macro_f1(confusion_matrix(labels, one, classes)) - macro_f1(confusion_matrix(labels, other, classes))
    cells, counts = np.unique(np.stack([labels, one, other]), axis=1, return_counts=True)
    total = int(counts.sum())
    drawn = np.random.default_rng(_BOOTSTRAP_SEED).multinomial(total, counts / total, size=BOOTSTRAP_RESAMPLES)
    # (cells, k) each: which cells count for which class. Products of small whole numbers are exact in float64.
    true, first, second = np.eye(classes)[cells]
    drawn = drawn.astype(np.float64)
    support = drawn @ true
    scores = [_ratio(2 * (drawn @ (true * guess)), support + drawn @ guess).mean(axis=-1) for guess in (first, second)]
    low, high = np.quantile(scores[0] - scores[1], _TAILS)
    return difference, float(low), float(high)


def classification_metrics(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """All figures of one evaluation, ready for JSON: floats rounded to 6 decimals, no NumPy types.

    Args:
        labels: (n,) integers in [0, k).
        probabilities: (n, k) floats; each row sums to 1 (not logits).
        class_names: the k names, by index.

    Returns:
        accuracy, precision_macro, recall_macro, f1_macro, loss (mean cross entropy, in nats), per_class
        {name: {precision, recall, f1, support}}, confusion_matrix (list of k lists), f1_macro_interval [low, high].

    Raises:
        DataError: no images; shapes that disagree; labels outside the classes; rows that are not probabilities.
    """
    classes = len(class_names)
    labels = _class_indices("labels", labels, classes)
    probabilities = _checked_probabilities(probabilities, len(labels), classes)
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), classes)
    true_positives = np.diagonal(confusion)
    support = confusion.sum(axis=1)
    precision = _ratio(true_positives, confusion.sum(axis=0))
    recall = _ratio(true_positives, support)
    f1 = _f1(confusion)
    chosen = np.clip(probabilities[np.arange(len(labels)), labels], CLIP, 1.0)
    return {
        "accuracy": rounded(int(true_positives.sum()) / len(labels)),
        "precision_macro": rounded(precision.mean()),
        "recall_macro": rounded(recall.mean()),
        "f1_macro": rounded(f1.mean()),
        "loss": rounded(max(0.0, -float(np.log(chosen).mean()))),
        "per_class": {
            name: {
                "precision": rounded(precision[index]),
                "recall": rounded(recall[index]),
                "f1": rounded(f1[index]),
                "support": int(support[index]),
            }
            for index, name in enumerate(class_names)
        },
        "confusion_matrix": confusion.tolist(),
        "f1_macro_interval": [rounded(bound) for bound in macro_f1_interval(confusion)],
    }


def rounded(value: float) -> float:
    """`value` as a Python float with the decimals that files carry."""
    return round(float(value), DECIMALS)


def _f1(confusion: np.ndarray) -> np.ndarray:
    """F1 of each class, (…, k), of confusion matrices (…, k, k)."""
    true_positives = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _ratio(2 * true_positives, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, and 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


def _class_indices(what: str, values: np.ndarray, classes: int) -> np.ndarray:
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

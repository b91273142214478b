"""Bootstrap of macro-F1 over units: single images, or groups of images that are not independent of each other.

Units are resampled with replacement, each with all its images (cluster bootstrap: Davison & Hinkley, Bootstrap Methods
and their Application, 1997, section 3.8). The seed is fixed: the same predictions always give the same figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tuning.trials.metrics import confusion_matrix, macro_f1, ratio

RESAMPLES = 2_000
LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2)
SEED = 20_130_713
#: Number of weights (units times resamples) held in memory at a time.
_AT_A_TIME = 2_000_000


@dataclass(frozen=True)
class Resampled:
    """Macro-F1 of several predictions of the same images.

    Attributes:
        scores: (m,) on the images themselves.
        inside: (resamples, m) on each resample.
        outside: (resamples, m) on the units that each resample leaves out.
        units: number of units.
    """

    scores: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    units: int

    def of(self, columns: Sequence[int]) -> Resampled:
        """Selects some of the predictions."""
        return Resampled(self.scores[columns], self.inside[:, columns], self.outside[:, columns], self.units)


def numbered(units: np.ndarray | None, images: int) -> tuple[np.ndarray, int]:
    """Returns the number of each image's unit, from 0, and the number of units; None: each image is its own unit."""
    if units is None:
        return np.arange(images), images
    names, numbers = np.unique(units, return_inverse=True)
    return numbers, len(names)


def resample(
    labels: np.ndarray,
    predictions: Sequence[np.ndarray],
    classes: int,
    units: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> Resampled:
    """Scores all predictions on the same resamples, so that the difficulty of an image cancels out in differences.

    Args:
        labels: (n,) integers in [0, classes), n > 0.
        predictions: m arrays like `labels`.
        units: (n,) the unit of each image; None: each image is its own unit.

    Raises:
        DataError: lengths differ, or a label or prediction lies outside [0, classes).
    """
    scores = np.array([macro_f1(confusion_matrix(labels, guesses, classes)) for guesses in predictions])
    numbers, count = numbered(units, len(labels))
    true = _counts(numbers, labels, count, classes)
    # (units, m · k) each: how many images of a unit are predicted as a class, and how many of these correctly.
    guessed = np.concatenate([_counts(numbers, guesses, count, classes) for guesses in predictions], axis=1)
    hits = np.concatenate(
        [_counts(numbers[right := guesses == labels], labels[right], count, classes) for guesses in predictions], axis=1
    )
    inside, outside = [], []
    for weights in draws(count, resamples):
        inside.append(_macro(weights, true, guessed, hits))
        outside.append(_macro((weights == 0).astype(np.float32), true, guessed, hits))
    return Resampled(scores, np.concatenate(inside), np.concatenate(outside), count)


def macro_f1_difference(
    labels: np.ndarray, one: np.ndarray, other: np.ndarray, classes: int, units: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Returns macro-F1 of `one` minus that of `other`, with the 95 % interval by paired bootstrap.

    Koehn, Statistical significance tests for machine translation evaluation, EMNLP 2004; percentile interval (Efron &
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). Valid for a pair that was not selected for its
    difference; for the rows of a leaderboard see `tuning.results.comparison`.

    Returns:
        (difference, low, high), each in [-1, 1].
    """
    found = resample(labels, [one, other], classes, units)
    low, high = interval(found.inside[:, 0] - found.inside[:, 1], found.units)
    return float(found.scores[0] - found.scores[1]), max(-1.0, low), min(1.0, high)


def interval(resampled: np.ndarray, units: int) -> tuple[float, float]:
    """Returns the 95 % percentile interval, widened about its median to correct the bootstrap for few units.

    With G units, the bootstrap's standard deviation is too small by a factor of sqrt((G - 1) / G), and its tails are
    those of Student's t with G - 1 degrees of freedom (Cameron, Gelbach & Miller, Bootstrap-based improvements for
    inference with clustered errors, Review of Economics and Statistics 90, 2008). A single unit gives no width.
    """
    from scipy.special import ndtri, stdtrit

    low, middle, high = (float(value) for value in np.quantile(resampled, (TAILS[0], 0.5, TAILS[1])))
    widening = 1.0
    if units > 1:
        widening = float(stdtrit(units - 1, TAILS[1]) / ndtri(TAILS[1])) * (units / (units - 1)) ** 0.5
    return middle - widening * (middle - low), middle + widening * (high - middle)


def few_units(units: int, resamples: int) -> np.ndarray:
    """Returns factors (resamples,) that correct each resample's deviation for few units; 1 for a single unit."""
    if units < 2:
        return np.ones(resamples)
    spread = (units - 1) / np.random.default_rng((SEED, units)).chisquare(units - 1, resamples)
    return np.sqrt(spread * units / (units - 1))


def draws(count: int, resamples: int) -> Iterator[np.ndarray]:
    """Yields how often each unit is drawn, whole numbers as float32 (some of the resamples, count)."""
    rng = np.random.default_rng(SEED)
    most = max(1, _AT_A_TIME // count)
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        drawn = rng.integers(count, size=(rows, count)) + np.arange(rows)[:, None] * count
        yield np.bincount(drawn.reshape(-1), minlength=rows * count).reshape(rows, count).astype(np.float32)


def _counts(numbers: np.ndarray, classes_of: np.ndarray, count: int, classes: int) -> np.ndarray:
    """Counts images by unit and class, float32 (count, classes)."""
    found = np.bincount(numbers * classes + classes_of, minlength=count * classes)
    return found.reshape(count, classes).astype(np.float32)


def _macro(weights: np.ndarray, true: np.ndarray, guessed: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Returns macro-F1 (resamples, m). Sums of whole numbers below 2^24 are exact in float32, in any order."""
    classes = true.shape[1]
    shape = (len(weights), -1, classes)
    support = (weights @ true)[:, None, :].astype(np.float64)
    both = support + (weights @ guessed).reshape(shape)
    return ratio(2 * (weights @ hits).reshape(shape).astype(np.float64), both).mean(axis=-1)

"""Confidence intervals that are valid with few images, and if none or all predictions are right.

A proportion has the exact interval of Clopper & Pearson (Biometrika 26, 1934). If images come in units and are not
independent, the number of images is replaced by the effective sample size (Korn & Graubard, Survey Methodology 24,
1998).

F1 of a class is 2 F* / (1 + F*), where F* is the share of correct predictions among images with that true or predicted
class (Hand, Christen & Kirielle, F*: an interpretable transformation of the F-measure, Machine Learning 110, 2021):
a proportion too, so the interval of F1 is that of F*, transformed. Macro-F1 has the bootstrap interval, widened to the
one combined from the intervals of its classes (Zou & Donner, Statistics in Medicine 27, 2008), which has a width even
if all resamples are equal. `python -m benchmarks.claims coverage` measures the coverage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuning.trials.bootstrap import TAILS, interval, numbered, resample
from tuning.trials.metrics import confusion_matrix, f1_by_class

Interval = tuple[float, float]


@dataclass(frozen=True)
class Intervals:
    """95 % intervals of one model's metrics on a test split.

    Attributes:
        units: number of independent units in the split.
        units_of: for each class, the number of units with an image of it.
        precision, recall, f1: intervals of each class.
    """

    units: int
    units_of: list[int]
    f1_macro: Interval
    accuracy: Interval
    precision: list[Interval]
    recall: list[Interval]
    f1: list[Interval]


def intervals(labels: np.ndarray, predicted: np.ndarray, classes: int, units: np.ndarray | None = None) -> Intervals:
    """Computes all intervals of one model's predictions.

    Args:
        labels, predicted: (n,) integers in [0, classes), n > 0.
        units: (n,) the unit of each image; None: each image is its own unit.
    """
    numbers, count = numbered(units, len(labels))

    def share(chosen: np.ndarray) -> Interval:
        """Returns the interval of the share of correct predictions among the chosen images."""
        return proportion(
            np.bincount(numbers[chosen & right], minlength=count), np.bincount(numbers[chosen], minlength=count)
        )

    right = labels == predicted
    labelled = [labels == index for index in range(classes)]
    guessed = [predicted == index for index in range(classes)]
    f1 = [_f1_of(share(one | other)) for one, other in zip(labelled, guessed, strict=True)]
    found = resample(labels, [predicted], classes, units)
    return Intervals(
        units=count,
        units_of=[len(np.unique(numbers[one])) for one in labelled],
        f1_macro=macro(
            f1_by_class(confusion_matrix(labels, predicted, classes)), interval(found.inside[:, 0], count), f1
        ),
        accuracy=share(np.ones(len(labels), np.bool_)),
        precision=list(map(share, guessed)),
        recall=list(map(share, labelled)),
        f1=f1,
    )


def proportion(right: np.ndarray, images: np.ndarray) -> Interval:
    """Returns the interval of sum(right) / sum(images).

    Args:
        right, images: (units,) number of correctly predicted images, and of all images, of each unit.
    """
    from scipy.special import betaincinv, stdtrit

    total, units = int(images.sum()), int((images > 0).sum())
    if total == 0:
        return 0.0, 1.0
    share = float(right.sum() / total)
    # Kish's effective sample size, as if all images of a unit were equal: the lower bound.
    size = total**2 / float(np.square(images, dtype=np.float64).sum())
    if total > units > 1 and 0 < share < 1:
        variance = units / (units - 1) * float(np.square(right - share * images).sum()) / total**2
        independent = min(total, share * (1 - share) / variance) if variance > 0 else total
        size = max(size, independent * float(stdtrit(total - 1, TAILS[1]) / stdtrit(units - 1, TAILS[1])) ** 2)
    hits, misses = share * size, (1 - share) * size
    low = float(betaincinv(hits, misses + 1, TAILS[0])) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, misses, TAILS[1])) if misses > 0 else 1.0
    return low, high


def macro(f1: np.ndarray, resampled: Interval, of_classes: list[Interval]) -> Interval:
    """Returns the interval of the mean F1: the bootstrap's, widened to the one combined from the classes' intervals.

    Args:
        f1: (k,) F1 of each class.
        resampled: the bootstrap interval of their mean.
        of_classes: the k intervals of the classes.
    """
    low, high = np.transpose(of_classes)
    below, above = (float(np.sqrt(np.square(end - f1).sum())) / len(f1) for end in (low, high))
    mean = float(f1.mean())
    return max(0.0, min(resampled[0], mean - below)), min(1.0, max(resampled[1], mean + above))


def _f1_of(bounds: Interval) -> Interval:
    low, high = (2 * bound / (1 + bound) for bound in bounds)
    return low, high

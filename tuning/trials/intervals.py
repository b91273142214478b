"""Intervals that hold with few images, and with none or all of them right.

A proportion has the exact interval of Clopper & Pearson (Biometrika 26, 1934). Where images come in units that are not
independent, it is that of so many independent images as tell the same (Korn & Graubard, Survey Methodology 24, 1998).

F1 of a class is 2 F* / (1 + F*), where F* is the share of right ones among the images that carry its label or were
given it (Hand, Christen & Kirielle, F*: an interpretable transformation of the F-measure, Machine Learning 110, 2021):
a proportion too, and so the interval of F1 is that of F*, transformed. Macro-F1 has the interval of the bootstrap,
widened to that of its classes' intervals put together (Zou & Donner, Statistics in Medicine 27, 2008), which has a
width also where no resample differs from another. `python -m benchmarks.claims coverage` measures how often they hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuning.trials.bootstrap import TAILS, interval, numbered, resample
from tuning.trials.metrics import confusion_matrix, f1_by_class

Interval = tuple[float, float]


@dataclass(frozen=True)
class Intervals:
    """95 % intervals of one model's figures on a test split.

    Attributes:
        units: independent units in the split; units_of: those that hold an image of each class.
        precision, recall, f1: of each class.
    """

    units: int
    units_of: list[int]
    f1_macro: Interval
    accuracy: Interval
    precision: list[Interval]
    recall: list[Interval]
    f1: list[Interval]


def intervals(labels: np.ndarray, predicted: np.ndarray, classes: int, units: np.ndarray | None = None) -> Intervals:
    """All intervals of one model's predictions.

    Args:
        labels, predicted: (n,) integers in [0, classes), n > 0.
        units: (n,) the unit of each image; None: each image is one.
    """
    numbers, count = numbered(units, len(labels))

    def share(chosen: np.ndarray) -> Interval:
        """Of the right ones among the chosen images."""
        return proportion(
            np.bincount(numbers[chosen & right], minlength=count), np.bincount(numbers[chosen], minlength=count)
        )

    right = labels == predicted
    carried = [labels == index for index in range(classes)]
    given = [predicted == index for index in range(classes)]
    f1 = [_f1_of(share(one | other)) for one, other in zip(carried, given, strict=True)]
    found = resample(labels, [predicted], classes, units)
    return Intervals(
        units=count,
        units_of=[len(np.unique(numbers[one])) for one in carried],
        f1_macro=macro(
            f1_by_class(confusion_matrix(labels, predicted, classes)), interval(found.inside[:, 0], count), f1
        ),
        accuracy=share(np.ones(len(labels), np.bool_)),
        precision=list(map(share, given)),
        recall=list(map(share, carried)),
        f1=f1,
    )


def proportion(right: np.ndarray, images: np.ndarray) -> Interval:
    """The interval of sum(right) / sum(images).

    Args:
        right, images: (units,) right ones and images of each unit.
    """
    from scipy.special import betaincinv, stdtrit

    total, units = int(images.sum()), int((images > 0).sum())
    if total == 0:
        return 0.0, 1.0
    share = float(right.sum() / total)
    # As many as if all images of a unit were the same: never fewer than that (Kish's effective sample size).
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
    """The interval of the mean of the classes' F1: that of the bootstrap, and at least that of the classes together.

    Args:
        f1: (k,) of each class.
        resampled: the interval of their mean by bootstrap.
        of_classes: the k intervals of each.
    """
    low, high = np.transpose(of_classes)
    below, above = (float(np.sqrt(np.square(end - f1).sum())) / len(f1) for end in (low, high))
    mean = float(f1.mean())
    return max(0.0, min(resampled[0], mean - below)), min(1.0, max(resampled[1], mean + above))


def _f1_of(bounds: Interval) -> Interval:
    low, high = (2 * bound / (1 + bound) for bound in bounds)
    return low, high

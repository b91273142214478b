"""Calibration of a model's confidence: reliability diagram and expected calibration error. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuning.core.jobs import Additions
from tuning.trials.additions import tempered
from tuning.trials.bootstrap import RESAMPLES, TAILS, draws, few_units, numbered
from tuning.trials.intervals import proportion

BINS = 15
#: Halvings by which an end of the interval is found: to a thousandth of the error.
_HALVINGS = 12


@dataclass(frozen=True)
class Bin:
    """The predictions whose confidence lies in (low, high]: how many, their mean confidence, their accuracy."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Attributes:
    bins: those that hold a prediction, by confidence.
    error: the expected calibration error, in [0, 1]. With few images it is too high: chance alone makes distances.
    low, high: its 95 % interval, which knows that: it begins at 0 where a calibrated model may have such an error.
    overconfident: mean confidence less accuracy, in [-1, 1]; above 0 the model is overconfident.
    """

    bins: tuple[Bin, ...]
    error: float
    low: float
    high: float
    overconfident: float


def calibration(
    labels: np.ndarray,
    probabilities: np.ndarray,
    bins: int = BINS,
    units: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> Calibration:
    """The calibration of the predicted class, in bins of equal width.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equations 1 to 3: the
    expected calibration error is the mean, over all predictions, of |accuracy − confidence| of their bin.

    Its interval holds the errors of which the one found is neither in the upper nor in the lower 2.5 %: resamples give
    what chance does to each bin, and the bins' distances are taken as many times smaller or larger. For no distance at
    all this is consistency resampling (Bröcker & Smith, Weather and Forecasting 22, 2007). The interval reaches to the
    error found, and to the distance of the mean confidence to either end of the accuracy's exact interval, so that it
    has a width also where all are right. With few units resamples give too little: what they miss is added, and of one
    unit alone nothing is known of chance. `python -m benchmarks.claims calibration` measures how often it holds.

    Args:
        labels: int (n,), n > 0.
        probabilities: float (n, k).
        units: (n,) which images depend on each other; None: none does.
    """
    confidence = np.asarray(probabilities, np.float64).max(axis=1)
    right = np.asarray(probabilities).argmax(axis=1) == labels
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for place in np.unique(places):
        inside = places == place
        mean, share = float(confidence[inside].mean()), float(right[inside].mean())
        found.append(Bin(place / bins, (place + 1) / bins, int(inside.sum()), mean, share))
    error = sum(entry.count * abs(entry.accuracy - entry.confidence) for entry in found) / len(labels)
    numbers, count = numbered(units, len(labels))
    # By unit and bin, by how much confidence misses the right answers; and the images of each unit.
    apart = np.zeros((count, bins))
    np.add.at(apart, (numbers, places), right - confidence)
    images = np.bincount(numbers, minlength=count)
    distances = apart.sum(axis=0) / len(labels)
    chance = (
        np.concatenate([weights @ apart / (weights @ images)[:, None] for weights in draws(count, resamples)])
        - distances
    )
    chance *= few_units(count, len(chance))[:, None]
    low, high = (error * _factor(distances, chance, error, tail) for tail in reversed(TAILS))
    worst, best = proportion(np.bincount(numbers[right], minlength=count), images)
    believed = float(confidence.mean())
    return Calibration(
        bins=tuple(found),
        error=error,
        low=min(error, low) if count > 1 else 0.0,
        high=min(1.0, max(error, high, believed - worst, best - believed)),
        overconfident=float(believed - right.mean()),
    )


def untempered(
    labels: np.ndarray, probabilities: np.ndarray, additions: Additions | None, units: np.ndarray | None = None
) -> Calibration | None:
    """The calibration without the temperature in the model's graph; None where it has none.

    A temperature is a power of the probabilities, so that the inverse power takes it out again.
    """
    found = additions.temperature if additions else None
    if found is None or not found.used or found.value is None:
        return None
    return calibration(labels, tempered(np.asarray(probabilities, np.float64), 1 / found.value), units=units)


def _factor(distances: np.ndarray, chance: np.ndarray, error: float, level: float) -> float:
    """How many times the distances must be there for the error found to be this quantile of what comes with chance."""

    def at(times: float) -> float:
        return float(np.quantile(np.abs(times * distances + chance).sum(axis=1), level))

    if at(0.0) >= error:
        return 0.0
    low, high = 0.0, 1.0
    while at(high) < error:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) < error else (low, middle)
    return high

"""Calibration of a model's confidence: reliability diagram and expected calibration error. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuning.core.jobs import Additions
from tuning.trials.additions import tempered
from tuning.trials.bootstrap import RESAMPLES, TAILS, draws, few_units, numbered
from tuning.trials.intervals import proportion

BINS = 15
#: Bisection steps for each end of the interval: exact to a thousandth of the error.
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
    """The calibration of a model's predictions.

    Attributes:
        bins: the non-empty bins, by confidence.
        error: the expected calibration error, in [0, 1]. With few images it is biased upwards by chance.
        low, high: its 95 % interval, which allows for that bias: it begins at 0 if a calibrated model may have such an
            error.
        overconfident: mean confidence minus accuracy, in [-1, 1]; above 0 the model is overconfident.
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
    """Computes the calibration of the predicted class's confidence, in bins of equal width.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equations 1 to 3: the
    expected calibration error is the mean, over all predictions, of |accuracy − confidence| of their bin.

    Its interval contains the true errors under which the observed one is neither in the upper nor in the lower 2.5 %.
    For this, the observed distances of the bins are scaled by a common factor, and resamples add the effect of chance
    on each bin; with factor 0 this is consistency resampling (Bröcker & Smith, Weather and Forecasting 22, 2007). The
    interval is extended to the observed error and to the distance from the mean confidence to either end of the
    accuracy's exact interval, so that it has a width even if all predictions are right. With few units, resamples
    underestimate chance, which is corrected; with a single unit, chance cannot be estimated. `python -m
    benchmarks.claims calibration` measures the coverage.

    Args:
        labels: int (n,), n > 0.
        probabilities: float (n, k).
        units: (n,) the unit of each image; images of one unit are not independent. None: all are.
    """
    confidence = np.asarray(probabilities, np.float64).max(axis=1)
    right = np.asarray(probabilities).argmax(axis=1) == labels
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    filled = []
    for place in np.unique(places):
        inside = places == place
        mean, share = float(confidence[inside].mean()), float(right[inside].mean())
        filled.append(Bin(place / bins, (place + 1) / bins, int(inside.sum()), mean, share))
    error = sum(entry.count * abs(entry.accuracy - entry.confidence) for entry in filled) / len(labels)
    numbers, count = numbered(units, len(labels))
    # By unit and bin, the sum of (right - confidence); and the number of images of each unit.
    gaps = np.zeros((count, bins))
    np.add.at(gaps, (numbers, places), right - confidence)
    images = np.bincount(numbers, minlength=count)
    distances = gaps.sum(axis=0) / len(labels)
    chance = (
        np.concatenate([weights @ gaps / (weights @ images)[:, None] for weights in draws(count, resamples)])
        - distances
    )
    chance *= few_units(count, len(chance))[:, None]
    low, high = (error * _factor(distances, chance, error, tail) for tail in reversed(TAILS))
    worst, best = proportion(np.bincount(numbers[right], minlength=count), images)
    mean_confidence = float(confidence.mean())
    return Calibration(
        bins=tuple(filled),
        error=error,
        low=min(error, low) if count > 1 else 0.0,
        high=min(1.0, max(error, high, mean_confidence - worst, best - mean_confidence)),
        overconfident=float(mean_confidence - right.mean()),
    )


def untempered(
    labels: np.ndarray, probabilities: np.ndarray, additions: Additions | None, units: np.ndarray | None = None
) -> Calibration | None:
    """Computes the calibration without the temperature in the model's graph; None if it has none.

    A temperature raises probabilities to a power; the inverse power undoes it.
    """
    temperature = additions.temperature if additions else None
    if temperature is None or not temperature.used or temperature.value is None:
        return None
    return calibration(labels, tempered(np.asarray(probabilities, np.float64), 1 / temperature.value), units=units)


def _factor(distances: np.ndarray, chance: np.ndarray, error: float, level: float) -> float:
    """Returns the factor on the distances at which the observed error is the `level` quantile of errors with chance."""

    def quantile(factor: float) -> float:
        return float(np.quantile(np.abs(factor * distances + chance).sum(axis=1), level))

    if quantile(0.0) >= error:
        return 0.0
    low, high = 0.0, 1.0
    while quantile(high) < error:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if quantile(middle) < error else (low, middle)
    return high

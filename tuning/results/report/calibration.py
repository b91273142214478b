"""Whether a model's confidence can be believed: the reliability diagram and the expected calibration error. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuning.trials.bootstrap import RESAMPLES, TAILS, draws, numbered

BINS = 15


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
    error: the expected calibration error, in [0, 1].
    low, high: its 95 % interval: of the bootstrap over units, less what resampling alone adds to a sum of distances.
    overconfident: mean confidence less accuracy, in [-1, 1]; above 0 the model is overconfident.
    """

    bins: tuple[Bin, ...]
    error: float
    low: float
    high: float
    overconfident: float


def calibration(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS, units: np.ndarray | None = None
) -> Calibration:
    """The calibration of the predicted class, in bins of equal width.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equations 1 to 3: the
    expected calibration error is the mean, over all predictions, of |accuracy − confidence| of their bin.

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
    errors = np.concatenate(
        [np.abs(weights @ apart).sum(axis=1) / (weights @ images) for weights in draws(count, RESAMPLES)]
    )
    low, high = np.quantile(errors, TAILS) - (errors.mean() - error)
    return Calibration(
        bins=tuple(found),
        error=error,
        low=max(0.0, min(error, float(low))),
        high=min(1.0, max(error, float(high))),
        overconfident=float(confidence.mean() - right.mean()),
    )

"""Whether a model's confidence can be believed: the reliability diagram and the expected calibration error. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    overconfident: mean confidence less accuracy, in [-1, 1]; above 0 the model is overconfident.
    """

    bins: tuple[Bin, ...]
    error: float
    overconfident: float


def calibration(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> Calibration:
    """The calibration of the predicted class, in bins of equal width.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equations 1 to 3: the
    expected calibration error is the mean, over all predictions, of |accuracy − confidence| of their bin.

    Args:
        labels: int (n,), n > 0.
        probabilities: float (n, k).
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
    return Calibration(tuple(found), error, float(confidence.mean() - right.mean()))

"""Statistical comparison of the runs on one test split: which are worse than others, and the best score corrected.

All pairs of configurations are compared at once, with simultaneous intervals by a max-t bootstrap (Tukey's all pairs,
as in Hsu, Multiple Comparisons, 1996, chapter 5; Westfall & Young, Resampling-Based Multiple Testing, 1993). They
therefore hold for every pair, including those with the best run, which was chosen by the same scores. Comparison with
the best alone (Hsu, Annals of Statistics 9, 1981, and 12, 1984) gives narrower intervals, but does not tell which of
several runs equal to the best is worse than another.

A difference has two sources of chance. The first is the choice of test units, which the bootstrap repeats. With few
units G, its standard deviation is too small by sqrt((G - 1) / G) and is known with G - 1 degrees of freedom only, for
which it is corrected (Cameron, Gelbach & Miller, Review of Economics and Statistics 90, 2008). The second is the
training seed. Its variance is pooled over all configurations that have runs with different seeds, minus the part that
the choice of units explains, and enters with the uncertainty of its degrees of freedom (generalised inference:
Weerahandi, Journal of the American Statistical Association 88, 1993). Without such runs it is unknown.
`python -m benchmarks.claims` measures how often these claims are wrong.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from tuning.trials.bootstrap import LEVEL, SEED, Resampled, few_units

#: Scores that differ by no more than this are equal except for rounding.
_EQUAL = 1e-12


@dataclass(frozen=True)
class Entrant:
    """A run in the comparison.

    Attributes:
        configuration: key that is equal for runs that differ only in their seed.
        seeded: whether the run counts for the variation between seeds. False for an ensemble, whose members have seeds
            of their own (it is assumed to vary as a single run does, although a mean varies less), for a configuration
            that has learned nothing, and for a copy of another run.
    """

    configuration: Hashable
    seeded: bool = True


@dataclass(frozen=True)
class SeedNoise:
    """Variation between training seeds.

    Attributes:
        deviation: standard deviation of test macro-F1 between seeds, without the part explained by the choice of units.
        degrees: degrees of freedom: the number of runs minus the number of configurations that it is estimated from.
    """

    deviation: float
    degrees: int


@dataclass(frozen=True)
class Difference:
    """Difference of two configurations' mean test macro-F1 over seeds, with its simultaneous 95 % interval."""

    value: float
    low: float
    high: float


class Comparison:
    """A comparison of runs on the same test split.

    Attributes:
        noise: variation between training seeds; None if no configuration was trained with a second seed.
    """

    def __init__(self, entrants: Sequence[Entrant], found: Resampled) -> None:
        """Compares all pairs of configurations.

        Args:
            entrants: the runs.
            found: their scores; columns are in the order of `entrants`.
        """
        names = list(dict.fromkeys(entrant.configuration for entrant in entrants))
        self._places = np.array([names.index(entrant.configuration) for entrant in entrants])
        counts = np.bincount(self._places)
        mean = (self._places[:, None] == np.arange(len(names))) / counts
        self._units, self._means = found.units, found.scores @ mean
        repeated = np.array([entrant.seeded for entrant in entrants])
        repeated &= np.bincount(self._places[repeated], minlength=len(names))[self._places] > 1
        degrees = int(repeated.sum() - len(set(self._places[repeated])))
        shifts = (found.inside - found.scores) @ mean
        covariance = np.atleast_2d(np.cov(shifts, rowvar=False))
        shifts = shifts * few_units(found.units, len(shifts))[:, None]
        own = np.diagonal(covariance)
        # Rounding errors must not make a variance negative.
        variances = np.maximum(0, own[:, None] + own[None, :] - 2 * covariance)
        self.noise: SeedNoise | None = None
        if degrees:
            within = self._places[repeated], degrees
            total = _within(found.scores[None, repeated], *within)[0]
            by_units = _within((found.inside - found.scores)[:, repeated], *within).mean()
            self.noise = SeedNoise(float(np.sqrt(max(0.0, total - by_units))), degrees)
            rng = np.random.default_rng(SEED)
            scale = np.sqrt(np.maximum(0, total * degrees / rng.chisquare(degrees, len(shifts)) - by_units))
            shifts = shifts + scale[:, None] * rng.standard_normal(shifts.shape) / np.sqrt(counts)
            variances = variances + total * (1 / counts[:, None] + 1 / counts[None, :])
        self._errors = np.sqrt(variances)
        self._factor = _factor(shifts, self._errors)

    def difference(self, one: int, other: int) -> Difference:
        """Returns how much better the configuration of run `one` is than that of run `other` (indices of entrants)."""
        first, second = self._places[one], self._places[other]
        value = float(self._means[first] - self._means[second])
        half = 0.0 if first == second else float(self._factor * self._errors[first, second])
        if self._units == 1 and first != second:
            # A single unit allows no conclusion about other units.
            half = 2.0
        # Scores differ by at most 1, but with one repeated seed the half width can be larger.
        return Difference(value, max(-1.0, value - half), min(1.0, value + half))


def chosen_score(found: Resampled) -> float:
    """Returns the highest of several scores, corrected for having been chosen on the same images.

    On each resample, the best run is chosen and scored on the units that the resample left out (Efron & Tibshirani,
    Journal of the American Statistical Association 92, 1997; Dwork et al., Science 349, 2015, on why the same images
    cannot serve both purposes). The mean loss in score from having fewer images is added back, so that a single run
    keeps its score. If several runs are best on a resample, the mean of their scores counts.
    """
    chosen = found.inside >= found.inside.max(axis=1, keepdims=True) - _EQUAL
    beside = found.outside - found.outside.mean(axis=0) + found.scores
    corrected = float(((beside * chosen).sum(axis=1) / chosen.sum(axis=1)).mean())
    return min(max(corrected, 0.0), float(found.scores.max()))


def _within(scores: np.ndarray, places: np.ndarray, degrees: int) -> np.ndarray:
    """Returns the pooled variance within configurations for each row of `scores`.

    Args:
        scores: (rows, runs).
        places: (runs,) the configuration of each run.
        degrees: degrees of freedom.
    """
    own = (places[:, None] == np.unique(places)).astype(np.float64)
    apart = scores - scores @ (own / own.sum(axis=0)) @ own.T
    return np.square(apart).sum(axis=1) / degrees


def _factor(shifts: np.ndarray, errors: np.ndarray) -> float:
    """Returns the `LEVEL` quantile, over resamples, of the largest |difference| / standard error among all pairs."""
    one, other = np.triu_indices(shifts.shape[1], 1)
    if not len(one):
        return 0.0
    error = errors[one, other]
    largest = np.zeros(len(shifts))
    for first, second, size in zip(one[error > 0], other[error > 0], error[error > 0], strict=True):
        np.maximum(largest, np.abs(shifts[:, first] - shifts[:, second]) / size, out=largest)
    return float(np.quantile(largest, LEVEL))

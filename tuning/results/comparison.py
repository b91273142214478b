"""What the runs on one test split can claim of each other: who is worse than whom, and what the best score is worth.

All pairs of configurations are compared at once: simultaneous intervals by a max-t bootstrap (Tukey's all pairs, as in
Hsu, Multiple Comparisons, 1996, chapter 5; Westfall & Young, Resampling-Based Multiple Testing, 1993), which therefore
hold whichever pair is looked at, also that with the best, which was chosen by the same scores. Comparison with the best
alone (Hsu, Annals of Statistics 9, 1981, and 12, 1984) is narrower, but says nothing of which of several equal ones is
worse than another.

A difference has two sources of chance. One is the choice of test units, which the bootstrap repeats; what it misses
where they are few is added: its standard deviation is too small by sqrt((G - 1) / G), and known with G - 1 degrees of
freedom only (Cameron, Gelbach & Miller, Review of Economics and Statistics 90, 2008). The other is the training seed:
its variance is pooled over all configurations of which runs with different seeds exist, less what the choice of units
explains of it, and enters with the uncertainty that its degrees of freedom leave (generalised inference: Weerahandi,
Journal of the American Statistical Association 88, 1993). Without such runs nothing is known of it.
`python -m benchmarks.claims` measures how often all of this errs.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from tuning.trials.bootstrap import LEVEL, SEED, Resampled, few_units

#: Scores that are no further apart differ by rounding alone.
_EQUAL = 1e-12


@dataclass(frozen=True)
class Entrant:
    """A run that is compared.

    Attributes:
        configuration: equal for runs that differ in nothing but their seed.
        seeded: whether other seeds of it tell of the luck of training. Of an ensemble they do not: its members have
            seeds of their own. It is taken to vary as a single run does, although a mean varies less. Nor do they of
            a configuration that has learned nothing, nor does a copy of a run.
    """

    configuration: Hashable
    seeded: bool = True


@dataclass(frozen=True)
class SeedNoise:
    """Attributes:
    deviation: of test macro-F1 between training seeds, as far as the choice of test units does not explain it.
    degrees: runs beyond the first of each configuration that it comes from.
    """

    deviation: float
    degrees: int


@dataclass(frozen=True)
class Difference:
    """Of two configurations' test macro-F1, means over their seeds, with its simultaneous 95 % interval."""

    value: float
    low: float
    high: float


class Comparison:
    """Runs on the same test split, compared with each other.

    Attributes:
        noise: of the training seed; None where no configuration was trained with a second seed.
    """

    def __init__(self, entrants: Sequence[Entrant], found: Resampled) -> None:
        """Args:
        entrants: the runs.
        found: their scores, columns in the order of the runs.
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
        # Never below 0 by a rounding error.
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
        """How much better one run's configuration is than another's."""
        first, second = self._places[one], self._places[other]
        value = float(self._means[first] - self._means[second])
        half = 0.0 if first == second else float(self._factor * self._errors[first, second])
        if self._units == 1 and first != second:
            # A single unit says nothing of what others would.
            half = 2.0
        # No two scores are further apart than 1; with one repeated seed the half width alone can be more.
        return Difference(value, max(-1.0, value - half), min(1.0, value + half))


def chosen_score(found: Resampled) -> float:
    """What the highest of several scores is worth, corrected for its having been chosen on the same images.

    On each resample the best run is chosen, and scored on the units that the resample has left out (Efron & Tibshirani,
    Journal of the American Statistical Association 92, 1997; Dwork et al., Science 349, 2015, on why the same images
    cannot do both). What a score on fewer images is lower by itself is added again, so that one run alone has its own.
    Runs that are equally good on a resample share its choice.
    """
    chosen = found.inside >= found.inside.max(axis=1, keepdims=True) - _EQUAL
    beside = found.outside - found.outside.mean(axis=0) + found.scores
    corrected = float(((beside * chosen).sum(axis=1) / chosen.sum(axis=1)).mean())
    return min(max(corrected, 0.0), float(found.scores.max()))


def _within(scores: np.ndarray, places: np.ndarray, degrees: int) -> np.ndarray:
    """The variance within configurations, pooled over them, of each row of `scores`; `places` tells which is whose."""
    own = (places[:, None] == np.unique(places)).astype(np.float64)
    apart = scores - scores @ (own / own.sum(axis=0)) @ own.T
    return np.square(apart).sum(axis=1) / degrees


def _factor(shifts: np.ndarray, errors: np.ndarray) -> float:
    """The quantile of the largest |difference| in units of its standard error, over all pairs."""
    one, other = np.triu_indices(shifts.shape[1], 1)
    if not len(one):
        return 0.0
    error = errors[one, other]
    largest = np.zeros(len(shifts))
    for first, second, size in zip(one[error > 0], other[error > 0], error[error > 0], strict=True):
        np.maximum(largest, np.abs(shifts[:, first] - shifts[:, second]) / size, out=largest)
    return float(np.quantile(largest, LEVEL))

"""The Gaussian process that all strategies share: it predicts scores of full trainings from those of short ones.

The covariance of two scores, of configurations x and x' at positions p and p' on their learning curves, is

    s0 e^(-|p - p'| / l0)  +  s1 M(x, x') e^(-|p - p'| / l1)  +  s2 [same curve] e^(-|p - p'| / l2)  +  noise

The terms are: what all curves share; what similar configurations share (M: Matérn 5/2, one length scale per feature);
the course of a single curve. The last two are the terms of Swersky, Snoek, Adams, "Freeze-Thaw Bayesian Optimization"
(arXiv:1406.3896), equations 14-16, with an Ornstein-Uhlenbeck process in place of their exponential decay.

A position is a weighted sum of the *gaps* between rungs. The gaps are fitted with the other parameters, because no
fixed time scale tells how well the score after an epoch predicts the last one. `Timeline` converts epochs to weights,
counted from the epoch at which a curve left chance, so that curves that start late are compared at the same age.

NumPy and SciPy only, no random state. Maximum a posteriori by L-BFGS-B with the exact gradient (Rasmussen and Williams,
"Gaussian Processes for Machine Learning" (2006), equation 5.9).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky
from scipy.linalg.lapack import dpotri, dtrtri
from scipy.optimize import minimize

JITTER = 1e-8
FIT_ITERATIONS = 20


class Timeline:
    """Converts epochs to positions on a learning curve, given as weights of the gaps.

    Args:
        rungs: epochs of the rungs, ascending.
    """

    def __init__(self, rungs: Sequence[int]) -> None:
        self.rungs = tuple(rungs)
        self._logs = np.log(np.asarray(rungs, float))
        self._weights: dict[int, np.ndarray] = {}  # by age

    @property
    def gaps(self) -> int:
        """The number of gaps between rungs; at least one, so that there is a parameter to fit."""
        return max(len(self.rungs) - 1, 1)

    def weights(self, epoch: int, left: int = 1) -> np.ndarray:
        """Returns the weights (gaps,) of a score after `epoch` epochs of a curve that left chance in epoch `left`."""
        age = max(1, epoch - left + 1)
        if age not in self._weights:
            place = float(np.interp(math.log(age), self._logs, np.arange(len(self._logs))))
            self._weights[age] = np.clip(place - np.arange(self.gaps), 0.0, 1.0)
        return self._weights[age]

    @property
    def end(self) -> np.ndarray:
        """The weights (gaps,) of the last score of a full training that left chance in its first epoch."""
        return self.weights(self.rungs[-1])


@dataclass(frozen=True)
class Points:
    """The inputs of the process: where scores were observed or are to be predicted.

    Attributes:
        x: (n, f) float64 features, in about [0, 1].
        curve: (n,) int, number of the configuration; points with equal numbers lie on the same curve.
        weights: (n, gaps) of the positions; (1, gaps) if all points have the same position, which is faster.
    """

    x: np.ndarray
    curve: np.ndarray
    weights: np.ndarray

    def followed_by(self, other: Points) -> Points:
        return Points(
            np.vstack([self.x, other.x]),
            np.concatenate([self.curve, other.curve]),
            np.vstack([self.weights, other.weights]),
        )


class Prior:
    """Log-normal priors of the parameters, in the order: f length scales, l0-l2, s0-s2, gaps, noise.

    Args:
        features: f, the number of features.
        timeline: the prior expects its gaps to be proportional to the differences of the epochs' logarithms.
    """

    def __init__(self, features: int, timeline: Timeline) -> None:
        between = np.diff(np.log(np.asarray(timeline.rungs, float)))
        gaps = between / max(math.log(timeline.rungs[-1]), 1.0) if len(between) else np.ones(1)
        # Length scales grow with the dimension: Hvarfner, Hellsten, Nardi, ICML 2024.
        scale = math.log(0.5 * math.sqrt(max(features, 1)))
        self.features, self.gaps = features, len(gaps)
        self.mean = np.concatenate(
            [np.full(features, scale), np.log([0.7, 1.0, 0.5, 0.5, 1.0, 0.1]), np.log(gaps), [math.log(1e-3)]]
        )
        self.deviation = np.concatenate([np.ones(features), np.full(3, 0.7), np.ones(3 + self.gaps), [1.5]])
        low = [0.05] * (features + 3) + [1e-3] * 3 + [0.003] * self.gaps + [1e-5]
        high = [50.0] * features + [10.0] * 3 + [20.0] * 3 + [10.0] * self.gaps + [1.0]
        if len(timeline.rungs) == 1:  # one score per curve: a curve's own course is indistinguishable from noise
            self.mean[features + 5], low[features + 5] = math.log(1e-6), 1e-7
        self.bounds = list(zip(np.log(low), np.log(high), strict=True))


@dataclass(frozen=True)
class Parameters:
    """The parameters themselves; fitted are their logarithms, as one vector."""

    scales: np.ndarray
    times: np.ndarray
    variances: np.ndarray
    gaps: np.ndarray
    noise: float

    @staticmethod
    def of(vector: np.ndarray, prior: Prior) -> Parameters:
        values, f = np.exp(vector), prior.features
        return Parameters(values[:f], values[f : f + 3], values[f + 3 : f + 6], values[f + 6 : -1], float(values[-1]))


class Surrogate:
    """The posterior of the process with given parameters.

    Args:
        seen: the observed points.
        targets: (n,) their standardised scores.
        vector: logarithms of the parameters, as returned by `fit`.
        prior: the prior that they were fitted with.
    """

    def __init__(self, seen: Points, targets: np.ndarray, vector: np.ndarray, prior: Prior) -> None:
        self.seen, self.targets = seen, targets
        self._parameters = Parameters.of(vector, prior)
        self._root = _inverse_root(self._noisy(seen))
        self._weights = self._root.T @ (self._root @ targets)

    def _noisy(self, points: Points) -> np.ndarray:
        covariance = _covariance(self._parameters, points, points)
        covariance[np.diag_indices_from(covariance)] += self._parameters.noise + JITTER
        return covariance

    @property
    def scales(self) -> np.ndarray:
        """(f,) length scales of the features."""
        return self._parameters.scales

    def predict(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and standard deviation, both (m,), of the noise-free scores at `points`."""
        cross = _covariance(self._parameters, self.seen, points)
        half = self._root @ cross
        variance = self._parameters.variances.sum() - np.einsum("ij,ij->j", half, half)
        return cross.T @ self._weights, np.sqrt(np.maximum(variance, 1e-10))

    def mean(self, points: Points) -> np.ndarray:
        """Returns the mean (m,) of the noise-free scores at `points`."""
        return _covariance(self._parameters, self.seen, points).T @ self._weights

    def believing(self, pending: Points) -> Surrogate:
        """Returns the posterior if `pending` score as predicted (kriging believer: Ginsbourger et al. 2010)."""
        cross = _covariance(self._parameters, self.seen, pending)
        half = self._root @ cross
        corner = _inverse_root(self._noisy(pending) - half.T @ half)
        after = copy.copy(self)
        after.seen = self.seen.followed_by(pending)
        after.targets = targets = np.concatenate([self.targets, cross.T @ self._weights])
        after._root = np.block([[self._root, np.zeros_like(half)], [-(corner @ half.T) @ self._root, corner]])
        after._weights = after._root.T @ (after._root @ targets)
        return after


def fit(seen: Points, targets: np.ndarray, prior: Prior) -> np.ndarray:
    """Returns the logarithms of the most probable parameters, given standardised targets (n,).

    Cost: about 20 evaluations, each of n^3 and (number of parameters) n^2.
    """
    same = seen.curve[:, None] == seen.curve[None, :]
    result = minimize(
        _negative_log_posterior,
        prior.mean,
        args=(seen, same, targets, prior),
        jac=True,
        method="L-BFGS-B",
        bounds=prior.bounds,
        options={"maxiter": FIT_ITERATIONS},
    )
    return result.x


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    """Returns the inverse of the lower Cholesky factor: products with it take a third of the time of solving."""
    return dtrtri(cholesky(covariance, lower=True, check_finite=False, overwrite_a=True), lower=1)[0]


def _apart(parameters: Parameters, a: Points, b: Points) -> np.ndarray:
    """Returns the signed distances (n, m) between the positions of two sets of points."""
    return np.subtract.outer(a.weights @ parameters.gaps, b.weights @ parameters.gaps)


def _covariance(parameters: Parameters, a: Points, b: Points) -> np.ndarray:
    apart = np.abs(_apart(parameters, a, b))
    shared, alike, own = (
        variance * np.exp(apart * (-1.0 / time))
        for variance, time in zip(parameters.variances, parameters.times, strict=True)
    )
    covariance = matern(a.x / parameters.scales, b.x / parameters.scales)
    covariance *= alike
    covariance += shared
    same = a.curve[:, None] == b.curve[None, :]
    if same.any():  # candidates have no curve yet
        covariance += same * own
    return covariance


def matern(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns Matérn 5/2 correlations (n, m) of points (n, f) and (m, f), given in units of the length scales."""
    root = np.sqrt(5.0 * _squared_distances(a, b))
    correlations = np.exp(-root)
    correlations *= 1.0 + root * (1.0 + root * (1.0 / 3.0))
    return correlations


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distances = (-2.0 * a) @ b.T
    distances += (a * a).sum(axis=1)[:, None]
    distances += (b * b).sum(axis=1)
    return np.maximum(distances, 0.0, out=distances)


def _negative_log_posterior(
    vector: np.ndarray, seen: Points, same: np.ndarray, y: np.ndarray, prior: Prior
) -> tuple[float, np.ndarray]:
    """Returns the value and its gradient with respect to `vector`, the logarithms of the parameters."""
    p = Parameters.of(vector, prior)
    features = prior.features
    signed = _apart(p, seen, seen)
    apart, sign = np.abs(signed), np.sign(signed)
    scaled = seen.x / p.scales
    root = np.sqrt(5.0 * _squared_distances(scaled, scaled))
    decay = np.exp(-root)
    alike = p.variances[1] * np.exp(-apart / p.times[1])
    terms = (
        p.variances[0] * np.exp(-apart / p.times[0]),
        alike * (1.0 + root + root * root / 3.0) * decay,
        p.variances[2] * same * np.exp(-apart / p.times[2]),
    )
    covariance = terms[0] + terms[1] + terms[2]
    covariance[np.diag_indices_from(covariance)] += p.noise + JITTER
    factor = cholesky(covariance, lower=True, check_finite=False)
    inverse = np.tril(dpotri(factor, lower=1)[0])
    inverse += np.tril(inverse, -1).T
    weights = inverse @ y
    value = 0.5 * float(y @ weights) + float(np.log(np.diag(factor)).sum())
    outer = np.outer(weights, weights) - inverse  # d value / d covariance = -outer / 2
    gradient = np.empty_like(vector)
    # d covariance / d log(scale_j) = 5/3 (1 + root) decay alike ((x_j - x'_j) / scale_j)^2
    inner = outer * (5.0 / 3.0 * alike * (1.0 + root) * decay)
    gradient[:features] = np.einsum("ij,ij->j", scaled, inner @ scaled) - inner.sum(axis=1) @ scaled**2
    by_distance = np.zeros_like(covariance)
    for index, (term, time) in enumerate(zip(terms, p.times, strict=True)):
        weighted = outer * term
        gradient[features + index] = -0.5 * (weighted * apart).sum() / time
        gradient[features + 3 + index] = -0.5 * weighted.sum()
        by_distance += weighted / time
    # d apart / d gap_k = sign (w_k - w'_k), and sign is antisymmetric.
    gradient[features + 6 : -1] = p.gaps * ((by_distance * sign).sum(axis=1) @ seen.weights)
    gradient[-1] = -0.5 * p.noise * np.trace(outer)
    away = (vector - prior.mean) / prior.deviation
    return value + 0.5 * float(away @ away), gradient + away / prior.deviation

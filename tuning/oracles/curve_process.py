"""A Gaussian process over configurations and rungs: what a short training says about a long one.

The covariance of configuration x at rung r and configuration x' at rung r' is

    s0 e^(-|p_r - p_r'| / l0)  +  s1 M(x, x') e^(-|p_r - p_r'| / l1)  +  s2 [x = x'] e^(-|p_r - p_r'| / l2)

what all curves share, what like configurations share (M: Matérn 5/2, a length scale a dimension), and a curve's own
course; the last two are the terms of Swersky, Snoek, Adams, "Freeze-Thaw Bayesian Optimization" (arXiv:1406.3896,
2014), equations 14-16, with an Ornstein-Uhlenbeck process in place of their exponential decay. Where the rungs stand,
p, is learned with the rest: first epochs may say nothing of the last one, or nearly all, and no fixed scale of time
(epochs, their logarithm) holds for both.

NumPy and SciPy only, no random state. Maximum a posteriori by L-BFGS-B with the exact gradient (Rasmussen and Williams,
"Gaussian Processes for Machine Learning" (2006), equation 5.9).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

JITTER = 1e-8
FIT_ITERATIONS = 20


@dataclass(frozen=True)
class Observations:
    """Scores of configurations at rungs.

    Attributes:
        x: (n, f) float64 features, in about [0, 1].
        chain: (n,) int, which configuration: equal numbers share a curve.
        rung: (n,) int from 0.
    """

    x: np.ndarray
    chain: np.ndarray
    rung: np.ndarray

    def __len__(self) -> int:
        return len(self.rung)

    def take(self, rows: np.ndarray) -> Observations:
        return Observations(self.x[rows], self.chain[rows], self.rung[rows])

    def followed_by(self, other: Observations) -> Observations:
        return Observations(
            np.vstack([self.x, other.x]),
            np.concatenate([self.chain, other.chain]),
            np.concatenate([self.rung, other.rung]),
        )


class Prior:
    """Log-normal priors of the parameters, in the order: f length scales, l0-l2, s0-s2, gaps of rungs, noise.

    Args:
        features: f.
        epochs: of the rungs, growing; the gaps are expected to be those of the epochs' logarithms.
    """

    def __init__(self, features: int, epochs: Sequence[int]) -> None:
        gaps = np.diff(np.log(np.asarray(epochs, float))) / max(math.log(epochs[-1]), 1.0)
        # Length scales that grow with the dimension: Hvarfner, Hellsten, Nardi, ICML 2024.
        scale = math.log(0.5 * math.sqrt(features))
        self.features, self.gaps = features, len(gaps)
        self.mean = np.concatenate(
            [np.full(features, scale), np.log([0.7, 1.0, 0.5, 0.5, 1.0, 0.1]), np.log(gaps), [math.log(1e-3)]]
        )
        self.deviation = np.concatenate([np.ones(features), np.full(3, 0.7), np.ones(3 + self.gaps), [1.5]])
        low = [0.05] * (features + 3) + [1e-3] * 3 + [0.003] * self.gaps + [1e-5]
        high = [50.0] * features + [10.0] * 3 + [20.0] * 3 + [10.0] * self.gaps + [1.0]
        self.bounds = list(zip(np.log(low), np.log(high), strict=True))


@dataclass(frozen=True)
class Parameters:
    """Parameters in their own units, from the vector of logarithms that is fitted."""

    scales: np.ndarray
    times: np.ndarray
    variances: np.ndarray
    gaps: np.ndarray
    noise: float

    @staticmethod
    def of(vector: np.ndarray, prior: Prior) -> Parameters:
        values, f = np.exp(vector), prior.features
        return Parameters(values[:f], values[f : f + 3], values[f + 3 : f + 6], values[f + 6 : -1], float(values[-1]))

    def between(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(n, m) distances of rungs a (n,) and b (m,)."""
        place = np.concatenate([[0.0], np.cumsum(self.gaps)])
        return np.abs(place[a][:, None] - place[b][None, :])


def fit(seen: Observations, targets: np.ndarray, prior: Prior) -> np.ndarray:
    """The logarithms of the most probable parameters, given standardised targets (n,).

    Cost: about 20 evaluations, each of n^3 and (number of parameters) n^2.
    """
    same = seen.chain[:, None] == seen.chain[None, :]
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


class CurveProcess:
    """The process with given parameters, knowing some observations.

    Args:
        seen: what is known.
        targets: (n,) their standardised scores.
        vector: as `fit` returns it.
        prior: the one it was fitted with.
    """

    def __init__(self, seen: Observations, targets: np.ndarray, vector: np.ndarray, prior: Prior) -> None:
        self.seen, self.targets, self.vector, self.prior = seen, targets, vector, prior
        self._parameters = Parameters.of(vector, prior)
        covariance = _covariance(self._parameters, seen, seen)
        covariance[np.diag_indices_from(covariance)] += self._parameters.noise + JITTER
        self._factor = cholesky(covariance, lower=True, check_finite=False, overwrite_a=True)
        self._weights = cho_solve((self._factor, True), targets, check_finite=False)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of one score, in units of the targets."""
        return math.sqrt(self._parameters.noise)

    def predict(self, points: Observations) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, both (m,), of the noise-free scores at `points`."""
        cross = _covariance(self._parameters, self.seen, points)
        half = solve_triangular(self._factor, cross, lower=True, check_finite=False)
        variance = self._parameters.variances.sum() - np.einsum("ij,ij->j", half, half)
        return cross.T @ self._weights, np.sqrt(np.maximum(variance, 1e-10))

    def foresee(self, points: Observations) -> np.ndarray:
        """How far expected scores at `points` will move once their curves were seen at a rung: deviations (rungs, m).

        That of the change in the posterior mean of each point by one noisy score of its own curve at each rung
        (Frazier et al. 2009, equation 10).
        """
        half = solve_triangular(self._factor, _covariance(self._parameters, self.seen, points), lower=True)
        changes = []
        for rung in range(self.prior.gaps + 1):
            there = Observations(points.x, points.chain, np.full(len(points), rung))
            half_there = solve_triangular(self._factor, _covariance(self._parameters, self.seen, there), lower=True)
            apart = self._parameters.between(points.rung, np.array([rung]))[:, 0]
            prior = (self._parameters.variances[:, None] * np.exp(-apart / self._parameters.times[:, None])).sum(axis=0)
            covariance = prior - np.einsum("ij,ij->j", half, half_there)
            variance = self._parameters.variances.sum() - np.einsum("ij,ij->j", half_there, half_there)
            changes.append(covariance / np.sqrt(np.maximum(variance, 1e-10) + self._parameters.noise))
        return np.maximum(changes, 1e-9)

    def believing(self, pending: Observations) -> CurveProcess:
        """The process once `pending` will have come out as it expects (kriging believer: Ginsbourger et al. 2010)."""
        expected, _ = self.predict(pending)
        seen = self.seen.followed_by(pending)
        return CurveProcess(seen, np.concatenate([self.targets, expected]), self.vector, self.prior)


def _covariance(parameters: Parameters, a: Observations, b: Observations) -> np.ndarray:
    apart = parameters.between(a.rung, b.rung)
    shared, alike, own = (np.exp(-apart / time) for time in parameters.times)
    s0, s1, s2 = parameters.variances
    root = np.sqrt(5.0 * _squared_distances(a.x / parameters.scales, b.x / parameters.scales))
    matern = (1.0 + root + root * root / 3.0) * np.exp(-root)
    return s0 * shared + s1 * matern * alike + s2 * (a.chain[:, None] == b.chain[None, :]) * own


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distances = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2.0 * a @ b.T
    return np.maximum(distances, 0.0)


def _negative_log_posterior(
    vector: np.ndarray, seen: Observations, same: np.ndarray, y: np.ndarray, prior: Prior
) -> tuple[float, np.ndarray]:
    """Value and gradient over the logarithms."""
    p = Parameters.of(vector, prior)
    features, count = prior.features, len(y)
    apart = p.between(seen.rung, seen.rung)
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
    factor = cho_factor(covariance, lower=True, check_finite=False)
    inverse = cho_solve(factor, np.eye(count), check_finite=False)
    weights = inverse @ y
    value = 0.5 * float(y @ weights) + float(np.log(np.diag(factor[0])).sum())
    outer = np.outer(weights, weights) - inverse  # d value / d covariance = -outer / 2
    gradient = np.empty_like(vector)
    # d covariance / d log(scale_j) = 5/3 (1 + root) decay alike ((x_j - x'_j) / scale_j)^2
    inner = outer * (5.0 / 3.0 * alike * (1.0 + root) * decay)
    gradient[:features] = np.einsum("ij,ij->j", scaled, inner @ scaled) - inner.sum(axis=1) @ scaled**2
    by_gap = np.zeros_like(covariance)
    for index, (term, time) in enumerate(zip(terms, p.times, strict=True)):
        weighted = outer * term
        gradient[features + index] = -0.5 * (weighted * apart).sum() / time
        gradient[features + 3 + index] = -0.5 * weighted.sum()
        by_gap += weighted / time
    for gap in range(prior.gaps):
        below = seen.rung <= gap
        gradient[features + 6 + gap] = p.gaps[gap] * below @ by_gap @ ~below
    gradient[-1] = -0.5 * p.noise * np.trace(outer)
    away = (vector - prior.mean) / prior.deviation
    return value + 0.5 * float(away @ away), gradient + away / prior.deviation

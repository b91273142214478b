"""A small Gaussian process: Matérn 5/2, one length scale a dimension, noise. NumPy and SciPy only, no random state.

Sources: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), equations 2.25, 2.26 and 5.9 and
algorithm 2.1; the prior on length scales that grows with the dimension is that of Hvarfner, Hellsten, Nardi, "Vanilla
Bayesian Optimization Performs Great in High Dimensions", ICML 2024. scikit-learn's regressor evaluates the gradient
of every length scale on full matrices and takes 20 times as long at 100 points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

#: Hyperparameters are fitted to at most this many points, evenly spaced in time: their cost grows with the cube.
FIT_POINTS = 150
FIT_ITERATIONS = 20
JITTER = 1e-8
#: Prior of the logarithm of the noise variance, as a share of the signal variance: mean and standard deviation.
NOISE_PRIOR = (math.log(0.03), 1.5)
BOUNDS = ((math.log(0.02), math.log(100.0)), (math.log(1e-4), math.log(3.0)))


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted process over points (n, d) float64 with standardised targets.

    Attributes:
        scales: (d,) length scales.
        noise: noise variance relative to the signal variance.
        signal: signal variance of the standardised targets.
        mean, deviation: of the targets as given.
    """

    x: np.ndarray
    scales: np.ndarray
    noise: float
    signal: float
    mean: float
    deviation: float
    factor: np.ndarray
    weights: np.ndarray

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (both (m,), in the targets' units) of the noise-free function at (m, d)."""
        cross = _matern(_squared_distances(points / self.scales, self.x / self.scales))
        mean = self.mean + self.deviation * (cross @ self.weights)
        half = solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
        variance = self.signal * np.maximum(1.0 - np.einsum("ij,ij->j", half, half), 1e-12)
        return mean, self.deviation * np.sqrt(variance)

    def means(self) -> np.ndarray:
        """(n,) mean of the noise-free function at the points that it was fitted to."""
        return self.mean + self.deviation * (self._targets() - (self.noise + JITTER) * self.weights)

    def with_pending(self, points: np.ndarray) -> GaussianProcess:
        """The process once trials at `points` (p, d) will have come out exactly as it expects them to.

        The mean stays, the uncertainty around them goes ("kriging believer": Ginsbourger, Le Riche, Carraro 2010).
        """
        old, new = self.x / self.scales, points / self.scales
        cross = _matern(_squared_distances(old, new))
        half = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        corner = _with_noise(_matern(_squared_distances(new, new)), self.noise) - half.T @ half
        above = np.zeros_like(half)
        factor = np.block([[self.factor, above], [half.T, np.linalg.cholesky(corner)]])
        believed = np.concatenate([self._targets(), cross.T @ self.weights])
        weights = cho_solve((factor, True), believed, check_finite=False)
        return replace(self, x=np.vstack([self.x, points]), factor=factor, weights=weights)

    def _targets(self) -> np.ndarray:
        return self.factor @ (self.factor.T @ self.weights)


def fit(x: np.ndarray, y: np.ndarray) -> GaussianProcess:
    """Maximum a posteriori fit to points (n, d) in about [0, 1] and targets (n,), all finite."""
    mean = float(y.mean())
    deviation = float(y.std()) or 1.0
    targets = (y - mean) / deviation
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), FIT_POINTS)).astype(int))
    dimensions = x.shape[1]
    prior = math.log(0.5 * math.sqrt(dimensions))
    start = np.append(np.full(dimensions, prior), NOISE_PRIOR[0])
    result = minimize(
        _negative_log_posterior,
        start,
        args=(x[chosen], targets[chosen], prior),
        jac=True,
        method="L-BFGS-B",
        bounds=[BOUNDS[0]] * dimensions + [BOUNDS[1]],
        options={"maxiter": FIT_ITERATIONS},
    )
    scales, noise = np.exp(result.x[:-1]), float(np.exp(result.x[-1]))
    factor, weights = _solve(x, targets, scales, noise)
    signal = max(float(targets @ weights) / len(targets), 1e-6)
    return GaussianProcess(x, scales, noise, signal, mean, deviation, factor, weights)


def _solve(x: np.ndarray, targets: np.ndarray, scales: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    covariance = _with_noise(_matern(_squared_distances(x / scales, x / scales)), noise)
    factor = np.tril(cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)[0])
    return factor, cho_solve((factor, True), targets, check_finite=False)


def _negative_log_posterior(
    parameters: np.ndarray, x: np.ndarray, targets: np.ndarray, prior: float
) -> tuple[float, np.ndarray]:
    """Value and gradient over (log length scales, log noise); the signal variance is at its optimum for them."""
    count = len(targets)
    scales, noise = np.exp(parameters[:-1]), math.exp(parameters[-1])
    scaled = x / scales
    squared = _squared_distances(scaled, scaled)
    root = np.sqrt(5.0 * squared)
    decay = np.exp(-root)
    covariance = _with_noise((1.0 + root + 5.0 / 3.0 * squared) * decay, noise)
    factor = cho_factor(covariance, lower=True, check_finite=False)
    inverse = cho_solve(factor, np.eye(count), check_finite=False)
    weights = inverse @ targets
    fit_term = max(float(targets @ weights), 1e-12)
    value = 0.5 * count * math.log(fit_term / count) + float(np.log(np.diag(factor[0])).sum())
    # d value / d K = -outer / 2, and d K / d log(scale_j) = 5/3 (1 + root) decay * ((x_j - x'_j) / scale_j)^2
    outer = (count / fit_term) * np.outer(weights, weights) - inverse
    inner = outer * (5.0 / 3.0 * (1.0 + root) * decay)
    by_scale = 2.0 * (inner.sum(axis=1) @ scaled**2 - np.einsum("ij,ij->j", scaled, inner @ scaled))
    gradient = np.append(-0.5 * by_scale, -0.5 * noise * np.trace(outer))
    away = parameters - np.append(np.full(len(scales), prior), NOISE_PRIOR[0])
    precision = np.append(np.ones(len(scales)), 1.0 / NOISE_PRIOR[1] ** 2)
    return value + 0.5 * float(precision @ away**2), gradient + precision * away


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distances = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2.0 * a @ b.T
    return np.maximum(distances, 0.0)


def _with_noise(covariance: np.ndarray, noise: float) -> np.ndarray:
    covariance[np.diag_indices_from(covariance)] += noise + JITTER
    return covariance


def _matern(squared: np.ndarray) -> np.ndarray:
    root = np.sqrt(5.0 * squared)
    return (1.0 + root + 5.0 / 3.0 * squared) * np.exp(-root)

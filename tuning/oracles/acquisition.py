"""The acquisition function: standardised scores, and the logarithm of expected improvement. Pure."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfcx, ndtr

_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)
#: In standard deviations: below it, the asymptote is more exact than the formula, which loses digits to cancellation.
_FAR = -(2.0**13)


def standardised(scores: np.ndarray) -> np.ndarray:
    """Returns scores (n,) with mean 0 and deviation 1; scores below the median are compressed.

    How bad a poor configuration is matters little.
    """
    median = np.median(scores)
    scaled = (scores - median) / max(float(scores.max() - median), 1e-9)
    scaled = np.where(scaled < 0.0, -np.log1p(-2.0 * np.minimum(scaled, 0.0)) / 2.0, scaled)
    return (scaled - scaled.mean()) / (float(scaled.std()) or 1.0)


def log_expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Returns log E[max(0, f - best)] of normal predictions (m,): finite and monotone even where E underflows.

    Source: Ament, Daulton, Eriksson, Balandat, Bakshy, "Unexpected Improvements to Expected Improvement for Bayesian
    Optimization", NeurIPS 2023, equations 9 and 10.
    """
    return np.log(deviation) + _log_h((mean - best) / deviation)


def _log_h(z: np.ndarray) -> np.ndarray:
    """Returns log(density(z) + z cdf(z)) of the standard normal distribution.

    Computed directly for z > -1, by erfcx down to `_FAR`, and by the asymptote below.
    """
    near, middle = np.maximum(z, -1.0), np.clip(z, _FAR, -1.0)
    plain = np.log(np.exp(-0.5 * near * near - _LOG_ROOT_TWO_PI) + near * ndtr(near))
    # log h = log density + log(1 - |z| cdf / density), and cdf / density = sqrt(pi / 2) erfcx(-z / sqrt 2).
    ratio = np.log(erfcx(-middle * math.sqrt(0.5)) * -middle) + 0.5 * math.log(0.5 * math.pi)
    scaled = -0.5 * middle * middle - _LOG_ROOT_TWO_PI + _log_1m_exp(np.minimum(ratio, -1e-16))
    far = np.minimum(z, _FAR)
    asymptote = -0.5 * far * far - _LOG_ROOT_TWO_PI - 2.0 * np.log(-far)
    return np.where(z > -1.0, plain, np.where(z > _FAR, scaled, asymptote))


def _log_1m_exp(x: np.ndarray) -> np.ndarray:
    """Returns log(1 - e^x) for x < 0 (Mächler 2012)."""
    small = x > -math.log(2.0)
    return np.where(small, np.log(-np.expm1(np.where(small, x, -1.0))), np.log1p(-np.exp(np.where(small, -1.0, x))))

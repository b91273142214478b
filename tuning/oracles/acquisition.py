"""What a training is worth, of a model's predictions. Pure."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr


def standardised(scores: np.ndarray) -> np.ndarray:
    """Scores (n,) with mean 0 and deviation 1, those below the median drawn together: how bad matters little."""
    median = np.median(scores)
    scaled = (scores - median) / max(float(scores.max() - median), 1e-9)
    scaled = np.where(scaled < 0.0, -np.log1p(-2.0 * np.minimum(scaled, 0.0)) / 2.0, scaled)
    return (scaled - scaled.mean()) / (float(scaled.std()) or 1.0)


def expected_improvement(mean: np.ndarray | float, deviation: np.ndarray, best: float) -> np.ndarray:
    """E[max(0, f - best)] of normal predictions, larger is better (Jones, Schonlau, Welch 1998, equation 15)."""
    z = (mean - best) / deviation
    return (mean - best) * ndtr(z) + deviation * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)

"""What works, and what does not."""

from __future__ import annotations

import numpy as np

from tuning.oracles.feasibility import Feasibility


def test_neighbours_say_what_works_near_an_edge():
    x = np.random.default_rng(0).random((60, 2))
    chances = Feasibility(x, x[:, 0] > 0.5)
    at = np.array([[0.1, 0.5], [0.4, 0.5], [0.6, 0.5], [0.9, 0.5]])
    found = chances.probability(at, np.ones(2))
    assert np.all(np.diff(found) < 0) and found[0] > 0.75 and found[3] < 0.2

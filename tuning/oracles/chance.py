"""When curves leave chance, and whether those that have not will. Pure.

On faces, a training may score for some epochs what guessing scores. Whether it will ever do better is what this counts:
where the space is too bold, such curves stay where they are; where learning starts slowly, they rise later. Which of
the two holds is told by the curves that were trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tuning.oracles.logistic import LogisticRegression
from tuning.oracles.surrogate import matern

#: A score says that a curve has left chance when it is so many times chance.
LEAVES = 1.1
#: Length scales of what neighbours say, as shares of the surrogate's; and what the regression counts beside them.
NEAR, OPINION = 0.3, 0.5


class Silence:
    """Of the curves of one search.

    Args:
        chance: what guessing scores; None: unknown, and every curve counts as having left it at once.
        rungs: epochs of the rungs.
    """

    def __init__(self, chance: float | None, rungs: Sequence[int]) -> None:
        self.chance = chance
        self._rungs = tuple(rungs)
        self._left: dict[int, int] = {}  # curve -> the first epoch beyond chance
        self._reached: dict[int, int] = {}  # curve -> the highest rung told
        # By rung: curves told there; those of them at chance; those of these that were trained on; that then left it.
        self._told, self._silent, self._went_on, self._spoke = ([0] * len(rungs) for _ in range(4))

    def note(self, curve: int, rung: int, scores: Mapping[int, float]) -> int | None:
        """Notes the scores by epoch of a curve that was trained to a rung; returns when it left chance, or None."""
        before, known = self._reached.get(curve, -1), self._left.get(curve)
        self._reached[curve] = rung
        left = known
        if known is None:
            threshold = -float("inf") if self.chance is None else LEAVES * self.chance
            left = next((epoch for epoch in sorted(scores) if scores[epoch] >= threshold), None)
            if left is not None:
                self._left[curve] = left = 1 if self.chance is None else left
        for passed in range(rung + 1):
            was_silent = left is None or left > self._rungs[passed]
            if passed > before:
                self._told[passed] += 1
                self._silent[passed] += was_silent
            newly_beyond = max(before, 0) <= passed < rung
            self._went_on[passed] += newly_beyond and was_silent
            rose = was_silent and left is not None and known is None
            self._spoke[passed] += rose and passed < rung
        return left

    def left(self, curve: int) -> int | None:
        """The epoch in which a curve left chance; None: it has not."""
        return self._left.get(curve)

    def is_told(self, curve: int) -> bool:
        """Whether anything is known of a curve."""
        return curve in self._reached

    def share_silent(self, rung: int) -> float:
        """The share of the curves that were at chance at a rung."""
        return self._silent[rung] / max(self._told[rung], 1)

    def hope(self, rung: int) -> float:
        """How likely a curve that is at chance at a rung is to leave it, from those that were trained on from there.

        Before any was, from the first curve of the search, which was trained whole.
        """
        first = self._left.get(0)
        late = first is None or 2 * first > self._rungs[rung]
        return min((self._spoke[rung] + late) / (self._went_on[rung] + 1), 1.0)


class Chances:
    """How likely configurations are to work: ever to leave chance.

    A logistic regression knows what a quantity that is too large does; near the edge, where the best ones often are,
    neighbours know more: their share, weighted by distance, with the regression's opinion among them.

    Args:
        x: (n, f) features of configurations that worked or did not.
        failed: (n,) bool.
    """

    def __init__(self, x: np.ndarray, failed: np.ndarray) -> None:
        self._x, self._worked = x, (~failed).astype(float)
        self._regression = LogisticRegression(_squared(x), failed)

    def probability(self, x: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """(m,) of configurations with features (m, f); `scales` (f,) are the surrogate's."""
        near = matern(x / (NEAR * scales), self._x / (NEAR * scales))
        opinion = OPINION * self._regression.probability(_squared(x))
        return (opinion + near @ self._worked) / (OPINION + near.sum(axis=1))


def _squared(x: np.ndarray) -> np.ndarray:
    """(n, 2 f): features and their squares, so that what works may lie between two bounds."""
    return np.hstack([x, 0.5 + 2.0 * (x - 0.5) ** 2])

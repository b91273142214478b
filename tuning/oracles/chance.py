"""When learning curves leave chance level, and how likely curves at chance are to leave it later. Pure.

On faces, the score of a training may stay at that of guessing for some epochs. In a space with too many extreme
configurations such curves never rise; where learning merely starts slowly, they rise later. Which of the two holds is
estimated from curves that were at chance and were trained further.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

#: A curve has left chance once a score is at least `LEAVES` times chance and at least `MORE` above it: with hundreds of
#: classes, chance is smaller than the noise of scores.
LEAVES, MORE = 1.1, 0.02


class ChanceLevel:
    """Counts the curves of one search that are at chance or have left it.

    Args:
        chance: the score of guessing; None: unknown, and every curve counts as having left chance in epoch 1.
        rungs: epochs of the rungs.
    """

    def __init__(self, chance: float | None, rungs: Sequence[int]) -> None:
        self.chance = chance
        self._threshold = -math.inf if chance is None else max(LEAVES * chance, chance + MORE)
        if chance is not None and chance <= 1:
            # No accuracy is above 1: where one frequent class makes chance high, half the way from it to 1 is enough.
            self._threshold = min(self._threshold, (1 + chance) / 2)
        self._rungs = tuple(rungs)
        self._left: dict[int, int] = {}  # curve -> the first epoch above chance
        self._reached: dict[int, int] = {}  # curve -> the highest rung completed
        # Per rung: curves whose first trial reached it, an unselected sample; those of them at chance; curves at chance
        # that were trained further; curves that were at chance and left it later.
        self._known, self._at_chance, self._went_on, self._left_later = ([0] * len(rungs) for _ in range(4))

    def record(self, curve: int, rung: int, scores: Mapping[int, float]) -> int | None:
        """Records a curve's scores by epoch up to a rung; returns the epoch in which the curve left chance, or None."""
        before, already = self._reached.get(curve, -1), self._left.get(curve)
        self._reached[curve] = rung
        left = already
        if already is None:
            left = next((epoch for epoch in sorted(scores) if scores[epoch] >= self._threshold), None)
            if left is not None:
                self._left[curve] = left = 1 if self.chance is None else left
        for passed in range(rung + 1):
            was_at_chance = left is None or left > self._rungs[passed]
            if before < 0:
                self._known[passed] += 1
                self._at_chance[passed] += was_at_chance
            newly_beyond = max(before, 0) <= passed < rung
            self._went_on[passed] += newly_beyond and was_at_chance
            rose = was_at_chance and left is not None and already is None
            self._left_later[passed] += rose and passed < rung
        return left

    def left(self, curve: int) -> int | None:
        """Returns the epoch in which a curve left chance; None: it has not."""
        return self._left.get(curve)

    def is_known(self, curve: int) -> bool:
        """Returns whether scores of a curve have been recorded."""
        return curve in self._reached

    def known(self, rung: int) -> int:
        """Returns how many curves were trained to a rung, or beyond, by their first trial."""
        return self._known[rung]

    def share_at_chance(self, rung: int) -> float:
        """Returns the share of the curves of `known` that were at chance at the rung."""
        return self._at_chance[rung] / max(self._known[rung], 1)

    def is_tested(self, rung: int) -> bool:
        """Returns whether a curve that was at chance at a rung has been trained further."""
        return self._went_on[rung] > 0

    def share_late(self, rung: int) -> float:
        """Returns the number of curves that left chance after a rung, relative to the curves known at the next rung."""
        return self._left_later[rung] / max(self._known[rung + 1], 1)

    def probability_of_leaving(self, rung: int) -> float:
        """Estimates how likely a curve at chance at a rung is to leave it, from the curves trained further from there.

        The first curve of the search, a full training, counts as one more that left chance late if it left it after
        more than half of the rung's epochs, or never.
        """
        first = self._left.get(0)
        late = first is None or 2 * first > self._rungs[rung]
        return min((self._left_later[rung] + late) / (self._went_on[rung] + 1), 1.0)

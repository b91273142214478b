"""When curves leave chance, and whether those that have not will. Pure.

On faces, a training may score for some epochs what guessing scores. Whether it will ever do better is what this counts:
where the space is too bold, such curves stay where they are; where learning starts slowly, they rise later. Which of
the two holds is told by the curves that were trained on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

#: A score says that a curve has left chance when it is so many times chance, and more than it by so much: where there
#: are hundreds of classes, chance is smaller than what scores vary by.
LEAVES, MORE = 1.1, 0.02


class ChanceLevel:
    """Of the curves of one search.

    Args:
        chance: what guessing scores; None: unknown, and every curve counts as having left it at once.
        rungs: epochs of the rungs.
    """

    def __init__(self, chance: float | None, rungs: Sequence[int]) -> None:
        self.chance = chance
        self._threshold = -math.inf if chance is None else max(LEAVES * chance, chance + MORE)
        if chance is not None and chance <= 1:
            # No share is above 1: of an accuracy by one frequent class alone, half of what is lacking is enough.
            self._threshold = min(self._threshold, (1 + chance) / 2)
        self._rungs = tuple(rungs)
        self._left: dict[int, int] = {}  # curve -> the first epoch beyond chance
        self._reached: dict[int, int] = {}  # curve -> the highest rung completed
        # By rung: curves whose first trial went there, so that none was selected; those of them at chance; curves at
        # chance that were trained on; that then left it.
        self._known, self._at_chance, self._went_on, self._left_later = ([0] * len(rungs) for _ in range(4))

    def record(self, curve: int, rung: int, scores: Mapping[int, float]) -> int | None:
        """Records the scores by epoch of a curve that was trained to a rung; returns when it left chance, or None."""
        before, known = self._reached.get(curve, -1), self._left.get(curve)
        self._reached[curve] = rung
        left = known
        if known is None:
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
            rose = was_at_chance and left is not None and known is None
            self._left_later[passed] += rose and passed < rung
        return left

    def left(self, curve: int) -> int | None:
        """The epoch in which a curve left chance; None: it has not."""
        return self._left.get(curve)

    def is_known(self, curve: int) -> bool:
        """Whether anything is known of a curve."""
        return curve in self._reached

    def known(self, rung: int) -> int:
        """How many curves were trained to a rung, or beyond, by their first trial."""
        return self._known[rung]

    def share_at_chance(self, rung: int) -> float:
        """The share of those that were at chance there."""
        return self._at_chance[rung] / max(self._known[rung], 1)

    def is_tested(self, rung: int) -> bool:
        """Whether a curve that was at chance at a rung has been trained on."""
        return self._went_on[rung] > 0

    def share_late(self, rung: int) -> float:
        """The curves that left chance after a rung, in proportion to those known at the next."""
        return self._left_later[rung] / max(self._known[rung + 1], 1)

    def probability_of_leaving(self, rung: int) -> float:
        """How likely a curve that is at chance at a rung is to leave it, from those that were trained on from there.

        Before any was, from the first curve of the search, which was trained whole.
        """
        first = self._left.get(0)
        late = first is None or 2 * first > self._rungs[rung]
        return min((self._left_later[rung] + late) / (self._went_on[rung] + 1), 1.0)

"""Derives from learning curves which scores the model uses and which configurations work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tuning.oracles.chance import ChanceLevel
from tuning.oracles.rung_oracle import Configuration
from tuning.oracles.search_model import Score

#: A score is the mean over the last 1 / `SMOOTHED` of the epochs trained, because single epochs are noisy.
SMOOTHED = 10
#: Penalty of a configuration that never leaves chance, in standard deviations of a score.
AT_CHANCE = 5.0


class Curves:
    """The learning curves of one search.

    Args:
        chance: the score of guessing; None: unknown.
        levels: epochs of the rungs, ascending.

    Attributes:
        chance_level: which curves have left chance, and when.
    """

    def __init__(self, chance: float | None, levels: Sequence[int]) -> None:
        self.chance_level = ChanceLevel(chance, levels)
        self._levels = tuple(levels)

    def record(self, number: int, before: int, rung: int, scores: Mapping[int, float]) -> list[Score]:
        """Records that a configuration was trained from one rung to another; returns new scores for the model.

        Scores at chance are left out: they do not show how good a configuration is once it learns.

        Args:
            before: the rung it started from; -1: from scratch.
            scores: by epoch, larger is better.
        """
        already = self.chance_level.left(number)
        left = self.chance_level.record(number, rung, scores)
        found: list[Score] = []
        if left is None:
            return found
        for passed in range(0 if already is None else before + 1, rung + 1):
            epoch = self._levels[passed]
            if epoch < left or (passed < rung and epoch not in scores):
                continue
            last = epoch if epoch in scores else max(scores)
            window = [scores[e] for e in range(last - last // SMOOTHED, last + 1) if e in scores]
            found.append(Score(number, passed, epoch, left, sum(window) / len(window)))
        return found

    def works(self, configurations: Sequence[Configuration]) -> list[tuple[int, bool]]:
        """Returns (number, whether it works); False: the configuration failed, or is unlikely to leave chance.

        A configuration at chance that may still leave it is left out.
        """
        level = self.chance_level
        dead = [level.probability_of_leaving(rung) < 0.5 for rung in range(len(self._levels) - 1)] + [True]
        works = []
        for each in configurations:
            if each.failed:
                works.append((each.number, False))
            elif level.left(each.number) is not None:
                works.append((each.number, True))
            elif each.rung >= 0 and dead[each.rung]:
                works.append((each.number, False))
        return works

    def penalties(self, configurations: Sequence[Configuration]) -> np.ndarray:
        """Returns the penalties of configurations at chance, in standard deviations of a score."""
        level = self.chance_level
        at_chance = [level.left(each.number) is None for each in configurations]
        leaving = [0.0 if each.over else level.probability_of_leaving(each.rung) for each in configurations]
        return AT_CHANCE * np.array(at_chance) * (1.0 - np.array(leaving))

"""Brackets filled from a common pool."""

from __future__ import annotations

from tuning.oracles.brackets import Brackets
from tuning.oracles.rungs import brackets


def test_a_pass_of_brackets_is_the_papers():
    """Filled one by one, with nothing failing, a pass from the lowest rung has the sizes of Algorithm 1."""
    filled, paused = Brackets(4, 3, lambda: 0, lambda rung: 0), True
    sizes: dict[int, list[int]] = {}
    for trial in range(81 + 27 + 9 + 3 + 1 + 34 + 11 + 3 + 1 + 15 + 5 + 1 + 8 + 2 + 5):
        slot = filled.find(True, lambda rung: paused)
        counts = sizes.setdefault(slot.bracket.number, [0] * len(slot.bracket.sizes))
        counts[slot.stage] += 1
        filled.start(str(trial), slot)
        filled.end(str(trial), failed=False)
    assert list(sizes.values()) == [[rung.size for rung in bracket.rungs] for bracket in brackets(81, 3)]

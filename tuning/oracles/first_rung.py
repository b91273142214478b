"""Chooses the rung from which the widest bracket of a pass starts, based on the curves so far. Pure.

Scores at the first rung are informative only once curves have left chance. The shorter the first rung, the more
configurations can be tried, which matters most where many of them never learn.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuning.oracles.chance import ChanceLevel

#: Largest tolerated share of curves that are at chance at the first rung and leave it later.
LATE = 1 / 3
#: Number of curves needed to decide whether one rung lower is enough.
PROBES = 5


def usual_rung(levels: Sequence[int]) -> int:
    """Returns the rung of R / factor^2 epochs, to which configurations train before enough curves are known."""
    return max(len(levels) - 3, 0)


def may_be_lower(levels: Sequence[int], chance: ChanceLevel) -> bool:
    """Returns whether the defaults had left chance one rung below the usual one."""
    usual, left = usual_rung(levels), chance.left(0)
    return usual > 0 and left is not None and left <= levels[usual - 1]


def first_rung(levels: Sequence[int], chance: ChanceLevel) -> int:
    """Returns the first rung, from R / factor^2 to R / factor epochs, at which the defaults had left chance.

    It is a rung higher while more than a third of the curves are at chance there and likely to leave it later. It is a
    rung lower, R / factor^3, if the defaults had left chance there, and at most a third of the curves leave it later.

    Args:
        levels: epochs of the rungs, ascending.
        chance: chance level of the curves so far; curve 0 is that of the defaults.
    """
    first, highest = usual_rung(levels), max(len(levels) - 2, 0)
    if not chance.is_known(0):
        return first
    if chance.left(0) is None:
        return highest
    if may_be_lower(levels, chance) and chance.known(first) >= PROBES and chance.share_late(first - 1) <= LATE:
        first -= 1
    left = chance.left(0) or 1
    while first < highest and (levels[first] < left or _is_late(first, chance)):
        first += 1
    return first


def is_doubtful(rung: int, chance: ChanceLevel) -> bool:
    """Returns whether many curves at a rung seem to stay at chance, but none has been trained further to show it."""
    many = chance.share_at_chance(rung) > LATE
    return many and not chance.is_tested(rung) and chance.probability_of_leaving(rung) < 0.5


def _is_late(rung: int, chance: ChanceLevel) -> bool:
    return chance.probability_of_leaving(rung) >= 0.5 and chance.share_at_chance(rung) > LATE

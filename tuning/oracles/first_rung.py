"""From which rung the widest bracket of a pass starts: what the curves so far say. Pure.

A first look is worth something once curves have left chance. The shorter it is, the more configurations can be looked
at, which counts most where many of them never learn.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuning.oracles.chance import ChanceLevel

#: Curves at chance at the first rung that leave it later: so large a share of them is too much.
LATE = 1 / 3
#: Curves that say whether a rung lower is enough.
PROBES = 5


def usual_rung(levels: Sequence[int]) -> int:
    """That of R / factor^2, to which is trained what begins before the curves have said anything."""
    return max(len(levels) - 3, 0)


def may_be_lower(levels: Sequence[int], chance: ChanceLevel) -> bool:
    """Whether the defaults had left chance a rung below the usual one."""
    usual, left = usual_rung(levels), chance.left(0)
    return usual > 0 and left is not None and left <= levels[usual - 1]


def first_rung(levels: Sequence[int], chance: ChanceLevel) -> int:
    """The first at which the defaults had left chance, from R / factor^2 to R / factor.

    One more while a third of the curves is at chance there that leave it later. One less, R / factor^3, where the
    defaults and nearly all that ever leave chance have left it by then.

    Args:
        levels: epochs of the rungs, growing.
        chance: of the curves so far; curve 0 is that of the defaults.
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
    """Whether many curves are at chance at a rung for good, as it seems, but none of them was trained on."""
    many = chance.share_at_chance(rung) > LATE
    return many and not chance.is_tested(rung) and chance.probability_of_leaving(rung) < 0.5


def _is_late(rung: int, chance: ChanceLevel) -> bool:
    return chance.probability_of_leaving(rung) >= 0.5 and chance.share_at_chance(rung) > LATE

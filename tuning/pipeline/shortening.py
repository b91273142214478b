"""Final trainings that take longer than their budget has: which of them end earlier, and after how many epochs.

A machine that was quiet when prices were measured may be busy later. What then would not end in time is shortened once:
each training that is under way, and each that alone stands for its configuration, keeps an equal share of what it had
still to do; further seeds that have not begun are left out. The decision is journaled.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tuning.core.plan import ShortenedFinal
from tuning.pipeline.final_roles import Final, role_of
from tuning.pipeline.planning import Candidate, makespan

#: Share of the budget by which it may be exceeded before anything is shortened.
TOLERANCE = 0.02
#: The latest epochs of a training tell how long its epochs take now: so many, or that share of all it shall have.
LATEST, LATEST_SHARE = 3, 0.2


@dataclass(frozen=True)
class Remaining:
    """What a final training has still to do.

    Attributes:
        done, left: epochs.
        epoch: seconds of one.
        others: seconds beside them, its evaluation included.
        needed: whether it may not be left out.
    """

    run_id: str
    done: int
    left: int
    epoch: float
    others: float
    needed: bool

    def seconds(self, share: float = 1.0) -> float:
        return self.others + self.epoch * self.epochs(share)

    def epochs(self, share: float) -> int:
        """Of those left, when it keeps such a share of them."""
        return max(1, round(share * self.left)) if self.left else 0


def latest(final: Final, seconds: Mapping[str, Sequence[float]]) -> Sequence[float]:
    """Seconds of the latest epochs of a training; none while they are too few to tell.

    The first epoch of a process has the tracing of the graph in it, and the next ones, where all begin at once, have
    that of others beside them.
    """
    seen, needed = seconds.get(final.run_id, ())[1:], max(LATEST, math.ceil(LATEST_SHARE * final.epochs))
    return seen[-needed:] if len(seen) >= needed else ()


def remaining(
    finals: Sequence[Final],
    done: Mapping[str, int],
    seconds: Mapping[str, Sequence[float]],
    prices: Mapping[str, Candidate],
) -> list[Remaining]:
    """What each of `finals` has still to do.

    Args:
        done: epochs, by run id.
        seconds: of the epochs seen, by run id.
        prices: what was planned with, by run id without its seed.
    """
    found, stands = [], {role_of(final.run_id) for final in finals if done.get(final.run_id)}
    told = {final.run_id: statistics.median(last) for final in finals if (last := latest(final, seconds))}
    # What is slow for those that have told is slow for the others. The yardstick of a search from a base was taken for
    # an average configuration: what it takes says nothing of them.
    ratios = [
        told[final.run_id] / prices[role_of(final.run_id)].epoch
        for final in finals
        if final.run_id in told and final.space is None
    ]
    slower = statistics.fmean(ratios) if ratios else 1.0
    for final in finals:
        role = role_of(final.run_id)
        epochs = done.get(final.run_id, 0)
        found.append(
            Remaining(
                run_id=final.run_id,
                done=epochs,
                left=max(0, final.epochs - epochs),
                epoch=told.get(final.run_id, slower * prices[role].epoch),
                others=prices[role].start,
                needed=bool(epochs) or role not in stands,
            )
        )
        stands.add(role)
    return found


def shortened(trainings: Sequence[Remaining], seconds: float, seats: int) -> list[ShortenedFinal]:
    """Which end earlier, so that all are done in so many seconds, or as near as it gets. Pure."""
    kept = [one for one in trainings if one.needed]
    share = next(
        (
            percent / 100
            for percent in range(100, 0, -1)
            if makespan([one.seconds(percent / 100) for one in kept], seats) <= seconds
        ),
        0.01,
    )
    return [
        ShortenedFinal(run_id=one.run_id, after=one.done, until=one.done + one.epochs(share) if one.needed else 0)
        for one in trainings
        if not one.needed or one.epochs(share) < one.left
    ]


class Watch:
    """Looks whether final trainings end within the budget; see `finals.run_finals`.

    Args:
        prices: what was planned with, by run id without its seed.
        left: seconds until the budget ends.
        after: seconds that are needed when all are trained.
        restart: seconds until there are new workers, where those at work are given up.
        tolerated: seconds by which the budget may be exceeded.
    """

    def __init__(
        self,
        prices: Mapping[str, Candidate],
        left: Callable[[], float],
        seats: int,
        *,
        after: float,
        restart: float,
        tolerated: float,
        known: Mapping[str, ShortenedFinal],
    ) -> None:
        self._prices, self._left, self._seats, self._known = prices, left, seats, known
        self._after, self._restart, self._tolerated = after, restart, tolerated

    def is_late(
        self, pending: Sequence[Final], done: Mapping[str, int], seconds: Mapping[str, Sequence[float]]
    ) -> bool:
        """Whether those that have no result would end too late; each is asked about once, and not at its beginning."""
        if not any(latest(final, seconds) for final in pending):
            return False
        if any(final.run_id in self._known for final in pending):
            return False
        whole = remaining(pending, done, seconds, self._prices)
        needed = makespan([one.seconds() for one in whole], self._seats)
        return any(one.left for one in whole) and needed > max(0.0, self._left() - self._after) + self._tolerated

    def shortened(
        self, pending: Sequence[Final], done: Mapping[str, int], seconds: Mapping[str, Sequence[float]]
    ) -> list[ShortenedFinal]:
        """Which of them end earlier, once their workers are gone."""
        trainings = remaining(pending, done, seconds, self._prices)
        return shortened(trainings, self._left() - self._after - self._restart, self._seats)

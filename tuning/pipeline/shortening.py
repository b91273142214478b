"""Final trainings that take longer than their budget has: which of them end earlier, and after how many epochs.

A machine that was quiet when prices were measured may be busy later. What then would not end in time is shortened: each
training that is under way, and each that alone stands for its configuration, keeps an equal share of what it had still
to do; further seeds that have not begun are left out. The decision is journaled. Where the machine becomes slower once
more, they are shortened again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tuning.core.plan import ShortenedFinal
from tuning.pipeline.final_roles import Final, role_of
from tuning.pipeline.planning import Candidate, makespan

#: Share of the budget by which it may be exceeded before anything is shortened.
TOLERANCE = 0.02
#: The latest epochs of a training tell how long its epochs take now: so many, or that share of all it shall have.
LATEST, LATEST_SHARE = 3, 0.2
#: The least that a training keeps of what it had to do: an epoch, whatever that is.
LEAST_SHARE = 0.01


#: Each time that a final training was shortened, in order, by its run id.
Cuts = Mapping[str, Sequence[ShortenedFinal]]


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


def latest(final: Final, seconds: Mapping[str, Sequence[float]], cuts: Cuts) -> Sequence[float]:
    """Seconds of the latest epochs of a training; none while they are too few to tell.

    The first epoch of a process has the tracing of the graph in it, and the next ones, where all begin at once, have
    that of others beside them.

    Args:
        seconds: of the epochs seen since trainings were shortened the last time, by run id.
    """
    planned = cuts[final.run_id][-1].until - cuts[final.run_id][-1].after if final.run_id in cuts else final.epochs
    seen, needed = seconds.get(final.run_id, ())[1:], max(LATEST, math.ceil(LATEST_SHARE * planned))
    return seen[-needed:] if len(seen) >= needed else ()


def remaining(
    finals: Sequence[Final],
    done: Mapping[str, int],
    seconds: Mapping[str, Sequence[float]],
    prices: Mapping[str, Candidate],
    cuts: Cuts,
) -> list[Remaining]:
    """What each of `finals` has still to do.

    Args:
        done: epochs, by run id.
        seconds: as of `latest`.
        prices: what was known when that began, by run id without its seed.
        cuts: each time that a training was shortened, by run id.
    """
    found, stands = [], {role_of(final.run_id) for final in finals if done.get(final.run_id)}
    told = {final.run_id: statistics.median(last) for final in finals if (last := latest(final, seconds, cuts))}
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
        until = cuts[final.run_id][-1].until if final.run_id in cuts else final.epochs
        found.append(
            Remaining(
                run_id=final.run_id,
                done=epochs,
                left=max(0, until - epochs),
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
        LEAST_SHARE,
    )
    return [
        ShortenedFinal(run_id=one.run_id, after=one.done, until=one.done + one.epochs(share) if one.needed else 0)
        for one in trainings
        if not one.needed or one.epochs(share) < one.left
    ]


class Watch:
    """Looks whether final trainings end within the budget; see `finals.run_finals`.

    Args:
        prices: what was planned with, by run id without its seed; where trainings are shortened, what they take now.
        left: seconds until the budget ends.
        after: seconds that are needed when all are trained.
        restart: seconds until there are new workers, where those at work are given up.
        tolerated: seconds by which the budget may be exceeded.
        cuts: each time that one was shortened, by run id: what the journal says.
    """

    def __init__(
        self,
        prices: dict[str, Candidate],
        left: Callable[[], float],
        seats: int,
        *,
        after: float,
        restart: float,
        tolerated: float,
        cuts: Cuts,
    ) -> None:
        self._prices, self._left, self._seats, self._cuts = prices, left, seats, cuts
        self._after, self._restart, self._tolerated = after, restart, tolerated

    def is_late(
        self, pending: Sequence[Final], done: Mapping[str, int], seconds: Mapping[str, Sequence[float]]
    ) -> bool:
        """Whether those that have no result would end too late, and earlier if they were shortened.

        Not while their epochs are too few to tell, from their beginning or since they were shortened the last time.
        """
        if not any(latest(final, seconds, self._cuts) for final in pending):
            return False
        whole = remaining(pending, done, seconds, self._prices, self._cuts)
        needed = makespan([one.seconds() for one in whole], self._seats)
        least = makespan([one.seconds(LEAST_SHARE) for one in whole if one.needed], self._seats)
        is_over = needed > max(0.0, self._left() - self._after) + self._tolerated
        return is_over and least + self._restart < needed

    def shortened(
        self, pending: Sequence[Final], done: Mapping[str, int], seconds: Mapping[str, Sequence[float]]
    ) -> list[ShortenedFinal]:
        """Which of them end earlier, once their workers are gone; what epochs take now is known from then on."""
        trainings = remaining(pending, done, seconds, self._prices, self._cuts)
        for one in sorted(trainings, key=lambda one: one.done):  # of a configuration's seeds, one that has told
            role = role_of(one.run_id)
            self._prices[role] = replace(self._prices[role], epoch=one.epoch)
        return shortened(trainings, self._left() - self._after - self._restart, self._seats)

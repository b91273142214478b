"""Final trainings that no longer fit the time left, or leave some: after how many epochs each of them ends.

A machine that was quiet when prices were measured may be busy later, or the other way round. If the final trainings
would exceed the budget, all are shortened: every training under way, and the first seed of every configuration, keeps
an equal share of its remaining epochs; further seeds that have not begun are left out. If they would leave time, all
are lengthened. Every decision is journaled.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tuning.core.plan import NewLength
from tuning.pipeline.final_planning import Candidate, makespan
from tuning.pipeline.final_roles import Final, role_of

#: Share of the budget by which trainings may exceed it before they become shorter, and that they may leave before they
#: become longer. A change stops all workers in the middle of an epoch, so usual variations of pace are no reason.
TOLERANCE, SLACK = 0.02, 0.05
#: How many of a training's latest epochs are needed to estimate its pace: a number, or a share of all its epochs.
LATEST, LATEST_SHARE = 3, 0.2
#: The smallest share of its remaining epochs that a training keeps. At least one epoch remains in any case.
LEAST_SHARE = 0.01
#: New workers start a training's current epoch anew, so that getting epochs back has to gain more than one.
WORTH_EPOCHS = 2
#: Trainings are stopped when they lose at most what they would on average, and this share of an epoch more.
LOSS_TOLERANCE = 0.1

#: For each run id, the changes of that final training's length so far, in order.
Changes = Mapping[str, Sequence[NewLength]]


@dataclass(frozen=True)
class Remaining:
    """The rest of a final training.

    Attributes:
        done, left: epochs trained, and still to train.
        epoch: seconds per epoch.
        others: seconds beside its epochs, for starting and evaluating.
        needed: False if it may be left out.
    """

    run_id: str
    done: int
    left: int
    epoch: float
    others: float
    needed: bool

    def seconds(self, epochs: int) -> float:
        """Seconds until it ends, if it trains so many more epochs."""
        return self.others + self.epoch * epochs

    @staticmethod
    def part(share: float, epochs: int) -> int:
        """This share of so many epochs: at least 1, unless there are none."""
        return max(1, round(share * epochs)) if epochs else 0


def latest(final: Final, seconds: Mapping[str, Sequence[float]], changes: Changes) -> Sequence[float]:
    """Durations of a training's latest epochs, in seconds; empty while there are too few for an estimate.

    A process's first epoch includes tracing the graph, and the next ones include that of other trainings, as all begin
    together.

    Args:
        seconds: for each run id, the durations of its epochs since lengths changed last.
    """
    planned = (
        changes[final.run_id][-1].until - changes[final.run_id][-1].after if final.run_id in changes else final.epochs
    )
    seen, needed = seconds.get(final.run_id, ())[1:], max(LATEST, math.ceil(LATEST_SHARE * planned))
    return seen[-needed:] if len(seen) >= needed else ()


def remaining(
    finals: Sequence[Final],
    done: Mapping[str, int],
    seconds: Mapping[str, Sequence[float]],
    prices: Mapping[str, Candidate],
    changes: Changes,
) -> list[Remaining]:
    """Estimate the rest of each of `finals`.

    Args:
        done: epochs trained, by run id.
        seconds: as for `latest`.
        prices: estimates made before the trainings began, by run id without the seed.
        changes: as for `latest`.
    """
    found, begun = [], {role_of(final.run_id) for final in finals if done.get(final.run_id)}
    pace = {final.run_id: statistics.median(last) for final in finals if (last := latest(final, seconds, changes))}
    # Trainings without an estimate of their own are assumed to be slowed down as much as those that have one. The
    # baseline of a search from a base was priced as an average configuration: its pace says nothing about the others.
    ratios = [
        pace[final.run_id] / prices[role_of(final.run_id)].epoch
        for final in finals
        if final.run_id in pace and final.space is None
    ]
    slowdown = statistics.fmean(ratios) if ratios else 1.0
    for final in finals:
        role = role_of(final.run_id)
        epochs = done.get(final.run_id, 0)
        until = changes[final.run_id][-1].until if final.run_id in changes else final.epochs
        found.append(
            Remaining(
                run_id=final.run_id,
                done=epochs,
                left=max(0, until - epochs),
                epoch=pace.get(final.run_id, slowdown * prices[role].epoch),
                others=prices[role].start,
                needed=bool(epochs) or role not in begun,
            )
        )
        begun.add(role)
    return found


def shortened(trainings: Sequence[Remaining], seconds: float, seats: int) -> list[NewLength]:
    """Decide which trainings end earlier so that all are done after this many seconds, or as soon as possible. Pure."""
    kept = [one for one in trainings if one.needed]

    def fits(share: float) -> bool:
        return makespan([one.seconds(one.part(share, one.left)) for one in kept], seats) <= seconds

    shares = (percent / 100 for percent in range(100, 0, -1))
    share = next((share for share in shares if fits(share)), LEAST_SHARE)
    return [
        NewLength(run_id=one.run_id, after=one.done, until=one.done + epochs if one.needed else 0)
        for one in trainings
        if (epochs := one.part(share, one.left)) < one.left or not one.needed
    ]


def lengthened(trainings: Sequence[Remaining], seconds: float, seats: int, longest: int) -> list[NewLength]:
    """Decide which trainings end later so that all are still done after this many seconds. Pure.

    All get the same length, unless they have a larger one already, or have ended.

    Args:
        longest: most epochs of a final training.
    """

    def epochs(one: Remaining, length: int) -> int:
        return max(one.left, length - one.done) if one.left else 0

    def fits(length: int) -> bool:
        return makespan([one.seconds(epochs(one, length)) for one in trainings], seats) <= seconds

    length = next((length for length in range(longest, 0, -1) if fits(length)), 0)
    return [
        NewLength(run_id=one.run_id, after=one.done, until=one.done + epochs(one, length))
        for one in trainings
        if epochs(one, length) > one.left
    ]


def loses_little(ages: Mapping[str, float], seconds: Mapping[str, Sequence[float]]) -> bool:
    """Return whether this is a good moment to stop all trainings, each of which loses the epoch that it is in. Pure.

    When one of n trainings ends an epoch, the n - 1 others are, on average, half through theirs. Trainings that began
    together end their epochs one shortly after the other: with the first, the others would lose nearly all of theirs.

    Args:
        ages: for each run id, the seconds since its last epoch ended.
        seconds: for each run id, the durations of its epochs.
    """
    begun = [min(1.0, age / seconds[run_id][-1]) for run_id, age in ages.items()]
    return sum(begun) <= max(0, len(begun) - 1) / 2 + LOSS_TOLERANCE


class Watch:
    """Checks whether final trainings end near the budget's end; see `finals.run_finals`.

    Args:
        prices: the estimates of the plan, by run id without the seed; updated in place when lengths change.
        left: returns the seconds until the budget ends.
        after: seconds needed after the last training.
        restart: seconds until there are new workers, once those at work have been stopped.
        budget: of the search, in seconds.
        longest: most epochs of a final training.
        changes: the journaled changes of length so far, by run id.
    """

    def __init__(
        self,
        prices: dict[str, Candidate],
        left: Callable[[], float],
        seats: int,
        *,
        after: float,
        restart: float,
        budget: float,
        longest: int,
        changes: Changes,
    ) -> None:
        self._prices, self._left, self._seats, self._changes = prices, left, seats, changes
        self._after, self._restart, self._budget, self._longest = after, restart, budget, longest

    def is_off_schedule(
        self, pending: Sequence[Final], done: Mapping[str, int], seconds: Mapping[str, Sequence[float]]
    ) -> bool:
        """Return whether the lengths of the trainings without a result should change.

        They should if the trainings would end too late, and earlier with fewer epochs; or if they would leave `SLACK`
        of the budget, and one of them can have `WORTH_EPOCHS` epochs more. Never while too few epochs are known for an
        estimate, since the beginning or since the last change. After a change, none becomes longer before all have
        begun: if the machine became slow once more, the last ones would pay for the first.
        """
        if not any(latest(final, seconds, self._changes) for final in pending):
            return False
        trainings = remaining(pending, done, seconds, self._prices, self._changes)
        needed, available = self._needed(trainings), self._available()
        if needed > available + TOLERANCE * self._budget:
            least = [one.seconds(one.part(LEAST_SHARE, one.left)) for one in trainings if one.needed]
            return makespan(least, self._seats) + self._restart < needed
        has_changed = any(one.run_id in self._changes for one in trainings)
        if needed > available - SLACK * self._budget or (has_changed and not all(one.done for one in trainings)):
            return False
        left = {one.run_id: one.left for one in trainings}
        longer = self._longer(trainings, available)
        return any(one.until - one.after >= left[one.run_id] + WORTH_EPOCHS for one in longer)

    def new_lengths(
        self, pending: Sequence[Final], done: Mapping[str, int], seconds: Mapping[str, Sequence[float]]
    ) -> list[NewLength]:
        """Decide the new lengths, once no worker trains any more; from then on the present pace is the estimate."""
        trainings = remaining(pending, done, seconds, self._prices, self._changes)
        for one in sorted(trainings, key=lambda one: one.done):  # the seed with the most epochs decides
            role = role_of(one.run_id)
            self._prices[role] = replace(self._prices[role], epoch=one.epoch)
        available = self._available()
        if self._needed(trainings) <= available - self._restart:
            return self._longer(trainings, available)
        return shortened(trainings, available - self._restart, self._seats)

    def _longer(self, trainings: Sequence[Remaining], available: float) -> list[NewLength]:
        available -= self._restart + TOLERANCE * self._budget
        return lengthened(trainings, available, self._seats, self._longest)

    def _needed(self, trainings: Sequence[Remaining]) -> float:
        """Seconds until all are done with their present lengths."""
        return makespan([one.seconds(one.left) for one in trainings], self._seats)

    def _available(self) -> float:
        """Seconds that trainings may still take."""
        return max(0.0, self._left() - self._after)

"""What a search does with its time: how long a full training is, how many fit, what is kept for the finals. Pure.

A plan is made once, from prices that were measured on this machine, and written down with the search. What the clock
decides afterwards (the search ends; the finals have so many epochs and seeds) is journaled by those who ask it.
"""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tuning.core.errors import UsageError
from tuning.core.plan import FinalTraining, Plan, Price

#: Full trainings' worth of epochs that a search should have, at the least and at the most, before their length changes;
#: and the fewest, of the shortest length, with which it is begun at all.
FEWEST, MOST, FEWEST_OF_ALL = 8, 40, 4
#: Optimizer steps that a full training should have; shorter than the second number, scores say little.
STEPS, LEAST_STEPS = 8_000, 1_500
#: A small data set has few steps an epoch: beyond so many epochs more of them teach nothing new, and below so many
#: nothing has been learned.
MOST_EPOCHS, LEAST_EPOCHS = 100, 12
#: Share of the budget that is kept for the finals.
FINALS_SHARE = 0.35
#: A final training is at most this many times as long as a training of the search, and at most `MOST_EPOCHS` epochs
#: or as long as those.
LONGER = 3
#: Seeds of one configuration beyond which another one tells little.
MOST_SEEDS = 5
#: Share of the budget in which everything should be over: estimates are a few percent off.
TARGET = 0.975
#: Seconds after the last training: leaderboard, promotion, report.
CLOSING_SECONDS = 4.0


def priced(samples: Sequence[tuple[float, float]], default: tuple[float, float]) -> Price:
    """The price of a space.

    Args:
        samples: (seconds an epoch, seconds to start) of sampled configurations; at least one.
        default: the same of the default configuration.
    """
    epochs = sorted(epoch for epoch, _ in samples)
    quartiles = statistics.quantiles(epochs, n=4, method="inclusive") if len(epochs) > 1 else [epochs[0]] * 3
    return Price(
        epoch=statistics.fmean(epochs),
        low=quartiles[0],
        high=quartiles[2],
        start=statistics.fmean(start for _, start in (*samples, default)),
        default=default[0],
    )


def full_training(steps_per_epoch: int) -> int:
    """Epochs of a full training where time is no matter: `STEPS` steps, between 20 epochs and `MOST_EPOCHS`."""
    return min(MOST_EPOCHS, max(20, round(STEPS / steps_per_epoch)))


def least_training(steps_per_epoch: int) -> int:
    """Epochs below which a full training of the search is not planned."""
    return min(LEAST_EPOCHS, math.ceil(LEAST_STEPS / steps_per_epoch))


def least_rung(max_epochs: int, steps_per_epoch: int) -> int:
    """The fewest epochs of a first rung: R / 9, and about 200 steps; at most R / 3."""
    steps = math.ceil(200 / steps_per_epoch)
    return max(1, min(max(math.ceil(max_epochs / 9), steps), max_epochs // 3))


def plan_budget(
    budget: float, spent: float, price: Price, steps_per_epoch: int, seats: int, max_epochs: int | None = None
) -> Plan:
    """The plan of a budget.

    A full training has `STEPS` steps where 8 to 40 of them fit. Where more would fit, it becomes longer, up to
    `MOST_EPOCHS`; where fewer would, shorter, down to `LEAST_STEPS` steps.

    Args:
        budget: seconds in all.
        spent: seconds that have passed.
        seats: trials at a time.
        max_epochs: epochs of a full training, where a person said so.

    Raises:
        UsageError: not even four of the shortest trainings fit; says which budget is the least.
    """
    finals = FINALS_SHARE * budget
    left = TARGET * budget - finals - spent - CLOSING_SECONDS
    least = max_epochs or least_training(steps_per_epoch)
    if _trainings(left, least, price, seats) < FEWEST_OF_ALL:
        needed = (FEWEST_OF_ALL * _cost(least, price) / seats + spent + CLOSING_SECONDS) / (TARGET - FINALS_SHARE)
        raise UsageError(
            f"--budget is {budget:.0f}s: in that time, this machine cannot search this space",
            f"give {math.ceil(needed / 60)}m or more, search a smaller space, or train one configuration with "
            "python -m tuning.train",
        )
    epochs = max_epochs or full_training(steps_per_epoch)
    if max_epochs is None:
        while epochs < MOST_EPOCHS and _trainings(left, epochs + 1, price, seats) >= MOST:
            epochs += 1
        while epochs > least and _trainings(left, epochs, price, seats) < FEWEST:
            epochs -= 1
    return Plan(
        budget=budget,
        seats=seats,
        price=price,
        max_epochs=epochs,
        first_rung=least_rung(epochs, steps_per_epoch),
        trainings=round(_trainings(left, epochs, price, seats), 1),
        finals=round(finals, 1),
        window=window_of(seats),
    )


def window_of(seats: int) -> int:
    """Trials asked for ahead: twice the seats, so that nobody waits for a rung; more where they are many."""
    return max(4, 4 * seats if seats > 8 else 2 * seats)


def _cost(epochs: int, price: Price) -> float:
    """Seconds of one worker for a full training, its share of started and stopped ones included.

    For every full training's worth of epochs, about three trials begin or go on.
    """
    return epochs * price.epoch + 3 * price.start


def _trainings(seconds: float, epochs: int, price: Price, seats: int) -> float:
    return max(0.0, seconds) * seats / _cost(epochs, price)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration that could be retrained.

    Attributes:
        key: its name, for whoever asks.
        epoch: seconds that an epoch of it takes.
        start: seconds from its begin to its first step, evaluation and publishing included.
    """

    key: str
    epoch: float
    start: float

    def seconds(self, epochs: int) -> float:
        return self.start + epochs * self.epoch


def makespan(durations: Sequence[float], seats: int) -> float:
    """Seconds until all are done, the longest first, each on the seat that is free first."""
    free = [0.0] * max(1, seats)
    for duration in sorted(durations, reverse=True):
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def longest_final(max_epochs: int) -> int:
    """Epochs that a final training may have where trainings of the search have `max_epochs`."""
    return max(max_epochs, min(LONGER * max_epochs, MOST_EPOCHS))


def plan_finals(
    baseline: Candidate, finalists: Sequence[Candidate], seconds: float, seats: int, max_epochs: int
) -> list[FinalTraining]:
    """The first final trainings: what fits into the time that is left, in order of what it is worth.

    First the baseline and each finalist once, with `max_epochs` epochs; then a second seed of the baseline and of the
    best finalist, without which nobody can tell a difference from luck; then all of them longer, up to
    `longest_final`; then further seeds, up to five.

    Where not even the first fits, finalists are left out, the last one first. The baseline and one finalist remain
    whatever they cost, with fewer epochs where they must.

    Args:
        finalists: the best on validation first.
        seconds: that are left for them.
    """
    kept = list(finalists)

    def fits(seeds: dict[str, int], epochs: int) -> bool:
        durations = [c.seconds(epochs) for c in (baseline, *kept) for _ in range(seeds.get(c.key, 0))]
        return makespan(durations, seats) <= seconds

    while len(kept) > 1 and not fits(dict.fromkeys((baseline.key, *(c.key for c in kept)), 1), max_epochs):
        kept.pop()
    seeds = dict.fromkeys((baseline.key, *(candidate.key for candidate in kept)), 1)
    epochs = max_epochs
    while epochs > 1 and not fits(seeds, epochs):
        epochs -= 1
    again = [c.key for c in (*kept[:1], baseline)]
    for key in dict.fromkeys(again):
        if fits(seeds | {key: 2}, epochs):
            seeds[key] = 2
    while epochs < longest_final(max_epochs) and fits(seeds, epochs + 1):
        epochs += 1
    for number in range(2, MOST_SEEDS + 1):
        for key in dict.fromkeys((*again, *seeds)):
            if seeds[key] < number and fits(seeds | {key: number}, epochs):
                seeds[key] = number
    return [
        FinalTraining(key=candidate.key, seed=seed, epochs=epochs)
        for candidate in (*kept, baseline)
        for seed in range(seeds[candidate.key])
    ]


def more_finals(
    baseline: Candidate,
    finalists: Sequence[Candidate],
    done: Sequence[FinalTraining],
    seconds: float,
    seats: int,
) -> list[FinalTraining]:
    """Further seeds of what has been retrained, as many as fit; empty where nothing does, or all have five."""
    epochs = max(training.epochs for training in done)
    seeds = {c.key: sum(training.key == c.key for training in done) for c in (*finalists, baseline)}
    new: list[FinalTraining] = []
    durations: list[float] = []
    for number in range(1, MOST_SEEDS + 1):
        for candidate in (*finalists, baseline):
            length = candidate.seconds(epochs)
            if 0 < seeds[candidate.key] < number and makespan([*durations, length], seats) <= seconds:
                new.append(FinalTraining(key=candidate.key, seed=seeds[candidate.key], epochs=epochs))
                seeds[candidate.key] += 1
                durations.append(length)
    return new

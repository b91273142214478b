"""Plans the final trainings: which configurations, with how many seeds, for how many epochs. Pure."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from tuning.core.plan import FinalTraining

#: Share of a full training from which on a configuration counts as trained in full.
NEARLY = 0.75
#: Most seeds of one configuration: a further one tells little.
MOST_SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration that could be retrained.

    Attributes:
        key: its name, chosen by the caller.
        epoch: seconds per epoch.
        start: seconds beside the epochs: until the first step, for the evaluation and for publishing.
    """

    key: str
    epoch: float
    start: float

    def seconds(self, epochs: int) -> float:
        return self.start + epochs * self.epoch


def makespan(durations: Sequence[float], seats: int) -> float:
    """Returns the seconds until all are done, if the longest start first, each on the first seat that is free."""
    free = [0.0] * max(1, seats)
    for duration in sorted(durations, reverse=True):
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def all_seeds(candidates: Iterable[Candidate], epochs: int, seats: int) -> float:
    """Returns the seconds of final trainings with `MOST_SEEDS` seeds of each candidate, all with `epochs` epochs."""
    return makespan([one.seconds(epochs) for one in candidates for _ in range(MOST_SEEDS)], seats)


def plan_finals(
    baseline: Candidate,
    ranked: Sequence[Candidate],
    top_k: int,
    seconds: float,
    seats: int,
    max_epochs: int,
    longest: int,
) -> list[FinalTraining]:
    """Returns the first final trainings: those that fit into the time left, the most valuable ones first.

    First the baseline and each finalist once, with `max_epochs` epochs; then a second seed of the baseline and of the
    best finalist, without which a difference cannot be told from luck; then more epochs for all, up to `longest`; then
    further seeds, up to five. Longer trainings are worth more: if twice `max_epochs` and half of `longest` do not fit
    as well, second seeds come last, and finalists beyond the second only if they fit beside the others. There, in place
    of one that is too expensive, a cheaper one that ranks lower may fit.

    If not even the first step fits, all get fewer epochs, down to the share `NEARLY`; then finalists are left out, the
    last one first. The baseline and one finalist remain whatever they cost, with still fewer epochs if necessary.

    Args:
        ranked: the configurations that may be retrained, the best on validation first; of these, `top_k` at most are.
        seconds: time left for the finals.
        longest: most epochs of a final training.
    """
    kept = list(ranked[:top_k])

    def fits(seeds: dict[str, int], epochs: int) -> bool:
        durations = [c.seconds(epochs) for c in (baseline, *kept) for _ in range(seeds.get(c.key, 0))]
        return makespan(durations, seats) <= seconds

    def once() -> dict[str, int]:
        return dict.fromkeys((baseline.key, *(candidate.key for candidate in kept)), 1)

    long_enough = min(longest, max(2 * max_epochs, longest // 2))
    for few, epochs in ((2, long_enough), (1, math.ceil(NEARLY * max_epochs))):
        while len(kept) > few and not fits(once(), epochs):
            kept.pop()
    seeds = once()
    epochs = max_epochs
    while epochs > 1 and not fits(seeds, epochs):
        epochs -= 1
    again = list(dict.fromkeys(c.key for c in (*kept[:1], baseline)))
    for key in reversed(again):
        if fits(seeds | {key: 2}, max(epochs, long_enough)):
            seeds[key] = 2
    while epochs < longest and fits(seeds, epochs + 1):
        epochs += 1
    for candidate in ranked[len(kept) :]:
        kept.append(candidate)
        if len(kept) <= top_k and fits(seeds | {candidate.key: 1}, epochs):
            seeds[candidate.key] = 1
        else:
            kept.pop()
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
    failed: Set[str] = frozenset(),
    least: int = 1,
) -> list[FinalTraining]:
    """Returns further seeds of the retrained candidates, as many as fit; empty if none fits, or all have five.

    Seeds of the best finalist and of the baseline come first. Candidates that failed get none: they would fail again.
    If all retrained finalists failed, the next best one is retrained first, with fewer epochs if necessary.

    Args:
        done: the final trainings so far, with the epochs that they had; 0: left out for lack of time.
        failed: keys of the candidates whose trainings all failed.
        least: epochs below which the next best finalist is not worth retraining.
    """
    epochs = max(training.epochs for training in done)
    used = Counter(training.key for training in done)
    seeds = Counter(training.key for training in done if training.epochs)
    viable = [one for one in finalists if one.key not in failed]
    new: list[FinalTraining] = []
    durations: list[float] = []

    def begin(candidate: Candidate, epochs: int) -> None:
        new.append(FinalTraining(key=candidate.key, seed=used[candidate.key], epochs=epochs))
        durations.append(candidate.seconds(epochs))
        used[candidate.key] += 1
        seeds[candidate.key] += 1

    if viable and not any(seeds[one.key] for one in viable):
        fitting = (
            length for length in range(epochs, min(epochs, least) - 1, -1) if viable[0].seconds(length) <= seconds
        )
        if length := next(fitting, 0):
            begin(viable[0], length)
    viable_baseline = [baseline] if baseline.key not in failed else []
    for candidates in ((*viable[:1], *viable_baseline), viable[1:]):
        for number in range(1, MOST_SEEDS + 1):
            for candidate in candidates:
                duration = candidate.seconds(epochs)
                if 0 < seeds[candidate.key] < number and makespan([*durations, duration], seats) <= seconds:
                    begin(candidate, epochs)
    return new

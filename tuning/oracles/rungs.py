"""Hyperband's schedule and the promotion rule, in integers: no Keras, no floats, no clock.

Source: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization", JMLR 18 (2018), Algorithm 1 and Table 1. Powers are counted in integers because float logarithms are off
by one at exact powers: log(243) / log(3) is 4.999….
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tuning.core.errors import UsageError
from tuning.oracles.ranking import best_first


@dataclass(frozen=True)
class Rung:
    """A rung of `size` trials, each trained to `epochs` epochs in total."""

    size: int
    epochs: int


@dataclass(frozen=True)
class Bracket:
    """One run of successive halving; `number` is the paper's s, the number of its promotions."""

    number: int
    rungs: tuple[Rung, ...]

    @property
    def trials(self) -> int:
        """The number of trials if nothing fails, promotions included."""
        return sum(rung.size for rung in self.rungs)

    @property
    def epochs(self) -> int:
        """The epochs trained if nothing fails; a promoted trial trains only the additional epochs."""
        done = [0, *(rung.epochs for rung in self.rungs)]
        return sum(rung.size * (rung.epochs - before) for rung, before in zip(self.rungs, done, strict=False))


def brackets(max_epochs: int, factor: int, min_epochs: int = 1) -> tuple[Bracket, ...]:
    """Returns the brackets of one pass of Hyperband, starting with the one that has most rungs.

    Args:
        max_epochs: R, the epochs of the last rung of every bracket.
        factor: eta; 1 / factor of a rung is promoted.
        min_epochs: no rung, after rounding, has fewer epochs; 1 gives the paper's table.

    Raises:
        UsageError: a number out of its range.
    """
    if factor < 2:
        raise UsageError(f"the reduction factor must be at least 2, not {factor}", "use --factor 3")
    if not 1 <= min_epochs <= max_epochs:
        raise UsageError(
            f"the first rung must have between 1 and {max_epochs} epochs, not {min_epochs}",
            "choose a first rung no longer than the last one",
        )
    deepest = 0
    while max_epochs >= (share := factor ** (deepest + 1)) and _rung(max_epochs, share) >= min_epochs:
        deepest += 1
    return tuple(_bracket(number, deepest, max_epochs, factor) for number in range(deepest, -1, -1))


def sizes(number: int, deepest: int, factor: int) -> list[int]:
    """Returns the trials per rung of the bracket with `number` promotions, where the deepest bracket has `deepest`."""
    size = -(-(deepest + 1) * factor**number // (number + 1))  # ceil((s_max + 1) / (s + 1) * eta^s)
    return [size // factor**promotions for promotions in range(number + 1)]


def _bracket(number: int, deepest: int, max_epochs: int, factor: int) -> Bracket:
    rungs = []
    for promotions, size in enumerate(sizes(number, deepest, factor)):
        rungs.append(Rung(size, _rung(max_epochs, factor ** (number - promotions))))
    return Bracket(number, tuple(rungs))


def _rung(max_epochs: int, share: int) -> int:
    """Returns max_epochs / share, rounded half up."""
    return (2 * max_epochs + share) // (2 * share)


def shortest(max_epochs: int, factor: int, min_epochs: int) -> int:
    """Returns the epochs of the shortest rung; arguments and errors are those of `brackets`."""
    return brackets(max_epochs, factor, min_epochs)[0].rungs[0].epochs


def plan(
    max_epochs: int, factor: int, min_epochs: int = 1, iterations: int | None = 1, max_trials: int | None = None
) -> Iterator[Bracket]:
    """Returns the brackets of a whole search in order; endless if `iterations` and `max_trials` are both None.

    If `max_trials` leaves too few trials for a bracket, the bracket is shortened rather than cut off, so that even a
    small limit gives trials of `max_epochs` epochs.

    Raises:
        UsageError: a number out of its range.
    """
    one_pass = brackets(max_epochs, factor, min_epochs)
    passes = itertools.repeat(one_pass) if iterations is None else itertools.repeat(one_pass, iterations)
    stream = itertools.chain.from_iterable(passes)
    return stream if max_trials is None else _capped(stream, max_trials, factor)


def _capped(stream: Iterable[Bracket], max_trials: int, factor: int) -> Iterator[Bracket]:
    left = max_trials
    for bracket in stream:
        fitting = bracket if bracket.trials <= left else _shortened(bracket, left, factor)
        yield fitting
        left -= fitting.trials
        if left == 0:
            return


def _shortened(bracket: Bracket, trials: int, factor: int) -> Bracket:
    """Returns a bracket of `trials` trials in the last rungs of `bracket`, as many as can be halved properly."""
    stages = 1
    while stages < len(bracket.rungs) and sum(factor**rung for rung in range(stages + 1)) <= trials:
        stages += 1
    size = trials
    while sum(size // factor**rung for rung in range(stages)) > trials:
        size -= 1
    last = bracket.rungs[-stages:]
    return Bracket(stages - 1, tuple(Rung(size // factor**index, rung.epochs) for index, rung in enumerate(last)))


def total_trials(planned: Iterable[Bracket]) -> int:
    """Returns the number of trials of a plan if nothing fails."""
    return sum(bracket.trials for bracket in planned)


def total_epochs(planned: Iterable[Bracket]) -> int:
    """Returns the epochs that a plan trains if nothing fails and promoted trials resume from their checkpoints."""
    return sum(bracket.epochs for bracket in planned)


@dataclass(frozen=True)
class Step:
    """The next trial of a bracket: a new configuration (`parent` None) or `parent` promoted into `rung`."""

    rung: int
    epochs: int
    initial_epoch: int
    parent: str | None


class Halving:
    """A bracket in progress: promotes from complete rungs, and refills the slots of failed trials.

    A failed trial of the first rung is replaced by a new configuration (at most as often as the rung has trials, so
    that a search whose builder always fails ends), one of a higher rung by the next best trial of the rung below. If
    configurations run out, the bracket shrinks. Thus it reaches its last rung if any trial can be trained that far.

    `next_step` changes nothing: the state depends only on the order of `start` and `tell`.

    Attributes:
        bracket: the planned rungs.
        asked: per rung, the ids of the trials started in it, in order.
        running: number of trials started whose result has not been told.
    """

    def __init__(self, bracket: Bracket, direction: str) -> None:
        self.bracket = bracket
        self.asked: list[list[str]] = [[] for _ in bracket.rungs]
        self.running = 0
        self._direction = direction
        self._rung = 0
        self._scores: dict[str, float] = {}  # of the current rung's finished trials
        self._candidates: list[str] = []  # trials of the rung below that can be promoted, best first

    def next_step(self, allowance: int | None = None, fresh: bool = True) -> Step | None:
        """Returns the trial to start now; None while the rung is incomplete or when the bracket is over.

        Args:
            allowance: how many trials this bracket may still start under `max_trials`; None: no limit. It restricts
                only refills, which need trials beyond the planned ones, or serve to keep the bracket alive.
            fresh: whether a new configuration is available.
        """
        if self._has_slot(allowance, fresh):
            candidate = self._candidates[len(self.asked[self._rung])] if self._rung else None
            return self._step(self._rung, candidate)
        if self.running or self._rung + 1 == len(self.bracket.rungs) or not self._scores:
            return None
        return self._step(self._rung + 1, best_first(self._scores, self._direction)[0])

    def start(self, trial_id: str, step: Step) -> None:
        """Records that `step` was started as trial `trial_id`."""
        if step.rung > self._rung:
            self._candidates = best_first(self._scores, self._direction)
            self._scores = {}
            self._rung = step.rung
        self.asked[step.rung].append(trial_id)
        self.running += 1

    def tell(self, trial_id: str, score: float | None) -> None:
        """Records how a started trial ended; `score` None means that it failed."""
        self.running -= 1
        if score is not None:
            self._scores[trial_id] = score

    def replay(self, asked: Iterable[Iterable[str]], ended: Mapping[str, float | None]) -> None:
        """Restores the state of a bracket from the trials started per rung and the results of those that ended."""
        for rung, trial_ids in enumerate(asked):
            for trial_id in trial_ids:
                self.start(trial_id, self._step(rung, None))
                if trial_id in ended:
                    self.tell(trial_id, ended[trial_id])

    def continuable(self) -> set[str]:
        """Returns the trials whose checkpoints a running trial, or one that may still be started, resumes from."""
        last = self._rung + 1 == len(self.bracket.rungs)
        promotable = set() if last else set(self._scores)
        complete = not self.running and len(self._scores) >= self._size()
        return promotable if complete else promotable | set(self._candidates)

    @property
    def reserved(self) -> int:
        """The number of planned trials of this bracket that have not been started."""
        size = self._size()
        later = sum(min(rung.size, size) for rung in self.bracket.rungs[self._rung + 1 :])
        return max(0, size - len(self.asked[self._rung])) + later

    @property
    def spent(self) -> bool:
        """Whether this bracket can start no further trial, whatever happens elsewhere."""
        return not self.running and self.next_step() is None

    def _size(self) -> int:
        planned = self.bracket.rungs[self._rung].size
        return min(planned, len(self._candidates)) if self._rung else planned

    def _step(self, rung: int, parent: str | None) -> Step:
        before = self.bracket.rungs[rung - 1].epochs if rung else 0
        return Step(rung, self.bracket.rungs[rung].epochs, before, parent)

    def _has_slot(self, allowance: int | None, fresh: bool) -> bool:
        size, asked = self._size(), len(self.asked[self._rung])
        live = self.running + len(self._scores)
        possible = (fresh and asked < 2 * size) if self._rung == 0 else asked < len(self._candidates)
        if live >= size or not possible:
            return False
        return asked < size or self._may_refill(live, allowance)

    def _may_refill(self, live: int, allowance: int | None) -> bool:
        if allowance is None or allowance > self.reserved:
            return True
        return live == 0 and allowance >= len(self.bracket.rungs) - self._rung

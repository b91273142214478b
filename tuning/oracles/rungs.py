"""Hyperband's schedule and the promotion rule, in integers: no Keras, no floats, no clock.

Source: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization", JMLR 18 (2018), Algorithm 1 and Table 1. Powers are counted with integers because float logarithms are
off by one at exact powers: log(243) / log(3) is 4.999….
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tuning.core.errors import UsageError
from tuning.oracles.ranking import best_first


@dataclass(frozen=True)
class Rung:
    """`size` trials trained until `epochs` epochs are done in total."""

    size: int
    epochs: int


@dataclass(frozen=True)
class Bracket:
    """One run of successive halving; `number` is the paper's s, the number of its promotions."""

    number: int
    rungs: tuple[Rung, ...]

    @property
    def trials(self) -> int:
        """Proposals when nothing fails, promotions included."""
        return sum(rung.size for rung in self.rungs)

    @property
    def epochs(self) -> int:
        """Epochs trained when nothing fails; a promoted trial trains only the epochs that it has not seen."""
        done = [0, *(rung.epochs for rung in self.rungs)]
        return sum(rung.size * (rung.epochs - before) for rung, before in zip(self.rungs, done, strict=False))


def brackets(max_epochs: int, factor: int, min_epochs: int = 1) -> tuple[Bracket, ...]:
    """One pass of Hyperband, the bracket that halves most first.

    Args:
        max_epochs: R, the epochs of the last rung of every bracket.
        factor: eta, the share (1 / factor) of a rung that is promoted.
        min_epochs: no rung, rounded as it is, is shorter; 1 gives the paper's table.

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
    """Trials of each rung of the bracket with `number` promotions, where the bracket that halves most has `deepest`."""
    size = -(-(deepest + 1) * factor**number // (number + 1))  # ceil((s_max + 1) / (s + 1) * eta^s)
    return [size // factor**promotions for promotions in range(number + 1)]


def _bracket(number: int, deepest: int, max_epochs: int, factor: int) -> Bracket:
    rungs = []
    for promotions, size in enumerate(sizes(number, deepest, factor)):
        rungs.append(Rung(size, _rung(max_epochs, factor ** (number - promotions))))
    return Bracket(number, tuple(rungs))


def _rung(max_epochs: int, share: int) -> int:
    """max_epochs / share, rounded half up."""
    return (2 * max_epochs + share) // (2 * share)


def shortest(max_epochs: int, factor: int, min_epochs: int) -> int:
    """Epochs of the shortest rung; arguments and errors as of `brackets`."""
    return brackets(max_epochs, factor, min_epochs)[0].rungs[0].epochs


def plan(
    max_epochs: int, factor: int, min_epochs: int = 1, iterations: int | None = 1, max_trials: int | None = None
) -> Iterator[Bracket]:
    """The brackets of a whole search, in order: endless where `iterations` and `max_trials` are both None.

    A cap on the trials shortens the bracket that no longer fits instead of cutting it off, so that a small cap still
    gives trials of `max_epochs` epochs.

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
    """The last rungs of `bracket`, as many as `trials` can fill with true halving, with all of `trials` in them."""
    stages = 1
    while stages < len(bracket.rungs) and sum(factor**rung for rung in range(stages + 1)) <= trials:
        stages += 1
    size = trials
    while sum(size // factor**rung for rung in range(stages)) > trials:
        size -= 1
    kept = bracket.rungs[-stages:]
    return Bracket(stages - 1, tuple(Rung(size // factor**index, rung.epochs) for index, rung in enumerate(kept)))


def total_trials(planned: Iterable[Bracket]) -> int:
    """Proposals of a plan when nothing fails."""
    return sum(bracket.trials for bracket in planned)


def total_epochs(planned: Iterable[Bracket]) -> int:
    """Epochs trained by a plan when nothing fails and promoted trials continue from where they were."""
    return sum(bracket.epochs for bracket in planned)


@dataclass(frozen=True)
class Step:
    """The next trial of a bracket: a new configuration (`parent` None) or `parent` promoted into `rung`."""

    rung: int
    epochs: int
    initial_epoch: int
    parent: str | None


class Halving:
    """One bracket under way: promotes from whole rungs, and refills the slots that failed trials leave.

    A failed trial of the first rung is replaced by a new configuration (at most as many as the rung is large, so that
    a builder that always fails ends); one of a higher rung by the next best of the rung below. Where configurations
    run out the bracket shrinks. So it reaches its last rung whenever any trial can be trained that far.

    `next_step` changes nothing: what happens depends only on what was started and told, in that order.

    Attributes:
        bracket: the plan.
        asked: per rung, the ids of the trials started in it, in order.
        running: trials started and not yet told.
    """

    def __init__(self, bracket: Bracket, direction: str) -> None:
        self.bracket = bracket
        self.asked: list[list[str]] = [[] for _ in bracket.rungs]
        self.running = 0
        self._direction = direction
        self._rung = 0
        self._scores: dict[str, float] = {}  # of the current rung's finished trials
        self._candidates: list[str] = []  # survivors of the rung below, best first

    def next_step(self, allowance: int | None = None, fresh: bool = True) -> Step | None:
        """What to start now; None while the rung is not whole or when the bracket is over.

        Args:
            allowance: how many trials this bracket may still start under a cap; None without a cap. Planned trials
                always may; slots are refilled only from what the plan leaves over, or to keep the bracket alive.
            fresh: whether a new configuration can be had.
        """
        if self._has_slot(allowance, fresh):
            candidate = self._candidates[len(self.asked[self._rung])] if self._rung else None
            return self._step(self._rung, candidate)
        if self.running or self._rung + 1 == len(self.bracket.rungs) or not self._scores:
            return None
        return self._step(self._rung + 1, best_first(self._scores, self._direction)[0])

    def start(self, trial_id: str, step: Step) -> None:
        """Records that `step` runs as `trial_id`."""
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
        """Brings a fresh bracket to the state with these trials started and, of those, these ended."""
        for rung, trial_ids in enumerate(asked):
            for trial_id in trial_ids:
                self.start(trial_id, self._step(rung, None))
                if trial_id in ended:
                    self.tell(trial_id, ended[trial_id])

    def continuable(self) -> set[str]:
        """Trials whose last state a trial that is running, or may still be started, goes on from."""
        last = self._rung + 1 == len(self.bracket.rungs)
        promotable = set() if last else set(self._scores)
        whole = not self.running and len(self._scores) >= self._size()
        return promotable if whole else promotable | set(self._candidates)

    @property
    def reserved(self) -> int:
        """Trials that the plan still wants in this bracket."""
        size = self._size()
        later = sum(min(rung.size, size) for rung in self.bracket.rungs[self._rung + 1 :])
        return max(0, size - len(self.asked[self._rung])) + later

    @property
    def spent(self) -> bool:
        """Whether nothing more can come of this bracket, whatever happens elsewhere."""
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

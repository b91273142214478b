"""Brackets that are filled from a common pool of paused configurations. Pure: no Keras, no clock.

Their sizes are the paper's (see `tuning.oracles.rungs`). Unlike in the paper, a rung is filled with the best of *all*
configurations paused below it, whichever bracket began them, and the first rung may differ from pass to pass.

`Brackets.find` changes nothing: the state depends only on the order in which trials started and ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tuning.oracles import rungs


@dataclass
class Bracket:
    """A bracket in progress.

    Attributes:
        number: from 1, in the order in which brackets began.
        first: the rung that it starts from.
        sizes: number of trials of each of its rungs.
        stage: index into `sizes` of the rung being filled.
        started, failed, running: number of trials of this stage.
    """

    number: int
    first: int
    sizes: list[int]
    stage: int = 0
    started: int = 0
    failed: int = 0
    running: int = 0

    @property
    def has_room(self) -> bool:
        """Whether the stage can take another trial: failed ones are replaced, at most as many as its size."""
        size = self.sizes[self.stage]
        return self.started - self.failed < size and self.started < 2 * size

    @property
    def over(self) -> bool:
        return not self.running and not self.has_room and self.stage == len(self.sizes) - 1


@dataclass(frozen=True)
class Slot:
    """A place for a trial in a stage of a bracket."""

    bracket: Bracket
    stage: int

    @property
    def rung(self) -> int:
        """The rung that the trial is trained to."""
        return self.bracket.first + self.stage


class Brackets:
    """An endless sequence of Hyperband passes.

    Args:
        last: number of the last rung, counted from 0.
        factor: eta.
        first: returns the rung from which the widest bracket of a pass would start if it were opened now.
        waiting: returns how many configurations are paused at a rung. Those at the first rung when the first bracket
            opens count as started in it.

    Attributes:
        begun: number of brackets begun.
    """

    def __init__(self, last: int, factor: int, first: Callable[[], int], waiting: Callable[[int], int]) -> None:
        self._last, self._factor, self._first, self._waiting_at = last, factor, first, waiting
        self.begun = 0
        self._promotions = -1  # s of the next bracket; -1: start a new pass with the widest bracket
        self._open: list[Bracket] = []
        self._bracket_of: dict[str, Bracket] = {}  # by the id of a running trial

    def find(self, fresh: bool, paused_below: Callable[[int], bool]) -> Slot | None:
        """Returns the slot of the next trial; None if no trial can start.

        Args:
            fresh: whether a new configuration is available.
            paused_below: returns whether a configuration is paused below a rung.
        """
        for bracket in self._open:
            if (slot := self._slot(bracket, fresh, paused_below)) is not None:
                return slot
        return self._slot(self._upcoming(), fresh, paused_below)

    def slot_of(self, number: int, rung: int) -> Slot | None:
        """Returns the slot in bracket `number` of a trial that is trained to `rung`; None if there is none."""
        for bracket in [*self._open, self._upcoming()]:
            if bracket.number == number and 0 <= rung - bracket.first < len(bracket.sizes):
                return Slot(bracket, rung - bracket.first)
        return None

    def start(self, trial_id: str, slot: Slot) -> None:
        """Records that a trial was started in a slot."""
        bracket = slot.bracket
        if bracket.number > self.begun:
            self.begun = bracket.number
            self._promotions = len(bracket.sizes) - 2
            self._open.append(bracket)
        if slot.stage != bracket.stage:
            bracket.stage, bracket.started, bracket.failed = slot.stage, 0, 0
        bracket.started += 1
        bracket.running += 1
        self._bracket_of[trial_id] = bracket

    def end(self, trial_id: str, failed: bool) -> None:
        """Records that a trial has ended; trials outside all brackets are ignored."""
        bracket = self._bracket_of.pop(trial_id, None)
        if bracket is None:
            return
        bracket.running -= 1
        bracket.failed += failed
        if bracket.over:
            self._open.remove(bracket)

    def state(self) -> dict[str, Any]:
        """Returns the state, serialisable as JSON."""
        return {
            "begun": self.begun,
            "promotions": self._promotions,
            "open": [asdict(bracket) for bracket in self._open],
            "running": {trial_id: bracket.number for trial_id, bracket in self._bracket_of.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.begun, self._promotions = state["begun"], state["promotions"]
        self._open = [Bracket(**bracket) for bracket in state["open"]]
        by_number = {bracket.number: bracket for bracket in self._open}
        self._bracket_of = {trial_id: by_number[number] for trial_id, number in state["running"].items()}

    def _upcoming(self) -> Bracket:
        widest = self._last - min(self._first(), self._last)
        promotions = min(self._promotions, widest) if self._promotions >= 0 else widest
        sizes = rungs.sizes(promotions, widest, self._factor)
        bracket = Bracket(self.begun + 1, self._last - promotions, sizes)
        if not self.begun and promotions:
            bracket.started = min(sizes[0], self._waiting_at(bracket.first))
        return bracket

    @staticmethod
    def _slot(bracket: Bracket, fresh: bool, paused_below: Callable[[int], bool]) -> Slot | None:
        here = Slot(bracket, bracket.stage)
        if bracket.has_room and ((fresh and not bracket.stage) or paused_below(here.rung)):
            return here
        if bracket.running:  # promotion waits until the stage is complete
            return None
        later = (Slot(bracket, stage) for stage in range(bracket.stage + 1, len(bracket.sizes)))
        return next((slot for slot in later if paused_below(slot.rung)), None)

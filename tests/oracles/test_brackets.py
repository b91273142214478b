"""Brackets filled from a common pool."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from tuning.oracles.brackets import Brackets, Slot
from tuning.oracles.rungs import brackets

#: Number of the last rung, and trials that are outstanding.
LAST, WINDOW = 2, 16


class Started(NamedTuple):
    """What a journal says of a proposal; `parent` is the rung that its configuration waited at, -1 for a new one."""

    trial: str
    bracket: int
    rung: int
    parent: int


class Ended(NamedTuple):
    trial: str
    rung: int
    goes_on: bool


class Pool:
    """Brackets and the configurations that wait at each rung, brought to where these entries of a journal end."""

    def __init__(self, entries: Sequence[Started | Ended] = ()) -> None:
        self.waiting = [0] * (LAST + 1)
        self.brackets = Brackets(LAST, 3, lambda: 0, self.waiting.__getitem__)
        for entry in entries:
            self.apply(entry)

    def next(self) -> Slot | None:
        return self.brackets.find(True, lambda rung: any(self.waiting[:rung]))

    def apply(self, entry: Started | Ended) -> None:
        if isinstance(entry, Ended):
            self.brackets.end(entry.trial, failed=False)
            self.waiting[entry.rung] += entry.goes_on
            return
        slot = self.brackets.slot_of(entry.bracket, entry.rung)
        assert slot is not None
        if entry.parent >= 0:
            self.waiting[entry.parent] -= 1
        self.brackets.start(entry.trial, slot)

    def started(self, trial: int, slot: Slot) -> Started:
        parent = max((rung for rung in range(slot.rung) if self.waiting[rung]), default=-1) if slot.stage else -1
        return Started(str(trial), slot.bracket.number, slot.rung, parent)


def test_a_pass_of_brackets_is_the_papers():
    """Filled one by one, with nothing failing, a pass from the lowest rung has the sizes of Algorithm 1."""
    filled, paused = Brackets(4, 3, lambda: 0, lambda rung: 0), True
    sizes: dict[int, list[int]] = {}
    for trial in range(81 + 27 + 9 + 3 + 1 + 34 + 11 + 3 + 1 + 15 + 5 + 1 + 8 + 2 + 5):
        slot = filled.find(True, lambda rung: paused)
        counts = sizes.setdefault(slot.bracket.number, [0] * len(slot.bracket.sizes))
        counts[slot.stage] += 1
        filled.start(str(trial), slot)
        filled.end(str(trial), failed=False)
    assert list(sizes.values()) == [[rung.size for rung in bracket.rungs] for bracket in brackets(81, 3)]


@pytest.mark.parametrize("dead", [0.0, 0.5, 0.8])
def test_a_resumed_process_places_a_trial_where_a_living_one_does(dead):
    """Replaying a journal looks for no place: at any moment, what was looked for in vain before must not matter.

    Of the curves, such a share ends before it can be promoted: stages are then larger than what waits below them.
    """
    draw, living, entries = random.Random(7), Pool(), []
    running: list[Started] = []
    for trial in range(400):
        while len(running) >= WINDOW:
            ends = running.pop(draw.randrange(len(running)))
            goes_on = ends.rung < LAST and draw.random() >= dead
            entries.append(Ended(ends.trial, ends.rung, goes_on))
            living.apply(entries[-1])
        slot, resumed = living.next(), Pool(entries).next()
        assert slot == resumed, f"trial {trial}"
        entries.append(living.started(trial, slot))
        living.apply(entries[-1])
        running.append(entries[-1])

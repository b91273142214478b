"""The order in which results are told: that of an imaginary machine, so that no real one has a say in it. Pure.

The imaginary machine has as many slots as the search has a window. A trial takes one when it is asked for and holds it
for as many units of time as it has epochs to train, times what the strategy expects an epoch of it to cost; results are
told in the order in which trials end there. So a strategy meets a short training's result before that of a long one
that was asked for earlier, as on a real machine, and what it meets when depends on its own proposals and on the window
alone. The better costs are foreseen, the less the real machine waits for the imaginary one. Where all trainings are
equally long this is plain: proposal *i* is asked for when proposal *i − window* has been told.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from tuning.core.records import TrialSpec


class LogicalOrder:
    """Trials that were asked for and have not ended yet, in the order of their ends.

    Args:
        window: slots.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._now = 0.0
        self._asked = 0
        self._running: list[tuple[float, int, TrialSpec]] = []

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[TrialSpec]:
        """In the order in which they will be told if nothing more is asked for."""
        return (spec for _, _, spec in sorted(self._running))

    @property
    def full(self) -> bool:
        return len(self._running) >= self._window

    def ask(self, spec: TrialSpec) -> float:
        """Starts a trial and returns when it ends; of those that end together the first one is told first."""
        end = self._now + _length(spec)
        heapq.heappush(self._running, (end, self._asked, spec))
        self._asked += 1
        return end

    @staticmethod
    def priority(spec: TrialSpec, end: float) -> float:
        """Which of the waiting trials a real worker should run first: the one with the smallest number.

        With a strategy that foresees costs, the one that ends first, because its result is waited for. With others,
        whose results are in no hurry, the one that was begun longest ago, so that long ones are not left for the end.
        """
        return -spec.initial_epoch if spec.cost is None else end

    def next(self) -> TrialSpec:
        """The trial to be told next; there must be one."""
        return self._running[0][2]

    def completed(self) -> None:
        """Ends that trial: its time has come."""
        self._now = heapq.heappop(self._running)[0]


def _length(spec: TrialSpec) -> float:
    # As planned: a training that fails or stops early has its place in the order all the same. A strategy that says
    # nothing about epochs leaves all its trials equally long.
    epochs = 1.0 if spec.epochs is None else spec.epochs - spec.initial_epoch
    return epochs if spec.cost is None else epochs * spec.cost

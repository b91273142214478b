"""The order in which results are told: that of a simulated machine, and so independent of the real one. Pure.

The simulated machine has as many slots as the search's window. A trial takes a slot when it is asked for and occupies
it for as many units of time as it has epochs to train, times the strategy's estimate of the cost of one of its epochs.
Results are told in the order in which trials end on this machine. So a strategy receives a short training's result
before that of a long one that was asked for earlier, as on a real machine, but the order depends only on its own
proposals and on the window. The better the estimates, the less the real machine waits for the simulated one. If all
trainings are equally long, proposal *i* is asked for when proposal *i − window* has been told.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from tuning.core.records import TrialSpec


class LogicalOrder:
    """Trials that were asked for and have not ended yet, in the order of their simulated ends.

    Args:
        window: number of slots.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._now = 0.0
        self._asked = 0
        self._running: list[tuple[float, int, TrialSpec]] = []

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[TrialSpec]:
        """Yields the trials in the order in which they will be told if no more are asked for."""
        return (spec for _, _, spec in sorted(self._running))

    @property
    def full(self) -> bool:
        return len(self._running) >= self._window

    def ask(self, spec: TrialSpec) -> float:
        """Starts a trial and returns its simulated end; of trials that end together, the first asked is told first."""
        end = self._now + _length(spec)
        heapq.heappush(self._running, (end, self._asked, spec))
        self._asked += 1
        return end

    @staticmethod
    def priority(spec: TrialSpec, end: float) -> float:
        """The priority of a trial in the real queue; the smallest value runs first.

        If the strategy estimates costs, the trial that ends first runs first, because its result is needed first.
        Otherwise the configuration trained longest so far does, so that long trainings are not left for the end.
        """
        return -spec.initial_epoch if spec.cost is None else end

    def next(self) -> TrialSpec:
        """The trial whose result is told next; there must be one."""
        return self._running[0][2]

    def completed(self) -> None:
        """Ends the trial that `next` returns, and advances the simulated time to its end."""
        self._now = heapq.heappop(self._running)[0]


def _length(spec: TrialSpec) -> float:
    # The planned length, so that failing or stopping early does not change the order. Without epochs from the strategy,
    # all trials are equally long.
    epochs = 1.0 if spec.epochs is None else spec.epochs - spec.initial_epoch
    return epochs if spec.cost is None else epochs * spec.cost

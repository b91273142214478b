"""What a search space costs on this machine. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuning.core.plan import CostLimit, KnownCost, Price

#: Most epochs of any training.
MOST_EPOCHS = 100


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A configuration, the multiply-adds of one image through its model, and the seconds that an epoch of it takes."""

    values: dict[str, Any]
    cost: float
    epoch: float


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What a space costs on this machine.

    Attributes:
        default: the default configuration.
        samples: uniform draws, in any order.
        good: the starting points of the space.
        start: seconds from the start of a trial to its first step.
        timed: how many of the samples were timed.
        most_epochs: most epochs of any training, unless the user says otherwise.
        top_k: most finalists.
    """

    default: Sample
    samples: tuple[Sample, ...]
    good: tuple[Sample, ...] = ()
    start: float
    timed: int
    most_epochs: int = MOST_EPOCHS
    top_k: int = 3

    def by_cost(self) -> list[Sample]:
        """Returns the samples, the cheapest first; the default if there are none."""
        return sorted(self.samples, key=lambda sample: sample.cost) or [self.default]

    def price(self, kept: Sequence[Sample]) -> Price:
        """Returns the price of a plan that can afford these samples."""
        epochs = sorted(sample.epoch for sample in kept)
        quartiles = statistics.quantiles(epochs, n=4, method="inclusive") if len(epochs) > 1 else [epochs[0]] * 3
        return Price(
            epoch=statistics.fmean(epochs),
            low=quartiles[0],
            high=quartiles[2],
            start=self.start,
            default=self.default.epoch,
            timed=self.timed,
        )

    def limit(self, kept: Sequence[Sample]) -> CostLimit | None:
        """Returns the limit that admits only these samples, the cheapest first; None if they are all samples."""
        if len(kept) >= len(self.samples):
            return None
        most = max(kept[-1].cost, self.default.cost)
        known = (self.default, *self.good, *self.samples)
        return CostLimit(
            most=most,
            relative=round(most / max(self.default.cost, 1.0), 2),
            excluded=round(1 - len(kept) / len(self.samples), 2),
            known=[KnownCost(values=sample.values, cost=sample.cost) for sample in known],
        )

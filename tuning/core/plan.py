"""Records of how a search spends its time, stored in its settings and its journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

#: When finalists are chosen, the distance of a fully trained starting point's score from 1 is reduced by this share,
#: because starting points are made for long trainings. On FER2013 one was 0.003 behind a sampled configuration after 10
#: epochs, and 0.051 ahead of it after 34.
KNOWN_LEAD = 0.06


@dataclass(frozen=True, kw_only=True)
class Price:
    """Training times on this machine in seconds, with each trial on one worker and all workers busy.

    Attributes:
        epoch: one epoch with its validation, averaged over the sampled configurations that the plan can afford.
        low, high: quartiles of the same.
        start: from a trial's start to its first step: building and tracing.
        default: one epoch of the default configuration.
        timed: number of sampled configurations that were timed; the times of the others follow from their
            multiply-adds.
    """

    epoch: float
    low: float
    high: float
    start: float
    default: float
    timed: int


@dataclass(frozen=True, kw_only=True)
class KnownCost:
    """A configuration and the multiply-adds of one image's forward pass through its model."""

    values: dict[str, Any]
    cost: float


@dataclass(frozen=True, kw_only=True)
class CostLimit:
    """The cost above which configurations are excluded: one full training would take too much of the budget.

    Attributes:
        most: maximum multiply-adds of one image's forward pass.
        relative: the same, as a multiple of the default configuration's.
        excluded: estimated share of the space that costs more.
        known: configurations of known cost, from which the cost of any other is predicted.
    """

    most: float
    relative: float
    excluded: float
    known: list[KnownCost]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a budget is spent.

    Attributes:
        budget: seconds from the start of the command to its end, excluding pauses between resumes.
        seats: number of parallel trials assumed.
        price: the training times that the plan is based on.
        max_epochs: epochs of a full training of the search.
        first_rung: epochs of the shortest trainings that are compared.
        trainings: number of full trainings whose epochs should fit.
        search: seconds after which the finals begin at the latest, start-up included.
        finals: minimum seconds reserved for the finals, unless all their seeds take less.
        final_epochs: maximum epochs of a final training.
        window: number of trials that may be asked for before their results are told.
        limit: the cost above which configurations are not proposed; None: no limit.
        untried: starting points of the space that the budget cannot pay for beside the default configuration.
        good: the first two of the others, which are trained in full; `KNOWN_LEAD` favours them when finalists are
            chosen. Empty if final trainings are no longer than those of the search.
        final_runs: maximum number of final trainings that the user asked for; None: as many as the time allows.
    """

    budget: float
    seats: int
    price: Price
    max_epochs: int
    first_rung: int
    trainings: float
    search: float
    finals: float
    final_epochs: int
    window: int
    limit: CostLimit | None
    untried: list[dict[str, Any]]
    good: list[dict[str, Any]]
    final_runs: int | None = None


class FinalTraining(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One final training: the candidate's `key`, the index of its seed (from 0), and the number of epochs."""

    key: str
    seed: int
    epochs: int


class NewLength(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A new length of a final training: shorter because the machine has become slower, or longer because it is faster.

    Attributes:
        after: epochs finished at the time of the decision; from there the learning rate decays from its current value
            to its final one.
        until: the new last epoch; 0: the training is left out.
        since: number of the journal entry with the decision, which does not apply to earlier attempts; 0 in the entry
            itself.
    """

    run_id: str
    after: int
    until: int
    since: int = 0

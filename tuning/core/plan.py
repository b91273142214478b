"""Records of how a search's time is spent, stored in its settings and its journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

#: What a starting point of the space that was trained whole lacks to a score of 1 counts so much less, where finalists
#: are chosen: it is made for long trainings. On FER2013 one was 0.003 behind a sampled configuration after 10 epochs,
#: and 0.051 ahead of it after 34.
KNOWN_LEAD = 0.06


@dataclass(frozen=True, kw_only=True)
class Price:
    """What configurations cost on this machine, one worker each and all workers busy, in seconds.

    Attributes:
        epoch: training and validation of an epoch, the mean over sampled configurations that the plan can pay for.
        low, high: quartiles of the same.
        start: from a trial's begin to its first step: building and tracing.
        default: an epoch of the default configuration.
        timed: how many sampled configurations were timed; others' seconds follow from their multiply-adds.
    """

    epoch: float
    low: float
    high: float
    start: float
    default: float
    timed: int


@dataclass(frozen=True, kw_only=True)
class KnownCost:
    """A configuration and the multiply-adds of one image's way forward through its model."""

    values: dict[str, Any]
    cost: float


@dataclass(frozen=True, kw_only=True)
class CostLimit:
    """Which configurations a budget cannot pay for: a full training of one takes too large a part of it.

    Attributes:
        most: multiply-adds of one image's way forward, at the most.
        relative: the same, as a multiple of the default configuration's.
        excluded: share of the space, about, that costs more.
        known: from these, the cost of any other configuration is predicted.
    """

    most: float
    relative: float
    excluded: float
    known: list[KnownCost]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a budget is spent.

    Attributes:
        budget: seconds, from the start of the command to its end, pauses between resumes apart.
        seats: trials at a time that were counted on.
        price: what it was made from.
        max_epochs: epochs of a full training of the search.
        first_rung: epochs of the shortest trainings that are compared.
        trainings: full trainings' worth of epochs that should fit.
        search: seconds until the finals begin at the latest, start-up included.
        finals: seconds kept for the finals at the least, unless all their seeds take less.
        final_epochs: epochs of a final training at the most.
        window: trials that may be asked for before their results are told.
        limit: what is too expensive to be proposed; None: nothing is.
        untried: starting points of the space that the time cannot pay for beside the default configuration.
        good: the others, which go before those that lead them by little where finalists are chosen, as final trainings
            are longer; empty where these are not.
        final_runs: final trainings that a person asked for, at the most; None: what the time allows.
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
    """One final training: a candidate's `key`, which of its seeds (from 0), and epochs."""

    key: str
    seed: int
    epochs: int


class ShortenedFinal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A new length of a final training: shorter because the machine has become slower, or nearer to the plan again.

    Attributes:
        after: epochs trained when it was decided; from there the learning rate falls from its present value to its end.
        until: the last epoch; 0: the training is left out.
        since: number of the journal entry that decided it, 0 in the entry itself. Attempts older than that entry
            trained with another learning rate.
    """

    run_id: str
    after: int
    until: int
    since: int = 0

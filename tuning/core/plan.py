"""How a search's time is spent: records that stand in its settings and its journal."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, kw_only=True)
class Price:
    """What configurations cost on this machine, one worker each and all workers busy, in seconds.

    Attributes:
        epoch: training and validation of an epoch, the mean over sampled configurations.
        low, high: quartiles of the same.
        start: from a trial's begin to its first step: building and tracing.
        default: an epoch of the default configuration.
    """

    epoch: float
    low: float
    high: float
    start: float
    default: float


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
        finals: seconds kept for the finals at the least.
        window: trials that may be asked for before their results are told.
    """

    budget: float
    seats: int
    price: Price
    max_epochs: int
    first_rung: int
    trainings: float
    finals: float
    window: int


class FinalTraining(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One final training: a candidate's `key`, which of its seeds (from 0), and epochs."""

    key: str
    seed: int
    epochs: int

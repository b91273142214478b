"""The frozen records that packages pass to each other. They are plain data: `msgspec.to_builtins` and `msgspec.convert`
turn each into JSON and back unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from tuning.core.files import canonical_json

#: Hyperparameter values by name, of the types that Keras Tuner stores: bool, int, float, str or None.
Values = dict[str, Any]
#: One entry of a learning curve: `epoch` (a fraction until the first epoch is finished) and metrics by name.
CurveEntry = dict[str, Any]

#: Hyperparameter names with this prefix are Keras Tuner's own bookkeeping, not part of a configuration.
RESERVED_PREFIX = "tuner/"

COMPLETED: Final = "COMPLETED"
FAILED: Final = "FAILED"
#: Kinds of failure that are due to the configuration, however many trials in a row fail with them.
OWN = ("not-finite", "too-large", "unfit")


def configuration(values: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters of `values` that a model builder sees: all but Keras Tuner's `tuner/…` bookkeeping."""
    return {name: value for name, value in values.items() if not name.startswith(RESERVED_PREFIX)}


def entry_key(entry: Mapping[str, Any]) -> str:
    """The key that identifies a Keras Tuner hyperparameter, given by its config: its name and conditions."""
    return canonical_json([entry["config"]["name"], entry["config"].get("conditions") or []])


def keyed_seed(seed: int, *key: object) -> int:
    """A seed in [0, 2**31) that depends on `seed` and `key` alone: never on a counter, a clock or a worker."""
    text = "\x1f".join([str(int(seed)), *map(str, key)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 2**31


class TrialSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One trial as proposed by the oracle.

    Attributes:
        trial_id: the oracle's id, e.g. "0007".
        values: every active hyperparameter value, Keras Tuner's `tuner/…` entries included.
        epochs: total number of epochs at which training ends; None if the strategy leaves it to the search.
        initial_epoch: epochs that `continues` has already trained (0: from scratch).
        continues: the trial whose last state (weights, optimizer, curve) this trial continues from.
        root: the first trial of the configuration; its seed is used by all of them, so that a promoted trial continues
            exactly.
        cost: the strategy's estimate of an epoch's cost, in units of the first trial that reported one; None: unknown.
    """

    trial_id: str
    values: Values
    epochs: int | None = None
    initial_epoch: int = 0
    continues: str | None = None
    root: str = ""
    cost: float | None = None


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a trial ended without a score.

    Attributes:
        kind: "exception", "crash" (the process ended), "memory", "timeout", "not-finite", "lost" (its worker or node),
            "stopped" (by the search itself, which ended or no longer needs the trial), "too-large" (not begun, because
            the memory that it needs at least exceeds the limit) or "unfit" (its builder raised Keras Tuner's
            `FailedTrialError`).
        message: one line for the user, with the probable cause.
        epoch: the epoch (from 1) in which it happened, if known.
        traceback: Python's traceback, or the end of the worker's log, if there is one.
    """

    kind: str
    message: str
    epoch: int | None = None
    traceback: str | None = None


class TrialOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result of a trial.

    Attributes:
        trial_id: as in the `TrialSpec`.
        status: COMPLETED or FAILED.
        score: best value of the objective over the curve; None if FAILED.
        curve: one dict per epoch from epoch 1, those of the continued trials included: `epoch`, `loss`, `val_loss`,
            `val_f1_macro`, …; None for a metric that was not finite. Wall-clock times are kept apart, in `seconds`,
            because no result may depend on them.
        failure: the reason if FAILED.
        space: configs of previously unknown hyperparameters that the builder declared while building.
        seconds: wall-clock seconds of each epoch of the curve, for forecasts and for planning a budget.
        cost: multiply-adds of one image's forward pass; None if they were not counted.
        memory: minimum bytes that its training takes; None if they were not computed.
    """

    trial_id: str
    status: Literal["COMPLETED", "FAILED"]
    score: float | None = None
    curve: tuple[CurveEntry, ...] = ()
    failure: Failure | None = None
    space: tuple[dict[str, Any], ...] = ()
    seconds: tuple[float, ...] = ()
    cost: float | None = None
    memory: int | None = None


def epochs_of(curve: Sequence[Mapping[str, Any]]) -> int | float:
    """Epochs that a curve covers: a whole number, or a fraction if the first epoch is not finished."""
    return curve[-1]["epoch"] if curve else 0


class Signal:
    """An answer of a strategy's `ask` that is not a trial."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


#: There is nothing to run until an outstanding trial has ended.
WAIT = Signal("WAIT")
#: The strategy is finished.
DONE = Signal("DONE")

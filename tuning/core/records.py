"""The frozen records that rooms pass to each other. Plain data: `msgspec.to_builtins` and `msgspec.convert` turn every
record into JSON and back unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from tuning.core.files import canonical_json

#: Values of hyperparameters by name: what Keras Tuner stores, that is bool, int, float, str or None.
Values = dict[str, Any]
#: One entry of a learning curve: `epoch` (a fraction before the first one is finished) and metrics by name.
CurveEntry = dict[str, Any]

#: Hyperparameter names with this prefix are Keras Tuner's own bookkeeping, not part of a configuration.
RESERVED_PREFIX = "tuner/"

COMPLETED: Final = "COMPLETED"
FAILED: Final = "FAILED"
#: Kinds of failure that a configuration has of itself, however many in a row have it.
OWN = ("not-finite", "too-large", "unfit")


def configuration(values: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters of `values` that a model builder sees: all but Keras Tuner's `tuner/…` bookkeeping."""
    return {name: value for name, value in values.items() if not name.startswith(RESERVED_PREFIX)}


def entry_key(entry: Mapping[str, Any]) -> str:
    """What tells one of Keras Tuner's hyperparameters, given by its config, from all others: name and conditions."""
    return canonical_json([entry["config"]["name"], entry["config"].get("conditions") or []])


def keyed_seed(seed: int, *key: object) -> int:
    """A seed in [0, 2**31) that depends on `seed` and `key` alone: never on a counter, a clock or a worker."""
    text = "\x1f".join([str(int(seed)), *map(str, key)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 2**31


class TrialSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One trial as the oracle wants it run.

    Attributes:
        trial_id: the oracle's name for it, e.g. "0007".
        values: every active hyperparameter value, Keras Tuner's `tuner/…` entries included.
        epochs: train until this many epochs are done in total; None where the strategy leaves it to the search.
        initial_epoch: epochs that `continues` has already trained (0: from scratch).
        continues: the trial whose last state (weights, optimizer, curve) this one goes on from.
        root: the first trial of that configuration; its seed is the seed of all, so that a promoted trial goes on
            exactly.
        cost: of an epoch, as the strategy expects it, in units of the first one that ended; None: no idea.
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
        kind: "exception", "crash" (killed by a signal), "memory", "timeout", "not-finite", "lost", "stopped" (by the
            search itself, which ended or needs it no more), "too-large" (not even begun: the memory that it takes at
            the least is more than there may be) or "unfit" (its builder says so, with Keras Tuner's
            `FailedTrialError`).
        message: one line for a person, with the probable cause.
        epoch: the epoch (from 1) it happened in, where known.
        traceback: Python's traceback, or the end of the worker's log, where there is one.
    """

    kind: str
    message: str
    epoch: int | None = None
    traceback: str | None = None


class TrialOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of a trial.

    Attributes:
        trial_id: as in the `TrialSpec`.
        status: COMPLETED or FAILED.
        score: best value of the objective over the curve; None when FAILED.
        curve: one dict per epoch from epoch 1, those of the continued trials included: `epoch`, `loss`, `val_loss`,
            `val_f1_macro`, …; None for a metric that was not finite. Wall-clock figures stand apart, in `seconds`,
            because nothing may depend on them.
        failure: the reason, when FAILED.
        space: configs of hyperparameters that the builder declared while building and that were unknown before.
        seconds: wall-clock seconds of each epoch of the curve: for forecasts, and for what a budget can hold.
        cost: multiply-adds that an image takes forward; None where nobody counted.
        memory: bytes that its training takes at the least; None where nobody counted.
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
    """Epochs that a curve covers: a whole number, or a fraction where the first epoch has not been finished."""
    return curve[-1]["epoch"] if curve else 0


class Signal:
    """An answer of `ask` that is not a trial."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


#: Nothing to run until an outstanding trial has ended.
WAIT = Signal("WAIT")
#: The strategy is finished.
DONE = Signal("DONE")

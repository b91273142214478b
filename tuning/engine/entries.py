"""The entries of a journal: one frozen record a kind, told apart by the field `type`. Decoding one validates it.

Whoever journals something new adds its record here, and to `Entry`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tuning.core.plan import FinalTraining, ShortenedFinal
from tuning.core.records import Failure, TrialSpec

#: Number of an entry that is not in a journal yet.
UNNUMBERED = -1


class _Numbered(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """What all entries have: `n`, their number in the journal, which `Journal.append` gives them."""

    n: int = UNNUMBERED


class Ask(_Numbered, frozen=True, tag="ask"):
    """The strategy proposed `trial`; in logical order.

    Attributes:
        completed: how many trials had ended, in logical order, when it did.
    """

    trial: TrialSpec
    completed: int


class Attempt(_Numbered, frozen=True, tag="attempt"):
    """Job `key` is about to run, from `epoch` on. The entry's number is the attempt's fencing number."""

    key: str
    epoch: int = 0


class AttemptDied(_Numbered, frozen=True, tag="died", omit_defaults=True):
    """Attempt `fence` of job `key` ended without a result: its process was killed, crashed, or was given up.

    Attributes:
        node: where it ran, as of `Node`; None: on the machine of the search itself.
    """

    key: str
    fence: int
    failure: Failure
    node: str | None = None


class Result(_Numbered, frozen=True, tag="result", omit_defaults=True):
    """Attempt `fence` of job `key` ended.

    Attributes:
        result: what the job's kind of work returns, as JSON; or, under `error`, a `JobError`.
        node: as of `AttemptDied`.
    """

    key: str
    fence: int
    result: dict[str, Any]
    node: str | None = None


class Node(_Numbered, frozen=True, tag="node", omit_defaults=True):
    """Something happened to a machine that jobs may run on; the fields are those of `NodeChanged`."""

    node: str
    what: Literal["used", "returned", "lost", "left out"]
    computes: dict[str, str] = {}
    reason: str = ""


class Stopped(_Numbered, frozen=True, tag="stopped"):
    """The search ended before its strategy was done, because its time was over."""


class Closing(_Numbered, frozen=True, tag="closing"):
    """After the first `asks` proposals nothing new was begun, because the time left was that of a full training.

    Attributes:
        promotions: how many of those begun may still be trained to the end.
    """

    asks: int
    promotions: int


class Extended(_Numbered, frozen=True, tag="extended"):
    """After the first `asks` proposals a larger budget was given: the search goes on from where it ended.

    Attributes:
        budget: seconds in all.
        finals: seconds of it that are kept for the finals.
    """

    asks: int
    budget: float
    finals: float


class Spent(_Numbered, frozen=True, tag="spent"):
    """So many seconds of running time have passed since the last such entry, or since the command began."""

    seconds: float


class OpenedTestSplit(_Numbered, frozen=True, tag="test-opened"):
    """Run `run_id`, by job `key`, is about to be evaluated on the test split."""

    key: str
    run_id: str
    purpose: str


class UnopenedTestSplit(_Numbered, frozen=True, tag="test-unopened"):
    """Job `key` of run `run_id` failed before it opened the test split: its `OpenedTestSplit` does not count."""

    key: str
    run_id: str


class RetryFailed(_Numbered, frozen=True, tag="retry-failed"):
    """The results of these trials no longer count, nor what was asked after the first `asks` proposals."""

    trials: list[str]
    asks: int


class PlannedFinals(_Numbered, frozen=True, tag="planned-finals", omit_defaults=True):
    """With the time that was left, these final trainings were decided on; each entry adds to those before it.

    Attributes:
        until: seconds of running time at which they should be over, where that is later than the budget; None: it is
            not.
    """

    runs: list[FinalTraining]
    until: float | None = None


class ShortenedFinals(_Numbered, frozen=True, tag="shortened-finals"):
    """The time that is left is too short for final trainings as they were planned: these end earlier."""

    runs: list[ShortenedFinal]


class Published(_Numbered, frozen=True, tag="published"):
    """The files of run `run_id`, by job `key`, are in the workspace."""

    key: str
    run_id: str


class Withdrawn(_Numbered, frozen=True, tag="withdrawn"):
    """Nothing is to come of job `key` any more: run `run_id` was given up, or is no longer one of the search's."""

    key: str
    run_id: str


Entry = (
    Ask
    | Attempt
    | AttemptDied
    | Result
    | Node
    | Closing
    | Extended
    | Stopped
    | Spent
    | OpenedTestSplit
    | UnopenedTestSplit
    | RetryFailed
    | PlannedFinals
    | ShortenedFinals
    | Published
    | Withdrawn
)


def from_json(value: dict[str, Any]) -> Entry:
    """The entry that a line of a journal holds.

    Raises:
        msgspec.ValidationError: it is of no known kind, or a field is missing, unknown, or of another type.
    """
    return msgspec.convert(value, Entry)

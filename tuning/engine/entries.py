"""The entries of a journal: one frozen record for each kind, tagged by the field `type`. Decoding validates an entry.

A new kind of entry needs a record here, and a place in `Entry`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tuning.core.plan import FinalTraining, NewLength
from tuning.core.records import Failure, TrialSpec

#: Number of an entry that has not been journaled yet.
UNNUMBERED = -1


class _Numbered(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """Base of all entries: `n` is the entry's number in the journal, assigned by `Journal.append`."""

    n: int = UNNUMBERED


class Ask(_Numbered, frozen=True, tag="ask"):
    """The strategy proposed `trial`.

    Attributes:
        completed: number of trials that had ended, in logical order, by then.
    """

    trial: TrialSpec
    completed: int


class Attempt(_Numbered, frozen=True, tag="attempt"):
    """Job `key` is about to run, with `epoch` epochs done. The entry's number is the attempt's fencing number."""

    key: str
    epoch: int = 0


class AttemptDied(_Numbered, frozen=True, tag="died", omit_defaults=True):
    """Attempt `fence` of job `key` ended without a result: its process was killed, crashed, or was given up.

    Attributes:
        node: name of the node that it ran on; None: the machine of the search itself.
    """

    key: str
    fence: int
    failure: Failure
    node: str | None = None


class Result(_Numbered, frozen=True, tag="result", omit_defaults=True):
    """Attempt `fence` of job `key` ended.

    Attributes:
        result: the work function's result as JSON; or, under `error`, a `JobError`.
        node: as in `AttemptDied`.
    """

    key: str
    fence: int
    result: dict[str, Any]
    node: str | None = None


class Node(_Numbered, frozen=True, tag="node", omit_defaults=True):
    """The state of a node that jobs may run on has changed; the fields are those of `NodeChanged`."""

    node: str
    what: Literal["used", "returned", "lost", "left out"]
    computes: dict[str, str] = {}
    reason: str = ""


class Stopped(_Numbered, frozen=True, tag="stopped"):
    """The search ended before its strategy was done, because its share of the budget was spent."""


class Closing(_Numbered, frozen=True, tag="closing"):
    """After the first `asks` proposals no new configuration is begun: the rest of the time is for promising ones.

    Attributes:
        promotions: number of configurations already begun that may still be trained to the end.
    """

    asks: int
    promotions: int


class Extended(_Numbered, frozen=True, tag="extended"):
    """After the first `asks` proposals a larger budget was given: the search continues from where it ended.

    Attributes:
        budget: total seconds.
        finals: seconds of the budget that are reserved for the finals.
    """

    asks: int
    budget: float
    finals: float


class Spent(_Numbered, frozen=True, tag="spent"):
    """`seconds` of running time have passed since the last such entry, or since the command began."""

    seconds: float


class OpenedTestSplit(_Numbered, frozen=True, tag="test-opened"):
    """Run `run_id` of job `key` is about to be evaluated on the test split."""

    key: str
    run_id: str
    purpose: str


class UnopenedTestSplit(_Numbered, frozen=True, tag="test-unopened"):
    """Job `key` of run `run_id` failed before it opened the test split: its `OpenedTestSplit` does not count."""

    key: str
    run_id: str


class RetryFailed(_Numbered, frozen=True, tag="retry-failed"):
    """The results of `trials` no longer count, nor do the proposals after the first `asks`."""

    trials: list[str]
    asks: int


class PlannedFinals(_Numbered, frozen=True, tag="planned-finals", omit_defaults=True):
    """Final trainings planned for the remaining time; each entry adds to the previous ones.

    Attributes:
        until: running time in seconds at which they should be over, if that is later than the end of the budget.
    """

    runs: list[FinalTraining]
    until: float | None = None


class NewLengths(_Numbered, frozen=True, tag="shortened-finals"):
    """Final trainings that end earlier or later than planned, because of the remaining time."""

    runs: list[NewLength]


class Published(_Numbered, frozen=True, tag="published"):
    """The files of run `run_id` of job `key` are in the workspace."""

    key: str
    run_id: str


class Withdrawn(_Numbered, frozen=True, tag="withdrawn"):
    """Run `run_id` of job `key` was given up, or no longer belongs to the search; nothing of it will be published."""

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
    | NewLengths
    | Published
    | Withdrawn
)


def from_json(value: dict[str, Any]) -> Entry:
    """Decodes an entry.

    Raises:
        msgspec.ValidationError: its kind is unknown, or a field is missing, unknown, or of another type.
    """
    return msgspec.convert(value, Entry)

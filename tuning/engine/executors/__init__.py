"""Where jobs run. An executor only submits, reports and waits; what a job means, and what its end means, is not its
business. Each is one file and one row in `EXECUTORS`.
"""

from __future__ import annotations

import pkgutil
from typing import Any, Literal, Protocol

import msgspec

from tuning.core.errors import EXIT_INTERNAL
from tuning.core.records import Failure


class Job(msgspec.Struct, frozen=True):
    """One piece of work: plain data, so that it can go to another process or machine.

    Attributes:
        key: the job's name in the journal, e.g. "trial/0007".
        fence: the fencing number of this attempt.
        kind: what the work function should do.
        payload: its arguments, plain JSON.
    """

    key: str
    fence: int
    kind: str
    payload: dict[str, Any] = {}


def is_timed(job: Job) -> bool:
    """Whether the time limit of trials holds for a job: not for what is to be published, which is trained longer."""
    return job.kind not in ("final", "ensemble")


class JobError(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Why a job has no result.

    Attributes:
        kind: as of a `Failure`; "refused" for a `TuningError` of ours; "outdated" where data or code have changed since
            the search began; "environment" where the operating system refused something.
        message: one line for a person.
        traceback: as of a `Failure`.
        remedy, exit_code: of a `TuningError`.
        errno, filename: of an `OSError`.
    """

    kind: str
    message: str
    traceback: str | None = None
    remedy: str = ""
    exit_code: int = EXIT_INTERNAL
    errno: int | None = None
    filename: str | None = None

    def failure(self) -> Failure:
        """What it says of the configuration."""
        return Failure(self.kind, self.message, traceback=self.traceback)


class Progressed(msgspec.Struct, frozen=True, tag_field="type", tag="progressed"):
    """A job is alive and has something to show (an entry of its curve)."""

    key: str
    fence: int
    entry: dict[str, Any]


class Finished(msgspec.Struct, frozen=True, tag_field="type", tag="finished"):
    """A job returned `result`, or `error` says why not; its process holds so many bytes of `memory` afterwards.

    Attributes:
        node: where it ran; None: on this machine.
    """

    key: str
    fence: int
    result: dict[str, Any] | None
    error: JobError | None = None
    memory: int = 0
    node: str | None = None


class Died(msgspec.Struct, frozen=True, tag_field="type", tag="died"):
    """A job's process ended or was given up; on `node`, as of `Finished`."""

    key: str
    fence: int
    failure: Failure
    node: str | None = None


class NodeChanged(msgspec.Struct, frozen=True, tag_field="type", tag="node"):
    """Something happened to a machine that jobs may run on.

    Attributes:
        node: its name.
        what: it is "used" from now on, again after it was lost ("returned"), it is "lost", or it was "left out".
        computes: what it computes with, by names that a person knows.
        reason: why it was lost or left out.
    """

    node: str
    what: Literal["used", "returned", "lost", "left out"]
    computes: dict[str, str] = {}
    reason: str = ""


Event = Progressed | Finished | Died | NodeChanged


class Executor(Protocol):
    """What every executor offers."""

    def warm_up(self) -> None:
        """Has workers start now that would start with their first jobs, where that takes time; may do nothing."""

    def free(self) -> int:
        """How many more jobs it could start now."""

    def submit(self, job: Job) -> None:
        """Starts a job; only to be called while `free()` is positive."""

    def collect(self, timeout: float) -> list[Event]:
        """What happened since the last call; waits up to `timeout` seconds for something to happen."""

    def cancel(self) -> None:
        """Gives up all running jobs, without an event; others may be submitted afterwards."""

    def close(self) -> None:
        """Ends everything at once, running jobs included; may be called twice."""


#: name -> "module:class"; each takes (workers, work, environment, log_directory, trial_timeout), and some more
EXECUTORS = {
    "local": "tuning.engine.executors.local:LocalExecutor",
    "inline": "tuning.engine.executors.inline:InlineExecutor",
    "ray": "tuning.engine.executors.ray:RayExecutor",
}


def load_executor(name: str) -> Any:
    """The class of an executor, imported on demand."""
    return pkgutil.resolve_name(EXECUTORS[name])

"""Executors run jobs. They only submit, report and wait; they neither interpret a job nor its end.

Each is one file and one row in `EXECUTORS`.
"""

from __future__ import annotations

import pkgutil
from typing import Any, Literal, Protocol

import msgspec

from tuning.core.errors import EXIT_INTERNAL
from tuning.core.records import Failure


class Job(msgspec.Struct, frozen=True):
    """One attempt of a job: plain data, so that it can be sent to another process or machine.

    Attributes:
        key: the job's key in the journal, e.g. "trial/0007".
        fence: the fencing number of this attempt.
        kind: the kind of work, for the work function.
        payload: the work function's arguments, plain JSON.
    """

    key: str
    fence: int
    kind: str
    payload: dict[str, Any] = {}


def is_timed(job: Job) -> bool:
    """Whether the time limit of trials applies: not to finals and ensembles, which take longer."""
    return job.kind not in ("final", "ensemble")


class JobError(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Why a job has no result.

    Attributes:
        kind: as in `Failure`; or "refused" for a `TuningError`, "outdated" if data or code have changed since the
            search began, "environment" for an error of the operating system.
        message: one line for the user.
        traceback: as in `Failure`.
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
        """The same as the `Failure` of a trial."""
        return Failure(self.kind, self.message, traceback=self.traceback)


class Progressed(msgspec.Struct, frozen=True, tag_field="type", tag="progressed"):
    """A job has reported an entry of its learning curve."""

    key: str
    fence: int
    entry: dict[str, Any]


class Finished(msgspec.Struct, frozen=True, tag_field="type", tag="finished"):
    """A job returned `result`, or failed with `error`.

    Attributes:
        memory: bytes that its process holds afterwards; 0: unknown.
        node: name of the node that it ran on; None: this machine.
    """

    key: str
    fence: int
    result: dict[str, Any] | None
    error: JobError | None = None
    memory: int = 0
    node: str | None = None


class Died(msgspec.Struct, frozen=True, tag_field="type", tag="died"):
    """A job's process ended or was given up; `node` is as in `Finished`."""

    key: str
    fence: int
    failure: Failure
    node: str | None = None


class NodeChanged(msgspec.Struct, frozen=True, tag_field="type", tag="node"):
    """The state of a node that jobs may run on has changed.

    Attributes:
        node: its name.
        what: from now on it is "used", used again after it was lost ("returned"), "lost", or "left out".
        computes: the facts of `tuning.core.computing.computes`.
        reason: why it was lost or left out.
    """

    node: str
    what: Literal["used", "returned", "lost", "left out"]
    computes: dict[str, str] = {}
    reason: str = ""


Event = Progressed | Finished | Died | NodeChanged


class Executor(Protocol):
    """The interface of every executor."""

    def warm_up(self) -> None:
        """Starts workers now that would otherwise start with their first jobs; may do nothing."""

    def free(self) -> int:
        """The number of further jobs that could start now."""

    def submit(self, job: Job) -> None:
        """Starts a job; only to be called while `free()` is positive."""

    def collect(self, timeout: float) -> list[Event]:
        """The events since the last call; waits up to `timeout` seconds for one."""

    def cancel(self) -> None:
        """Gives up all running jobs without events; further jobs may be submitted afterwards."""

    def close(self) -> None:
        """Ends everything at once, running jobs included; may be called twice."""


#: Name -> "module:class". Each takes (workers, work, environment, log_directory, trial_timeout); some take more.
EXECUTORS = {
    "local": "tuning.engine.executors.local:LocalExecutor",
    "inline": "tuning.engine.executors.inline:InlineExecutor",
    "ray": "tuning.engine.executors.ray:RayExecutor",
}


def load_executor(name: str) -> Any:
    """The class of an executor, imported on demand."""
    return pkgutil.resolve_name(EXECUTORS[name])

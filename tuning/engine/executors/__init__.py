"""Where jobs run. An executor only submits, reports and waits; what a job means, and what its end means, is not its
business. Each is one file and one row in `EXECUTORS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Job:
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
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progressed:
    """A job is alive and has something to show (an entry of its curve)."""

    key: str
    fence: int
    entry: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """A job returned `result`, or raised: then `error` holds kind, message, remedy, traceback and exit_code."""

    key: str
    fence: int
    result: dict[str, Any] | None
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class Died:
    """A job's process ended or was given up: `failure` is a `records.Failure` as a dict."""

    key: str
    fence: int
    failure: dict[str, Any]


Event = Progressed | Finished | Died


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
    module, _, attribute = EXECUTORS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)

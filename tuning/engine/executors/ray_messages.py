"""The messages between `RayExecutor` and its driver process, as JSON lines."""

from __future__ import annotations

from typing import Any

import msgspec

from tuning.engine.executors import Died, Finished, Job, NodeChanged, Progressed
from tuning.engine.executors.seats import Request


class Check(msgspec.Struct, frozen=True):
    """The check of a node before a job may run on it.

    Attributes:
        module: a module with `inspect(request)`, called on the node, which returns its facts, including `computes` (see
            `NodeChanged`); and `refusal(facts, request)`, called in the driver, which returns a problem and a remedy,
            or None.
        request: the argument of both, plain JSON.
    """

    module: str
    request: dict[str, Any] = {}


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="setup"):
    """The first message to the driver; the fields are the arguments of `RayExecutor`."""

    address: str
    workers: int | None
    work: str
    environment: dict[str, str]
    log_directory: str
    trial_timeout: float | None
    request: Request
    wait: float | None
    check: Check | None


class Submit(msgspec.Struct, frozen=True, tag_field="type", tag="submit"):
    job: Job


class Cancel(msgspec.Struct, frozen=True, tag_field="type", tag="cancel"):
    """Gives up all jobs."""


Command = Setup | Submit | Cancel


class Asking(msgspec.Struct, frozen=True, tag_field="type", tag="asking"):
    """Ray has been imported, which takes long on a busy machine; the cluster is asked next."""


class Connected(msgspec.Struct, frozen=True, tag_field="type", tag="connected"):
    """The cluster's control service has answered."""


class Seats(msgspec.Struct, frozen=True, tag_field="type", tag="seats"):
    """From now on `count` jobs can run in parallel; the first message also says that the nodes have been checked."""

    count: int


class Said(msgspec.Struct, frozen=True, tag_field="type", tag="said"):
    """A line for the user."""

    text: str


class Refused(msgspec.Struct, frozen=True, tag_field="type", tag="refused"):
    """The driver gives up, with the reason."""

    problem: str
    remedy: str


Answer = Asking | Connected | Seats | Said | Refused | Progressed | Finished | Died | NodeChanged

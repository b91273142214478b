"""Runs jobs on a Ray cluster, through a driver process of its own: see `ray_driver`. Imports no Ray."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tuning.core.errors import Disconnected, EnvironmentProblem
from tuning.engine.executors import Died, Event, Finished, Job, NodeChanged, Progressed, ray_cluster
from tuning.engine.executors.pipes import answers, opened, send, started
from tuning.engine.executors.ray_driver import command
from tuning.engine.executors.ray_messages import (
    Answer,
    Asking,
    Cancel,
    Check,
    Connected,
    Refused,
    Said,
    Seats,
    Setup,
    Submit,
)
from tuning.engine.executors.seats import Request

#: How long the driver may take to leave.
ENDING_SECONDS = 5.0


class RayExecutor:
    """An `Executor` over the nodes of a Ray cluster.

    Args:
        workers: trials at a time at most; None: as many as the nodes have room for.
        work, environment, trial_timeout: as for `LocalExecutor`.
        log_directory: where workers' output goes, at the same path on every node.
        address: of a running cluster that this machine belongs to; None: that of the environment.
        request: what a trial asks for.
        wait: seconds without room for any trial after which it gives up; None: never.
        check: what a node must be; None: any will do.
        say: is told a line for a person now and then.

    Raises:
        EnvironmentProblem: Ray is missing or too old, there is no cluster to be had, or no node of it can be used.
        UsageError: an address of another kind.
    """

    def __init__(
        self,
        workers: int | None,
        work: str,
        environment: Mapping[str, str],
        log_directory: Path,
        trial_timeout: float | None = None,
        address: str | None = None,
        request: Request = Request(),  # noqa: B008 (frozen)
        wait: float | None = None,
        check: Check | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        ray_cluster.check_installed()
        self._say, self._address = say, ray_cluster.checked_address(address)
        logs = log_directory.absolute()
        logs.mkdir(parents=True, exist_ok=True)
        self._log = logs / "ray-driver.log"
        self._answers: queue.Queue[Answer | None] = queue.Queue()
        self._seats, self._running = 0, set[tuple[str, int]]()
        self._events: list[Event] = []
        self._process = started(command(), {}, self._log)
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            send(
                self._process.stdin,
                Setup(
                    address=self._address,
                    workers=workers,
                    work=work,
                    environment=dict(environment),
                    log_directory=str(logs),
                    trial_timeout=trial_timeout,
                    request=request,
                    wait=wait,
                    check=check,
                ),
            )
            self._await_seats()
        except BaseException:
            self.close()
            raise

    def warm_up(self) -> None:
        """Nothing: others may want the cluster's cores until there is work for them."""

    def free(self) -> int:
        return self._seats - len(self._running)

    def submit(self, job: Job) -> None:
        self._running.add((job.key, job.fence))
        send(self._process.stdin, Submit(job))

    def collect(self, timeout: float) -> list[Event]:
        deadline = time.monotonic() + timeout
        while True:
            try:
                wait = 0.0 if self._events else max(0.0, deadline - time.monotonic())
                self._received(self._answers.get(timeout=wait) if wait else self._answers.get_nowait())
                while True:
                    self._received(self._answers.get_nowait())
            except queue.Empty:
                pass
            except Disconnected:
                # First what has ended before; whoever asks again is told.
                if not self._events:
                    raise
            if self._events or time.monotonic() >= deadline:
                events, self._events = self._events, []
                return events

    def cancel(self) -> None:
        self._running.clear()
        send(self._process.stdin, Cancel())

    def close(self) -> None:
        # The end of its commands is the sign to leave; a driver that still waits for a cluster does not see it.
        with contextlib.suppress(OSError):
            opened(self._process.stdin).close()
        try:
            self._process.wait(ENDING_SECONDS if self._seats else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _await_seats(self) -> None:
        connected, deadline = False, time.monotonic() + ray_cluster.IMPORT_SECONDS
        while not self._seats:
            try:
                answer = self._answers.get(timeout=None if connected else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ray_cluster.no_answer(self._address) from None
            if isinstance(answer, Asking):
                deadline = time.monotonic() + ray_cluster.ANSWER_SECONDS
            connected = connected or isinstance(answer, Connected)
            self._received(answer)

    def _received(self, answer: Answer | None) -> None:
        """
        Raises:
            EnvironmentProblem: the driver has ended, by its own will or by Ray's.
        """
        match answer:
            case None:
                self._answers.put(None)  # for whoever asks again
                raise Disconnected(
                    f"Ray has ended the connection to the cluster at {self._address}: {self._last_words()}",
                    "see `ray status` on its head; what was finished is saved",
                )
            case Refused():
                raise EnvironmentProblem(answer.problem, answer.remedy)
            case Said():
                self._say(answer.text)
            case Seats():
                self._seats = answer.count
            case Finished() | Died():
                # What was cancelled is nobody's any more.
                if (answer.key, answer.fence) in self._running:
                    self._running.remove((answer.key, answer.fence))
                    self._events.append(answer)
            case Progressed() | NodeChanged():
                self._events.append(answer)

    def _listen(self) -> None:
        for answer in answers(self._process.stdout, Answer):
            self._answers.put(answer)
        self._answers.put(None)

    def _last_words(self) -> str:
        try:
            lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            lines = []
        return lines[-1].partition(". ")[0][-300:] if lines else f"exit code {self._process.poll()}"

"""Runs jobs on a Ray cluster through a separate driver process (see `ray_driver`). Does not import Ray."""

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

#: How long the driver may take to exit.
ENDING_SECONDS = 5.0


class RayExecutor:
    """An `Executor` over the nodes of a Ray cluster.

    Args:
        workers: maximum number of parallel trials; None: as many as the nodes have room for.
        work, environment, trial_timeout: as for `LocalExecutor`.
        log_directory: folder of the workers' logs, at the same path on every node.
        address: of a running cluster that this machine belongs to; None: from the environment.
        request: the resources that a trial requests.
        wait: seconds without room for any trial after which to give up; None: never.
        check: the check that a node must pass; None: any node is used.
        say: called with lines for the user.

    Raises:
        EnvironmentProblem: Ray is missing or too old, no cluster can be joined, or none of its nodes can be used.
        UsageError: the address is neither host:port nor auto.
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
        self._refusal: EnvironmentProblem | None = None
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
        """Does nothing: others may use the cluster's cores until there is work for them."""

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
            except EnvironmentProblem:
                # Return the earlier events first; the next call raises again.
                if not self._events:
                    raise
            if self._events or time.monotonic() >= deadline:
                events, self._events = self._events, []
                return events

    def cancel(self) -> None:
        self._running.clear()
        send(self._process.stdin, Cancel())

    def close(self) -> None:
        # The driver exits when its commands end, but does not notice while it still waits for a cluster.
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
        """Handles a message of the driver; None means that the driver has ended.

        Raises:
            EnvironmentProblem: the driver has given up.
            Disconnected: Ray has ended the driver.
        """
        match answer:
            case None:
                self._answers.put(None)  # for the next call
                raise self._refusal or Disconnected(
                    f"Ray has ended the connection to the cluster at {self._address}: {self._last_words()}",
                    "see `ray status` on its head; what was finished is saved",
                )
            case Refused():
                self._refusal = EnvironmentProblem(answer.problem, answer.remedy)
                raise self._refusal
            case Said():
                self._say(answer.text)
            case Seats():
                self._seats = answer.count
            case Finished() | Died():
                # Ignore jobs that were cancelled.
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

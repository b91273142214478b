"""Runs jobs one after the other in this process: without isolation or start-up, and easy to debug."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tuning.core import interruption
from tuning.engine.executors import Event, Finished, Job, Progressed
from tuning.engine.executors.running import attempt


class InlineExecutor:
    """An `Executor` that does the work inside `collect`.

    The process must have been started with the environment that the work needs, because libraries read it on import;
    all arguments but `work` are ignored.
    """

    def __init__(
        self,
        workers: int,
        work: str,
        environment: Mapping[str, str],
        log_directory: Path,
        trial_timeout: float | None = None,
    ) -> None:
        self._work = work
        self._waiting: list[Job] = []
        #: The work's current folder, which a builder may change to read files beside it; None: this process's.
        self._folder: str | None = None

    def warm_up(self) -> None:
        pass

    def free(self) -> int:
        return 1 - len(self._waiting)

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def collect(self, timeout: float) -> list[Event]:
        if not self._waiting:
            return []
        job = self._waiting.pop()
        events: list[Event] = []

        def report(entry: dict[str, Any]) -> None:
            interruption.check()
            events.append(Progressed(job.key, job.fence, entry))

        # As in a worker, what the work prints must not mix with the command's results on stdout.
        with contextlib.redirect_stdout(sys.stderr), self._in_its_folder():
            result, error = attempt(self._work, job.kind, job.payload, report)
        return [*events, Finished(job.key, job.fence, result, error)]

    @contextlib.contextmanager
    def _in_its_folder(self) -> Iterator[None]:
        """Gives the work a current folder of its own, as in a worker, because this process may use relative paths."""
        own = os.getcwd()
        if self._folder is not None:
            os.chdir(self._folder)
        try:
            yield
        finally:
            self._folder = os.getcwd()
            os.chdir(own)

    def cancel(self) -> None:
        self._waiting.clear()

    def close(self) -> None:
        self.cancel()

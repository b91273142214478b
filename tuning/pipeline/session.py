"""An open search (or single run): its folder, settings, journal, executor and dispatcher, closed together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuning.core import light_keras, machine
from tuning.core import settings as config
from tuning.core.errors import RESTORE, StateError, UsageError
from tuning.core.files import move, remove_directory
from tuning.core.workspace import Workspace
from tuning.engine.dispatch import MAX_DEATHS, Dispatcher, JobFailed, expect
from tuning.engine.entries import Ask
from tuning.engine.executors import load_executor
from tuning.engine.journal import Journal, held
from tuning.trials import runtime
from tuning.trials.checkpoint import epochs_done

WORK = "tuning.trials.jobs:run_job"
JOURNAL = "journal.jsonl"
#: Kinds of failure that are the end of a worker process rather than an exception in it.
DEATHS = ("crash", "memory", "timeout", "lost")


@dataclass(frozen=True)
class Resources:
    """Where trials run: what may differ from one resume to the next without changing any result.

    Attributes:
        executor: a name of `EXECUTORS`.
        workers: trials at a time; None: one per usable core (per GPU, where there are any).
        trial_timeout: seconds after which a trial is given up; None: never.
        max_deaths: deaths of its process after which a configuration counts as failed.
        ray_address: of a running Ray cluster, for the executor "ray"; None: RAY_ADDRESS, or "auto".

    Raises:
        UsageError: an address for another executor.
    """

    executor: str = "local"
    workers: int | None = None
    trial_timeout: float | None = None
    max_deaths: int = MAX_DEATHS
    ray_address: str | None = None

    def __post_init__(self) -> None:
        if self.ray_address is not None and self.executor != "ray":
            raise UsageError(
                f"--ray-address is {self.ray_address!r}, but --executor is {self.executor!r}",
                "add --executor ray, or leave --ray-address out",
            )

    def options(self) -> dict[str, Any]:
        """What the executor is told of this, beside the time limit."""
        if self.executor != "ray":
            return {"workers": self.count()}
        # The size of a cluster is known only once it is joined.
        return {"workers": self.workers, "address": self.ray_address}

    def count(self) -> int:
        """Workers in numbers."""
        return self.workers or len(machine.gpus()) or machine.usable_cores()


@dataclass(frozen=True)
class Session:
    """What the stages of a search share."""

    workspace: Workspace
    directory: Path
    settings: config.RunSettings
    dispatcher: Dispatcher
    workers: int
    #: Trials told whose checkpoints may still be there.
    told: set[str] = field(default_factory=set)

    def checkpoints(self, key: str) -> Path:
        """Folder of a job's checkpoints."""
        return _checkpoints(self.directory, key)

    def job(self, **more: Any) -> dict[str, Any]:
        """What every job is told, see `tuning.core.jobs.Job`."""
        settings = self.settings
        return {
            "root": str(self.workspace.root.resolve()),
            "space": settings.space,
            "space_digest": settings.space_digest,
            "data_digest": settings.data_digest,
            "threads": settings.threads,
            "dtype_policy": settings.dtype_policy,
            **more,
        }

    def payload(self, total_epochs: int, **more: Any) -> dict[str, Any]:
        """What every training is told, see `tuning.core.jobs.TrainingJob`."""
        settings = self.settings
        return self.job(
            early_stopping=settings.early_stopping, reduce_lr=settings.reduce_lr, total_epochs=total_epochs, **more
        )

    def prune_trials(self, told: str, needed: set[str]) -> None:
        """Deletes the checkpoints of told trials that no later trial may go on from.

        Args:
            told: the trial told last.
            needed: trials that a later one may go on from.
        """
        self.told.add(told)
        for trial_id in sorted(self.told - needed):
            remove_directory(self.checkpoints(f"trial/{trial_id}"))
            self.told.discard(trial_id)

    def warm_up(self) -> None:
        """Has all workers start while one still reads the space, where it has not been read before."""
        if self.dispatcher.result("describe") is None:
            self.dispatcher.executor.warm_up()

    def describe(self) -> dict[str, Any]:
        """The search space, as a worker found it by building a few configurations; journaled once.

        Raises:
            JobFailed: the default configuration cannot be built.
        """
        result = self._described("describe", discover=True)
        if "error" in result and result["error"]["kind"] in DEATHS:
            # A configuration that ends its process, say for want of memory, is met again as a failed trial.
            result = self._described("describe-default", discover=False)
        return expect(result, f"search space {self.settings.space!r}")

    def _described(self, key: str, discover: bool) -> dict[str, Any]:
        self.dispatcher.request(key, "describe", lambda fence: self.job(discover=discover))
        self.dispatcher.start()
        if light_keras.chosen():
            # Here, because a worker has its own imports to do meanwhile.
            light_keras.use()
            light_keras.use_keras_tuner()
        while (result := self.dispatcher.result(key)) is None:
            self.dispatcher.wait()
        return result


def _checkpoints(directory: Path, key: str) -> Path:
    return directory / "checkpoints" / key


@contextlib.contextmanager
def opened(
    workspace: Workspace,
    directory: Path,
    settings: config.RunSettings,
    resources: Resources,
) -> Iterator[Session]:
    """Opens (or begins) a search in `directory`, and ends its workers when the block does.

    Raises:
        StateError: it began with other settings, another process has it, or its journal is damaged.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with Journal(directory / JOURNAL) as journal:
        if not (directory / config.FILE_NAME).exists() and any(isinstance(record, Ask) for record in journal.records):
            raise StateError(f"{directory / config.FILE_NAME} is gone, but the search has begun", RESTORE)
        config.freeze(directory, settings)
        executor = load_executor(resources.executor)(
            work=WORK,
            environment=runtime.environment(settings.backend, settings.threads),
            log_directory=directory / "logs",
            trial_timeout=resources.trial_timeout,
            **resources.options(),
        )
        try:
            dispatcher = Dispatcher(
                journal, executor, resources.max_deaths, lambda key: epochs_done(_checkpoints(directory, key))
            )
            # Whole paths: a worker may run on another machine, in another folder.
            yield Session(workspace, directory.resolve(), settings, dispatcher, workers=executor.free())
        except (JobFailed, UsageError):
            if dispatcher.state.asks or dispatcher.state.test_openings:
                raise
            # It got as far as no trial and no test: whoever mends the cause, in space, data or command, begins anew.
            for path in (directory / JOURNAL, directory / config.FILE_NAME):
                # Windows keeps files that are open.
                with contextlib.suppress(PermissionError):
                    path.unlink(missing_ok=True)
            raise
        finally:
            executor.close()


def use_backend(backend: str, inline: bool = False) -> None:
    """Chooses this process's own Keras backend, before anything imports Keras; `Session.describe` imports it.

    A process that trains nothing itself takes Keras on NumPy, which spares it TensorFlow's three seconds.
    """
    # KERAS_BACKEND will name this process's own; a second search in it (a notebook) must find the workers' again.
    os.environ["TUNING_BACKEND"] = backend
    if inline:
        os.environ.update(runtime.environment(backend, 1))
    else:
        light_keras.choose()


def move_aside(directory: Path, runs: Iterable[Path]) -> Path | None:
    """Moves a folder, with `runs` in it, to the next free `<name>~<number>`; returns that, None where there is neither.

    The runs go first: interrupted in between, it is still there to be moved.

    Raises:
        StateError: another process is using it.
    """
    runs = list(runs)
    if not directory.exists() and not runs:
        return None
    directory.mkdir(exist_ok=True)
    with held(directory):
        for run in runs:
            (directory / "runs").mkdir(exist_ok=True)
            move(run, directory / "runs" / run.name)
    number = 1
    while (target := directory.with_name(f"{directory.name}~{number}")).exists():
        number += 1
    move(directory, target)
    return target

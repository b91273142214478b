"""An open search (or single run): its folder, settings, journal, executor and dispatcher, closed together."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tuning.core import packages
from tuning.core import settings as config
from tuning.core.acceptance import ACCEPTABLE
from tuning.core.errors import RESTORE, EnvironmentProblem, OtherSettings, StateError, UsageError
from tuning.core.files import move, remove_directory
from tuning.core.jobs import BaseModel, DescribeJob, Description, Job
from tuning.core.packages import install_line
from tuning.core.progress import SILENT, Progress
from tuning.core.quiet import without_greeting
from tuning.core.workspace import Workspace
from tuning.engine.dispatch import Dispatcher, JobFailed, expect
from tuning.engine.entries import Ask, OpenedTestSplit
from tuning.engine.executors import Executor, load_executor
from tuning.engine.journal import Journal, held
from tuning.history.source import JOURNAL
from tuning.pipeline import kept_code
from tuning.pipeline.nodes import NodeReporter, node_check
from tuning.pipeline.resources import Resources
from tuning.results import lineage
from tuning.tracking import Tracking
from tuning.trials import runtime
from tuning.trials.checkpoint import epochs_done

WORK = "tuning.trials.jobs:run_job"
#: Kinds of failure in which the worker process ended, rather than raised an exception.
DEATHS = ("crash", "memory", "timeout", "lost")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Session:
    """What the stages of a search share."""

    workspace: Workspace
    directory: Path
    settings: config.RunSettings
    dispatcher: Dispatcher
    workers: int
    #: Runs that could not be published in this session -> why.
    failures: dict[str, str] = field(default_factory=dict)
    #: The model that trainings start from.
    base: BaseModel | None = None
    #: The value of --dtype, which has to be obeyed; None: bfloat16, or float32 if the space does not train in that.
    dtype: str | None = None

    def begin(self, settings: config.RunSettings) -> Session:
        """Writes the complete settings, and returns the session with them."""
        config.freeze(self.directory, settings)
        kept_code.keep(self.directory, settings.space, settings.space_digest)
        return replace(self, settings=settings)

    def checkpoints(self, key: str) -> Path:
        """Returns the folder of a job's checkpoints."""
        return _checkpoints(self.directory, key)

    def common(self) -> dict[str, Any]:
        """Returns the fields of `tuning.core.jobs.Job`, which every job has."""
        settings = self.settings
        return {
            "root": str(self.workspace.root.resolve()),
            "space": settings.space,
            "space_digest": settings.space_digest,
            "data_digest": settings.data_digest,
            "threads": settings.threads,
            "dtype_policy": self.dtype_policy,
            "base": self.base,
        }

    @property
    def dtype_policy(self) -> str:
        """The dtype policy of trainings: that of the settings, unless the space turned out not to train in it."""
        for key in ("describe", "describe-default"):
            if found := (self.dispatcher.result(key) or {}).get("dtype_policy"):
                return str(found)
        return self.settings.dtype_policy

    def training(self) -> dict[str, Any]:
        """Returns the fields that all trainings of a search share: those of `common`, and more."""
        settings = self.settings
        return {**self.common(), "early_stopping": settings.early_stopping, "reduce_lr": settings.reduce_lr}

    def request(self, key: str, kind: str, job: Callable[[int], Job]) -> None:
        """Requests the result of a job, which `job` makes from an attempt's fencing number."""
        self.dispatcher.request(key, kind, lambda fence: msgspec.to_builtins(job(fence)))

    def wait_for(self, key: str) -> dict[str, Any]:
        """Waits for a job that was requested, and returns its result, errors included."""
        while (result := self.dispatcher.result(key)) is None:
            self.dispatcher.wait()
        return result

    def warm_up(self) -> None:
        """Starts all workers while one still reads the space, unless that has been read before."""
        if self.dispatcher.result("describe") is None:
            self.dispatcher.executor.warm_up()

    def describe(self) -> Description:
        """Returns the search space, as found by a worker that built a few configurations; journaled once.

        Raises:
            JobFailed: the default configuration cannot be built.
            UsageError: the space does not train in the value of --dtype.
        """
        result = self._described("describe", discover=True)
        if "error" in result and result["error"]["kind"] in DEATHS:
            # Some configuration ended its process, for example for lack of memory: as a trial, it will fail alone.
            result = self._described("describe-default", discover=False)
        found = decoded(expect(result, f"search space {self.settings.space!r}"), Description)
        if found.dtype_policy is not None and self.dtype is not None:
            raise UsageError(
                f"--dtype {self.dtype} cannot be obeyed: in it, search space {self.settings.space!r} does not train "
                f"({found.dtype_problem})",
                "give --dtype float32, or leave --dtype out for what works; or mend the builder",
            )
        if self.settings.reduce_lr is not None and not found.constant_rate:
            useless = (
                f"--reduce-lr {self.settings.reduce_lr} has no effect on the default configuration of "
                f"{self.settings.space!r}: its learning rate follows a schedule"
            )
            found = msgspec.structs.replace(found, warnings=[*found.warnings, useless])
        return found

    def _described(self, key: str, discover: bool) -> dict[str, Any]:
        self.request(key, "describe", lambda fence: DescribeJob(**self.common(), discover=discover))
        self.dispatcher.start()
        import_keras()
        return self.wait_for(key)


def decoded(result: dict[str, Any], kind: type[Result]) -> Result:
    """Converts a job's result to a record of type `kind`.

    Raises:
        StateError: the result is no such record.
    """
    try:
        return msgspec.convert(result, kind)
    except msgspec.ValidationError as error:
        raise StateError(f"the journal holds a {kind.__name__} that is none: {error}", RESTORE) from None


def import_keras() -> None:
    """Imports Keras Tuner, and Keras with the configured backend; called while workers start."""
    with without_greeting():
        importlib.import_module("keras_tuner")


def check_start(
    workspace: Workspace,
    directory: Path,
    settings: config.RunSettings,
    resources: Resources,
    tracking: Tracking,
    fresh: bool,
    accepted: frozenset[str] = frozenset(),
) -> None:
    """Refuses, before anything is written, what would be refused later on.

    Raises:
        StateError: the search began with other settings.
        EnvironmentProblem: a package that was asked for is not installed.
        UsageError: this process cannot train on the backend.
    """
    if not fresh and (directory / config.FILE_NAME).exists():
        try:
            config.check(directory, settings, accepted)
        except OtherSettings as error:
            raise StateError(*_with_what_changed(error, workspace, directory, settings)) from None
    if tracking.mlflow and not packages.importable("mlflow"):
        raise EnvironmentProblem(
            "--mlflow is given, but MLflow is not installed", f"run: {install_line('mlflow')}; or leave it out"
        )
    if resources.executor == "ray" and not packages.importable("ray"):
        raise EnvironmentProblem(
            "--executor ray is given, but Ray is not installed",
            f"run: {install_line('ray')}; or use --executor local, which needs no cluster",
        )
    if resources.executor == "inline" and WORK.startswith("tuning."):
        _check_own_backend(settings.backend)


def _with_what_changed(
    error: OtherSettings, workspace: Workspace, directory: Path, settings: config.RunSettings
) -> tuple[str, str]:
    """Returns (problem, remedy) of changed settings, with the line of code that changed, and how to resume anyway."""
    problem, remedy = error.problem, error.remedy
    if "space_digest" in error.fields:
        problem += kept_code.first_change(directory, settings.space)
    if "base" in error.fields:
        began = config.read_settings(directory)["base"]
        if began is not None and lineage.copy_of(workspace, began).is_file():
            remedy += f"; the base that it began with is kept: --base {began}"
    words = [word for word, name in ACCEPTABLE.items() if name in error.fields]
    if isinstance(settings, config.SearchSettings) and set(error.fields) <= set(ACCEPTABLE.values()):
        remedy += f"; or resume anyway with --accept {','.join(words)}: trials before and after will differ in that"
    return problem, remedy


def _check_own_backend(backend: str) -> None:
    """Refuses to train in a process whose Keras is on another backend, which cannot be changed once it is imported."""
    if "keras" not in sys.modules:
        return
    own = sys.modules["keras"].config.backend()
    if own != backend:
        raise UsageError(
            f"this process has imported Keras on the backend {own!r}, but KERAS_BACKEND is {backend!r} now",
            "use --executor local, whose workers take the new backend, or start a new process",
        )


@contextlib.contextmanager
def opened(
    workspace: Workspace,
    directory: Path,
    settings: config.RunSettings,
    resources: Resources,
    planned: bool = True,
    accepted: frozenset[str] = frozenset(),
    base: BaseModel | None = None,
    dtype: str | None = None,
    progress: Progress = SILENT,
) -> Iterator[Session]:
    """Opens (or begins) a search in `directory`, and ends its workers when the block does.

    A new search that is refused before its first trial leaves nothing behind: once its cause (in space, data or
    command) is mended, it begins anew.

    Args:
        planned: the settings are complete. If not, the caller completes them (see `Session.begin`).
        accepted: fields of the settings that may have changed.
        base: the model that trainings start from.
        dtype: the value of --dtype, if given.
        progress: reports what happens to the machines that jobs run on.

    Raises:
        StateError: it began with other settings, another process has it open, or its journal is damaged.
    """
    new = not directory.exists()
    try:
        with (
            _executor(workspace, directory, settings, resources, progress) as executor,
            _journal(directory) as journal,
        ):
            if planned:
                config.freeze(directory, settings, accepted)
                kept_code.keep(directory, settings.space, settings.space_digest)
            dispatcher = Dispatcher(
                journal, executor, resources.max_deaths, lambda key: epochs_done(_checkpoints(directory, key))
            )
            dispatcher.on_node = NodeReporter(dispatcher.state, progress).changed
            try:
                # Absolute paths: a worker may run on another machine, in another folder.
                own = None if dtype == "auto" else dtype
                root = directory.resolve()
                yield Session(workspace, root, settings, dispatcher, executor.free(), base=base, dtype=own)
            except BaseException as error:
                # Journal that running trainings were stopped, and did not die; on a full disk, that is not possible.
                with contextlib.suppress(Exception):
                    dispatcher.cancel()
                refused = isinstance(error, JobFailed | UsageError)
                if refused and not dispatcher.state.asks and not dispatcher.state.test_openings:
                    _unlink(directory / JOURNAL, directory / config.FILE_NAME)
                raise
    except (UsageError, EnvironmentProblem):
        # Unless another command has begun a search in it meanwhile.
        with contextlib.suppress(StateError, OSError):
            if new and not (directory / config.FILE_NAME).exists():
                with held(directory):
                    remove_directory(directory)
        raise


@contextlib.contextmanager
def scratch(workspace: Workspace, resources: Resources) -> Iterator[Path]:
    """Yields a temporary folder to try a search in; with Ray it is in the workspace, which the nodes see."""
    place = workspace.root.resolve() if resources.executor == "ray" else None
    with tempfile.TemporaryDirectory(dir=place, prefix=".tried-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _executor(
    workspace: Workspace,
    directory: Path,
    settings: config.RunSettings,
    resources: Resources,
    progress: Progress,
) -> Iterator[Executor]:
    environment = runtime.environment(settings.backend, settings.threads)
    if resources.executor == "inline":
        os.environ.update(environment)
    with contextlib.ExitStack() as stack:
        options = resources.options()
        if resources.executor == "ray":
            check = stack.enter_context(node_check(workspace, directory / "logs", settings, environment))
            options |= {"check": check, "say": progress.say}
        executor = load_executor(resources.executor)(
            work=WORK,
            environment=environment,
            log_directory=directory / "logs",
            trial_timeout=resources.trial_timeout,
            **options,
        )
        stack.callback(executor.close)
        yield executor


@contextlib.contextmanager
def _journal(directory: Path) -> Iterator[Journal]:
    directory.mkdir(parents=True, exist_ok=True)
    with Journal(directory / JOURNAL) as journal:
        if not (directory / config.FILE_NAME).exists():
            if any(isinstance(record, Ask) for record in journal.records):
                raise StateError(f"{directory / config.FILE_NAME} is gone, but the search has begun", RESTORE)
            if not any(isinstance(record, OpenedTestSplit) for record in journal.records):
                # Left by an interrupted planning: no settings say which space, base or dtype policy it was for.
                journal.forget()
        yield journal


def _checkpoints(directory: Path, key: str) -> Path:
    return directory / "checkpoints" / key


def _unlink(*paths: Path) -> None:
    for path in paths:
        # Windows does not delete open files.
        with contextlib.suppress(PermissionError):
            path.unlink(missing_ok=True)


def move_aside(directory: Path, runs: Iterable[Path]) -> Path | None:
    """Moves `runs` into a folder, and this to the next free `<name>~<number>`; returns that, None if neither exists.

    The runs are moved first: after an interruption in between, the folder is still there to be moved.

    Raises:
        StateError: another process is using it.
    """
    runs = list(runs)
    if not directory.exists() and not runs:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    with held(directory):
        for run in runs:
            keep_aside(directory, run)
    target = _unused(directory)
    move(directory, target)
    return target


def keep_aside(directory: Path, run: Path) -> None:
    """Moves a run's folder, if it still exists, into the folder of its search."""
    if run.exists():
        (directory / "runs").mkdir(exist_ok=True)
        move(run, _unused(directory / "runs" / run.name))


def _unused(path: Path) -> Path:
    """Returns `path` or, if that exists, the next free `<name>~<number>`."""
    number, found = 0, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}~{number}")
    return found

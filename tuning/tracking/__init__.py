"""Where a search appears beside its own files: TensorBoard and MLflow, one file each and one row in `TRACKERS`.

A tracker shows what the journal holds. It is given every trial and every published run, in logical order and at every
resume again, and skips what it has already; what is another one since, because it failed and was tried again, replaces
what it has. It has no influence on the search: one that fails is left out for the rest of it, with a warning, and
catches up at the next resume.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tuning.core import interruption
from tuning.core.errors import Interrupted, TuningError
from tuning.core.files import digest
from tuning.core.jobs import Values
from tuning.core.progress import Progress
from tuning.core.records import TrialOutcome, TrialSpec, configuration
from tuning.results.runs import read_columns, read_run
from tuning.results.schema import Columns, Metrics, Params, read_params


@dataclass(frozen=True)
class Tracking:
    """Which trackers follow a search or a run.

    Attributes:
        tensorboard: write event files.
        mlflow: where MLflow keeps its runs: a server's http(s) address, a database such as `sqlite:///mlflow.db`, or a
            folder; None: not at all.
    """

    tensorboard: bool = False
    mlflow: str | None = None


@dataclass(frozen=True)
class Subject:
    """What is followed.

    Attributes:
        name: of the search; of a single run, its run id.
        directory: its own folder.
        events: the folder of its TensorBoard event files.
        settings: what it is a function of.
        space: Keras Tuner configs of its hyperparameters.
        single: it is one run, not a search.
    """

    name: str
    directory: Path
    events: Path
    settings: Mapping[str, Any]
    space: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    single: bool = False


@dataclass(frozen=True)
class Published:
    """A finalist, baseline or single run as it lies in `artifacts/trials/<run_id>/`.

    Attributes:
        folder: the run's folder.
        metrics, history, params: its metrics.json, history.json and params.json.
    """

    folder: Path
    metrics: Metrics
    history: Columns
    params: Params

    @staticmethod
    def read(folder: Path) -> Published:
        """The run whose folder this is.

        Raises:
            DataError: one of its files is missing or broken.
        """
        history = read_columns(folder / "history.json", "")
        return Published(folder, read_run(folder), history, read_params(folder / "params.json", ""))

    @property
    def run_id(self) -> str:
        return self.metrics.run_id

    @property
    def values(self) -> Values:
        """Its hyperparameters."""
        return configuration(self.params.values)

    @property
    def seconds(self) -> list[float]:
        """Wall-clock seconds of each epoch."""
        return [value or 0.0 for value in self.history["seconds"]]

    @property
    def curve(self) -> list[dict[str, Any]]:
        """One dict an epoch, as in `TrialOutcome.curve`."""
        columns = {name: column for name, column in self.history.items() if name != "seconds"}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @property
    def results(self) -> dict[str, float]:
        """The figures that runs are compared by."""
        test = self.metrics.test
        return {
            "val_f1_macro": self.metrics.val.f1_macro,
            "epochs": self.metrics.epochs,
            "test_f1_macro": test.f1_macro,
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
        }


def version(*records: msgspec.Struct) -> str:
    """What tells these records of a trial or a run from those of the same one, tried again."""
    return digest(msgspec.to_builtins(records))[:12]


class Tracker(Protocol):
    """What each tracker does. Any exception leaves it out for the rest of the search."""

    def trial(self, spec: TrialSpec, outcome: TrialOutcome) -> None:
        """A trial is over."""

    def run(self, run: Published) -> None:
        """A run has been published."""

    def end(self, finished: bool) -> None:
        """Nothing more comes; `finished`: because all is done."""


#: name, as in the fields of `Tracking` -> "module:class"; each takes (subject, where)
TRACKERS = {
    "tensorboard": "tuning.tracking.tensorboard:TensorBoard",
    "mlflow": "tuning.tracking.mlflow:MLflow",
}


class Trackers:
    """The trackers of a search, behind a wall: their errors do not reach it."""

    def __init__(self, trackers: Mapping[str, Tracker], progress: Progress) -> None:
        self._trackers, self._progress = dict(trackers), progress

    def trial(self, spec: TrialSpec, outcome: TrialOutcome) -> None:
        self._each(lambda tracker: tracker.trial(spec, outcome))

    def runs(self, folders: Iterable[Path]) -> None:
        for folder in folders:
            self._each(functools.partial(_show, folder=folder))

    def end(self, finished: bool) -> None:
        self._each(lambda tracker: tracker.end(finished))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                call(tracker)
            except Interrupted:
                raise
            except Exception as error:
                # A signal may have come out of the library as an error of its own.
                interruption.check()
                del self._trackers[name]
                self._progress.warn(_gave_up(name, error))


@contextlib.contextmanager
def following(tracking: Tracking, subject: Subject, progress: Progress) -> Iterator[Trackers]:
    """Opens the trackers that are asked for, and closes them with the block."""
    opened: dict[str, Tracker] = {}
    for name, where in TRACKERS.items():
        wanted = getattr(tracking, name)
        if not wanted:
            continue
        module, _, attribute = where.partition(":")
        kind = getattr(importlib.import_module(module), attribute)
        try:
            opened[name] = kind(subject, wanted)
        except TuningError:
            # A signal, or something that waiting does not mend.
            raise
        except Exception as error:
            interruption.check()
            progress.warn(_gave_up(name, error))
    trackers = Trackers(opened, progress)
    try:
        yield trackers
    except BaseException:
        # Whatever ended the search is what the person should hear of.
        with contextlib.suppress(Exception):
            trackers.end(finished=False)
        raise
    trackers.end(finished=True)


def _show(tracker: Tracker, folder: Path) -> None:
    tracker.run(Published.read(folder))


def _gave_up(name: str, error: Exception) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{name} is left out from here on, the search continues: {textwrap.shorten(first, 160, placeholder=' …')}"

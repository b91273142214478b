"""Trackers show a search in TensorBoard and MLflow; each is one file and one row in `TRACKERS`.

A tracker shows the content of the journal. It receives every trial and every published run in logical order, again at
each resume, and skips those it has already. A trial or run that failed and was tried again replaces its old version. A
tracker does not influence the search: if it fails, it is left out with a warning, and catches up at the next resume.
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
    """The trackers of a search or a run.

    Attributes:
        tensorboard: whether to write event files.
        mlflow: where MLflow stores its runs: a server's http(s) address, a database such as `sqlite:///mlflow.db`, or a
            folder; None: do not use MLflow.
    """

    tensorboard: bool = False
    mlflow: str | None = None


@dataclass(frozen=True)
class Subject:
    """The tracked search or single run.

    Attributes:
        name: name of the search, or run id of a single run.
        directory: its own folder.
        events: the folder of its TensorBoard event files.
        settings: the settings that it depends on.
        space: Keras Tuner configs of its hyperparameters.
        single: whether it is a single run rather than a search.
    """

    name: str
    directory: Path
    events: Path
    settings: Mapping[str, Any]
    space: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    single: bool = False


@dataclass(frozen=True)
class Published:
    """A published run (finalist, baseline, ensemble or single run) in `artifacts/trials/<run_id>/`.

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
        """Reads the run in `folder`.

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
        """Its hyperparameter values."""
        return configuration(self.params.values)

    @property
    def seconds(self) -> list[float]:
        """Wall-clock seconds of each epoch."""
        return [value or 0.0 for value in self.history["seconds"]]

    @property
    def curve(self) -> list[dict[str, Any]]:
        """One dict per epoch, as in `TrialOutcome.curve`."""
        columns = {name: column for name, column in self.history.items() if name != "seconds"}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @property
    def results(self) -> dict[str, float]:
        """The metrics by which runs are compared."""
        test = self.metrics.test
        return {
            "val_f1_macro": self.metrics.val.f1_macro,
            "epochs": self.metrics.epochs,
            "test_f1_macro": test.f1_macro,
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
        }


def version(*records: msgspec.Struct) -> str:
    """A digest of a trial's or a run's records; it changes when the trial or run is tried again."""
    return digest(msgspec.to_builtins(records))[:12]


class Tracker(Protocol):
    """The interface of a tracker. If a method raises an exception, the tracker is left out until the next resume."""

    def trial(self, spec: TrialSpec, outcome: TrialOutcome) -> None:
        """Shows a trial that has ended."""

    def run(self, run: Published) -> None:
        """Shows a run that has been published."""

    def end(self, finished: bool) -> None:
        """Ends the tracking; `finished`: whether the search or run is complete."""


#: Field of `Tracking` -> "module:class"; each class takes (subject, value of the field).
TRACKERS = {
    "tensorboard": "tuning.tracking.tensorboard:TensorBoard",
    "mlflow": "tuning.tracking.mlflow:MLflow",
}


class Trackers:
    """The trackers of a search, whose errors do not reach it."""

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
                # A library may have turned a signal's `Interrupted` into an error of its own.
                interruption.check()
                del self._trackers[name]
                self._progress.warn(_gave_up(name, error))


@contextlib.contextmanager
def following(tracking: Tracking, subject: Subject, progress: Progress) -> Iterator[Trackers]:
    """Opens the requested trackers, and ends them with the block."""
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
            # A signal, or a problem that a later resume would have as well.
            raise
        except Exception as error:
            interruption.check()
            progress.warn(_gave_up(name, error))
    trackers = Trackers(opened, progress)
    try:
        yield trackers
    except BaseException:
        # An error of a tracker must not hide the exception that ended the search.
        with contextlib.suppress(Exception):
            trackers.end(finished=False)
        raise
    trackers.end(finished=True)


def _show(tracker: Tracker, folder: Path) -> None:
    tracker.run(Published.read(folder))


def _gave_up(name: str, error: Exception) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{name} is left out from here on, the search continues: {textwrap.shorten(first, 160, placeholder=' …')}"

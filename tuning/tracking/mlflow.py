"""A search in MLflow: a parent run, with a child run for each trial and each published run, the latter with its files.

Tags map MLflow runs to trials, so that a resume on any machine finds them. A run that has ended is left alone; one that
was interrupted, or whose trial failed and was tried again, is deleted and created anew.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tuning.core import files
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec, configuration, epochs_of
from tuning.tracking import Published, Subject, version
from tuning.tracking.times import timed_points

EXPERIMENT = "face-tuning"
#: Tags by which a resume finds its runs: the search's unique id, the key of the trial or run, and its version.
SEARCH_TAG, KEY_TAG, VERSION_TAG = "face_tuning.search", "face_tuning.key", "face_tuning.version"
#: File in a search's folder with its unique id; a search that is started over gets another one.
NUMBER_FILE = "mlflow.json"
#: Makes MLflow's pages open with runs and metrics rather than with conversations.
MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
#: MLflow's limits.
METRICS_AT_ONCE, PARAMS_AT_ONCE, PAGE, LONGEST_VALUE = 1000, 100, 1000, 5000
#: Few retries and a short timeout: MLflow would retry for minutes while the search waits. A resume catches up.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

_OVER = ("FINISHED", "FAILED")
_NOT_IN_NAMES = re.compile(r"[^\w\-. /]")


class MLflow:
    """The `Tracker` of a search or a run in MLflow.

    Args:
        subject: the search or run.
        where: a server's address, a database's address, or a folder.
    """

    def __init__(self, subject: Subject, where: str) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        # Alembic logs every table that it creates in a new database.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        uri, artifacts = address(where)
        self._subject = subject
        self._client = MlflowClient(tracking_uri=uri)
        self._experiment = self._find_experiment(artifacts)
        self._search_id = _search_id(subject.directory)
        self._existing = {run.data.tags[KEY_TAG]: run for run in self._runs()}
        self._parent = None if subject.single else self._open_parent()
        self._results: list[dict[str, float]] = []
        self._best: float | None = None
        self._counts = {"trials": 0, "failed": 0}

    def trial(self, spec: TrialSpec, outcome: TrialOutcome) -> None:
        completed = outcome.status == COMPLETED
        self._counts["trials"] += 1
        self._counts["failed"] += not completed
        if outcome.score is not None:
            self._best = outcome.score if self._best is None else max(self._best, outcome.score)
        key, wanted = f"trial/{spec.trial_id}", version(spec, outcome)
        run_id = self._new_run(key, wanted, f"trial {spec.trial_id}", outcome.seconds)
        if run_id is None:
            return
        results: dict[str, float] = {}
        if outcome.score is not None:
            results = {"best_val_f1_macro": outcome.score, "epochs": epochs_of(outcome.curve)}
        self._log(run_id, configuration(spec.values), outcome.curve, outcome.seconds, results)
        tags = {"trial": spec.trial_id, "stage": "search"}
        if spec.continues:
            tags["continues"] = spec.continues
        if failure := outcome.failure:
            tags |= {
                "failure.kind": failure.kind,
                "failure.message": failure.message[:LONGEST_VALUE],
                "mlflow.note.content": f"Failed ({failure.kind}): {failure.message[:LONGEST_VALUE]}",
            }
        self._log_tags(run_id, tags)
        self._client.set_terminated(run_id, "FINISHED" if completed else "FAILED")

    def run(self, run: Published) -> None:
        self._results.append(run.results)
        run_id = self._new_run(f"final/{run.run_id}", version(run.metrics), run.run_id, run.seconds)
        if run_id is None:
            return
        results = {**run.results, "best_val_f1_macro": run.results["val_f1_macro"]}
        del results["val_f1_macro"]
        self._log(run_id, run.values, run.curve, run.seconds, results)
        names = ("kind", "trial", "rank", "seed", "best_epoch", "parameters", "model_sha256", "data_digest")
        tags = {name: str(value) for name in names if (value := getattr(run.metrics, name)) is not None}
        self._log_tags(run_id, {**tags, "stage": "final", "folder": str(run.folder.resolve())})
        self._client.log_artifacts(run_id, str(run.folder))
        self._client.set_terminated(run_id, "FINISHED")

    def end(self, finished: bool) -> None:
        if self._parent is None:
            return
        best = max(self._results, key=lambda results: results["test_f1_macro"], default={})
        figures = {
            **self._counts,
            **({} if self._best is None else {"best_val_f1_macro": self._best}),
            **{name: value for name, value in best.items() if name.startswith("test_")},
        }
        logged = self._client.get_run(self._parent).data.metrics
        new = {name: value for name, value in figures.items() if logged.get(name) != value}
        self._log_metrics(self._parent, [(name, value, _now(), 0) for name, value in new.items()])
        self._client.set_terminated(self._parent, "FINISHED" if finished else "KILLED")

    def _find_experiment(self, artifacts: Path | None) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        # Without a location, MLflow stores files below this process's current folder.
        where = None if artifacts is None else artifacts.resolve().as_uri()
        return self._client.create_experiment(name, artifact_location=where, tags=MODEL_TRAINING)

    def _runs(self) -> Iterator[Any]:
        """The MLflow runs of this search."""
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], f"tags.`{SEARCH_TAG}` = '{self._search_id}'", max_results=PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _open_parent(self) -> str:
        if found := self._existing.get("search"):
            run_id = str(found.info.run_id)
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        run_id = self._create("search", self._subject.name, _now(), {})
        self._log_params(run_id, self._subject.settings)
        return run_id

    def _new_run(self, key: str, wanted: str, name: str, seconds: Sequence[float]) -> str | None:
        """Creates a run for `key` and returns its id; returns None if a run of this version exists and has ended.

        A run of another version, or one that has not ended, is deleted first.
        """
        found = self._existing.get(key)
        if found is not None and found.info.status in _OVER and found.data.tags.get(VERSION_TAG) == wanted:
            return None
        if found is not None:
            self._client.delete_run(found.info.run_id)
        tags = {VERSION_TAG: wanted, **({} if self._parent is None else {"mlflow.parentRunId": self._parent})}
        return self._create(key, name, _now() - int(1000 * sum(seconds)), tags)

    def _create(self, key: str, name: str, start: int, tags: Mapping[str, str]) -> str:
        tags = {SEARCH_TAG: self._search_id, KEY_TAG: key, "mlflow.source.name": "tuning", **tags}
        return self._client.create_run(self._experiment, start_time=start, tags=tags, run_name=name).info.run_id

    def _log(
        self,
        run_id: str,
        values: Mapping[str, Any],
        curve: Sequence[Mapping[str, Any]],
        seconds: Sequence[float],
        results: Mapping[str, float],
    ) -> None:
        self._log_params(run_id, values)
        drawn = timed_points(curve, seconds, time.time())
        points = [
            (name, value, int(1000 * at), epoch)
            for epoch, at, entry in drawn
            for name, value in entry.items()
            if name != "epoch"
        ]
        last = drawn[-1][0] if drawn else 0
        self._log_metrics(run_id, [*points, *((name, value, _now(), last) for name, value in results.items())])

    def _log_params(self, run_id: str, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(_name(name), str(value)[:LONGEST_VALUE]) for name, value in values.items()]
        for part in _parts(params, PARAMS_AT_ONCE):
            self._client.log_batch(run_id, params=part)

    def _log_metrics(self, run_id: str, points: Iterable[tuple[str, Any, int, int]]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(_name(name), float(value), at, step)
            for name, value, at, step in points
            if isinstance(value, int | float) and math.isfinite(value)
        ]
        for part in _parts(metrics, METRICS_AT_ONCE):
            self._client.log_batch(run_id, metrics=part)

    def _log_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def address(where: str) -> tuple[str, Path | None]:
    """MLflow's tracking address for `where`, and the folder for files (None: the server decides).

    In a folder these are a database `mlflow.db` and a folder `artifacts`.
    """
    scheme, separator, rest = where.partition("://")
    if not separator or scheme == "file":
        folder = Path(unquote(rest) if separator else where).expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts"
    if scheme == "sqlite":
        database = Path(rest.removeprefix("/")).resolve()
        database.parent.mkdir(parents=True, exist_ok=True)
        return where, database.parent / "artifacts"
    return where, None


def _search_id(directory: Path) -> str:
    path = directory / NUMBER_FILE
    if path.exists():
        return files.read_json(path, f"remove {path}: the search appears in MLflow anew then")["number"]
    number = uuid.uuid4().hex
    files.write_json(path, {"number": number})
    return number


def _parts(things: list, size: int) -> Iterator[list]:
    return (things[start : start + size] for start in range(0, len(things), size))


def _name(name: str) -> str:
    """`name` with the characters that MLflow does not accept replaced."""
    return _NOT_IN_NAMES.sub("_", name)


def _now() -> int:
    """Milliseconds since 1970, MLflow's unit of time."""
    return int(1000 * time.time())

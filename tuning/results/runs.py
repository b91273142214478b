"""Finished runs: ten files in `artifacts/trials/<run_id>/`, published atomically and validated when read back."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.results.schema import (
    About,
    Columns,
    Evaluation,
    Metrics,
    Params,
    Validation,
    decoded,
    read_metrics,
    read_params,
)

if TYPE_CHECKING:
    import numpy as np

RUN_FILES = (
    "accuracy.png",
    "loss.png",
    "confusion_matrix_raw.png",
    "confusion_matrix_norm.png",
    "classification_report.txt",
    "history.json",
    "metrics.json",
    "model_summary.txt",
    "model.keras",
    "params.json",
)
#: Arrays of the test split in predictions.npz. Images of the same unit are not independent of each other.
TESTED = ("labels", "probabilities", "units")
STAGED_FILES = ("model.keras", "model_summary.txt", "predictions.npz")
HISTORY_COLUMNS = (
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "val_f1_macro",
    "learning_rate",
    "seconds",
)
REBUILD = "python -m tuning.leaderboard --rebuild"
_READ_REMEDY = f"restore that run's folder or move it out of artifacts/trials, then run: {REBUILD}"
_STAGE_REMEDY = "restore that run's folder in artifacts/trials from a copy, or start the search over with --fresh"


@dataclass(frozen=True)
class StagedRun:
    """A finished run in the worker's staging folder, before it is published.

    Attributes:
        directory: the staging folder with `model.keras`, `model_summary.txt` and `predictions.npz` (test split:
            `labels` and `units` int64 (n,), `probabilities` float32 (n, k); also `val_labels`, `val_probabilities`).
        about: the fields of metrics.json that only the worker and its search know. `run_id` names the folder in
            `artifacts/trials/` and is deterministic.
        history: Keras-style columns with one value per epoch: `HISTORY_COLUMNS` and any further metrics.
        params: the configuration and the training settings.
    """

    directory: Path
    about: About
    history: Columns
    params: Params

    @property
    def run_id(self) -> str:
        return self.about.run_id


def publish_run(workspace: Workspace, staged: StagedRun) -> Metrics:
    """Writes the files of a run, replacing an earlier publication of the same run, and returns its metrics.

    All files are written to a temporary folder first, so a crash leaves either the old folder or the new one. The
    staging folder is not removed.

    Raises:
        DataError: a staged file is missing or does not hold what it should.
        ValueError: `run_id` is no folder name, `history` lacks a column, or a figure is out of range.
    """
    # Imported here because plotting and sklearn take a second to import and are not needed to read runs.
    from tuning.results import plots
    from tuning.trials.classification import classification_metrics

    _check_staged(staged)
    history = {name: [_finite(value) for value in column] for name, column in _ordered(staged.history).items()}
    predictions = staged.directory / "predictions.npz"
    labels, probabilities, units = _arrays(predictions, *TESTED)
    found = classification_metrics(labels, probabilities, staged.about.classes, units, staged.about.additions)
    test = msgspec.convert(found, Evaluation)
    target, kept = workspace.run(staged.run_id), workspace.predictions(staged.run_id)
    # Copied before the run is published, so that no published run lacks its predictions. Copying again is harmless:
    # the same run always has the same predictions.
    kept.parent.mkdir(parents=True, exist_ok=True)
    _copy(predictions, kept)
    with files.replacing_directory(target) as folder:
        _copy(staged.directory / "model.keras", folder / "model.keras")
        _copy(staged.directory / "model_summary.txt", folder / "model_summary.txt")
        metrics = _metrics(staged, len(history["epoch"]), test, files.sha256_file(folder / "model.keras"))
        files.write_json(folder / "metrics.json", msgspec.to_builtins(metrics))
        files.write_json(folder / "history.json", history)
        files.write_json(folder / "params.json", staged.params.to_json())
        report = _report(labels, probabilities, staged.about.classes)
        files.write_text(folder / "classification_report.txt", report)
        for name, figure in plots.run_figures(metrics, history).items():
            plots.save(figure, folder / name)
    return metrics


def read_run(path: Path) -> Metrics:
    """Returns the validated metrics of the run in the folder `path`.

    Raises:
        DataError: metrics.json is missing, broken, of another schema version, or its run_id is not the folder's name.
    """
    file = path / "metrics.json"
    metrics = read_metrics(file, _READ_REMEDY)
    if metrics.run_id != path.name:
        raise DataError(f"{file}: run_id is {metrics.run_id!r}, but the folder is {path.name!r}", _READ_REMEDY)
    return metrics


def read_columns(path: Path, remedy: str) -> Columns:
    """Returns the columns of a history.json.

    Raises:
        DataError: the file is missing, is not JSON, or its columns are missing, empty or of different lengths.
    """
    content = files.read_json(path, remedy)
    # `int` in the type keeps epoch numbers integers.
    columns = decoded(content, dict[str, list[int | float | None]], path, remedy)
    if wrong := _column_faults(columns):
        raise DataError(f"{path}: {'; '.join(wrong)}", remedy)
    return columns


def _column_faults(history: Columns) -> list[str]:
    wrong = [f"history lacks {name}" for name in HISTORY_COLUMNS if name not in history]
    if len(lengths := {len(column) for column in history.values()}) != 1 or lengths == {0}:
        wrong.append("history columns are empty or differ in length")
    return wrong


def run_folders(workspace: Workspace) -> list[Path]:
    """Returns the folders of all published runs, sorted by name; hidden ones and those without a metrics.json do not
    count."""
    if not workspace.trials.is_dir():
        return []
    return sorted(
        folder
        for folder in workspace.trials.iterdir()
        if not folder.name.startswith(".") and (folder / "metrics.json").is_file()
    )


def runs_of(workspace: Workspace, search: str) -> list[Path]:
    """Returns the folders of the runs that a search published, sorted by name.

    A run whose metrics cannot be read belongs to the search with the longest name that its folder's name begins with.
    """
    searches = {search, *(path.name for path in workspace.searches.glob("*/"))}

    def owner(folder: Path) -> str | None:
        try:
            return read_run(folder).search
        except DataError:
            return max((name for name in searches if folder.name.startswith(f"{name}-")), key=len)

    folders = [folder for folder in run_folders(workspace) if folder.name.startswith(f"{search}-")]
    return [folder for folder in folders if owner(folder) == search]


def read_runs(workspace: Workspace, but: Sequence[Path] = ()) -> list[Metrics]:
    """Returns the metrics of all published runs, sorted by run_id.

    Args:
        but: folders of runs to skip, because they are about to be moved aside.

    Raises:
        DataError: a run's metrics.json is invalid; the message names the file.
    """
    return [read_run(folder) for folder in run_folders(workspace) if folder not in but]


def readable_run(path: Path) -> Metrics | None:
    """Like `read_run`, but returns None instead of raising DataError."""
    try:
        return read_run(path)
    except DataError:
        return None


def readable_runs(workspace: Workspace) -> list[Metrics]:
    """Returns the metrics of all published runs that can be read, sorted by run_id."""
    return [metrics for folder in run_folders(workspace) if (metrics := readable_run(folder)) is not None]


def ranked(runs: Iterable[Metrics]) -> list[Metrics]:
    """Sorts runs by test macro-F1, highest first; ties by run_id."""
    return sorted(runs, key=lambda metrics: (-metrics.test.f1_macro, metrics.run_id))


def best_run(runs: Iterable[Metrics]) -> Metrics | None:
    """Returns the first run of `ranked`; None if there are no runs."""
    return next(iter(ranked(runs)), None)


def run_params(workspace: Workspace, run_id: str) -> Params | None:
    """Returns the content of the run's params.json; None if it is missing or broken."""
    try:
        return read_params(workspace.run(run_id) / "params.json", "")
    except (DataError, OSError):
        return None


def run_predictions(workspace: Workspace, run_id: str, split: str = "test") -> tuple[np.ndarray, np.ndarray] | None:
    """Returns labels, int64 (n,), and a run's predicted probabilities, float32 (n, k), for the split "test" or "val".

    Images are in the order of the split, which is the same for all runs on the same data. None if the predictions were
    not kept or cannot be read.
    """
    prefix = {"test": "", "val": "val_"}[split]
    found = kept_arrays(workspace, run_id, f"{prefix}labels", f"{prefix}probabilities")
    return None if found is None else (found[0], found[1])


def kept_arrays(workspace: Workspace, run_id: str, *names: str) -> list[np.ndarray] | None:
    """Returns the named arrays of a run's predictions file; None if one was not kept or cannot be read."""
    try:
        return _arrays(workspace.predictions(run_id), *names)
    except (OSError, DataError):
        return None


def verify_model(model: Path, metrics: Metrics, remedy: str) -> None:
    """Checks that a model file is the one that `metrics` describes.

    Raises:
        DataError: the file is missing, or its sha256 differs from `metrics.model_sha256`.
    """
    if not model.is_file():
        raise DataError(f"{model} does not exist", remedy)
    found = files.sha256_file(model)
    if found != metrics.model_sha256:
        raise DataError(
            f"{model} is not the model that its metrics describe: its sha256 is {found[:12]}…, "
            f"expected {metrics.model_sha256[:12]}…",
            remedy,
        )


def _check_staged(staged: StagedRun) -> None:
    if Path(staged.run_id).name != staged.run_id or staged.run_id.startswith("."):
        raise ValueError(f"{staged.run_id!r} cannot be the name of a run's folder")
    wrong = _column_faults(staged.history)
    if not wrong and staged.about.best_epoch > len(staged.history["epoch"]):
        wrong.append(f"best_epoch is {staged.about.best_epoch}, beyond the history")
    if wrong:
        raise ValueError(f"run {staged.run_id}: {'; '.join(wrong)}")
    for name in STAGED_FILES:
        if not (staged.directory / name).is_file():
            raise DataError(f"{staged.directory / name} does not exist", _STAGE_REMEDY)


def _arrays(path: Path, *names: str) -> list[np.ndarray]:
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} does not hold predictions: {error}", _STAGE_REMEDY) from None


def _metrics(staged: StagedRun, epochs: int, test: Evaluation, model_sha256: str) -> Metrics:
    """Builds the metrics; raises ValueError if a figure is out of range."""
    about = msgspec.structs.replace(staged.about, val=_rounded(staged.about.val))
    metrics = Metrics(**msgspec.structs.asdict(about), epochs=epochs, test=test, model_sha256=model_sha256)
    try:
        # msgspec validates on decoding, not on construction.
        return msgspec.convert(msgspec.to_builtins(metrics), Metrics)
    except msgspec.ValidationError as error:
        raise ValueError(f"run {staged.run_id}: {error}") from None


def _rounded(val: Validation) -> Validation:
    from tuning.trials.metrics import rounded

    def figure(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else rounded(value)

    return Validation(f1_macro=rounded(val.f1_macro), accuracy=figure(val.accuracy), loss=figure(val.loss))


def _ordered(history: Columns) -> Columns:
    further = sorted(set(history) - set(HISTORY_COLUMNS))
    return {name: list(history[name]) for name in (*HISTORY_COLUMNS, *further)}


def _finite(value: Any) -> Any:
    """Converts a NumPy scalar to a Python number; NaN and infinity, which JSON lacks, become None."""
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


def _report(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> str:
    from sklearn.metrics import classification_report

    text = classification_report(
        labels,
        probabilities.argmax(axis=1),
        labels=range(len(classes)),
        target_names=classes,
        digits=4,
        zero_division=0,
    )
    return text.rstrip() + "\n"


def _copy(source: Path, target: Path) -> None:
    with files.replacing(target) as temporary:
        shutil.copyfile(source, temporary)

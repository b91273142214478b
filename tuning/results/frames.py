"""Searches and data sets as pandas frames, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tuning.core.records import COMPLETED, FAILED
from tuning.core.workspace import Workspace
from tuning.dataset.store.description import SPLITS
from tuning.dataset.summary import read_summary
from tuning.history import searches
from tuning.history.records import Trial, last_epoch

if TYPE_CHECKING:
    import pandas

RUNNING, GIVEN_UP = "RUNNING", "GIVEN UP"


def trials_frame(workspace: Workspace, search: str) -> pandas.DataFrame:
    """The trials of a search, one row each, in the order they were proposed.

    Columns: `trial` (the index), `status` ("COMPLETED", "FAILED", "RUNNING", or "GIVEN UP" when a budget ended the
    search), `val_f1_macro` (best of its curve), `epochs` (in total; a fraction before the end of the first),
    `new_epochs` (by this trial itself), `continues` (the trial it continued), `bracket` (of Hyperband), `seconds`,
    `failure` (why it failed), then one column per hyperparameter, prefixed with `hp.`; cells without a value are
    missing. A row can be passed to `train_one` as its `values`.

    Raises:
        UsageError, DataError, StateError: as `history.searches.read`.
    """
    import pandas

    found = searches.read(workspace, search).history
    names = [parameter.name for parameter in found.parameters]
    names += sorted({name for trial in found.trials for name in trial.values} - set(names))
    rows = [_row(trial, names, GIVEN_UP if found.stopped else RUNNING) for trial in found.trials]
    columns = ["trial", *_COLUMNS, *(f"hp.{name}" for name in names)]
    frame = pandas.DataFrame(rows, columns=columns).set_index("trial")
    return frame.astype({**_COLUMNS, **_types_of_values(found.trials, names)})


def _types_of_values(trials: Sequence[Trial], names: list[str]) -> dict[str, str]:
    """Returns column -> nullable pandas type for integers and booleans, which missing cells would turn into floats or
    objects."""
    types = {}
    for name in names:
        kinds = {type(value) for trial in trials if (value := trial.values.get(name)) is not None}
        if kinds in ({int}, {bool}):
            types[f"hp.{name}"] = "Int64" if kinds == {int} else "boolean"
    return types


def curves_frame(workspace: Workspace, search: str) -> pandas.DataFrame:
    """The learning curves of a search: one row per epoch of a trial, including those of the trials it continued.

    Columns: `trial`, `epoch` (from 1; a fraction in a first epoch that is trained in parts), `val_f1_macro`,
    `val_loss`; missing if a value was not finite.

    Raises:
        UsageError, DataError, StateError: as `history.searches.read`.
    """
    import pandas

    rows = [
        (trial.trial_id, point.epoch, point.score, point.loss)
        for trial in searches.read(workspace, search).history.trials
        for point in trial.curve
    ]
    frame = pandas.DataFrame(rows, columns=["trial", "epoch", "val_f1_macro", "val_loss"])
    return frame.astype({"epoch": "float64", "val_f1_macro": "float64", "val_loss": "float64"})


def dataset_frame(workspace: Workspace) -> pandas.DataFrame:
    """The number of images of each class in each split: one row per class, columns `train`, `val`, `test`, `all`.

    Raises:
        DataError: nothing is prepared, or the summary file is damaged.
    """
    import pandas

    counts = read_summary(workspace.pool_summary).counts
    frame = pandas.DataFrame.from_dict(counts, orient="index", columns=list(SPLITS))
    return frame.assign(all=frame.sum(axis=1)).rename_axis("class")


#: Column -> pandas type, for all columns of a trial except its hyperparameters.
_COLUMNS = {
    "status": "string",
    "val_f1_macro": "float64",
    "epochs": "float64",
    "new_epochs": "float64",
    "continues": "string",
    "bracket": "Int64",
    "seconds": "float64",
    "failure": "string",
}


def _row(trial: Trial, names: list[str], pending: str) -> dict[str, Any]:
    """Returns a row of the frame; `pending` is the status of a trial without a result."""
    status = FAILED if trial.failure else COMPLETED if trial.done is not None else pending
    return {
        "trial": trial.trial_id,
        "status": status,
        "val_f1_macro": trial.score,
        "epochs": last_epoch(trial.curve),
        "new_epochs": trial.new_epochs,
        "continues": trial.continues,
        "bracket": trial.bracket,
        "seconds": trial.seconds,
        "failure": trial.failure.message if trial.failure else None,
        **{f"hp.{name}": trial.values.get(name) for name in names},
    }

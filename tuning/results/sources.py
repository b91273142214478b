"""Which model is meant: the promoted one, a run's, or the best of a search. Each comes with metrics that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tuning.core.errors import DataError, UsageError
from tuning.core.workspace import Workspace
from tuning.history import searches
from tuning.results.promotion import promoted
from tuning.results.runs import read_runs, verify_model
from tuning.results.schema import Metrics

RESTORE = "restore that run's folder, or export another run"
_LISTED_NAMES = 20


@dataclass(frozen=True)
class Source:
    """What is exported: a model file whose digest `metrics` carries.

    Attributes:
        name: of the export's default folder: the run's, the search's, or "best_model".
        model: the `.keras` file.
        metrics: the run's.
    """

    name: str
    model: Path
    metrics: Metrics


def promoted_source(workspace: Workspace) -> Source:
    """The promoted model.

    Raises:
        DataError: nothing is promoted, or the pair of files does not belong together.
    """
    return Source("best_model", workspace.best_model, promoted(workspace))


def run_source(workspace: Workspace, run_id: str) -> Source:
    """The model of one run.

    Raises:
        UsageError: there is no such run; it lists those there are.
        DataError: the model is not the one its metrics describe.
    """
    runs = {metrics.run_id: metrics for metrics in read_runs(workspace)}
    if run_id not in runs:
        raise UsageError(f"there is no run {run_id!r}", _valid("runs", list(runs)))
    return _checked(workspace, run_id, runs[run_id])


def search_source(workspace: Workspace, search: str) -> Source:
    """The model of a search's best trial: its published finalist with the highest validation macro-F1.

    Raises:
        UsageError: no such search has a finalist; it lists those that have.
        DataError: the model is not the one its metrics describe.
    """
    # A baseline that the search itself ranked among its best is published once, as the baseline with its rank.
    finalists = [metrics for metrics in read_runs(workspace) if metrics.kind == "finalist" or metrics.rank is not None]
    of_search = [metrics for metrics in finalists if metrics.search == search]
    if not of_search:
        names = sorted({metrics.search for metrics in finalists if metrics.search})
        if search in searches.names(workspace):
            raise DataError(
                f"search {search!r} has no finished finalist yet",
                f"give the command again that began it; {_valid('searches with finalists', names)}"
                if names
                else "give the command again that began it",
            )
        raise UsageError(f"there is no search {search!r}", _valid("searches", names))
    return _checked(workspace, search, best_finalist(of_search))


def best_finalist(finalists: Sequence[Metrics]) -> Metrics:
    """The metrics with the highest val.f1_macro, the first run_id among equals. Validation decides; the test split
    chooses nothing."""
    return min(finalists, key=lambda metrics: (-metrics.val.f1_macro, metrics.run_id))


def _checked(workspace: Workspace, name: str, metrics: Metrics) -> Source:
    source = Source(name, workspace.run(metrics.run_id) / "model.keras", metrics)
    verify_model(source.model, source.metrics, RESTORE)
    return source


def _valid(what: str, names: Sequence[str]) -> str:
    if not names:
        return "there are none: train something first, python -m tuning.search"
    further = f" and {len(names) - _LISTED_NAMES} more" if len(names) > _LISTED_NAMES else ""
    return f"{what}: {', '.join(names[:_LISTED_NAMES])}{further}"

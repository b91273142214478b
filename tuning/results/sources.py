"""Finds the model to export (the promoted one, that of a run, or the best of a search) and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tuning.core.errors import DataError, UsageError, listed
from tuning.core.workspace import Workspace
from tuning.history import searches
from tuning.results.aliases import aliases, meant
from tuning.results.leaderboard import empty
from tuning.results.promotion import comparable, current_digest, origin_of, promoted
from tuning.results.runs import best_run, read_run, read_runs, run_folders, verify_model
from tuning.results.schema import FITTING, Metrics

RESTORE = "restore that run's folder, or export another run"
_LISTED_NAMES = 20


@dataclass(frozen=True)
class Source:
    """A model to export; `metrics` holds the digest of the model file.

    Attributes:
        name: name of the export's default folder: that of the run or the search, or "best_model".
        model: the `.keras` file.
        metrics: metrics of the run that trained the model.
    """

    name: str
    model: Path
    metrics: Metrics


def promoted_source(workspace: Workspace) -> Source:
    """Returns the promoted model.

    Raises:
        DataError: nothing is promoted, or model and metrics do not belong together.
    """
    return Source("best_model", workspace.best_model, promoted(workspace))


def run_source(workspace: Workspace, run_id: str) -> Source:
    """Returns the model of the run with this id or short name.

    Raises:
        UsageError: there is no such run (the message lists the existing ones), or the name stands for several.
        DataError: the model is not the one that its metrics describe.
    """
    run_id = find_run(workspace, run_id)
    return _checked(workspace, run_id, read_run(workspace.run(run_id)))


def find_run(workspace: Workspace, name: str) -> str:
    """Returns the id of the run with this id or short name.

    Raises:
        UsageError: there is no such run, or the name stands for several; the message lists the possible names.
    """
    known = [folder.name for folder in run_folders(workspace)]
    found = meant(name, known)
    if len(found) == 1:
        return found[0]
    names = aliases(known)
    if found:
        raise UsageError(f"{name} stands for {len(found)} runs", f"use one of {', '.join(names[run] for run in found)}")
    raise UsageError(f"there is no run {name!r}", _valid("runs", [f"{run} ({names[run]})" for run in known]))


def search_of(workspace: Workspace, name: str) -> str:
    """Returns the search with this name, or the search of the run with this name; any other name unchanged.

    Raises:
        UsageError: the run belongs to no search, or the name stands for several runs.
    """
    if name in searches.names(workspace) or not meant(name, [folder.name for folder in run_folders(workspace)]):
        return name
    run_id = find_run(workspace, name)
    search = read_run(workspace.run(run_id)).search
    if search is None:
        raise UsageError(f"run {run_id} was made by no search, and only searches have a report", "name a search")
    return search


def fitting_source(workspace: Workspace, max_parameters: int | None, max_ms: float | None) -> Source:
    """Returns the best run on the current data that is within the limits on size and speed.

    The run is chosen by its test score, so its metrics state how many runs it was chosen from and the score corrected
    for selection.

    Args:
        max_parameters: None for no limit.
        max_ms: milliseconds per image, as measured on the machine that evaluated the run; None for no limit.

    Raises:
        DataError: there is no run, or none is within the limits; the message then names the closest value.
    """
    runs = read_runs(workspace)
    if not runs:
        raise empty(workspace)
    found, others = comparable(runs, current_digest(workspace, runs))
    small = [one for one in found if max_parameters is None or one.parameters <= max_parameters]
    fitting = [one for one in small if max_ms is None or one.milliseconds <= max_ms]
    best = best_run(fitting)
    if best is None:
        raise DataError(
            f"none of the {len(found)} runs fits {_limits(max_parameters, max_ms)}",
            _nearest(found, max_parameters, small),
        )
    rule = f"{FITTING} {_limits(max_parameters, max_ms)}; ties by run_id"
    origin = origin_of(workspace, best, fitting, found, rule, len(others))
    return _checked(workspace, best.run_id, msgspec.structs.replace(best, promoted=origin))


def _limits(max_parameters: int | None, max_ms: float | None) -> str:
    limits = [] if max_parameters is None else [f"{max_parameters:,} parameters"]
    return " and ".join([*limits, *([] if max_ms is None else [f"{max_ms:g} ms an image"])])


def _nearest(found: Sequence[Metrics], max_parameters: int | None, small: Sequence[Metrics]) -> str:
    """Returns the remedy if no run is within the limits."""
    if max_parameters is not None and not small and found:
        return (
            f"the smallest has {min(one.parameters for one in found):,} parameters: allow more, or train a smaller one"
        )
    if small:
        fastest = min(one.milliseconds for one in small)
        return f"the fastest takes {fastest:g} ms an image: allow more, or train a smaller one"
    return "train on the current data: python -m tuning.search, or python -m tuning.train"


def search_source(workspace: Workspace, search: str) -> Source:
    """Returns the model of a search's best run: the finalist or ensemble with the highest validation macro-F1.

    Raises:
        UsageError: there is no such search; the message lists the searches with finalists.
        DataError: the search has no finalist yet, or the model is not the one that its metrics describe.
    """
    # If the baseline is itself among the finalists, it is published once: as the baseline, with its rank.
    kinds = ("finalist", "ensemble")
    finalists = [metrics for metrics in read_runs(workspace) if metrics.kind in kinds or metrics.rank is not None]
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
    """Returns the metrics with the highest val.f1_macro; ties by run_id. Test figures play no part."""
    return min(finalists, key=lambda metrics: (-metrics.val.f1_macro, metrics.run_id))


def _checked(workspace: Workspace, name: str, metrics: Metrics) -> Source:
    source = Source(name, workspace.run(metrics.run_id) / "model.keras", metrics)
    verify_model(source.model, source.metrics, RESTORE)
    return source


def _valid(what: str, names: Sequence[str]) -> str:
    if not names:
        return "there are none: train something first, python -m tuning.search"
    return f"{what}: {listed(names, _LISTED_NAMES)}"

"""One run of one configuration: trained, evaluated once, published, ranked, perhaps promoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from tuning.core.errors import StateError, UsageError
from tuning.core.progress import SILENT, Progress
from tuning.core.records import configuration
from tuning.core.workspace import Workspace
from tuning.dataset.store.file_state import verify_data
from tuning.history import searches
from tuning.pipeline.finals import Final, config_digest, run_finals, with_removals
from tuning.pipeline.session import Resources, opened, use_backend
from tuning.pipeline.settings import train_settings
from tuning.pipeline.values import completed
from tuning.results import leaderboard, promotion
from tuning.results.runs import read_run
from tuning.tracking import Subject, Tracking, following


@dataclass(frozen=True)
class TrainResult:
    """What came of a run: its id, its metrics as published, and the run id that is promoted now."""

    run_id: str
    metrics: dict[str, Any]
    promoted: str


def train_one(
    workspace: Workspace,
    space: str = "baseline_cnn",
    values: Mapping[str, Any] | None = None,
    epochs: int = 30,
    seed: int = 0,
    early_stopping: int | None = None,
    reduce_lr: int | None = None,
    dtype: str = "auto",
    resources: Resources = Resources(workers=1),  # noqa: B008 (frozen)
    tracking: Tracking = Tracking(),  # noqa: B008 (frozen)
    progress: Progress = SILENT,
) -> TrainResult:
    """Trains one configuration; with no `values`, the baseline (every hyperparameter at its default).

    Interrupted, the same call goes on after the last finished epoch; finished, it returns the same run again.

    Args:
        values: hyperparameter values by name, as Python values or as text; others take their defaults.
        tracking: where the run appears beside its own files.

    Raises:
        UsageError: an unknown hyperparameter, or a value outside its range, with the valid ones.
    """
    settings = train_settings(workspace, space, values or {}, epochs, seed, early_stopping, reduce_lr, dtype)
    verify_data(workspace)
    workspace.create()
    use_backend(settings.backend)
    directory = workspace.art / "work" / f"train-{settings.digest()[:12]}"

    with opened(workspace, directory, settings, resources) as session:
        description = session.describe()
        complete = completed(description, settings.values)
        found = config_digest(space, complete)
        prefix = "baseline" if complete == completed(description, {}) else "train"
        run_id = f"{prefix}-{space.replace(':', '-')}-{found[:8]}-e{epochs}-s{seed}-{settings.digest()[:6]}"
        final = with_removals(session, Final(run_id, "train", complete, epochs, seed))
        if not run_finals(session, [final], progress, every=1):
            error = session.dispatcher.result(final.key)["error"]
            raise StateError(f"{run_id} failed: {error['message']}", "change the configuration")
        subject = Subject(
            run_id, directory, workspace.art / "tensorboard", asdict(settings), description["space"], single=True
        )
        with following(tracking, subject, progress) as trackers:
            trackers.runs([workspace.run(run_id)])
    leaderboard.rebuild(workspace)
    promoted = promotion.promote(workspace, progress=progress)
    return TrainResult(run_id, msgspec.to_builtins(read_run(workspace.run(run_id))), promoted.run_id)


def values_of_trial(workspace: Workspace, reference: str) -> tuple[str, dict[str, Any]]:
    """(space, values) of a trial named SEARCH/TRIAL.

    Raises:
        UsageError: not of that form, or no such search or trial, with the valid names.
    """
    search, slash, trial = reference.partition("/")
    if not slash or not search or not trial:
        raise UsageError(f"--from-trial is {reference!r}", "give SEARCH/TRIAL, for example hyperband/0007")
    found = searches.read(workspace, search)
    for spec in found.facts.proposals:
        if spec.trial_id == trial:
            return str(found.settings["space"]), configuration(spec.values)
    trials = [spec.trial_id for spec in found.facts.proposals]
    raise UsageError(f"search {search!r} has no trial {trial!r}", f"use one of {searches.listed(trials)}")

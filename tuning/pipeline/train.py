"""One run of one configuration: trained, evaluated once, published, ranked, perhaps promoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from tuning.core import interruption, machine
from tuning.core.acceptance import OVERLAP
from tuning.core.errors import StateError, UsageError
from tuning.core.progress import SILENT, Progress
from tuning.core.records import configuration
from tuning.core.settings import FILE_NAME, TrainSettings
from tuning.core.workspace import Workspace
from tuning.dataset.store.file_state import verify_data
from tuning.history import searches
from tuning.pipeline import bases
from tuning.pipeline.final_roles import Final, config_digest
from tuning.pipeline.finals import numbered, run_finals
from tuning.pipeline.resources import Resources
from tuning.pipeline.session import check_start, move_aside, opened
from tuning.pipeline.settings import train_settings, training_backend
from tuning.pipeline.values import completed
from tuning.results import leaderboard, promotion
from tuning.results.runs import read_run, read_runs
from tuning.results.schema import read_params
from tuning.results.sources import RESTORE, find_run
from tuning.tracking import Subject, Tracking, following


@dataclass(frozen=True)
class TrainResult:
    """The result of a run: its id, its metrics as published, and the id of the run that is now promoted."""

    run_id: str
    metrics: dict[str, Any]
    promoted: str


def train_one(
    workspace: Workspace,
    space: str | None = None,
    values: Mapping[str, Any] | None = None,
    *,
    fresh: bool = False,
    resources: Resources = Resources(workers=1),  # noqa: B008 (frozen)
    tracking: Tracking = Tracking(),  # noqa: B008 (frozen)
    progress: Progress = SILENT,
    base_weights: str | None = None,
    base_license: str | None = None,
    accept: str | None = None,
    **settings: Any,
) -> TrainResult:
    """Trains one configuration; with no `values`, the baseline (every hyperparameter at its default).

    The same call resumes an interrupted training after its last finished epoch, returns a finished run again, and
    retries a failed one.

    Args:
        values: hyperparameter values by name, as Python values or as text, or a row of `trials_frame`; all others
            keep their defaults.
        fresh: move an earlier training with the same settings, and its run, aside and start over.
        resources: where it runs.
        tracking: where the run appears beside its own files.
        base_weights, base_license, accept: see `tuning.core.control.TrainControl`.
        settings: the options of `tuning.core.settings.TrainSettings` by their names.

    Raises:
        TypeError: an unknown argument.
        UsageError: an unknown hyperparameter, or a value outside its range, with the valid ones.
    """
    settings = bases.named(workspace, settings, base_weights, training_backend(), progress)
    frozen = train_settings(workspace, values, space=space, **settings)
    directory = workspace.art / "work" / f"train-{frozen.digest()[:12]}"
    check_start(workspace, directory, frozen, resources, tracking, fresh)
    # Refuse damaged runs now, not after this one has been trained.
    read_runs(workspace, _earlier(workspace, frozen) if fresh else ())
    new = fresh or not (directory / FILE_NAME).exists()
    if accept not in (None, OVERLAP):
        raise UsageError(f"--accept is {accept!r}", f"use {OVERLAP}, or leave it out")
    bases.check_overlap(workspace, frozen, settings.get("base"), accept, new)
    verify_data(workspace)
    base = bases.adopt(workspace, frozen, settings.get("base"), base_license, machine.memory().total, progress)
    workspace.create()
    if fresh:
        _start_over(workspace, directory, frozen, progress)
    with opened(
        workspace, directory, frozen, resources, base=base, dtype=settings.get("dtype"), progress=progress
    ) as session:
        description = session.describe()
        for warning in description.warnings:
            progress.warn(warning)
        complete = completed(description, frozen.values)
        found = config_digest(frozen.space, complete, frozen.base)
        prefix = "baseline" if frozen.base is None and complete == completed(description, {}) else "train"
        run_id = f"{prefix}-{frozen.space.replace(':', '-')}-{found[:8]}{_suffix(frozen)}"
        final = numbered(session, Final(run_id, "train", complete, frozen.epochs, frozen.seed))
        if not run_finals(session, [final], progress, every=1):
            raise StateError(
                f"{run_id} failed: {session.failures[run_id]}",
                "mend the cause and run the same command again; or change the configuration",
            )
        subject = Subject(
            run_id, directory, workspace.art / "tensorboard", asdict(frozen), description.space, single=True
        )
        with following(tracking, subject, progress) as trackers:
            trackers.runs([workspace.run(run_id)])
    leaderboard.rebuild(workspace)
    promoted = promotion.promote(workspace, progress=progress)
    return TrainResult(run_id, msgspec.to_builtins(read_run(workspace.run(run_id))), promoted.run_id)


def _suffix(settings: TrainSettings) -> str:
    """Returns the end of a run's id, by which it differs from runs with other settings."""
    return f"-e{settings.epochs}-s{settings.seed}-{settings.digest()[:6]}"


def _earlier(workspace: Workspace, settings: TrainSettings) -> list[Path]:
    """Returns the folder of the run that an earlier training with these settings has published, if any, in a list."""
    return sorted(workspace.trials.glob(f"*{_suffix(settings)}"))


def _start_over(workspace: Workspace, directory: Path, settings: TrainSettings, progress: Progress) -> None:
    """Moves an earlier training with these settings aside, with the run that it published."""
    aside = move_aside(directory, _earlier(workspace, settings))
    if aside:
        progress.say(f"moved the earlier training aside, to {aside}")
    if workspace.leaderboard.exists():
        leaderboard.rebuild(workspace)
    interruption.note_started_over()


def values_of_trial(workspace: Workspace, reference: str) -> tuple[str, dict[str, Any], str | None]:
    """Returns (space, values, sha256 of the base) of a trial named SEARCH/TRIAL, or of a run by its id or short name.

    Raises:
        UsageError: malformed; no such search, trial or run, with the valid names; or an ensemble.
    """
    search, slash, trial = reference.partition("/")
    if not slash:
        try:
            return _values_of_run(workspace, reference)
        except UsageError as error:
            words = f"{error.remedy}; or give a trial as SEARCH/TRIAL, for example hyperband/0007"
            raise UsageError(error.problem, words) from None
    if not search or not trial:
        raise UsageError(f"--from-trial is {reference!r}", "give SEARCH/TRIAL, for example hyperband/0007")
    found = searches.read(workspace, search)
    for spec in found.facts.proposals:
        if spec.trial_id == trial:
            return str(found.settings["space"]), configuration(spec.values), found.settings.get("base")
    trials = [spec.trial_id for spec in found.facts.proposals]
    raise UsageError(f"search {search!r} has no trial {trial!r}", f"use one of {searches.listed(trials)}")


def _values_of_run(workspace: Workspace, name: str) -> tuple[str, dict[str, Any], str | None]:
    folder = workspace.run(find_run(workspace, name))
    metrics, params = read_run(folder), read_params(folder / "params.json", RESTORE)
    if metrics.kind == "ensemble":
        members = ", ".join(params.settings.members or ())
        raise UsageError(f"{name} is an ensemble, which is not trained", f"use one of its members: {members}")
    return params.settings.space, dict(params.values), metrics.base.sha256 if metrics.base else None

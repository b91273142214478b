"""Publishes the mean of a search's best runs as a run of its own, if it beats each of them on validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec
import numpy as np

from tuning.core.errors import DataError
from tuning.core.files import digest
from tuning.core.jobs import EnsembleJob, Member, RunResult
from tuning.core.progress import Progress
from tuning.core.settings import SearchSettings
from tuning.core.workspace import Workspace
from tuning.engine.entries import OpenedTestSplit
from tuning.pipeline.choosing import chosen_members
from tuning.pipeline.final_roles import Final
from tuning.pipeline.finals import about, leave_out, note_failure, numbered, publish, staging, trained_with, withdraw
from tuning.pipeline.session import Session, decoded
from tuning.results.runs import HISTORY_COLUMNS, read_columns, read_run, run_predictions
from tuning.results.schema import Columns, Metrics, Params

_REMEDY = "restore that run's folder from a copy, or start the search over with --fresh"


def run_ensemble(session: Session, settings: SearchSettings, runs: Sequence[str], progress: Progress) -> list[str]:
    """Builds, evaluates and publishes the ensemble of a search; returns a list of its run id, empty if there is none.

    Its members depend only on the runs' predictions of the validation split: the same runs give the same ensemble. Its
    evaluation on the test split is journaled before its job may start, like every other one. An ensemble made while a
    final had failed is withdrawn if the retried final changes the choice.

    Args:
        runs: ids of the published runs that may be members.
    """
    members = _members(session.workspace, runs, progress) if len(runs) > 1 else {}
    if not members:
        if not session.failures:
            withdraw(session, others(session, None))
        return []
    metrics = {run_id: read_run(session.workspace.run(run_id)) for run_id in members}
    final = Final(
        run_id=f"{settings.name}-ensemble-{_digest(metrics, members)[:8]}",
        purpose="ensemble",
        values={},
        epochs=max(found.epochs for found in metrics.values()),
        seed=settings.seed,
        search=settings.name,
        space=space_apart(settings.space, metrics.values()),
    )
    final = numbered(session, final)
    dispatcher = session.dispatcher
    if final.key not in {record.key for record in dispatcher.state.test_openings}:
        dispatcher.record(OpenedTestSplit(key=final.key, run_id=final.run_id, purpose=final.purpose))
    progress.say(f"ensemble of {', '.join(_named(members))}: better on validation than each of them; testing it")
    session.request(final.key, "ensemble", partial(_job, session, final, metrics, members))
    result = session.wait_for(final.key)
    if error := result.get("error"):
        note_failure(session, final.key, final.run_id)
        leave_out(session, final, error["message"], progress)
        return []
    try:
        _publish(session, final, decoded(result, RunResult), metrics, members)
    except DataError as problem:
        leave_out(session, final, problem.problem, progress)
        return []
    withdraw(session, others(session, final.run_id))
    return [final.run_id]


def space_apart(space: str, members: Iterable[Metrics]) -> str | None:
    """Returns the members' space if none has the search's, else None. Only the baseline of a search from a base has
    another space, as it starts from scratch."""
    spaces = {found.space for found in members}
    return None if space in spaces else spaces.pop()


def others(session: Session, run_id: str | None) -> set[str]:
    """Returns the run ids of the search's other ensembles, except those published before its budget was extended: these
    stay, like the finals of that time."""
    state = session.dispatcher.state
    since = state.extension.n if state.extension else 0
    stay = {record.run_id for record in state.published if record.n < since}
    return {one.run_id for one in state.test_openings if one.purpose == "ensemble"} - stay - {run_id}


def _members(workspace: Workspace, runs: Sequence[str], progress: Progress) -> dict[str, int]:
    """Returns run id -> weight; empty if no ensemble is better than a single run."""
    labels: np.ndarray | None = None
    probabilities: dict[str, np.ndarray] = {}
    for run_id in sorted(runs):
        kept = run_predictions(workspace, run_id, "val")
        if kept is None:
            path = workspace.predictions(run_id)
            progress.warn(f"{path} holds no predictions of the validation split: {run_id} is in no ensemble")
            continue
        labels, probabilities[run_id] = kept
    members = {} if labels is None else chosen_members(labels, probabilities)
    if not members:
        progress.say("ensemble: no mean of several runs has a higher validation macro-F1 than the best of them: none")
    return members


def _named(members: dict[str, int]) -> list[str]:
    return [run_id if weight == 1 else f"{weight} × {run_id}" for run_id, weight in members.items()]


def _digest(metrics: dict[str, Metrics], members: dict[str, int]) -> str:
    """Returns the sha256 of what the ensemble computes: its members' weights, and their shares in the mean."""
    return digest({"ensemble": [[found.run_id, found.weights_sha256, members[run]] for run, found in metrics.items()]})


def _job(
    session: Session, final: Final, metrics: dict[str, Metrics], members: dict[str, int], fence: int
) -> EnsembleJob:
    return EnsembleJob(
        **session.common(),
        members=[
            Member(
                model=str(session.workspace.run(run_id).resolve() / "model.keras"),
                weight=weight,
                scaled=metrics[run_id].input.scaling == "0-1",
                logits=metrics[run_id].output == "logits",
            )
            for run_id, weight in members.items()
        ],
        run_id=final.run_id,
        purpose="ensemble",
        staging=str(staging(session, final.key)),
    )


def _publish(
    session: Session, final: Final, result: RunResult, metrics: dict[str, Metrics], members: dict[str, int]
) -> None:
    curves = [read_columns(session.workspace.run(run_id) / "history.json", _REMEDY) for run_id in members]
    own = about(
        session,
        final,
        result,
        config_digest=_digest(metrics, members),
        train_seconds=sum(found.train_seconds for found in metrics.values()),
        best_epoch=max(found.best_epoch for found in metrics.values()),
        best_member=1 + list(metrics.values()).index(max(metrics.values(), key=lambda found: found.val.f1_macro)),
    )
    settings = msgspec.structs.replace(trained_with(session, final), members=members)
    publish(session, final, own, mean_history(curves), Params(values={}, settings=settings))


def mean_history(histories: Sequence[Columns]) -> Columns:
    """Returns the mean curve of several runs, as long as the longest; each epoch is the mean of those that have it."""
    epochs = max(len(columns["epoch"]) for columns in histories)
    return {
        name: list(range(1, epochs + 1))
        if name == "epoch"
        else [
            _mean([columns[name][place] for columns in histories if place < len(columns[name])])
            for place in range(epochs)
        ]
        for name in HISTORY_COLUMNS
    }


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None

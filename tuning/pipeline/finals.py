"""The last stage: configurations are retrained, evaluated once on the test split, and published.

The only stage that opens the test split. Each opening is journaled before the job that uses it may start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from tuning.core.errors import DataError, StateError
from tuning.core.files import remove_directory
from tuning.core.jobs import Additions, FinalJob, FinalResult, RunResult
from tuning.core.plan import NewLength
from tuning.core.progress import Progress
from tuning.core.records import keyed_seed
from tuning.dataset.store.arrays import read_info
from tuning.dataset.store.sealed import Trained
from tuning.engine.entries import NewLengths, OpenedTestSplit, Published, UnopenedTestSplit, Withdrawn
from tuning.engine.state import trial_key
from tuning.pipeline.final_roles import Final, config_digest
from tuning.pipeline.lengths import Watch, loses_little
from tuning.pipeline.reporter import FinalsReporter
from tuning.pipeline.session import Session, decoded, keep_aside
from tuning.pipeline.timing import Clock
from tuning.results import lineage
from tuning.results.runs import StagedRun, publish_run
from tuning.results.schema import About, Columns, Params, TrainedWith, Validation
from tuning.trials.checkpoint import epochs_done
from tuning.trials.spaces import space_digest


def run_finals(
    session: Session,
    finals: Sequence[Final],
    progress: Progress,
    every: int = 5,
    time: Clock | None = None,
    watch: Watch | None = None,
) -> list[str]:
    """Trains, evaluates and publishes; returns the published run ids, in order. A failed run is reported and left out.

    A resume repeats nothing that was journaled, and publishes what has ended but was not published; only a failed run
    is trained anew, under a key of its own.

    Args:
        every: epochs of a run per line of progress.
        time: clock of a budget, which the bar shows; None: there is none.
        watch: changes the lengths of trainings under way if the time requires it; None: they never change.
    """
    dispatcher = session.dispatcher
    finals = _kept(session, [numbered(session, final) for final in finals])
    if not finals:
        return []
    opened = {record.key for record in dispatcher.state.test_openings}
    for final in finals:
        if final.key not in opened:
            dispatcher.record(OpenedTestSplit(key=final.key, run_id=final.run_id, purpose=final.purpose))
        session.request(final.key, "final", partial(_job, session, final))
    problems: dict[str, str | None] = {}  # id of an ended run -> why it could not be published; None: it was

    def publish_ended() -> None:
        for final in finals:
            if final.run_id not in problems and (result := dispatcher.result(final.key)) is not None:
                problems[final.run_id] = _problem(session, final, result)

    run_ids = {final.key: final.run_id for final in finals}
    done = {final.run_id: _trained(session, final) for final in finals}
    seconds: dict[str, list[float]] = {}
    ended: dict[str, float] = {}  # run id -> when its last epoch ended
    left = [final for final in finals if dispatcher.result(final.key) is None]
    if left:
        names = f"{len(left)} runs" if len(left) > 1 else left[0].run_id
        epochs = max(final.epochs for final in left)
        progress.say(f"training {names} for up to {epochs} epoch{'s' * (epochs != 1)}, then the test")
    to_do = sum(max(0, final.epochs - done[final.run_id]) for final in left)
    with FinalsReporter(progress, to_do, time, every) as reporter:

        def show_epoch(key: str, entry: Mapping[str, Any]) -> None:
            if key not in run_ids:  # a trial that was stopped when the search ended
                return
            reporter.epoch(key, entry)
            done[run_ids[key]] = int(entry["epoch"])
            seconds.setdefault(run_ids[key], []).append(entry["seconds"])
            ended[run_ids[key]] = monotonic()

        dispatcher.on_progress = show_epoch
        publish_ended()
        while pending := [final for final in finals if dispatcher.result(final.key) is None]:
            dispatcher.wait()
            # At once: if the user stops the command now and gives a larger budget, these runs are kept.
            publish_ended()
            pending = [final for final in pending if dispatcher.result(final.key) is None]
            ages = {final.run_id: monotonic() - ended[final.run_id] for final in pending if final.run_id in ended}
            if watch is not None and watch.is_off_schedule(pending, done, seconds) and loses_little(ages, seconds):
                dispatcher.cancel()
                # A checkpoint may be an epoch behind what was reported, or ahead of it.
                done |= {final.run_id: max(_trained(session, final), done[final.run_id]) for final in pending}
                _change_lengths(session, pending, watch.new_lengths(pending, done, seconds), progress)
                # The pace is estimated from epochs after this decision only.
                seconds.clear()
                ended.clear()
                finals = _kept(session, finals)
                for final in finals:
                    session.request(final.key, "final", partial(_job, session, final))
        publish_ended()
    for final in finals:
        if why := problems[final.run_id]:
            leave_out(session, final, why, progress)
    return [final.run_id for final in finals if not problems[final.run_id]]


def _problem(session: Session, final: Final, result: dict[str, Any]) -> str | None:
    """Publishes a run that has ended; returns why it could not be published, or None."""
    if error := result.get("error"):
        note_failure(session, final.key, final.run_id)
        return str(error["message"])
    try:
        _publish(session, final, decoded(result, FinalResult))
    except DataError as error:
        return error.problem
    return None


def _trained(session: Session, final: Final) -> int:
    """Returns the epochs of a run that its checkpoints hold."""
    return epochs_done(session.checkpoints(final.key))


def _kept(session: Session, finals: Sequence[Final]) -> list[Final]:
    """Returns the finals that were not left out for lack of time."""
    changes = session.dispatcher.state.new_lengths
    return [final for final in finals if final.run_id not in changes or changes[final.run_id][-1].until]


def _change_lengths(session: Session, waiting: Sequence[Final], runs: list[NewLength], progress: Progress) -> None:
    """Journals and reports which runs end earlier, or later again; to be called once nothing trains any more."""
    before = {run_id: changes[-1].until for run_id, changes in session.dispatcher.state.new_lengths.items()}
    if runs:
        session.dispatcher.record(NewLengths(runs=runs))
    planned = {final.run_id: final for final in waiting}
    for run in runs:
        final = planned[run.run_id]
        if run.until:
            words = f"ends after {run.until} epochs instead of {before.get(run.run_id, final.epochs)}"
        else:
            note_failure(session, final.key, final.run_id)
            words = "is left out"
        is_longer = run.until > before.get(run.run_id, final.epochs)
        why = "there is time for more epochs" if is_longer else "trainings take longer than planned"
        say = progress.say if is_longer else progress.warn
        say(f"{why}: {run.run_id} {words}")


def leave_out(session: Session, final: Final, why: str, progress: Progress) -> None:
    """Notes and reports a run that failed or cannot be published; the next start tries it again."""
    session.failures[final.run_id] = why
    progress.warn(f"{final.run_id} failed: {why}; the same command tries it again")


def none_retrained(session: Session, count: int) -> StateError:
    """Returns the error of a search whose finalists, `count` of them, all failed."""
    run_id, why = list(session.failures.items())[-1]
    return StateError(
        f"none of the {count} finalists of {session.directory.name} could be retrained; the last one, {run_id}: {why}",
        f"see {session.directory / 'logs'}, mend the cause, and run the same command again",
    )


def numbered(session: Session, final: Final) -> Final:
    """Returns `final` with its earlier trainings counted: those that failed or were withdrawn, those whose files were
    lost before they were published, and those whose published files are gone."""
    state = session.dispatcher.state
    published = sum(record.run_id == final.run_id for record in state.published)
    there = (session.workspace.run(final.run_id) / "metrics.json").exists()
    failed, keys = 0, {record.key for record in state.published}
    for record in state.test_openings:
        if record.run_id == final.run_id:
            result = session.dispatcher.result(record.key)
            if record.key in state.withdrawn:
                failed += 1
            elif result is not None and "error" in result:
                failed += 1
                note_failure(session, record.key, final.run_id)
            elif result is not None and record.key not in keys and not staging(session, record.key).exists():
                failed += 1
    return replace(final, earlier=failed + max(0, published - there))


def note_failure(session: Session, key: str, run_id: str) -> None:
    """Journals, once, that a training failed before it opened the test split, if that is so.

    The opening is journaled before a training starts, so that none is ever missed; this entry takes it back.
    """
    folder = staging(session, key)
    if key not in session.dispatcher.state.unopened and not folder.with_name(f"{folder.name}.opened").exists():
        session.dispatcher.record(UnopenedTestSplit(key=key, run_id=run_id))


def withdraw(session: Session, run_ids: Set[str]) -> None:
    """Journals, once, that these runs are given up because others were planned. A published one is moved into the
    search's folder; its evaluation on the test split still counts."""
    state = session.dispatcher.state
    for record in [one for one in state.test_openings if one.run_id in run_ids and one.key not in state.withdrawn]:
        if record.key in {one.key for one in state.published}:
            keep_aside(session.directory, session.workspace.run(record.run_id))
        else:
            note_failure(session, record.key, record.run_id)
        session.dispatcher.record(Withdrawn(key=record.key, run_id=record.run_id))


def staged_runs(session: Session) -> set[str]:
    """Returns the ids of runs that have ended but were not published, because the command was killed before."""
    state, found = session.dispatcher.state, set()
    published = {record.key for record in state.published}
    for record in state.test_openings:
        result = session.dispatcher.result(record.key)
        is_there = result is not None and "error" not in result and staging(session, record.key).exists()
        if is_there and record.key not in published:
            found.add(record.run_id)
    return found


def test_evaluations(session: Session, final: Final) -> int:
    """Returns how often the test split was opened for this run: once, and once more for each time it was trained anew.

    An evaluation that was killed and repeated with the same weights is one opening. A training that failed before its
    evaluation opened nothing.
    """
    state = session.dispatcher.state
    return sum(record.run_id == final.run_id and record.key not in state.unopened for record in state.test_openings)


def staging(session: Session, key: str) -> Path:
    """Returns the folder for a final's files. Before the worker opens the test split, it leaves a mark beside this
    folder, under the same name with `.opened`."""
    return session.directory / "staging" / key.removeprefix("final/")


def _job(session: Session, final: Final, fence: int) -> FinalJob:
    found = _config_digest(session, final, final.values)
    start: dict[str, Any] = {}
    if final.space is not None:
        start = {"space": final.space, "space_digest": space_digest(final.space), "base": None}
    changes = session.dispatcher.state.new_lengths.get(final.run_id, [])
    reused = final.root is not None and final.trial is not None
    return FinalJob(
        **{**session.training(), **start},
        total_epochs=final.epochs,
        values=final.values,
        seed=keyed_seed(final.seed, *(("trial", final.root) if reused else ("final", found))),
        parent=str(session.checkpoints(trial_key(final.trial))) if reused and final.trial else None,
        until=changes[-1].until if changes else final.epochs,
        new_lengths=changes,
        attempt=fence,
        checkpoints=str(session.checkpoints(final.key)),
        staging=str(staging(session, final.key)),
        run_id=final.run_id,
        purpose=msgspec.convert(final.purpose, Trained),
    )


def _config_digest(session: Session, final: Final, values: Mapping[str, Any]) -> str:
    settings = session.settings
    return config_digest(final.space or settings.space, values, None if final.space else settings.base)


def _publish(session: Session, final: Final, result: FinalResult) -> None:
    own = about(
        session,
        final,
        result,
        config_digest=_config_digest(session, final, result.values),
        train_seconds=sum(result.seconds),
        best_epoch=result.best_epoch,
        additions=result.additions,
    )
    params = Params(values=dict(result.values), settings=trained_with(session, final))
    publish(session, final, own, history_columns(result), params)


def about(
    session: Session,
    final: Final,
    result: RunResult,
    *,
    config_digest: str,
    train_seconds: float,
    best_epoch: int,
    additions: Additions | None = None,
    best_member: int | None = None,
) -> About:
    """Returns what only this search knows about a run."""
    settings, info = session.settings, read_info(session.workspace)
    return About(
        run_id=final.run_id,
        kind=final.purpose,
        search=final.search,
        trial=final.trial,
        rank=final.rank,
        space=final.space or settings.space,
        strategy=getattr(settings, "strategy", None),
        seed=final.seed,
        parameters=result.parameters,
        test_evaluations=test_evaluations(session, final),
        classes=list(info.classes),
        data_digest=settings.data_digest,
        config_digest=config_digest,
        weights_sha256=result.weights_sha256,
        dtype_policy=session.dtype_policy,
        versions=settings.versions,
        input=result.input,
        started=result.started,
        finished=result.finished,
        train_seconds=round(train_seconds, 3),
        best_epoch=best_epoch,
        val=msgspec.convert({name: result.val[name] for name in ("f1_macro", "accuracy", "loss")}, Validation),
        output=result.output,
        milliseconds=result.milliseconds,
        additions=additions,
        base=None if final.space else lineage.used(session.workspace, settings.base, settings.base_overlap),
        best_member=best_member,
    )


def publish(session: Session, final: Final, own: About, history: Columns, params: Params) -> None:
    """Publishes, once, what a job has left in its staging folder, and removes that folder."""
    done = {record.run_id for record in session.dispatcher.state.published}
    folder = staging(session, final.key)
    if final.run_id not in done or not (session.workspace.run(final.run_id) / "metrics.json").exists():
        lineage.keep(session.workspace)
        publish_run(session.workspace, StagedRun(folder, own, history, params))
        session.dispatcher.record(Published(key=final.key, run_id=final.run_id))
    # Also if it was published before: a kill may have come in between.
    remove_directory(folder)
    folder.with_name(f"{folder.name}.opened").unlink(missing_ok=True)
    remove_directory(session.checkpoints(final.key))


def trained_with(session: Session, final: Final) -> TrainedWith:
    """Returns the settings that determined a run."""
    settings, changes = session.settings, session.dispatcher.state.new_lengths.get(final.run_id)
    return TrainedWith(
        space=final.space or settings.space,
        seed=final.seed,
        backend=settings.backend,
        threads=settings.threads,
        dtype_policy=session.dtype_policy,
        early_stopping=settings.early_stopping,
        reduce_lr=settings.reduce_lr,
        epochs=final.epochs,
        # The version of this package identifies the code of its own spaces.
        space_digest=settings.space_digest if ":" in settings.space and final.space is None else msgspec.UNSET,
        shortened=tuple((one.after, one.until) for one in changes) if changes else msgspec.UNSET,
    )


def history_columns(result: FinalResult) -> Columns:
    """Returns the Keras-style columns of a curve; None where an epoch lacks a metric."""
    curve = result.curve
    names = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_f1_macro", "learning_rate"]
    columns = {name: [entry.get(name) for entry in curve] for name in names}
    return {**columns, "seconds": list(result.seconds)}

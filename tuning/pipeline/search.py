"""A whole search: trials, finalists, leaderboard, promotion."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core import machine
from tuning.core.errors import BudgetEnded, StateError
from tuning.core.files import remove_directory
from tuning.core.progress import SILENT, Progress
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec, epochs_of, keyed_seed
from tuning.core.settings import SearchSettings
from tuning.core.workspace import Workspace
from tuning.dataset.store.file_state import verify_data
from tuning.engine.budget import Stopwatch, reserve
from tuning.engine.failures import RunOfFailures
from tuning.engine.loop import run_loop, trial_key
from tuning.oracles import find_strategy
from tuning.pipeline.completed import OBJECTIVE, ranked, with_recommended
from tuning.pipeline.finals import final_runs, run_finals
from tuning.pipeline.reporter import Watch
from tuning.pipeline.reporting import preparing_report, write_report
from tuning.pipeline.session import JOURNAL, Resources, Session, move_aside, opened, use_backend
from tuning.pipeline.settings import search_settings
from tuning.pipeline.values import completed
from tuning.pipeline.warm_start import known_good
from tuning.results import leaderboard, promotion
from tuning.results.runs import runs_of
from tuning.tracking import Subject, Trackers, Tracking, following
from tuning.trials.plan import epochs_trained

if TYPE_CHECKING:
    from tuning.oracles.adapter import OracleSearch


@dataclass(frozen=True)
class SearchResult:
    """What came of a search.

    Attributes:
        name: of the search.
        trials: trials told.
        failed: trials among them that failed.
        epochs: epochs trained in the search, each counted once.
        best_trial, best_val_f1_macro, best_values: the best by validation at equal budgets, and its hyperparameters.
        runs: run ids of finalists and baseline, as published; empty with `search_only`.
        promoted: run id of the model promoted in the workspace; None with `search_only`.
        directory: the search's folder.
    """

    name: str
    trials: int
    failed: int
    epochs: int
    best_trial: str
    best_val_f1_macro: float
    best_values: dict[str, Any]
    runs: tuple[str, ...] = ()
    promoted: str | None = None
    directory: Path = field(default_factory=Path)


def run_search(
    workspace: Workspace,
    strategy: str = "hyperband",
    *,
    fresh: bool = False,
    search_only: bool = False,
    budget: float | None = None,
    resources: Resources = Resources(),  # noqa: B008 (frozen)
    tracking: Tracking = Tracking(),  # noqa: B008 (frozen)
    progress: Progress = SILENT,
    **settings: Any,
) -> SearchResult:
    """Runs a search, or goes on with the one of that name, to its promoted model.

    Args:
        strategy: a name of `tuning.oracles.STRATEGIES`.
        fresh: move a search of that name, and its runs, aside and start over.
        search_only: stop before finalists are retrained; the test split stays sealed.
        budget: seconds of running time, over all resumes, retraining included; None: until the strategy is done.
        resources: where trials run.
        tracking: where the search appears beside its own files.
        settings: the other arguments of `search_settings`.

    Raises:
        TuningError: anything a person can mend; see `tuning.core.errors`.
    """
    frozen = search_settings(workspace, strategy, fresh=fresh, **settings)
    verify_data(workspace)
    workspace.create()
    directory = workspace.search(frozen.name)
    if fresh:
        _start_over(workspace, directory, progress)
    use_backend(frozen.backend, inline=resources.executor == "inline")
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(opened(workspace, directory, frozen, resources))
        _refuse_a_lost_journal(session)
        session.warm_up()
        description = session.describe()
        subject = Subject(frozen.name, directory, directory / "tensorboard", asdict(frozen), description["space"])
        trackers = stack.enter_context(following(tracking, subject, progress))
        told, recommended = _search(session, frozen, description, budget, trackers, progress)
        summary = _summary(frozen, told, directory)
        if search_only:
            write_report(workspace, frozen.name, progress)
            return SearchResult(**summary)
        finals = final_runs(
            frozen.name,
            frozen.space,
            frozen.seed,
            frozen.retrain_epochs,
            with_recommended(ranked(told), recommended, frozen.top_k),
            [description["defaults"], completed(description, {})],
            frozen.top_k,
            frozen.executions,
            frozen.reuse_trials,
        )
        runs = run_finals(session, finals, progress)
        trackers.runs(workspace.run(run_id) for run_id in runs)
        if not runs:
            raise StateError(
                f"none of the {len(finals)} finalists of {frozen.name} could be retrained",
                f"see {directory / 'logs'}, mend the cause, and start over with --fresh",
            )
        leaderboard.rebuild(workspace)
        promoted = promotion.promote(workspace, progress=progress)
        remove_directory(directory / "checkpoints")
        write_report(workspace, frozen.name, progress)
        return SearchResult(**summary, runs=tuple(runs), promoted=promoted.run_id)


def _search(
    session: Session,
    settings: SearchSettings,
    description: Mapping[str, Any],
    budget: float | None,
    trackers: Trackers,
    progress: Progress,
) -> tuple[list[tuple[TrialSpec, TrialOutcome]], str | None]:
    """All trials with their outcomes, in logical order; and what `OracleSearch.recommended` says then."""
    dispatcher, strategy = session.dispatcher, build_strategy(settings, description)
    stopwatch = Stopwatch(dispatcher.state.spent, dispatcher.record)
    planned = planned_epochs(strategy, settings)
    if warning := idle_workers(session.workers, settings.window, planned[0]):
        progress.warn(warning)
    if warning := unrepeatable(settings.backend):
        progress.warn(warning)

    def left() -> float | None:
        if budget is None:
            return None
        kept = reserve(watch.seconds, settings.retrain_epochs, settings.final_runs, session.workers, budget)
        return budget - kept - stopwatch.elapsed()

    def out_of_time() -> bool:
        remaining = left()
        stopwatch.elapsed()
        return remaining is not None and remaining <= 0

    leading: list[tuple[TrialSpec, TrialOutcome]] = []

    def on_told(spec: TrialSpec, outcome: TrialOutcome) -> None:
        watch.told(spec, outcome)
        trackers.trial(spec, outcome)
        failures.tell(outcome)
        needed = strategy.continuable()
        if settings.reuse_trials:
            leading.append((spec, outcome))
            best = {trial.trial_id for trial, _ in ranked(leading)[: settings.top_k]}
            leading[:] = [told for told in leading if told[0].trial_id in best]
            needed = needed | best
        session.prune_trials(spec.trial_id, needed)

    failures, preparing = RunOfFailures(settings.name, session.directory), preparing_report()
    with progress.bar(planned[1], settings.name, "epoch") as bar:
        finals = settings.final_runs * settings.retrain_epochs
        watch = Watch(progress, bar, planned, left, session.workers, finals, settings.slices)
        watch.running = lambda: len(dispatcher.running())
        dispatcher.on_progress = watch.epoch
        try:
            told = run_loop(
                strategy,
                dispatcher,
                settings.window,
                trial_payload(session, settings, description),
                on_told,
                out_of_time,
                lambda: next(preparing, False),
            )
        finally:
            stopwatch.note()
    if dispatcher.state.stopped and not any(outcome.status == COMPLETED for _, outcome in told):
        raise BudgetEnded(
            f"the budget ended before any trial of {settings.name} finished",
            "give a longer --budget together with --fresh, or lower --max-epochs",
        )
    return told, strategy.recommended()


def build_strategy(settings: SearchSettings, description: Mapping[str, Any]) -> OracleSearch:
    """The strategy of a search, ready to be asked."""
    from keras_tuner import HyperParameters, Objective

    from tuning.oracles.adapter import OracleSearch

    entries = copy.deepcopy(description["space"])  # Keras Tuner changes them
    space = HyperParameters.from_config({"space": entries, "values": description["defaults"]})
    row = find_strategy(settings.strategy)
    given = {name: getattr(settings, name) for name in row.options}
    oracle = row(
        Objective(*OBJECTIVE),
        hyperparameters=space,
        max_epochs=settings.max_epochs * settings.slices,
        factor=settings.factor,
        max_trials=settings.max_trials,
        seed=settings.seed,
        first=known_good(settings, description),
        **{name: value for name, value in given.items() if value is not None},
    )
    return OracleSearch(oracle, settings.slices)


def idle_workers(workers: int, window: int, trials: int | None) -> str | None:
    """What to tell a person whose workers outnumber the trials that are asked for ahead; None where they do not.

    Args:
        trials: of the search, or None where nobody knows.
    """
    if workers <= window or (trials is not None and trials <= window):
        return None
    return (
        f"trials are asked for {window} ahead of their results, so no more of the {workers} workers can be busy; "
        f"a new search with --window {4 * workers} keeps all of them busy"
    )


def unrepeatable(backend: str) -> str | None:
    """What to tell a person whose trials will not give the same bits when they are run again; None where they will."""
    if backend != "jax" or not machine.gpus():
        return None
    return (
        "on a GPU, JAX rounds differently from one process to the next: this search, resumed or run again, may end "
        "otherwise in its last digits; KERAS_BACKEND=torch gives the same bits, many times as slowly"
    )


def trial_payload(
    session: Session, settings: SearchSettings, description: Mapping[str, Any]
) -> Callable[[TrialSpec, int], dict[str, Any]]:
    """What a worker is told about a trial, as a function of the trial and its attempt's fencing number."""
    known = sorted({entry["config"]["name"] for entry in description["space"]})

    def payload(spec: TrialSpec, fence: int) -> dict[str, Any]:
        parent = session.checkpoints(trial_key(spec.continues)) if spec.continues else None
        return session.payload(
            settings.max_epochs,
            trial_id=spec.trial_id,
            values=spec.values,
            seed=keyed_seed(settings.seed, "trial", spec.root or spec.trial_id),
            until=spec.epochs or settings.max_epochs * settings.slices,
            parts=settings.slices,
            stop_curves=settings.stop_curves,
            keep_best=settings.reuse_trials,
            max_memory=settings.max_memory,
            attempt=fence,
            checkpoints=str(session.checkpoints(trial_key(spec.trial_id))),
            parent=str(parent) if parent else None,
            known=known,
        )

    return payload


def planned_epochs(strategy, settings: SearchSettings) -> tuple[int | None, int | None]:
    """(trials, epochs) that the search will take if nothing fails; None where nobody knows."""
    trials, epochs = strategy.oracle.planned()
    return trials, None if epochs is None else math.ceil(epochs / settings.slices)


def _summary(settings: SearchSettings, told: list[tuple[TrialSpec, TrialOutcome]], directory: Path) -> dict[str, Any]:
    best_first = ranked(told)
    if not best_first:
        raise StateError(
            f"all {len(told)} trials of {settings.name} failed; the last one: {_last_failure(told)}",
            f"see {directory / 'logs'}; mend the search space or the data, then start over with --fresh",
        )
    best, best_values = best_first[0]
    return {
        "name": settings.name,
        "trials": len(told),
        "failed": sum(outcome.status != COMPLETED for _, outcome in told),
        "epochs": _trained(settings, told),
        "best_trial": best.trial_id,
        "best_val_f1_macro": round(best.score, 6),
        "best_values": dict(best_values),
        "directory": directory,
    }


def _trained(settings: SearchSettings, told: Sequence[tuple[TrialSpec, TrialOutcome]]) -> int | float:
    """Epochs that were trained, each counted once: those of a trial's curve that the one before had not trained."""
    total: int | float = 0
    for spec, outcome in told:
        epochs = epochs_of(outcome.curve)
        total += epochs - min(epochs_trained(spec.initial_epoch, settings.slices), epochs)
    rounded = round(total, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _last_failure(told: list[tuple[TrialSpec, TrialOutcome]]) -> str:
    failures = [outcome.failure.message for _, outcome in told if outcome.failure]
    return failures[-1] if failures else "none was run"


def _refuse_a_lost_journal(session: Session) -> None:
    """Runs that no journal tells of would be made again, and their openings of the test split would not count."""
    name = session.directory.name
    if not session.dispatcher.state.asks and (runs := runs_of(session.workspace, name)):
        raise StateError(
            f"search {name} has no trial in {session.directory / JOURNAL}, but there is {runs[0]}",
            "restore the journal from a copy, give another --name, or start over with --fresh",
        )


def _start_over(workspace: Workspace, directory: Path, progress: Progress) -> None:
    """Moves a search aside, with the runs it published: a new search must not share the leaderboard with its ghost."""
    aside = move_aside(directory, runs_of(workspace, directory.name))
    if aside:
        progress.say(f"moved the search of that name aside, to {aside}")
    if workspace.leaderboard.exists():
        leaderboard.rebuild(workspace)

"""The first stage of a search: its trials, from the first proposal to the last result."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tuning.core import machine
from tuning.core.errors import BudgetEnded
from tuning.core.files import remove_directory
from tuning.core.jobs import Description, TrialJob
from tuning.core.progress import Progress
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec, entry_key, keyed_seed
from tuning.core.settings import SearchSettings
from tuning.dataset.store.arrays import read_info
from tuning.engine.budget import Stopwatch, reserve
from tuning.engine.dispatch import Dispatcher
from tuning.engine.failures import RunOfFailures
from tuning.engine.loop import SearchLoop
from tuning.engine.state import trial_key
from tuning.history.use_of_time import LEFT_CHANCE
from tuning.oracles import find_strategy
from tuning.pipeline.budgeted import DEFAULTS, Reserve
from tuning.pipeline.completed import OBJECTIVE, Completed, leading
from tuning.pipeline.reporter import ProgressReporter
from tuning.pipeline.reporting import preparing_report
from tuning.pipeline.session import Session
from tuning.pipeline.timing import Clock, Timing
from tuning.pipeline.warm_start import warm_start
from tuning.tracking import Trackers

if TYPE_CHECKING:
    from tuning.oracles.adapter import OracleSearch


def run_trials(
    session: Session,
    settings: SearchSettings,
    description: Description,
    strategy: OracleSearch,
    clock: Clock | None,
    stopwatch: Stopwatch,
    trackers: Trackers,
    progress: Progress,
    search_only: bool = False,
) -> list[Completed]:
    """Runs all trials and returns them with their outcomes, in logical order.

    Args:
        clock: of the budget; None: there is none.
        search_only: no finals follow.

    Raises:
        BudgetEnded: before any trial finished.
        StateError: ten trials in a row failed alike, or the strategy contradicts the journal.
    """
    dispatcher, timing, preparing = session.dispatcher, Timing(settings.parts), preparing_report()
    info = read_info(session.workspace)
    planned_reserve = None
    if settings.plan is not None:
        planned_reserve = Reserve(settings.plan, session.workers, info.counts, settings)

    def for_finals() -> float:
        """Returns the seconds to reserve for what follows the trials."""
        if search_only:
            return 0.0
        if planned_reserve is not None:
            return planned_reserve.seconds()
        runs, epochs = settings.final_runs, settings.retrain_epochs
        return reserve(timing.seconds, epochs, runs, session.workers, clock.budget if clock else 0.0)

    def left() -> float | None:
        """Returns the seconds left for trials; None without a budget. Also journals the running time now and then."""
        elapsed = stopwatch.elapsed()
        return None if clock is None else clock.budget - for_finals() - elapsed

    planned = planned_epochs(strategy, settings)
    for warning in (idle_workers(session.workers, settings.window, planned[0]), unrepeatable(settings.backend)):
        if warning:
            progress.warn(warning)
    failures = RunOfFailures(settings.name, session.directory)
    prune = checkpoint_pruning(session, settings, strategy)
    job = trial_jobs(session, settings, description)
    classes = len(info.classes)
    asked = [ask.trial.trial_id for ask in dispatcher.state.asks]
    before = {trial_id for trial_id in asked if dispatcher.result(trial_key(trial_id)) is not None}

    with ProgressReporter(
        progress,
        timing,
        planned,
        clock,
        counts(dispatcher),
        session.workers,
        settings.final_runs * settings.retrain_epochs,
        before,
    ) as reporter:

        def on_completed(spec: TrialSpec, outcome: TrialOutcome) -> None:
            reporter.completed(spec, outcome)
            trackers.trial(spec, outcome)
            failures.tell(outcome)
            if spec.trial_id == DEFAULTS and (warning := never_learned(outcome, classes)):
                progress.warn(warning)
            if planned_reserve is not None:
                planned_reserve.completed(spec, outcome)
            prune(spec, outcome)

        def over() -> bool:
            reporter.show()
            grace, seconds = 0.0, left()
            if planned_reserve is not None and not search_only:
                grace = planned_reserve.grace(trained.get(key, 0) for key in dispatcher.running())
            return seconds is not None and seconds <= -grace

        trained: dict[str, int] = {}

        def show_epoch(key: str, entry: Mapping[str, Any]) -> None:
            reporter.epoch(key, entry)
            trained[key] = entry["epoch"]

        dispatcher.on_progress = show_epoch
        try:
            completed = SearchLoop(
                strategy,
                dispatcher,
                settings.window,
                lambda spec, fence: msgspec.to_builtins(job(spec, fence)),
                on_completed,
                over,
                lambda: next(preparing, False),
                lambda: None if planned_reserve is None else planned_reserve.last_trainings(left()),
            ).run()
        finally:
            stopwatch.note()
    if dispatcher.state.stopped and not any(outcome.status == COMPLETED for _, outcome in completed):
        raise BudgetEnded(
            f"the budget ended before any trial of {settings.name} finished",
            "give a larger --budget: the search resumes where it ended",
        )
    return completed


def counts(dispatcher: Dispatcher) -> Callable[[], tuple[int, int]]:
    """Returns a function that counts the trials that have ended, told to the strategy or not, and those that run.

    A trial that has ended is not checked again.
    """
    asks, seen = dispatcher.state.asks, 0
    outstanding: set[str] = set()

    def count() -> tuple[int, int]:
        nonlocal seen
        outstanding.update(trial_key(ask.trial.trial_id) for ask in asks[seen:])
        seen = len(asks)
        outstanding.difference_update([key for key in outstanding if dispatcher.result(key) is not None])
        return seen - len(outstanding), len(dispatcher.running())

    return count


def build_strategy(settings: SearchSettings, description: Description, classes: int) -> OracleSearch:
    """Returns the strategy of a search over data with `classes` classes, ready to be asked.

    Raises:
        UsageError: a configuration to --try does not fit the space.
    """
    from keras_tuner import HyperParameters, Objective

    from tuning.oracles.adapter import OracleSearch

    entries = copy.deepcopy(description.space)  # Keras Tuner changes them
    space = HyperParameters.from_config({"space": entries, "values": description.defaults})
    row = find_strategy(settings.strategy)
    given = {name: getattr(settings, name) for name in row.options if name != "chance"}
    given = {name: value for name, value in given.items() if value is not None}
    if "chance" in row.options:
        given["chance"] = 1 / classes
    # With a plan and without --max-trials, the search goes on until its time is over.
    plan = settings.plan if settings.max_trials is None else None
    if plan is not None and "iterations" in row.options:
        given.setdefault("iterations", None)
    oracle: Any = row(
        Objective(*OBJECTIVE),
        hyperparameters=space,
        max_epochs=settings.max_epochs * settings.parts,
        factor=settings.factor,
        max_trials=settings.max_trials,
        seed=settings.seed,
        first=warm_start(settings, description),
        limit=None if settings.plan is None else settings.plan.limit,
        **given,
    )
    if plan is not None:
        # Without the default number of trials of some strategies.
        oracle.max_trials = None
    return OracleSearch(oracle, settings.parts)


def trial_jobs(
    session: Session, settings: SearchSettings, description: Description
) -> Callable[[TrialSpec, int], TrialJob]:
    """Returns a function that makes a worker's job from a trial and its attempt's fencing number."""
    known = sorted(map(entry_key, description.space))

    def job(spec: TrialSpec, fence: int) -> TrialJob:
        return TrialJob(
            **session.training(),
            trial_id=spec.trial_id,
            values=spec.values,
            seed=keyed_seed(settings.seed, "trial", spec.root or spec.trial_id),
            until=spec.epochs or settings.max_epochs * settings.parts,
            total_epochs=settings.max_epochs,
            parts=settings.parts,
            stop_curves=settings.stop_curves,
            keep_chosen=settings.reuse_trials,
            max_memory=settings.max_memory,
            attempt=fence,
            checkpoints=str(session.checkpoints(trial_key(spec.trial_id))),
            parent=str(session.checkpoints(trial_key(spec.continues))) if spec.continues else None,
            known=known,
        )

    return job


def checkpoint_pruning(
    session: Session, settings: SearchSettings, strategy: OracleSearch
) -> Callable[[TrialSpec, TrialOutcome], None]:
    """Returns a function to call after each completed trial: it deletes checkpoints that no later trial or finalist can
    continue from."""
    best: list[Completed] = []
    kept: set[str] = set()  # completed trials whose checkpoints may still be there

    def prune(spec: TrialSpec, outcome: TrialOutcome) -> None:
        needed = strategy.continuable()
        if settings.reuse_trials:
            best[:] = leading([*best, (spec, outcome)], settings.top_k)
            needed = needed | {trial.trial_id for trial, _ in best}
        kept.add(spec.trial_id)
        for trial_id in sorted(kept - needed):
            remove_directory(session.checkpoints(trial_key(trial_id)))
        kept.intersection_update(needed)

    return prune


def planned_epochs(strategy: OracleSearch, settings: SearchSettings) -> tuple[int | None, int | None]:
    """Returns (trials, epochs) that the search will take if nothing fails, each None if unknown."""
    trials, epochs = strategy.oracle.planned()
    return trials, None if epochs is None else math.ceil(epochs / settings.parts)


def idle_workers(workers: int, window: int, trials: int | None) -> str | None:
    """Returns a warning if there are more workers than trials proposed ahead; None otherwise.

    Args:
        trials: of the search; None if unknown.
    """
    if workers <= window or (trials is not None and trials <= window):
        return None
    return (
        f"only {window} trials are proposed ahead of their results, so no more of the {workers} workers can be busy; "
        f"a new search with --window {4 * workers} keeps all of them busy"
    )


def never_learned(outcome: TrialOutcome, classes: int) -> str | None:
    """Returns a warning if the default configuration has learned nothing; None otherwise."""
    scores = [entry["val_f1_macro"] for entry in outcome.curve if entry.get("val_f1_macro") is not None]
    if not scores or max(scores) >= LEFT_CHANCE / classes:
        return None
    return (
        f"the default configuration has learned nothing in {len(scores)} epochs (val_f1_macro {max(scores):.4f} is no "
        "better than guessing), so even the shortest trainings get a third of these epochs. More time allows longer "
        "trainings; in your own space, check whether the default learning rate suits the model"
    )


def unrepeatable(backend: str) -> str | None:
    """Returns a warning if repeated trials will not give the same bits; None if they will."""
    if backend != "jax" or not machine.gpus():
        return None
    return (
        "on a GPU, JAX rounds differently from one process to the next: if this search is resumed or repeated, its "
        "last digits may differ; KERAS_BACKEND=torch gives the same bits, but is many times slower"
    )

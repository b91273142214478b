"""A whole search: trials, finalists, leaderboard, promotion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuning.config import SearchSettings
from tuning.dataset.census import verify_data
from tuning.engine.budget import Stopwatch, reserve
from tuning.engine.failures import RunOfFailures
from tuning.engine.loop import run_loop, trial_key
from tuning.errors import BudgetEnded, DataError, StateError
from tuning.files import remove_directory
from tuning.oracles import find_strategy
from tuning.oracles.ranking import RankedTrial, rank
from tuning.pipeline.finals import final_runs, run_finals
from tuning.pipeline.session import Resources, Session, move_aside, opened, use_backend
from tuning.pipeline.settings import search_settings
from tuning.pipeline.watch import Watch
from tuning.progress import SILENT, Progress
from tuning.records import COMPLETED, TrialOutcome, TrialSpec, keyed_seed
from tuning.results import leaderboard, promotion
from tuning.workspace import Workspace

OBJECTIVE = ("val_f1_macro", "max")


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
        settings: the other arguments of `search_settings`.

    Raises:
        TuningError: anything a person can mend; see `tuning.errors`.
    """
    workspace.create()
    frozen = search_settings(workspace, strategy, **settings)
    verify_data(workspace)
    directory = workspace.search(frozen.name)
    if fresh:
        _start_over(workspace, directory, progress)
    use_backend(frozen.backend, inline=resources.executor == "inline")
    with opened(workspace, directory, frozen, resources) as session:
        description = session.describe()
        told = _search(session, frozen, description, budget, progress)
        summary = _summary(frozen, told, directory)
        if search_only:
            return SearchResult(**summary)
        finals = final_runs(
            frozen.name,
            frozen.space,
            frozen.seed,
            frozen.retrain_epochs,
            _ranked(told),
            description["defaults"],
            frozen.top_k,
        )
        runs = run_finals(session, finals, progress)
        if not runs:
            raise StateError(
                f"none of the {len(finals)} finalists of {frozen.name} could be retrained",
                f"see {directory / 'logs'}, mend the cause, and start over with --fresh",
            )
        leaderboard.rebuild(workspace)
        promoted = promotion.promote(workspace, progress=progress)
        remove_directory(directory / "checkpoints")
        return SearchResult(**summary, runs=tuple(runs), promoted=promoted.run_id)


def _search(
    session: Session,
    settings: SearchSettings,
    description: Mapping[str, Any],
    budget: float | None,
    progress: Progress,
) -> list[tuple[TrialSpec, TrialOutcome]]:
    """All trials with their outcomes, in logical order."""
    dispatcher, strategy = session.dispatcher, build_strategy(settings, description)
    stopwatch = Stopwatch(dispatcher.state.others.get("spent", ()), dispatcher.record)
    planned = strategy.oracle.planned()

    def left() -> float | None:
        if budget is None:
            return None
        kept = reserve(watch.seconds, settings.retrain_epochs, settings.top_k + 1, session.workers, budget)
        return budget - kept - stopwatch.elapsed()

    def out_of_time() -> bool:
        remaining = left()
        stopwatch.elapsed()
        return remaining is not None and remaining <= 0

    def on_told(spec: TrialSpec, outcome: TrialOutcome) -> None:
        watch.told(spec, outcome)
        failures.tell(outcome)
        session.prune_trials(spec.trial_id, strategy.continuable())

    failures = RunOfFailures(settings.name, session.directory)
    with progress.bar(planned[1] if planned else None, settings.name, "epoch") as bar:
        finals = (settings.top_k + 1) * settings.retrain_epochs
        watch = Watch(progress, bar, planned, left, session.workers, finals)
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
            )
        finally:
            stopwatch.note()
    if dispatcher.state.first("stopped") and not any(outcome.status == COMPLETED for _, outcome in told):
        raise BudgetEnded(
            f"the budget ended before any trial of {settings.name} finished",
            "give a longer --budget together with --fresh, or lower --max-epochs",
        )
    return told


def build_strategy(settings: SearchSettings, description: Mapping[str, Any]):
    """The strategy of a search, ready to be asked."""
    from keras_tuner import HyperParameters, Objective

    from tuning.oracles.adapter import OracleSearch

    space = HyperParameters.from_config({"space": description["space"], "values": description["defaults"]})
    options = {} if settings.min_epochs is None else {"min_epochs": settings.min_epochs}
    oracle = find_strategy(settings.strategy)(
        Objective(*OBJECTIVE),
        hyperparameters=space,
        max_epochs=settings.max_epochs,
        factor=settings.factor,
        max_trials=settings.max_trials,
        seed=settings.seed,
        **options,
    )
    return OracleSearch(oracle)


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
            until=spec.epochs or settings.max_epochs,
            attempt=fence,
            checkpoints=str(session.checkpoints(trial_key(spec.trial_id))),
            parent=str(parent) if parent else None,
            known=known,
        )

    return payload


def _summary(settings: SearchSettings, told: list[tuple[TrialSpec, TrialOutcome]], directory: Path) -> dict[str, Any]:
    ranked = _ranked(told)
    if not ranked:
        raise StateError(
            f"all {len(told)} trials of {settings.name} failed; the last one: {_last_failure(told)}",
            f"see {directory / 'logs'}; mend the search space or the data, then start over with --fresh",
        )
    best, best_values = ranked[0]
    return {
        "name": settings.name,
        "trials": len(told),
        "failed": sum(outcome.status != COMPLETED for _, outcome in told),
        "epochs": sum(len(outcome.curve) - _inherited(spec, outcome) for spec, outcome in told),
        "best_trial": best.trial_id,
        "best_val_f1_macro": round(best.score, 6),
        "best_values": dict(best_values),
        "directory": directory,
    }


def _ranked(told: list[tuple[TrialSpec, TrialOutcome]]) -> list[tuple[RankedTrial, Mapping[str, Any]]]:
    """Completed trials with their values, best first."""
    values = {spec.trial_id: spec.values for spec, _ in told}
    trials = [
        RankedTrial(spec.trial_id, spec.epochs or len(outcome.curve), outcome.score, spec.root)
        for spec, outcome in told
    ]
    return [(trial, values[trial.trial_id]) for trial in rank(trials, OBJECTIVE[1])]


def _inherited(spec: TrialSpec, outcome: TrialOutcome) -> int:
    """Epochs of the curve that the continued trial has trained."""
    return min(spec.initial_epoch, len(outcome.curve))


def _last_failure(told: list[tuple[TrialSpec, TrialOutcome]]) -> str:
    failures = [outcome.failure.message for _, outcome in told if outcome.failure]
    return failures[-1] if failures else "none was run"


def _start_over(workspace: Workspace, directory: Path, progress: Progress) -> None:
    """Moves a search aside, with the runs it published: a new search must not share the leaderboard with its ghost."""
    runs = [
        folder
        for folder in sorted(workspace.trials.iterdir())
        if folder.name.startswith(f"{directory.name}-") and _search_of(folder) == directory.name
    ]
    aside = move_aside(directory, runs)
    if workspace.leaderboard.exists():
        leaderboard.rebuild(workspace)
    if aside:
        progress.say(f"moved the search of that name aside, to {aside}")


def _search_of(folder: Path) -> str | None:
    from tuning.results.runs import read_run

    try:
        return read_run(folder)["search"]
    except DataError:
        return None

"""A whole search: trials, finalists, leaderboard, promotion."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tuning.core import interruption
from tuning.core.acceptance import acceptable
from tuning.core.errors import DataError, StateError
from tuning.core.files import remove_directory
from tuning.core.jobs import Description
from tuning.core.progress import SILENT, Progress
from tuning.core.records import COMPLETED, configuration, epochs_of
from tuning.core.settings import FILE_NAME, SearchSettings
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import read_info
from tuning.dataset.store.file_state import verify_data
from tuning.dataset.summary import read_summary
from tuning.engine.budget import Stopwatch
from tuning.history.source import JOURNAL
from tuning.history.use_of_time import plan_text
from tuning.oracles.ranking import RankedTrial
from tuning.pipeline import bases
from tuning.pipeline.budgeted import finalists, in_reserve, planned
from tuning.pipeline.budgeted_finals import run_budgeted_finals
from tuning.pipeline.completed import Completed, ranked, with_recommended
from tuning.pipeline.ensemble import run_ensemble
from tuning.pipeline.extending import extended
from tuning.pipeline.final_roles import final_roles, final_runs
from tuning.pipeline.finals import none_retrained, run_finals
from tuning.pipeline.plan import base_hint, refused_exports, schedule_text
from tuning.pipeline.reporting import write_report
from tuning.pipeline.resources import Resources
from tuning.pipeline.retry import retry_failed as run_failed_again
from tuning.pipeline.session import Session, check_start, move_aside, opened, scratch
from tuning.pipeline.settings import search_settings, training_backend
from tuning.pipeline.timing import Clock
from tuning.pipeline.trials import build_strategy, planned_epochs, run_trials
from tuning.pipeline.unplanned import limited
from tuning.pipeline.values import completed as complete
from tuning.pipeline.warm_start import known_text
from tuning.results import leaderboard, promotion
from tuning.results.runs import read_runs, runs_of
from tuning.tracking import Subject, Tracking, following
from tuning.trials.plan import epochs_trained


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        name: of the search.
        trials: completed trials.
        failed: trials among them that failed.
        epochs: epochs trained in the search, each counted once.
        best_trial, best_val_f1_macro, best_values: the best by validation at equal budgets, and its hyperparameters.
        runs: run ids of finalists, baseline and ensemble, as published; empty with `search_only`.
        failures: run ids of those that could not be published, and why; the next start tries them again.
        promoted: run id of the model promoted in the workspace; None with `search_only`.
        directory: the search's folder.
        verdict: of the report, in a sentence; None if the report could not be written.
        verdict_kind: "good" (better than the baseline), "tie", "bad" or "open"; None without a verdict.
    """

    name: str
    trials: int
    failed: int
    epochs: int | float
    best_trial: str
    best_val_f1_macro: float
    best_values: dict[str, Any]
    runs: tuple[str, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
    promoted: str | None = None
    directory: Path = field(default_factory=Path)
    verdict: str | None = None
    verdict_kind: str | None = None


def run_search(
    workspace: Workspace,
    strategy: str = "hyperband",
    *,
    fresh: bool = False,
    search_only: bool = False,
    retry_failed: bool = False,
    accept: str | None = None,
    budget: float | None = None,
    began: float | None = None,
    resources: Resources = Resources(),  # noqa: B008 (frozen)
    tracking: Tracking = Tracking(),  # noqa: B008 (frozen)
    progress: Progress = SILENT,
    base_weights: str | None = None,
    base_license: str | None = None,
    **settings: Any,
) -> SearchResult:
    """Runs a search, or resumes the one of that name, to its promoted model.

    Args:
        strategy: a name of `tuning.oracles.STRATEGIES`.
        fresh: move a search of that name, and its runs, aside and start over.
        search_only: stop before finalists are retrained; the test split stays sealed.
        retry_failed: run failed trials again; see `tuning.pipeline.retry`.
        accept: changes to accept although results depend on them: "code", "versions" and "base-overlap", with commas.
        budget: seconds of running time, without pauses between resumes; a new search is planned for it. None: the
            budget of the search's plan or, without one, until the strategy is done.
        began: reading of `time.monotonic` at the start of the command; None: now.
        resources: where trials run.
        tracking: where the search appears beside its own files.
        base_weights, base_license: see `tuning.core.control.BaseControl`.
        settings: the options of `tuning.core.settings.SearchSettings` by their names; see `search_settings`.

    Raises:
        TypeError: an unknown argument.
        TuningError: anything that the user can fix; see `tuning.core.errors`.
    """
    began = time.monotonic() if began is None else began
    settings = bases.named(workspace, settings, base_weights, training_backend(), progress)
    frozen = search_settings(workspace, strategy, fresh=fresh, **settings)
    directory = workspace.search(frozen.name)
    accepted = acceptable(accept)
    check_start(workspace, directory, frozen, resources, tracking, fresh, accepted)
    if fresh or not search_only:
        # Refuse damaged runs now, not after the finals have been trained.
        read_runs(workspace, runs_of(workspace, frozen.name) if fresh else ())
    new = fresh or not (directory / FILE_NAME).exists()
    bases.check_overlap(workspace, frozen, settings.get("base"), accept, new)
    verify_data(workspace)
    base = bases.adopt(workspace, frozen, settings.get("base"), base_license, frozen.max_memory, progress)
    with contextlib.suppress(DataError):
        for words in read_summary(workspace.pool_summary).small_classes:
            progress.warn(words)

    def with_plan(session: Session, budget: float) -> SearchSettings:
        progress.say("timing a few configurations on this machine, to plan the budget")
        plan, _ = planned(session, budget, lambda: time.monotonic() - began, settings)
        return search_settings(workspace, strategy, fresh=fresh, plan=plan, **settings)

    complete_settings = budget is None or (not fresh and (directory / FILE_NAME).exists())
    if fresh and (budget is not None or resources.executor == "ray"):
        # In a scratch folder first: if the new search is refused, the existing one stays as it was.
        with (
            scratch(workspace, resources) as folder,
            opened(workspace, folder, frozen, resources, base=base, dtype=settings.get("dtype")) as session,
        ):
            if budget is not None:
                frozen, complete_settings = with_plan(session, budget), True
    workspace.create()
    if fresh:
        _start_over(workspace, directory, progress)
    with opened(
        workspace, directory, frozen, resources, complete_settings, accepted, base, settings.get("dtype"), progress
    ) as session:
        _refuse_a_lost_journal(session, frozen.name)
        if budget is not None and not complete_settings:
            frozen = with_plan(session, budget)
            session = session.begin(frozen)
        session.warm_up()
        if hint := base_hint(frozen, read_info(workspace).counts["train"]):
            progress.say(hint)
        stopwatch = Stopwatch(session.dispatcher.state.spent, session.dispatcher.record, began=began)
        if frozen.plan is not None:
            spent = stopwatch.elapsed()
            frozen = replace(frozen, plan=extended(session, frozen.plan, budget, spent, progress, search_only))
        else:
            limited(session.dispatcher, budget, stopwatch.elapsed(), progress)
        clock = _clock(frozen, budget, stopwatch, progress)
        description = session.describe()
        begun = bool(session.dispatcher.state.asks)
        for warning in (*description.warnings, *(() if begun else refused_exports(workspace, description, progress))):
            progress.warn(warning)
        oracle = build_strategy(frozen, description, len(read_info(workspace).classes))
        if frozen.plan is None:
            schedule = schedule_text(frozen, *planned_epochs(oracle, frozen), session.workers, budget)
            progress.say(f"{frozen.name}: {schedule}")
        for line in known_text(frozen, description):
            progress.say(line)
        progress.say(f"folder: {directory}")
        progress.say(f"Ctrl-C is safe: the same command{', without --fresh,' if fresh else ''} resumes")
        if retry_failed:
            run_failed_again(session, frozen, progress)
        subject = Subject(frozen.name, directory, directory / "tensorboard", asdict(frozen), description.space)
        with following(tracking, subject, progress) as trackers:
            trials = run_trials(session, frozen, description, oracle, clock, stopwatch, trackers, progress, search_only)
            best_first = ranked(trials)
            result = _summary(frozen, trials, best_first, directory)
            if not search_only:
                candidates = best_first
                if frozen.plan is not None:
                    candidates = finalists(best_first, frozen.plan, len(best_first))
                chosen = with_recommended(candidates, oracle.recommended(), frozen.top_k)
                if frozen.plan is not None and not frozen.finals_by_person:
                    chosen += in_reserve(candidates, chosen, frozen.plan)
                try:
                    runs = _run_finals(session, frozen, description, chosen, trials, clock, progress)
                    if frozen.ensemble:
                        runs += run_ensemble(session, frozen, runs, progress)
                finally:
                    stopwatch.note()
                trackers.runs(workspace.run(run_id) for run_id in runs)
                leaderboard.rebuild(workspace)
                promoted = promotion.promote(workspace, progress=progress)
                remove_directory(directory / "checkpoints")
                result |= {"runs": tuple(runs), "failures": session.failures, "promoted": promoted.run_id}
        verdict = write_report(workspace, frozen.name, progress)
    if verdict:
        result |= {"verdict": verdict.headline, "verdict_kind": verdict.kind}
    return SearchResult(**result)


def _run_finals(
    session: Session,
    settings: SearchSettings,
    description: Description,
    chosen: Sequence[tuple[RankedTrial, Mapping[str, Any]]],
    trials: Sequence[Completed],
    clock: Clock | None,
    progress: Progress,
) -> list[str]:
    """Retrains, tests and publishes the finalists and the baseline; returns the run ids.

    With a budget, the time left decides on epochs and seeds, unless the user did.
    """
    roles = final_roles(
        settings.name,
        settings.space,
        settings.seed,
        settings.retrain_epochs,
        chosen,
        [description.defaults, complete(description, {})] if settings.base is None else [{}],
        settings.reuse_trials,
        settings.base,
    )
    if settings.plan is not None and clock is not None and not settings.finals_by_person:
        return run_budgeted_finals(session, settings, settings.plan, roles, trials, clock, progress)
    finals = final_runs(roles, settings.seed, settings.executions)
    runs = run_finals(session, finals, progress)
    if not runs:
        raise none_retrained(session, len(finals))
    return runs


def _clock(settings: SearchSettings, budget: float | None, stopwatch: Stopwatch, progress: Progress) -> Clock | None:
    """Reports the plan, if there is one, and returns the clock of the budget; None without a budget."""
    plan = settings.plan
    if plan is None:
        return None if budget is None else Clock(budget, stopwatch)
    for line in plan_text(plan):
        progress.say(line)
    return Clock(plan.budget, stopwatch)


def _summary(
    settings: SearchSettings,
    trials: Sequence[Completed],
    best_first: Sequence[tuple[RankedTrial, Mapping[str, Any]]],
    directory: Path,
) -> dict[str, Any]:
    """Returns the fields of a `SearchResult` that depend on the trials only.

    Raises:
        StateError: all trials failed.
    """
    if not best_first:
        failures = [outcome.failure.message for _, outcome in trials if outcome.failure]
        last = failures[-1] if failures else "none was run"
        raise StateError(
            f"all {len(trials)} trials of {settings.name} failed; the last one: {last}",
            f"see {directory / 'logs'}; mend the cause, then run the same command with --retry-failed; or mend the "
            "search space or the data, and start over with --fresh",
        )
    best, best_values = best_first[0]
    return {
        "name": settings.name,
        "trials": len(trials),
        "failed": sum(outcome.status != COMPLETED for _, outcome in trials),
        "epochs": epochs_in(settings, trials),
        "best_trial": best.trial_id,
        "best_val_f1_macro": round(best.score or 0.0, 6),
        "best_values": configuration(best_values),
        "directory": directory,
    }


def epochs_in(settings: SearchSettings, trials: Sequence[Completed]) -> int | float:
    """Counts the trained epochs, each once: a trial that continues another adds only its own."""
    total: int | float = 0
    for spec, outcome in trials:
        epochs = epochs_of(outcome.curve)
        total += epochs - min(epochs_trained(spec.initial_epoch, settings.parts), epochs)
    rounded = round(total, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _refuse_a_lost_journal(session: Session, name: str) -> None:
    """Refuses a search that has runs but lost its journal: they would be trained again, and their openings of the test
    split would not count."""
    if not session.dispatcher.state.asks and (runs := runs_of(session.workspace, name)):
        raise StateError(
            f"search {name} has no trial in {session.directory / JOURNAL}, but there is {runs[0]}",
            "restore the journal from a copy, give another --name, or start over with --fresh",
        )


def _start_over(workspace: Workspace, directory: Path, progress: Progress) -> None:
    """Moves a search aside, with the runs it published: they must not stay on the new search's leaderboard."""
    aside = move_aside(directory, runs_of(workspace, directory.name))
    if aside:
        progress.say(f"moved the search of that name aside, to {aside}")
    if workspace.leaderboard.exists():
        leaderboard.rebuild(workspace)
    interruption.note_started_over()

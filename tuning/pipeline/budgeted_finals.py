"""Spends the time left for final trainings, seed by seed; each decision is journaled."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import msgspec

from tuning.core.plan import FinalTraining, Plan
from tuning.core.progress import Progress
from tuning.core.settings import SearchSettings
from tuning.dataset.store.arrays import read_info
from tuning.engine.budget import as_given, duration
from tuning.engine.entries import PlannedFinals
from tuning.pipeline.budgeted import RESTART_SECONDS, ensemble_seconds, priced
from tuning.pipeline.completed import Completed
from tuning.pipeline.extending import LEAST_FOR_FINALS, as_extended
from tuning.pipeline.final_planning import MOST_SEEDS, NEARLY, Candidate, all_seeds, more_finals, plan_finals
from tuning.pipeline.final_roles import Final, digest_in, role_of, role_planned, seeded
from tuning.pipeline.finals import none_retrained, run_finals, staged_runs, withdraw
from tuning.pipeline.lengths import Watch
from tuning.pipeline.planning import CLOSING_SECONDS
from tuning.pipeline.session import Session
from tuning.pipeline.timing import Clock

#: Share of the budget above which it is said why time is left over.
WORTH_SAYING = 0.05


def own_budget(session: Session) -> float:
    """Returns the search's own budget in seconds, whatever budget this command was given."""
    plan = cast(Plan, cast(SearchSettings, session.settings).plan)
    return as_extended(plan, session.dispatcher.state.extension).budget


def for_first_finals(session: Session, clock: Clock, after: float, enough: float, progress: Progress) -> float:
    """Returns the seconds for the first finals: the time left, or all that was reserved for them if next to none is.

    A command without finals may have spent the time, and a later one asks for them after all. A budget of this command
    that is smaller than the search's own is not exceeded.

    Args:
        after: seconds needed once all are trained.
        enough: seconds reserved for the finals, as far as they can use them.
    """
    state = session.dispatcher.state
    seconds = clock.usable() - (RESTART_SECONDS if state.stopped else 0.0) - after
    if seconds >= LEAST_FOR_FINALS * enough or clock.budget < own_budget(session):
        return seconds
    progress.warn(f"the budget is used up; the finals take about {duration(enough)} more")
    return enough


def run_budgeted_finals(
    session: Session,
    settings: SearchSettings,
    plan: Plan,
    roles: Sequence[Final],
    completed: Sequence[Completed],
    clock: Clock,
    progress: Progress,
) -> list[str]:
    """Retrains, tests and publishes what the time allows, seed by seed; returns the run ids.

    Args:
        roles: the configurations that may be retrained, best first, and the baseline, each once.
    """
    dispatcher, by_key = session.dispatcher, {role.run_id: role for role in roles}
    baseline = next(key for key, role in by_key.items() if role.purpose == "baseline")
    trials = {spec.trial_id: spec for spec, _ in completed}

    def role_named(key: str) -> Final:
        return by_key.get(key) or role_planned(key, by_key[baseline], trials, settings.reuse_trials)

    def final_of(training: FinalTraining) -> Final:
        return replace(seeded(role_named(training.key), settings.seed + training.seed), epochs=training.epochs)

    for entry in dispatcher.state.planned_finals:
        by_key |= {training.key: role_named(training.key) for training in entry.runs}
    earlier = [training for entry in dispatcher.state.earlier_finals for training in entry.runs]
    # By configuration: in a search that has gone on, its rank and its trial may be others.
    seeds_before = Counter(digest_in(training.key) for training in earlier)
    earlier_by_run = {f"{one.key}-s{settings.seed + one.seed}": one for one in earlier}
    published = {record.run_id for record in dispatcher.state.published}
    unpublished = staged_runs(session) - published
    staged = [final_of(training) for run_id, training in earlier_by_run.items() if run_id in unpublished]
    published.update(run_finals(session, staged, progress))
    published_before = [run_id for run_id in earlier_by_run if run_id in published]
    withdraw(session, earlier_by_run.keys() - published)
    # Whether an earlier budget has left runs of the baseline and of a finalist, if the search has both.
    has_both = len({digest_in(role_of(run_id)) for run_id in published_before}) >= min(2, len(roles))
    counts = read_info(session.workspace).counts
    candidates = priced(by_key, completed, plan, settings, counts)
    likely = [candidates[baseline], *[one for key, one in candidates.items() if key != baseline][: settings.top_k]]
    slowest = max(one.epoch for one in likely)

    def ensemble_reserve(runs: int) -> float:
        return ensemble_seconds(counts, slowest, runs) if settings.ensemble else 0.0

    def governing() -> Clock:
        """Returns the clock, or one that ends later if finals were granted more time than the budget had left."""
        granted = [entry.until or 0.0 for entry in dispatcher.state.planned_finals]
        return replace(clock, budget=max([clock.budget, *granted]))

    # If all is decided, or the time was over before, runs that are trained again keep their planned lengths.
    decisions = dispatcher.state.planned_finals
    is_over = bool(decisions) and (not decisions[-1].runs or governing().left() <= 0)
    watch = Watch(
        candidates,
        lambda: governing().left(),
        session.workers,
        after=ensemble_reserve(len(likely)) + CLOSING_SECONDS,
        restart=RESTART_SECONDS,
        budget=clock.budget,
        longest=plan.final_epochs,
        changes=dispatcher.state.new_lengths,
    )
    done: list[FinalTraining] = []
    runs: list[str] = []

    def as_trained(training: FinalTraining) -> FinalTraining:
        """Returns `training` with the epochs that it had; 0 if it was left out."""
        changes = dispatcher.state.new_lengths.get(f"{training.key}-s{settings.seed + training.seed}")
        return msgspec.structs.replace(training, epochs=changes[-1].until) if changes else training

    def finalists() -> list[Candidate]:
        return [candidate for key, candidate in candidates.items() if key != baseline]

    def further(seconds: float) -> list[FinalTraining]:
        failed = {role_of(run_id) for run_id in session.failures} - {role_of(run_id) for run_id in runs}
        least = plan.max_epochs // 2
        return more_finals(candidates[baseline], finalists(), done, seconds, session.workers, failed, least)

    for number in range(len(roles) * MOST_SEEDS + 1):
        if number == len(dispatcher.state.planned_finals):
            until = None
            if done:
                chosen = further(clock.usable() - ensemble_reserve(len(done) + 1))
            else:
                enough = min(plan.finals, all_seeds(likely, plan.final_epochs, session.workers))
                after = ensemble_reserve(len(likely))
                seconds = for_first_finals(session, clock, after, enough, progress)
                if seconds > clock.usable():
                    until = round(clock.stopwatch.elapsed() + seconds + after + RESTART_SECONDS + CLOSING_SECONDS, 1)
                chosen = plan_finals(
                    candidates[baseline],
                    finalists(),
                    settings.top_k,
                    seconds,
                    session.workers,
                    plan.max_epochs,
                    plan.final_epochs,
                )
                if has_both and max(one.epochs for one in chosen) < NEARLY * plan.max_epochs:
                    # Clearly shorter than the search's own trainings, they would tell nothing new.
                    chosen, until = [], None
            # New seeds are numbered after those that were trained before the budget was extended.
            chosen = [msgspec.structs.replace(one, seed=one.seed + seeds_before[digest_in(one.key)]) for one in chosen]
            dispatcher.record(PlannedFinals(runs=chosen, until=until))
        decided = dispatcher.state.planned_finals[number].runs
        if not decided:
            break
        finals = [final_of(training) for training in decided]
        # The slowest first, so that no long training runs alone at the end.
        order = sorted(finals, key=lambda final: -candidates[role_of(final.run_id)].epoch)
        runs += run_finals(session, order, progress, time=governing(), watch=None if is_over else watch)
        done += [as_trained(training) for training in decided]
        for final in finals:
            measured = (dispatcher.result(final.key) or {}).get("seconds")
            if measured:
                key = role_of(final.run_id)
                candidates[key] = replace(candidates[key], epoch=statistics.median(measured))
    if not runs and (done or not published_before):
        raise none_retrained(session, len(done))
    left = clock.usable() - ensemble_reserve(len(runs))
    if not done:
        progress.say(f"no further final trainings: the time left is too short for {plan.max_epochs} epochs")
    elif left > WORTH_SAYING * clock.budget:
        why = "it is too little for another final training" if further(math.inf) else "there is nothing more to train"
        if further(clock.usable() - ensemble_reserve(len(done) + 1)):
            more = as_given(own_budget(session))
            why = f"a smaller budget ended this search; a --budget of more than {more} resumes it"
        progress.say(f"{duration(left)} of the budget is left over: {why}")
    return [*published_before, *runs]

"""A search with a budget: its plan before it begins, and what the time that is left decides.

Whatever the clock decides is journaled: that the search ends (see `tuning.engine.loop`), and which final trainings
there are. A resume, on however many workers, finds these decisions and makes them no second time.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from tuning.core.errors import UsageError
from tuning.core.plan import FinalTraining, Plan, Price
from tuning.core.progress import Progress
from tuning.core.records import TrialOutcome, TrialSpec
from tuning.core.settings import SearchSettings
from tuning.dataset.store.arrays import read_info
from tuning.engine.budget import Stopwatch, as_given, duration
from tuning.engine.entries import Extended, PlannedFinals
from tuning.oracles.ranking import RankedTrial
from tuning.pipeline.choosing import PICKS
from tuning.pipeline.completed import Completed, ranked
from tuning.pipeline.final_roles import Final, config_digest, role_of, seeded
from tuning.pipeline.finals import none_retrained, run_finals
from tuning.pipeline.planning import (
    CLOSING_SECONDS,
    MOST_EPOCHS_FROM_BASE,
    MOST_SEEDS,
    TARGET,
    Candidate,
    Market,
    all_seeds,
    makespan,
    more_finals,
    plan_budget,
    plan_finals,
    steps_per_epoch,
)
from tuning.pipeline.pricing import measured
from tuning.pipeline.session import Session
from tuning.pipeline.shortening import TOLERANCE, Watch
from tuning.pipeline.warm_start import space_starting_points

#: What finding the prices may take: that share of the budget, but of a small one more, up to so many seconds.
PRICING_SHARE, SMALL_SHARE, LEAST_PRICING = 0.03, 0.08, 20.0
#: Towards its end a search trains what it has begun rather than to begin more: from so many full trainings before.
CLOSING_TRAININGS = 1.15
#: Name of the first trial of any search, the space's defaults.
DEFAULTS = "0000"
#: Seconds that a final training takes beside its epochs and the tracing of its model: evaluation and publishing.
FINAL_SECONDS = 2.5
#: Seconds that a member of an ensemble takes to be opened, beside its predictions.
MEMBER_SECONDS = 0.5
#: What a training step of an image costs in predictions of it, and how many views of an image a member may have.
STEP_IN_PREDICTIONS, VIEWS = 3, 2
#: How often a final run's model looks at the validation images, to decide on what its published graph has.
EVALUATIONS = 4
#: Seconds until there are new workers, where the end of the search gave up those that were at work.
RESTART_SECONDS = 6.0
#: Share of the budget of which it is said why it is left.
WORTH_SAYING = 0.05
#: Share of what was kept for the finals, as far as they can use it, below which they get all that, whatever the budget
#: says.
LEAST_FOR_FINALS = 0.2
#: Share of the budget that the finals may have at the most.
MOST_FOR_FINALS = 0.5
#: Share of the budget in which the finals should be over: nearer to all than `TARGET`, as late ones are shortened.
FINALS_TARGET = 0.99


@dataclass(frozen=True)
class Clock:
    """The time of a search with a budget, in seconds from the start of its first command, pauses apart."""

    budget: float
    stopwatch: Stopwatch

    def left(self) -> float:
        """Until the end of the budget, never negative."""
        return max(0.0, self.budget - self.stopwatch.elapsed())

    def usable(self) -> float:
        """Seconds that trainings may still take."""
        return max(0.0, FINALS_TARGET * self.budget - CLOSING_SECONDS - self.stopwatch.elapsed())


def planned(
    session: Session, budget: float, spent: Callable[[], float], max_epochs: int | None
) -> tuple[Plan, list[str]]:
    """The plan of a search that begins, from a few measured batches; and what other budgets would buy, in words.

    Args:
        budget: seconds in all.
        spent: seconds that have passed.
        max_epochs: epochs of a full training, where a person said so.

    Raises:
        UsageError: the budget is too small; says which is the least.
    """
    session.warm_up()
    description = session.describe()
    assert isinstance(session.settings, SearchSettings)
    good = space_starting_points(session.settings, description)
    market = measured(session, description, good, max(PRICING_SHARE * budget, min(SMALL_SHARE * budget, LEAST_PRICING)))
    market = replace(market, top_k=session.settings.top_k)
    if session.settings.base is not None:
        market = replace(market, most_epochs=MOST_EPOCHS_FROM_BASE)
    steps = steps_per_epoch(read_info(session.workspace).counts["train"])
    plan = plan_budget(budget, spent(), market, steps, session.workers, max_epochs)
    return plan, _other_budgets(plan, spent(), market, steps, max_epochs)


def _other_budgets(plan: Plan, spent: float, market: Market, steps: int, max_epochs: int | None) -> list[str]:
    lines = []
    for share, words in ((0.5, "half the time"), (4, "four times the time")):
        try:
            other = plan_budget(share * plan.budget, spent, market, steps, plan.seats, max_epochs)
        except UsageError:
            lines.append(f"  {words}: too little for a search")
        else:
            left_out = f", {other.limit.excluded:.0%} of the space left out" if other.limit else ""
            lines.append(
                f"  {words}: {other.trainings:.0f} full trainings of {other.max_epochs} epochs{left_out}; "
                f"{duration(other.finals)} for the finals"
            )
    return lines


def extended(session: Session, plan: Plan, budget: float | None, spent: float, progress: Progress) -> Plan:
    """The plan with the budget that holds: its own, that of an earlier extension, or one that is given now.

    A larger one is journaled: a search that had ended goes on, and its finals are planned anew, beside those there are.
    A smaller one holds for this command; what it ends is journaled.

    Args:
        budget: that a person gave; None: none.
        spent: seconds that have passed.

    Raises:
        UsageError: the budget given is smaller, and has been used already.
    """
    state = session.dispatcher.state
    held = state.extension.budget if state.extension else plan.budget
    if budget is not None and budget < min(spent, held):
        raise UsageError(
            f"--budget is {as_given(budget)}, but this search has used {duration(spent)} of its {as_given(held)}",
            "leave --budget out to keep to its plan, or give more",
        )
    if budget is not None and budget > held:
        finals = _scaled(plan, budget).finals
        was_over = state.stopped or state.is_closing
        session.dispatcher.record(Extended(asks=len(state.asks), budget=budget, finals=finals))
        words = "the search goes on from where it ended" if was_over else "the search goes on"
        progress.say(f"budget: {duration(budget)} in the place of {duration(held)}; {words}")
    if state.extension is not None:
        plan = replace(_scaled(plan, state.extension.budget), finals=state.extension.finals)
    if budget is not None and budget < plan.budget:
        progress.say(f"budget: {duration(budget)} in the place of {duration(held)}")
        plan = _scaled(plan, budget)
    return plan


def _scaled(plan: Plan, budget: float) -> Plan:
    share = budget / plan.budget
    return replace(
        plan,
        budget=budget,
        search=round(plan.search * share, 1),
        finals=round(plan.finals * share, 1),
        trainings=round(plan.trainings * share, 1),
    )


class Reserve:
    """Seconds to keep back for the finals: enough to retrain, once, what would be retrained if the search ended now.

    And no more than that can use, with all its seeds: what is beyond is the search's.

    Args:
        from_base: the search starts from a model, so that its first trial is not the baseline.
    """

    def __init__(self, plan: Plan, seats: int, counts: Mapping[str, int], from_base: bool = False) -> None:
        self._plan, self._seats, self._counts, self._from_base = plan, seats, counts, from_base
        self._completed: list[Completed] = []
        self._needed, self._most = 0.0, math.inf
        self._training = plan.max_epochs * plan.price.epoch + plan.price.start

    def completed(self, spec: TrialSpec, outcome: TrialOutcome, top_k: int) -> None:
        self._completed.append((spec, outcome))
        best = finalists(ranked(self._completed), self._plan, top_k)
        prices = epoch_prices(self._completed)
        seconds = [
            _candidate("", prices.get(trial.root or trial.trial_id), self._plan.price, self._counts)
            for trial, _ in best
        ]
        slowest = max((one.epoch for one in seconds), default=self._plan.price.epoch)
        self._training = self._plan.max_epochs * slowest + self._plan.price.start
        if self._from_base or all((trial.root or trial.trial_id) != DEFAULTS for trial, _ in best):
            seconds.append(_candidate("", self._plan.price.default, self._plan.price, self._counts))
        self._needed = makespan([one.seconds(self._plan.max_epochs) for one in seconds], self._seats)
        self._most = all_seeds(seconds, self._plan.final_epochs, self._seats)
        self._most += ensemble_seconds(self._counts, slowest, MOST_SEEDS * len(seconds))

    def last_trainings(self, left: float | None) -> int | None:
        """How many configurations may still be trained to the end, once there is time for one such training each.

        Args:
            left: seconds for the search.
        """
        if left is None or left > CLOSING_TRAININGS * self._training:
            return None
        return self._seats

    def seconds(self) -> float:
        """For the finals and what follows them."""
        budget = self._plan.budget
        kept = max(min(self._plan.finals, self._most), min(self._needed, MOST_FOR_FINALS * budget))
        return kept + RESTART_SECONDS + CLOSING_SECONDS + (1 - TARGET) * budget


def finalists(best_first: Sequence[tuple[RankedTrial, Any]], plan: Plan, top_k: int) -> list[tuple[RankedTrial, Any]]:
    """The configurations to retrain: none that was only seen at the first rung, unless nothing has gone further.

    Nor any that ranks behind the defaults, which are retrained anyway, but for the best of them where none is ahead.
    """
    further = [entry for entry in best_first if entry[0].epochs > plan.first_rung or entry[0].epochs >= plan.max_epochs]
    roots = [entry[0].root or entry[0].trial_id for entry in further]
    if DEFAULTS in roots:
        further = further[: max(roots.index(DEFAULTS) + 1, 2)]
    return further[:top_k] or list(best_first[:1])


def epoch_prices(completed: Sequence[Completed]) -> dict[str, float]:
    """First trial of a configuration -> the median seconds of its epochs, as measured."""
    seconds: dict[str, list[float]] = {}
    for spec, outcome in completed:
        seconds.setdefault(spec.root or spec.trial_id, []).extend(outcome.seconds)
    return {root: statistics.median(found) for root, found in seconds.items() if found}


def _candidate(key: str, epoch: float | None, price: Price, counts: Mapping[str, int]) -> Candidate:
    epoch = epoch or price.epoch
    evaluation = epoch * _epochs_of(EVALUATIONS * counts["val"] + VIEWS * counts["test"], counts)
    return Candidate(key=key, epoch=epoch, start=price.start + FINAL_SECONDS + evaluation)


def _epochs_of(predictions: int, counts: Mapping[str, int]) -> float:
    """What predictions of so many images take, in epochs of the same model."""
    return predictions / (STEP_IN_PREDICTIONS * counts["train"] + counts["val"])


def ensemble_seconds(counts: Mapping[str, int], epoch: float, runs: int) -> float:
    """Seconds that an ensemble takes, at the most about: all its members look at validation and test images.

    Args:
        counts: images of each split.
        epoch: seconds that an epoch of a member takes, its validation included.
        runs: that may be members.
    """
    share = _epochs_of(VIEWS * (counts["val"] + counts["test"]), counts)
    return FINAL_SECONDS + min(PICKS, runs) * (MEMBER_SECONDS + share * epoch)


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
        roles: the finalists, best first, and the baseline; one each.
    """
    dispatcher, by_key = session.dispatcher, {role.run_id: role for role in roles}
    earlier = [training for entry in dispatcher.state.earlier_finals for training in entry.runs]
    seeds_before = Counter(training.key for training in earlier)
    prices, counts = epoch_prices(completed), read_info(session.workspace).counts
    roots = {
        config_digest(settings.space, spec.values, settings.base): spec.root or spec.trial_id for spec, _ in completed
    }
    candidates = {
        key: _candidate(
            key,
            prices.get(roots.get(config_digest(settings.space, role.values, settings.base), "")),
            plan.price,
            counts,
        )
        for key, role in by_key.items()
    }
    baseline = next(key for key, role in by_key.items() if role.purpose == "baseline")
    slowest = max(one.epoch for one in candidates.values())

    def kept(runs: int) -> float:
        return ensemble_seconds(counts, slowest, runs) if settings.ensemble else 0.0

    watch = Watch(
        candidates,
        clock.left,
        session.workers,
        after=kept(len(candidates)) + CLOSING_SECONDS,
        restart=RESTART_SECONDS,
        tolerated=TOLERANCE * clock.budget,
        known=dispatcher.state.shortened,
    )
    done: list[FinalTraining] = []
    runs: list[str] = []

    def others() -> list[Candidate]:
        return [candidate for key, candidate in candidates.items() if key != baseline]

    def further(seconds: float) -> list[FinalTraining]:
        failed = {role_of(run_id) for run_id in session.failures} - {role_of(run_id) for run_id in runs}
        return more_finals(candidates[baseline], others(), done, seconds, session.workers, failed, plan.max_epochs // 2)

    for number in range(len(roles) * MOST_SEEDS + 1):
        if number == len(dispatcher.state.planned_finals):
            if done:
                chosen = further(clock.usable() - kept(len(done) + 1))
            else:
                restart = RESTART_SECONDS if dispatcher.state.stopped else 0.0
                seconds = clock.usable() - restart - kept(len(candidates))
                enough = min(plan.finals, all_seeds(candidates.values(), plan.final_epochs, session.workers))
                if seconds < LEAST_FOR_FINALS * enough:
                    # Spent by a search without finals, which are now asked for after all.
                    seconds = enough
                    progress.warn(f"the budget is used up; the finals take about {duration(seconds)} more")
                chosen = plan_finals(
                    candidates[baseline], others(), seconds, session.workers, plan.max_epochs, plan.final_epochs
                )
            # Seeds that were there before the budget was extended keep their runs.
            chosen = [msgspec.structs.replace(one, seed=one.seed + seeds_before[one.key]) for one in chosen]
            dispatcher.record(PlannedFinals(runs=chosen))
        decided = dispatcher.state.planned_finals[number].runs
        if not decided:
            break
        finals = [
            replace(seeded(by_key[training.key], settings.seed + training.seed), epochs=training.epochs)
            for training in decided
        ]
        # The longest first, so that none is left alone at the end; rows are sorted by their scores anyway.
        order = sorted(finals, key=lambda final: -candidates[role_of(final.run_id)].epoch)
        runs += run_finals(session, order, progress, time=clock, watch=watch)
        done += decided
        for final in finals:
            measured = (dispatcher.result(final.key) or {}).get("seconds")
            if measured:
                key = role_of(final.run_id)
                candidates[key] = replace(candidates[key], epoch=statistics.median(measured))
    if not runs:
        raise none_retrained(session, len(done))
    left = clock.usable() - kept(len(runs))
    if left > WORTH_SAYING * clock.budget:
        why = "it is too little for another final training" if further(math.inf) else "there is nothing more to train"
        progress.say(f"{duration(left)} of the budget is left over: {why}")
    before = [f"{one.key}-s{settings.seed + one.seed}" for one in earlier]
    published = {record.run_id for record in dispatcher.state.published}
    return [*(run_id for run_id in before if run_id in published), *runs]

"""A search with a budget: its plan before it begins, the time it reserves for the finals, and its finalists.

Decisions that depend on the clock are journaled: the end of the search (see `tuning.engine.loop`) and the final
trainings. A resume, with any number of workers, reads these decisions and does not make them again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tuning.core.errors import UsageError
from tuning.core.plan import KNOWN_LEAD, Plan, Price
from tuning.core.records import TrialOutcome, TrialSpec, configuration
from tuning.core.settings import SearchSettings
from tuning.dataset.store.arrays import read_info
from tuning.engine.budget import duration
from tuning.oracles import find_strategy
from tuning.oracles.ranking import RankedTrial
from tuning.oracles.rungs import shortest
from tuning.pipeline.choosing import PICKS
from tuning.pipeline.completed import Completed, leading, ranked
from tuning.pipeline.final_planning import MOST_SEEDS, NEARLY, Candidate, all_seeds, makespan
from tuning.pipeline.final_roles import Final, config_digest
from tuning.pipeline.planning import (
    CLOSING_SECONDS,
    MOST_EPOCHS_FROM_BASE,
    TARGET,
    least_rung,
    plan_budget,
    steps_per_epoch,
    trainings_in,
)
from tuning.pipeline.pricing import measured
from tuning.pipeline.session import Session
from tuning.pipeline.warm_start import space_starting_points

#: Share of the budget that measuring prices may take; of a small budget `SMALL_SHARE`, up to `LEAST_PRICING` seconds.
PRICING_SHARE, SMALL_SHARE, LEAST_PRICING = 0.03, 0.08, 20.0
#: When the time left is at most that of this many full trainings, a search begins no new configuration.
CLOSING_TRAININGS = 1.15
#: Id of the first trial of every search: the space's default configuration.
DEFAULTS = "0000"
#: Seconds that a final training takes beside its epochs and the tracing of its model: evaluation and publishing.
FINAL_SECONDS = 2.5
#: Seconds that opening a member of an ensemble takes.
MEMBER_SECONDS = 0.5
#: Cost of a training step of an image, in predictions of it; most views of an image (as it is, mirrored) to predict.
STEP_IN_PREDICTIONS, VIEWS = 3, 2
#: How often a final run predicts the validation images, to decide what is added to its published graph.
EVALUATIONS = 4
#: Seconds until there are new workers, if the end of the search stopped busy ones.
RESTART_SECONDS = 6.0
#: Share of the budget up to which the finals' reserve may grow beyond the plan's.
MOST_FOR_FINALS = 0.5


def planned(
    session: Session, budget: float, spent: Callable[[], float], given: Mapping[str, Any]
) -> tuple[Plan, list[str]]:
    """Plans a new search from a few measured batches; also returns lines on what other budgets would buy.

    Args:
        budget: seconds in total.
        spent: returns the seconds that have passed.
        given: the user's settings by name.

    Raises:
        UsageError: the budget is too small; the message names the least one.
    """
    session.warm_up()
    description = session.describe()
    assert isinstance(session.settings, SearchSettings)
    good = space_starting_points(session.settings, description)
    prices = measured(session, description, good, max(PRICING_SHARE * budget, min(SMALL_SHARE * budget, LEAST_PRICING)))
    prices = replace(prices, top_k=session.settings.top_k)
    if session.settings.base is not None:
        prices = replace(prices, most_epochs=MOST_EPOCHS_FROM_BASE)
    counts, settings = read_info(session.workspace).counts, session.settings
    max_epochs, retrain_epochs = given.get("max_epochs"), given.get("retrain_epochs")

    def plan_of(budget: float) -> Plan:
        steps = steps_per_epoch(counts["train"])
        plan = plan_budget(budget, spent(), prices, steps, session.workers, max_epochs)
        least = None if given.get("min_epochs") is None else settings.min_epochs
        plan = replace(plan, first_rung=first_rung(settings, plan.max_epochs, least, steps))
        final = retrain_epochs or plan.max_epochs
        return as_asked(plan, replace(settings, max_epochs=plan.max_epochs, retrain_epochs=final), counts)

    return plan_of(budget), _other_budgets(budget, plan_of)


def first_rung(settings: SearchSettings, max_epochs: int, least: int | None, steps_per_epoch: int) -> int:
    """Returns the epochs of the shortest trainings that the strategy compares; 1 if they are parts of an epoch. Pure.

    Args:
        max_epochs: of the plan; the settings are older.
        least: the user's choice; None: none.
    """
    if "min_epochs" not in find_strategy(settings.strategy).options:
        return max_epochs
    if settings.parts > 1:
        return 1
    if least is None:
        return least_rung(max_epochs, steps_per_epoch, settings.factor)
    return shortest(max_epochs, settings.factor, min(least, max_epochs))


def as_asked(plan: Plan, settings: SearchSettings, counts: Mapping[str, int]) -> Plan:
    """Returns the plan with the finals that the user asked for, however long they take, in place of its own. Pure.

    Args:
        settings: with this plan's epochs.
        counts: number of images of each split.
    """
    if settings.reuse_trials:
        plan = replace(plan, good=[])
    if not settings.finals_by_person:
        return plan
    epochs = [*[plan.price.epoch] * settings.top_k, plan.price.default]
    finals = round(finals_seconds(plan, plan.seats, counts, settings, epochs), 1)
    search = round(max(0.0, TARGET * plan.budget - finals), 1)
    return replace(
        plan,
        search=search,
        finals=finals,
        trainings=round(trainings_in(search, plan.max_epochs, plan.price, plan.seats), 1),
        good=plan.good if settings.retrain_epochs > plan.max_epochs else [],
        final_epochs=settings.retrain_epochs,
        final_runs=settings.final_runs,
    )


def _other_budgets(budget: float, plan_of: Callable[[float], Plan]) -> list[str]:
    lines = []
    for share, words in ((0.5, "half the time"), (4, "four times the time")):
        try:
            other = plan_of(share * budget)
        except UsageError:
            lines.append(f"  {words}: too little for a search")
        else:
            left_out = f", {other.limit.excluded:.0%} of the space left out" if other.limit else ""
            lines.append(
                f"  {words}: {other.trainings:.0f} full trainings of {other.max_epochs} epochs{left_out}; "
                f"{duration(other.finals)} for the finals"
            )
    return lines


class Reserve:
    """Seconds to reserve for the finals: enough to retrain once what would be retrained if the search ended now; or, if
    the user set the finals' epochs and seeds, what these take.

    Never more than the finals can use with all their seeds: the rest is the search's.
    """

    def __init__(self, plan: Plan, seats: int, counts: Mapping[str, int], settings: SearchSettings) -> None:
        self._plan, self._seats, self._counts, self._settings = plan, seats, counts, settings
        self._leading: list[Completed] = []
        self._trials_of: dict[str, list[Completed]] = {}  # by the first trial of their configuration
        self._needed, self._most = 0.0, math.inf
        self._training = plan.max_epochs * plan.price.epoch + plan.price.start

    def completed(self, spec: TrialSpec, outcome: TrialOutcome) -> None:
        plan, settings = self._plan, self._settings
        # Rank only the leading trials: a resume replays thousands at once.
        known = [*self._leading, (spec, outcome)]
        best = leading(known, settings.top_k)
        # If there are starting points, also these and the defaults, which they have to outrank.
        self._leading = best + [
            one
            for one in known
            if plan.good
            and one not in best
            and ((one[0].root or one[0].trial_id) == DEFAULTS or configuration(one[0].values) in plan.good)
        ]
        self._trials_of.setdefault(spec.root or spec.trial_id, []).append((spec, outcome))
        roots = [trial.root or trial.trial_id for trial, _ in finalists(ranked(self._leading), plan, settings.top_k)]
        prices = epoch_prices([entry for root in roots for entry in self._trials_of[root]])
        epochs = [prices.get(root) or plan.price.epoch for root in roots]
        slowest = max(epochs, default=plan.price.epoch)
        self._training = plan.max_epochs * slowest + plan.price.start
        if settings.base is not None or DEFAULTS not in roots:
            epochs.append(plan.price.default)
        self._needed = finals_seconds(plan, self._seats, self._counts, settings, epochs)
        runs = [_candidate("", epoch, plan.price, self._counts) for epoch in epochs]
        self._most = all_seeds(runs, plan.final_epochs, self._seats)
        self._most += ensemble_seconds(self._counts, slowest, MOST_SEEDS * len(runs))

    def last_trainings(self, left: float | None) -> int | None:
        """Returns how many configurations may still be trained in full, once there is time for about one training each;
        None before that.

        Args:
            left: seconds left for the search; None: no limit.
        """
        if left is None or left > CLOSING_TRAININGS * self._training:
            return None
        return self._seats

    def grace(self, trained: Iterable[int]) -> float:
        """Returns the seconds that the finals wait for trials that are nearly trained in full; 0 if there are none.

        Stopping such a trial would lose its whole training, and perhaps the best finalist.

        Args:
            trained: epochs trained so far, of each running trial.
        """
        nearly = any(epochs >= NEARLY * self._plan.max_epochs for epochs in trained)
        return (1 - NEARLY) * self._training if nearly and not self._settings.finals_by_person else 0.0

    def seconds(self) -> float:
        """Returns the seconds to reserve for the finals and everything after them."""
        plan, kept = self._plan, self._needed
        if not self._settings.finals_by_person:
            kept = max(min(plan.finals, self._most), min(kept, MOST_FOR_FINALS * plan.budget))
        return kept + RESTART_SECONDS + CLOSING_SECONDS + (1 - TARGET) * plan.budget


def finals_seconds(
    plan: Plan, seats: int, counts: Mapping[str, int], settings: SearchSettings, epochs: Sequence[float]
) -> float:
    """Returns the seconds that the finals take with all their seeds.

    Args:
        epochs: seconds per epoch of each configuration.
    """
    runs = [_candidate("", epoch, plan.price, counts) for epoch in epochs]
    return makespan([one.seconds(settings.retrain_epochs) for one in runs * settings.executions], seats)


def finalists(best_first: Sequence[tuple[RankedTrial, Any]], plan: Plan, top_k: int) -> list[tuple[RankedTrial, Any]]:
    """Returns the configurations to retrain: only those trained beyond the first rung, if there are any.

    Configurations that rank behind the defaults are left out, as the defaults are retrained anyway; if the defaults
    lead, only the best of the others stays. For the space's starting points that were trained in full, what they lack
    to a score of 1 counts less, by the share `KNOWN_LEAD`.
    """
    further = [entry for entry in best_first if entry[0].epochs > plan.first_rung or entry[0].epochs >= plan.max_epochs]
    roots = [entry[0].root or entry[0].trial_id for entry in further]
    if DEFAULTS in roots:
        further = further[: max(roots.index(DEFAULTS) + 1, 2)]
    further.sort(key=lambda entry: (-entry[0].epochs, -_expected(entry[0], entry[1], plan)))
    return further[:top_k] or list(best_first[:1])


def in_reserve(
    candidates: Sequence[tuple[RankedTrial, Any]], chosen: Sequence[tuple[RankedTrial, Any]], plan: Plan
) -> list[tuple[RankedTrial, Any]]:
    """Returns the others that were trained in full, best first: if there is no time for one of `chosen`, a cheaper one
    of these may take its place."""
    taken = {trial.trial_id for trial, _ in chosen}
    return [entry for entry in candidates if entry[0].epochs >= plan.max_epochs and entry[0].trial_id not in taken]


def _expected(trial: RankedTrial, values: Mapping[str, Any], plan: Plan) -> float:
    """Returns the score that ranks a trial among those trained for as many epochs; see `finalists`."""
    score = trial.score or 0.0
    is_good = trial.epochs >= plan.max_epochs and configuration(values) in plan.good
    if is_good and (trial.root or trial.trial_id) != DEFAULTS:
        return score + KNOWN_LEAD * (1 - score)
    return score


def epoch_prices(completed: Sequence[Completed]) -> dict[str, float]:
    """Returns first trial of a configuration -> median of its epochs' measured seconds."""
    seconds: dict[str, list[float]] = {}
    for spec, outcome in completed:
        seconds.setdefault(spec.root or spec.trial_id, []).extend(outcome.seconds)
    return {root: statistics.median(found) for root, found in seconds.items() if found}


def _candidate(key: str, epoch: float | None, price: Price, counts: Mapping[str, int]) -> Candidate:
    epoch = epoch or price.epoch
    evaluation = epoch * _epochs_of(EVALUATIONS * counts["val"] + VIEWS * counts["test"], counts)
    return Candidate(key=key, epoch=epoch, start=price.start + FINAL_SECONDS + evaluation)


def priced(
    roles: Mapping[str, Final],
    completed: Sequence[Completed],
    plan: Plan,
    settings: SearchSettings,
    counts: Mapping[str, int],
) -> dict[str, Candidate]:
    """Returns the price of a final training of each role, by the same keys, as measured in trials of its configuration;
    without any, at the plan's average price."""
    prices = epoch_prices(completed)
    roots = {
        config_digest(settings.space, spec.values, settings.base): spec.root or spec.trial_id for spec, _ in completed
    }

    def price(role: Final) -> float | None:
        return prices.get(roots.get(config_digest(settings.space, role.values, settings.base), ""))

    return {key: _candidate(key, price(role), plan.price, counts) for key, role in roles.items()}


def _epochs_of(predictions: int, counts: Mapping[str, int]) -> float:
    """Converts a number of predictions into the epochs of the same model that take as long."""
    return predictions / (STEP_IN_PREDICTIONS * counts["train"] + counts["val"])


def ensemble_seconds(counts: Mapping[str, int], epoch: float, runs: int) -> float:
    """Estimates the most seconds that an ensemble takes: all its members predict the validation and test images.

    Args:
        counts: number of images of each split.
        epoch: seconds per epoch of a member, validation included.
        runs: how many runs may be members.
    """
    share = _epochs_of(VIEWS * (counts["val"] + counts["test"]), counts)
    return FINAL_SECONDS + min(PICKS, runs) * (MEMBER_SECONDS + share * epoch)

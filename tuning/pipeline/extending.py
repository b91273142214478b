"""Extends the plan of a search that is resumed with another budget."""

from __future__ import annotations

from dataclasses import replace

from tuning.core.errors import UsageError
from tuning.core.plan import Plan
from tuning.core.progress import Progress
from tuning.engine.budget import as_given, duration
from tuning.engine.entries import Extended
from tuning.engine.state import SearchState
from tuning.pipeline.planning import TARGET, trainings_in
from tuning.pipeline.session import Session

#: If less than this share of the finals' reserve is left, they get all of it, even beyond the search's budget; a later
#: budget that leaves less is refused.
LEAST_FOR_FINALS = 0.2


def extended(
    session: Session, plan: Plan, budget: float | None, spent: float, progress: Progress, search_only: bool = False
) -> Plan:
    """Returns the plan with the budget in force, see `holding`.

    A larger budget is journaled: a search that had ended goes on, and new finals are planned beside the existing ones.
    A smaller one is in force for this command only; what it ends is journaled.
    """
    state = session.dispatcher.state
    held = as_extended(plan, state.extension)
    new, extension = holding(plan, state, budget, spent, search_only)
    words = ""
    if extension is not None:
        words = "; the search continues" + (" where it ended" if state.stopped or state.is_closing else "")
        session.dispatcher.record(extension)
    if new.budget != held.budget:
        progress.say(f"budget: {duration(new.budget)} instead of {duration(held.budget)}{words}")
    return new


def holding(
    plan: Plan, state: SearchState, budget: float | None, spent: float, search_only: bool = False
) -> tuple[Plan, Extended | None]:
    """Returns the plan with the budget in force (its own, that of an earlier extension, or the one given now), and the
    journal entry that extends it, or None. Pure.

    Args:
        budget: given by the user; None: not given.
        spent: seconds that have passed.
        search_only: no finals follow.

    Raises:
        UsageError: another budget is given, and it is used up, or nearly so.
    """
    held, extension = as_extended(plan, state.extension), None
    if budget is None or budget == held.budget:
        return held, None
    if budget < held.budget:
        new = _scaled(held, budget)
    else:
        # Finals that are planned already have had their share of the time until now.
        kept, since = (0.0, spent) if state.planned_finals else (held.finals, held.budget)
        finals = round(kept + _scaled(plan, budget - since).finals, 1)
        if plan.final_runs is not None:
            finals = plan.finals
        extension = Extended(asks=len(state.asks), budget=budget, finals=finals)
        new = as_extended(plan, extension)
    least = 0.0 if search_only or state.planned_finals else LEAST_FOR_FINALS * new.finals
    if budget < spent + least:
        why = ", and what is left is too short for its finals" if budget >= spent else ""
        raise UsageError(
            f"--budget is {as_given(budget)}, but this search has used {duration(spent)} of its "
            f"{as_given(held.budget)}{why}",
            "leave --budget out to keep to its plan, or give more",
        )
    return new, extension


def as_extended(plan: Plan, extension: Extended | None) -> Plan:
    """Returns the plan with the budget of the latest extension, if there is one."""
    if extension is None:
        return plan
    search = round(max(0.0, TARGET * extension.budget - extension.finals), 1)
    return replace(_scaled(plan, extension.budget), search=search, finals=extension.finals)


def _scaled(plan: Plan, budget: float) -> Plan:
    share = budget / plan.budget
    search, finals, trainings = plan.search * share, plan.finals * share, plan.trainings * share
    if plan.final_runs is not None:
        # The user set the finals: they do not depend on the budget.
        search, finals = max(0.0, TARGET * budget - plan.finals), plan.finals
        trainings = trainings_in(search, plan.max_epochs, plan.price, plan.seats)
    return replace(plan, budget=budget, search=round(search, 1), finals=round(finals, 1), trainings=round(trainings, 1))

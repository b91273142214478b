"""How a search uses its time: the plan in words, the trials by rung, and the epochs spent at chance. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuning.core.plan import KNOWN_LEAD, Plan
from tuning.engine.budget import duration
from tuning.history.records import History, Trial, last_epoch

#: A score below this multiple of 1 / classes, the score of a single label for all images, is at chance, in counts and
#: warnings. For decisions of a strategy, `tuning.oracles.chance` sets a slightly higher threshold.
LEFT_CHANCE = 1.1


@dataclass(frozen=True)
class Share:
    """A part of a search's trainings.

    Attributes:
        name: of the part.
        trainings: number of trials or runs.
        epochs: number of epochs that they trained themselves.
        seconds: their total time, each on one worker.
        at_chance: how many of these epochs ended at chance; None: unknown.
    """

    name: str
    trainings: int
    epochs: float
    seconds: float
    at_chance: float | None


def by_rung(history: History, classes: int | None) -> list[Share]:
    """The trials grouped by the number of epochs that they were asked to reach, the shortest first."""
    rungs = sorted({trial.epochs or 0.0 for trial in history.trials})
    shares = []
    for rung in rungs:
        trials = [trial for trial in history.trials if (trial.epochs or 0.0) == rung]
        name = f"search, to epoch {rung:g}" if rung else "search"
        shares.append(
            Share(
                name,
                len(trials),
                sum(trial.new_epochs for trial in trials),
                sum(trial.seconds for trial in trials),
                None if classes is None else sum(_at_chance(trial, classes) for trial in trials),
            )
        )
    return shares


def share_at_chance(shares: Sequence[Share]) -> float | None:
    """The share of epochs at chance, from 0 to 1; None: unknown."""
    known = [share for share in shares if share.at_chance is not None]
    epochs = sum(share.epochs for share in known)
    return sum(share.at_chance or 0.0 for share in known) / epochs if epochs else None


def _at_chance(trial: Trial, classes: int) -> float:
    """The trial's own epochs that ended with a score at chance; parts of an epoch count as fractions."""
    before = last_epoch(trial.curve[: trial.inherited])
    total = 0.0
    for point in trial.curve[trial.inherited :]:
        if point.score is not None and point.score < LEFT_CHANCE / classes:
            total += point.epoch - before
        before = point.epoch
    return total


def plan_text(plan: Plan) -> list[str]:
    """A plan as text for the user: a heading, and indented lines."""
    price, most = plan.price, max(plan.first_rung, round(plan.max_epochs / 3))
    spread = _span(price.low, price.high, ".1f")
    trainings = _span(plan.trainings * price.epoch / price.high, plan.trainings * price.epoch / price.low, ".0f")
    beyond = "" if plan.final_runs is not None else ", plus what the finals cannot use"
    lines = [
        f"budget of {duration(plan.budget)}, {plan.seats} training{'s' * (plan.seats != 1)} at a time; an epoch takes "
        f"{price.epoch:.1f} s on average ({f'middle half of the space: {spread} s; ' if spread else ''}{price.timed} "
        f"configurations timed) and {price.default:.1f} s for the default one",
        f"  search: up to {duration(plan.search)}, start-up included{beyond}; a full training has {plan.max_epochs} "
        f"epochs, the shortest {_from_to(plan.first_rung, most)}; time for {plan.trainings:.0f} full "
        f"trainings{f' ({trainings})' if trainings else ''}",
        _finals_text(plan),
    ]
    if plan.good:
        lines.append(
            "  when finalists are chosen, each of the space's first two starting points counts as "
            f"{KNOWN_LEAD:.0%} closer to a score of 1, because these gain most from longer trainings"
        )
    if not plan.search:
        lines.append(
            "  the finals alone take longer than the budget, which is overrun; the search ends with its first trial"
        )
    if plan.limit is not None:
        times = "" if plan.limit.relative == 1 else f"{plan.limit.relative:g} times "
        lines.append(
            f"  too expensive for this budget: configurations with more than {times}the multiply-adds of the default "
            f"one, about {plan.limit.excluded:.0%} of the space"
        )
    if plan.untried:
        lines.append(f"  starting points of the space that are too expensive for this budget: {len(plan.untried)}")
    return lines


def _finals_text(plan: Plan) -> str:
    if plan.final_runs is not None:
        return (
            f"  finals: about {duration(plan.finals)}, as requested: up to {plan.final_runs} trainings of "
            f"{plan.final_epochs} epochs, of the best configurations and the baseline; then the test"
        )
    return (
        f"  finals: {duration(plan.finals)} or more, unless five seeds of each take less: the best configurations and "
        f"the baseline, retrained for {_from_to(plan.max_epochs, plan.final_epochs)} epochs, with more seeds if time "
        "is left; then the test"
    )


def _span(low: float, high: float, form: str) -> str:
    """`low to high`; empty if both format to the same text."""
    ends = format(low, form), format(high, form)
    return "" if ends[0] == ends[1] else " to ".join(ends)


def _from_to(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"

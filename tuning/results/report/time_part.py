"""The part of the page about time: the plan of a budget, what was decided on the way, and what was done with it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tuning.core.plan import KNOWN_LEAD, Plan
from tuning.engine.budget import duration
from tuning.history.records import History
from tuning.history.use_of_time import Share, by_rung, limit_text, share_at_chance, span
from tuning.results.report.evidence import Evidence
from tuning.results.report.html import card, section, table

FINALS = "finals"


def time_part(
    history: History, runs: Sequence[Evidence], plan: Plan | None, classes: int | None, reused: int | None = None
) -> str:
    """A table of rungs and finals with their share of the workers' time, below the plan where there is one. Before the
    first trial has ended, the plan alone.

    Args:
        reused: the seed of those that went on with the search's own training, which is the search's; None: none did.
    """
    rungs = by_rung(history, classes)
    finals = [run.metrics for run in runs if run.metrics.kind != "ensemble"]
    shares = [*rungs]
    if finals:
        before = [history.configuration_of(m.trial) for m in finals if m.trial and m.seed == reused]
        epochs = sum(m.epochs for m in finals) - sum(entry.epochs for entry in before if entry)
        seconds = sum(m.train_seconds for m in finals) - sum(entry.seconds for entry in before if entry)
        shares.append(Share(FINALS, len(finals), max(0, epochs), max(0.0, seconds), None))
    lead = "Seconds are those of workers: two at work for a minute are two minutes."
    if (silent := share_at_chance(rungs)) is not None:
        lead += (
            f" <b>{silent:.0%}</b> of the search's epochs ended at chance: with a score that a model has which has "
            "learned nothing."
        )
    planned = "" if plan is None else _plan(plan)
    nodes = f"<p><b>Where it ran</b></p>{_items(history.nodes)}" if history.nodes else ""
    return section("time", "Time", lead, planned + _decisions(history) + _table(shares, history, plan) + nodes)


def _items(lines: Sequence[str]) -> str:
    return '<ul class="reasons">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _plan(plan: Plan) -> str:
    """Every figure of a budget's plan, and what it follows from."""
    price, most = plan.price, max(plan.first_rung, round(plan.max_epochs / 3))
    spread = span(price.low, price.high, ".1f")
    trainings = span(plan.trainings * price.epoch / price.high, plan.trainings * price.epoch / price.low, ".0f")
    beyond = "" if plan.final_runs is not None else "and what the finals cannot use; "
    rows = [
        ("budget", duration(plan.budget), f"from start to end, for {plan.seats} trainings at a time; tests included"),
        (
            "an epoch",
            f"{price.epoch:.1f} s",
            f"the mean of {price.timed} configurations that were timed first; "
            f"{f'half of the space takes {spread} s, ' if spread else ''}the default one {price.default:.1f} s. "
            "All that follows is made from it",
        ),
        (
            "search",
            f"up to {duration(plan.search)}",
            f"{beyond}time for as many epochs as about {plan.trainings:.0f} full trainings have"
            f"{f' ({trainings}, as configurations cost less or more)' if trainings else ''}",
        ),
        (
            "a full training",
            _epochs(plan.max_epochs, plan.max_epochs),
            "in the search; only configurations that prove themselves get that far",
        ),
        (
            "the shortest",
            _epochs(plan.first_rung, most),
            "after so many, configurations are compared for the first time, and the better ones go on"
            + "; how soon the default one leaves chance decides" * (most > plan.first_rung),
        ),
        ("finals", *_planned_finals(plan)),
    ]
    if plan.limit is not None:
        rows.append(
            (
                "too expensive",
                f"about {plan.limit.excluded:.0%} of the space",
                f"left out: {limit_text(plan.limit)}",
            )
        )
    if plan.good:
        rows.append(
            (
                "starting points",
                f"{len(plan.good)} to be tried",
                "known to be good: where finalists are chosen, what they lack to 1 once they were trained whole counts "
                f"{KNOWN_LEAD:.0%} less, as they gain most from longer trainings",
            )
        )
    if plan.untried:
        rows.append(
            ("starting points", f"{len(plan.untried)} left out", "known to be good, but too expensive for this time")
        )
    body = "".join(f"<tr><th>{name}</th><td><b>{value}</b></td><td>{why}</td></tr>" for name, value, why in rows)
    return card("The plan", f'<table class="plain facts">{body}</table>')


def _planned_finals(plan: Plan) -> tuple[str, str]:
    """Their time, and what it is for."""
    words = "the best configurations and the baseline, trained again"
    if plan.final_runs is not None:
        epochs = _epochs(plan.final_epochs, plan.final_epochs)
        return (
            f"about {duration(plan.finals)}",
            f"as asked for: {words}, up to {plan.final_runs} times {epochs}; then the test",
        )
    epochs = _epochs(plan.max_epochs, plan.final_epochs)
    return (
        f"{duration(plan.finals)} or more",
        f"unless five seeds of each take less: {words}, for {epochs} as time allows, with further seeds; then the test",
    )


def _decisions(history: History) -> str:
    if not history.decisions:
        return ""
    rows = "".join(
        f"<tr><th>after {duration(decision.seconds)}</th><td>{escape(decision.words)}</td></tr>"
        for decision in history.decisions
    )
    title = 'Decided on the way <span class="soft">and journaled, so that a resume decides the same</span>'
    return card(title, f'<table class="plain facts">{rows}</table>')


def _epochs(low: int, high: int) -> str:
    return f"{low} epoch{'s' * (low != 1)}" if low == high else f"{low} to {high} epochs"


def _table(shares: Sequence[Share], history: History, plan: Plan | None) -> str:
    if not shares:
        return ""
    total = sum(share.seconds for share in shares)
    if plan is not None and history.seconds is not None:
        total = max(total, history.seconds * plan.seats)
        others = total - sum(share.seconds for share in shares)
        ended = any(share.name == FINALS for share in shares)
        rest = "start-up, validation of finals, test, waiting" if ended else "start-up, waiting, what runs now"
        shares = [*shares, Share(rest, 0, 0.0, others, None)]
    head = "<tr><th></th><th>trainings</th><th>epochs</th><th>at chance</th><th>time</th><th>share</th></tr>"
    rows = "".join(
        f"<tr><td>{escape(share.name)}</td><td>{_number(share.trainings)}</td><td>{_number(share.epochs)}</td>"
        f"<td>{'–' if not share.epochs or share.at_chance is None else f'{share.at_chance / share.epochs:.0%}'}</td>"
        f"<td>{duration(share.seconds)}</td><td>{share.seconds / total if total else 0:.0%}</td></tr>"
        for share in shares
    )
    return table("plain numbers shares", head, rows)


def _number(value: float) -> str:
    return f"{round(value, 1):,g}" if value else "–"

"""The report's section about time: the plan of a budget, the decisions, and how the time was used."""

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


def time_part(history: History, runs: Sequence[Evidence], plan: Plan | None, classes: int | None) -> str:
    """A table of rungs and finals with their share of the workers' time, below the plan where there is one. Before the
    first trial has ended, the plan alone."""
    rungs = by_rung(history, classes)
    finals = [run.metrics for run in runs if run.metrics.kind != "ensemble"]
    shares = [*rungs]
    if finals:
        epochs = sum(metrics.epochs for metrics in finals)
        shares.append(Share(FINALS, len(finals), epochs, sum(m.train_seconds for m in finals), None))
    lead = "Times are summed over workers: two workers busy for one minute count as two minutes."
    if (silent := share_at_chance(rungs)) is not None:
        lead += (
            f" <b>{silent:.0%}</b> of the search's epochs ended at chance: with the score of a model that has learned "
            "nothing."
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
    beyond = "" if plan.final_runs is not None else "plus what the finals cannot use; "
    rows = [
        ("budget", duration(plan.budget), f"from start to end, tests included, for {plan.seats} trainings at a time"),
        (
            "an epoch",
            f"{price.epoch:.1f} s",
            f"the mean of {price.timed} configurations that were timed first; "
            f"{f'the middle half of the space takes {spread} s, ' if spread else ''}the default one "
            f"{price.default:.1f} s. The rest of the plan follows from these times",
        ),
        (
            "search",
            f"up to {duration(plan.search)}",
            f"{beyond}time for about {plan.trainings:.0f} full trainings"
            f"{f' ({trainings}, as configurations cost more or less)' if trainings else ''}",
        ),
        (
            "a full training",
            _epochs(plan.max_epochs, plan.max_epochs),
            "in the search; only promising configurations get that far",
        ),
        (
            "the shortest",
            _epochs(plan.first_rung, most),
            "configurations are compared after this many for the first time, and the better ones are trained further"
            + "; it depends on how soon the default one leaves chance" * (most > plan.first_rung),
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
                "known to be good: when finalists are chosen, a fully trained one counts as "
                f"{KNOWN_LEAD:.0%} closer to a score of 1, because these gain most from longer trainings",
            )
        )
    if plan.untried:
        rows.append(
            ("starting points", f"{len(plan.untried)} left out", "known to be good, but too expensive for this budget")
        )
    body = "".join(f"<tr><th>{name}</th><td><b>{value}</b></td><td>{why}</td></tr>" for name, value, why in rows)
    return card("The plan", f'<table class="plain facts">{body}</table>')


def _planned_finals(plan: Plan) -> tuple[str, str]:
    """Their time, and what it is for."""
    words = "the best configurations and the baseline, retrained"
    if plan.final_runs is not None:
        epochs = _epochs(plan.final_epochs, plan.final_epochs)
        return (
            f"about {duration(plan.finals)}",
            f"as requested: {words}, up to {plan.final_runs} times {epochs}; then the test",
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

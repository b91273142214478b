"""The report's section about time: the plan of a budget, the decisions, and how the time was used."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tuning.core.plan import Plan
from tuning.engine.budget import duration
from tuning.history.records import History
from tuning.history.use_of_time import Share, by_rung, plan_text, share_at_chance
from tuning.results.report.evidence import Evidence
from tuning.results.report.html import card, section, table

FINALS = "finals"


def time_part(
    history: History, runs: Sequence[Evidence], plan: Plan | None, classes: int | None, reused: int | None = None
) -> str:
    """Returns the section with the plan, if there is one, and a table of the workers' time by rung and for the finals.
    Before the first trial has ended, there is no table.

    Args:
        reused: seed of the final runs that continued a trial, so that the trial's epochs and time are not counted
            again; None if none did.
    """
    rungs = by_rung(history, classes)
    finals = [run.metrics for run in runs if run.metrics.kind != "ensemble"]
    shares = [*rungs]
    if finals:
        before = [history.configuration_of(m.trial) for m in finals if m.trial and m.seed == reused]
        epochs = sum(m.epochs for m in finals) - sum(entry.epochs for entry in before if entry)
        seconds = sum(m.train_seconds for m in finals) - sum(entry.seconds for entry in before if entry)
        shares.append(Share(FINALS, len(finals), max(0, epochs), max(0.0, seconds), None))
    lead = "Times are summed over workers: two workers busy for one minute count as two minutes."
    if (at_chance := share_at_chance(rungs)) is not None:
        lead += (
            f" <b>{at_chance:.0%}</b> of the search's epochs ended at chance: with the score of a model that has "
            "learned nothing."
        )
    planned = "" if plan is None else card("The plan", _items([line.strip() for line in plan_text(plan)]))
    nodes = f"<p><b>Where it ran</b></p>{_items(history.nodes)}" if history.nodes else ""
    return section("time", "Time", lead, planned + _decisions(history) + _table(shares, history, plan) + nodes)


def _items(lines: Sequence[str]) -> str:
    return '<ul class="reasons">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _decisions(history: History) -> str:
    if not history.decisions:
        return ""
    rows = "".join(
        f"<tr><th>after {duration(decision.seconds)}</th><td>{escape(decision.words)}</td></tr>"
        for decision in history.decisions
    )
    title = 'Decided on the way <span class="soft">and journaled, so that a resume decides the same</span>'
    return card(title, f'<table class="plain facts">{rows}</table>')


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

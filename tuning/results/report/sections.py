"""The sections of the page about the search itself, as HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tuning.core.errors import listed
from tuning.core.plan import Plan
from tuning.core.records import Failure
from tuning.engine.budget import duration
from tuning.history.records import History, Parameter, Trial
from tuning.results.report import charts
from tuning.results.report.command import repeat_command
from tuning.results.report.comparable import AS_ABOVE, Comparable
from tuning.results.report.data import MOST_AXES, Entry, rungs
from tuning.results.report.evidence import Evidence
from tuning.results.report.html import card, key_row, remark, section, switch, table, value_text
from tuning.results.report.verdict import Verdict

#: Most causes of failure on the page, and most trials that are named for each.
MOST_CAUSES, MOST_NAMED = 50, 12
#: An option with its number, and an option's name: both are marked up so that no line breaks within them.
_QUOTED, _NAMED = re.compile(r"--[a-z-]+(?: \d+)?"), re.compile(r"--[a-z-]+")


def verdict_part(found: Verdict, history: History, runs: Sequence[Evidence], problems: Sequence[str]) -> str:
    """Returns the verdict, its reasons, the key figures, and the intervals of all retrained runs."""
    quoted = [_QUOTED.sub(r"<code>\g<0></code>", escape(reason)) for reason in found.reasons]
    reasons = "".join(f"<li>{reason}</li>" for reason in quoted)
    warnings = "".join(f'<p class="verdict bad">{escape(problem)}</p>' for problem in problems)
    facts = [
        ("trials", f"{len(history.steps):,}"),
        ("configurations", f"{len(history.configurations):,}"),
        ("epochs", f"{history.epochs:,}"),
        ("failed trials", f"{len(history.failed):,}"),
    ]
    if history.seconds is not None:
        facts.insert(3, ("search time", duration(history.seconds)))
    if runs:
        facts.insert(0, ("best test macro-F1", f"{runs[0].score:.3f}"))
        if found.corrected is not None:
            facts.insert(1, (f"corrected: best of {len(runs)}", f"{found.corrected:.3f}"))
        evaluations = len(history.test_evaluations)
        once = ", one a run" * (evaluations == len(runs))
        facts.append((f"test evaluations{once}", f"{evaluations:,}"))
    elif history.best:
        facts.insert(0, ("best val macro-F1", f"{history.best.score:.3f}"))
    tiles = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in facts)
    return (
        f'<section id="verdict" aria-label="Verdict">\n<p class="verdict {found.kind}">{escape(found.headline)}</p>\n'
        f'<ul class="reasons">{reasons}</ul>\n{warnings}<div class="tiles">{tiles}</div>\n'
        f"{_forest(runs)}{_differences(history, runs)}</section>"
    )


def _forest(runs: Sequence[Evidence]) -> str:
    """Draws the test macro-F1 of every run with its interval, on one scale (a forest plot)."""
    if not runs:
        return ""
    low, high = min(run.interval[0] for run in runs), max(run.interval[1] for run in runs)
    low, high = max(0.0, low - 0.03), min(1.0, high + 0.03)

    def at(value: float) -> str:
        return f"{100 * (value - low) / (high - low):.2f}%"

    rows = []
    for run in runs:
        own, shape = ("var(--base)", ' class="square"') if run.is_baseline else ("var(--hot)", "")
        start, end = run.interval
        bar = f'<i style="left:{at(start)};width:{100 * (end - start) / (high - low):.2f}%"></i>'
        rank = f"{run.metrics.rank} · " if run.metrics.rank else ""
        rows.append(
            f'<div class="row"><span class="name">{rank}{escape(run.name)}</span>'
            f'<span class="track" style="--own:{own}">{bar}<b{shape} style="left:{at(run.score)}"></b></span>'
            f'<span class="number"><b>{run.score:.3f}</b> ({start:.3f}–{end:.3f})</span></div>'
        )
    scale = f'<div class="row"><span></span><span class="track scale">{low:.2f}<span>{high:.2f}</span></span></div>'
    title = (
        f"Test macro-F1 with 95 % intervals over {runs[0].metrics.test.sample} "
        '<span class="soft">in front: their rank on validation, by which they were chosen</span>'
    )
    return card(title, f'<div class="forest">{"".join(rows)}{scale}</div>') + "\n"


def _differences(history: History, runs: Sequence[Evidence]) -> str:
    """Lists the hyperparameters whose values in the best configuration differ from the baseline's."""
    trial = next((run.metrics.trial for run in runs if run.metrics.trial), None) if runs else None
    best = history.configuration_of(trial) if trial else history.best
    if best is None or not history.defaults:
        return ""
    cells = "".join(
        f"<div>{escape(entry.name)}<br><b>{value_text(best.values.get(entry.name))}</b> "
        f'<span class="soft">{value_text(history.defaults.get(entry.name))}</span></div>'
        for entry in history.parameters
        if entry.varies and best.values.get(entry.name) != history.defaults.get(entry.name)
    )
    if not cells:
        return ""
    title = f"How trial {escape(best.trial_ids[-1])} differs from the baseline"
    note = '<span class="soft">its value, and the baseline\'s in grey</span>'
    return card(f"{title} {note}", f'<div class="apart">{cells}</div>') + "\n"


def progress_part(history: History, entries: Sequence[Entry]) -> str:
    """Returns the section with the best score so far, and cost against score."""
    over = {"running time": "time", "epochs": "epochs", "trials": "trials"}
    if not history.seconds:
        del over["running time"]
    if not entries:
        return section("progress", "Progress", "", remark("No trial has been completed yet."))
    key = (
        '<p class="key-row"><span><i style="border-color:var(--blue)"></i>best so far</span>'
        '<span><i class="base"></i>baseline in the search</span><span>each dot: a trial\'s best epoch</span></p>'
    )
    panels = [charts.best(history, entries, kind) for kind in over.values()]
    best = card("Best so far, over", switch("best", list(over), panels) + key)
    cost_key = key_row("dotted: the best score at each cost", dots=True)
    cost = card("Cost against score", charts.cost(entries) + cost_key)
    lead = "Validation macro-F1; a configuration's score is that of its best epoch."
    return section("progress", "Progress", lead, f'<div class="pair">{best}{cost}</div>')


def curves_part(entries: Sequence[Entry]) -> str:
    """Returns the section with the learning curves of all configurations."""
    names = {"validation macro-F1": charts.curves(entries), "validation loss": charts.curves(entries, loss=True)}
    shown = {name: chart for name, chart in names.items() if chart}
    if not shown:
        return ""
    return section(
        "curves",
        "Learning curves",
        "One line per configuration, over all its promotions. Finalists are labelled with their rank.",
        f'<figure class="card">{switch("curve", list(shown), list(shown.values()))}{key_row()}</figure>',
    )


def rungs_part(history: History, entries: Sequence[Entry]) -> str:
    """Returns the section about rungs and promotions; empty for strategies without rungs."""
    found = rungs(history)
    if not found:
        return ""
    lead = (
        "Each dot is a trial at the end of its rung, with the score of its best epoch so far. Lines are promotions: "
        'the best of a rung are trained further, to the next. <b style="color:var(--bad)">×</b> failed.'
    )
    sizes = " → ".join(f"{len(trials):,}" for trials in found.values())
    return section(
        "rungs",
        "Rungs",
        lead,
        card(f"{sizes} trials", charts.rungs(found, entries) + key_row(dots=True)),
    )


def slices_part(entries: Sequence[Entry], parameters: Sequence[Parameter], compared: Comparable) -> str:
    """Returns the section with the score against each hyperparameter.

    Args:
        entries: the comparable configurations, with their scores after equal numbers of epochs.
    """
    if compared.why_not:
        return section("slices", "Slices", "", remark(AS_ABOVE))
    lead = (
        f"The score against one hyperparameter at a time, the most important first: {compared.words}. Lines are "
        "means of each choice, or of each third of the values; bands are their separate 95 % intervals, one in twenty "
        "of which is wrong by chance. Within a choice, dots are spread sideways only so that none hides another."
    )
    drawn = {
        parameter.name: charts.parameter_slice(parameter, place, entries, compared.scores)
        for place, parameter in enumerate(parameters[:MOST_AXES])
    }
    shown = "".join(
        f'<figure class="slice"><figcaption>{escape(name)}</figcaption>{chart}</figure>'
        for name, chart in drawn.items()
        if chart
    )
    return section("slices", "Slices", lead, f'<div class="small">{shown}</div>{key_row(dots=True)}')


def failures_part(history: History) -> str:
    """Returns the section with the failed trials, grouped by cause, the most frequent cause first."""
    if not history.failed:
        return ""
    causes: dict[tuple[str, str], list[tuple[Trial, Failure]]] = {}
    for trial in history.failed:
        if trial.failure:
            causes.setdefault((trial.failure.kind, trial.failure.message), []).append((trial, trial.failure))
    alike = sorted(causes.values(), key=len, reverse=True)
    rows = "".join(map(_failures, alike[:MOST_CAUSES]))
    more = len(alike) - MOST_CAUSES
    note = remark(f"… and {more:,} more causes in the journal.") if more > 0 else ""
    head = "<tr><th>cause</th><th>kind</th><th>trials</th></tr>"
    lead = f"{len(history.failed):,} of {len(history.steps):,} trials ended without a score."
    return section("failed", "Failed trials", lead, table("plain", head, rows) + note)


def _failures(trials: Sequence[tuple[Trial, Failure]]) -> str:
    """Returns a table row for trials that failed for the same reason, with details of the first."""
    trial, failure = trials[0]
    values = ", ".join(f"{escape(name)} {value_text(value)}" for name, value in sorted(trial.values.items()))
    trace = f"<pre>{escape(failure.traceback)}</pre>" if failure.traceback else ""
    epoch = f", epoch {failure.epoch}" if failure.epoch else ""
    names = listed([other.trial_id for other, _ in trials], MOST_NAMED)
    return (
        f"<tr><td>{escape(failure.message)}<details><summary>trial {escape(trial.trial_id)}{epoch}</summary>"
        f"<p>{values}</p>{trace}</details></td><td>{escape(failure.kind)}</td>"
        f"<td><b>{len(trials):,}</b>: {escape(names)}</td></tr>"
    )


def repeat_part(
    settings: Mapping[str, Any],
    digest: str,
    runs: Sequence[Evidence],
    plan: Plan | None,
    stopped: bool,
    accepted: Sequence[str] = (),
) -> str:
    """Returns the section with the command, the seeds and the digests.

    Args:
        stopped: whether a budget ended the search before its strategy did.
        accepted: the changes during the search that a person accepted, as values of `--accept`.
    """
    command = _NAMED.sub(r"<span>\g<0></span>", escape(repeat_command(settings, plan)))
    rows = [
        ("seed of the search", settings.get("seed")),
        ("settings digest", digest),
        ("data digest", settings.get("data_digest")),
        ("digest of the space's code", settings.get("space_digest")),
        ("backend, compute type", f"{settings.get('backend')}, {settings.get('dtype_policy')}"),
        *((f"weights of {run.name}, seed {run.metrics.seed}", run.metrics.weights_sha256) for run in runs),
    ]
    facts = "".join(
        f"<tr><th>{escape(name)}</th><td><code>{escape(str(value))}</code></td></tr>" for name, value in rows
    )
    lead = (
        "On the same data and the same kind of processor, this command finds the same trials, scores and weights, "
        "with any number of workers and interruptions."
    )
    if plan is not None:
        lead = (
            "With a budget, the clock decides what is tried and for how long: started again, even on the same "
            "machine, this command may find other trials. The plan and decisions of this search are in its folder, so "
            "resuming it ends the same, with any number of workers and interruptions."
        )
    elif stopped:
        lead += (
            " This search stopped when its <code>--budget</code> was over; without a budget, the command continues "
            "beyond its last trial."
        )
    if accepted:
        lead += (
            f" On the way, its {' and '.join(accepted)} changed, which was accepted: what came before that cannot be "
            "found again with what is there now."
        )
    return section(
        "repeat",
        "How to repeat it",
        lead,
        f'<pre id="command">{command}</pre><div class="bar-row" id="copying"></div>'
        f'<div class="scroll"><table class="plain">{facts}</table></div>',
    )

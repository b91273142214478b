"""The section with all configurations: parallel coordinates, and a table that needs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from tuning.engine.budget import duration
from tuning.history.records import Parameter
from tuning.results.report import charts
from tuning.results.report.comparable import Comparable
from tuning.results.report.data import MOST_AXES, Entry
from tuning.results.report.evidence import Evidence
from tuning.results.report.html import RUNS, key_row, remark, section, value_text

#: Rows of the table before it is unfolded; report.css hides the rows after them.
FEW = 12


def trials_part(
    name: str,
    entries: Sequence[Entry],
    equal: Sequence[Entry],
    parameters: Sequence[Parameter],
    runs: Sequence[Evidence],
    compared: Comparable,
    error: float | None,
) -> str:
    """Returns the section with parallel coordinates and the table of all configurations, best first.

    Args:
        name: name of the search.
        entries: all configurations that have a score.
        equal: the comparable ones among them, with their scores after equal numbers of epochs, drawn as lines.
        compared: the number of epochs of `equal`, or why nothing is drawn.
        error: half the width of the 95 % interval of a validation score; None if no predictions were kept.
    """
    if not entries:
        return ""
    listed = _table(name, entries, parameters, runs)
    if compared.why_not:
        lead = "With scripts on, <b>click a dot or a row</b> for its details or to compare two configurations."
        return section("configurations", "Configurations", lead, remark(compared.why_not) + listed)
    lead = (
        f"One line for each of {compared.words}. With scripts on, <b>drag along an axis</b> to keep only the lines "
        "that cross it there, click the axis to clear this, and <b>click a line, a dot or a row</b> for its details or "
        "to compare two configurations."
    )
    if error is not None:
        lead += (
            f" Scores are on validation images, ± {error:.3f} (95 % interval); smaller differences between lines may "
            "be chance."
        )
    hidden = len(parameters) - MOST_AXES
    note = remark(f"{hidden} less important hyperparameters have no axis.") if hidden > 0 else ""
    chart = charts.parallel(parameters[:MOST_AXES], equal)
    return section(
        "configurations",
        "Configurations",
        lead,
        f'<div class="card"><div id="brushes" class="bar-row"></div><div class="wide" '
        f'style="--axes:{min(len(parameters), MOST_AXES) + 1}">{chart}</div>{key_row()}{note}</div>'
        f"{listed}",
    )


def _table(name: str, entries: Sequence[Entry], parameters: Sequence[Parameter], runs: Sequence[Evidence]) -> str:
    heads = ["trial", "val macro-F1", "epochs", "time", *(entry.name for entry in parameters), "retrained"]
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    rows = "".join(
        _row(entry, parameters, _links(entry, runs)) for entry in sorted(entries, key=lambda one: -one.score)
    )
    more = ""
    if len(entries) > FEW:
        more = f'<label class="bar-row"><input type="checkbox" id="whole"> show all {len(entries):,}</label>'
    return (
        f'<div class="trials">{more}<div class="scroll"><table id="trials" class="numbers" '
        f'data-search="{escape(name, quote=True)}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</div>"
    )


def _row(entry: Entry, parameters: Sequence[Parameter], links: str) -> str:
    own = entry.configuration
    roles = f" ★{entry.rank}" * bool(entry.rank) + " baseline" * entry.baseline
    cells: list[tuple[Any, str]] = [(entry.score, f"{entry.score:.4f}"), (own.epochs, f"{own.epochs:g}")]
    cells.append((round(own.seconds, 1), duration(own.seconds)))
    cells += [_cell(own.values, parameter) for parameter in parameters]
    shown = "".join(f'<td data-v="{escape(str(value), quote=True)}">{text}</td>' for value, text in cells)
    kind = ' class="baseline"' if entry.baseline else ""
    return (
        f'<tr{kind} data-c="{entry.number}" data-trial="{escape(entry.trial, quote=True)}" '
        f'title="{escape(entry.about, quote=True)}">'
        f'<th scope="row" data-v="{escape(entry.trial, quote=True)}">{escape(entry.trial + roles)}</th>{shown}'
        f'<td data-v="{len(links)}">{links}</td></tr>'
    )


def _cell(values: Mapping[str, Any], parameter: Parameter) -> tuple[Any, str]:
    value = values.get(parameter.name)
    return "" if value is None else value, value_text(value)


def _links(entry: Entry, runs: Sequence[Evidence]) -> str:
    """Returns links to the folders of the runs that retrained the configuration."""
    own = [
        run
        for run in runs
        if run.metrics.trial in entry.configuration.trial_ids or (run.is_baseline and entry.baseline)
    ]
    return ", ".join(
        f'<a href="{RUNS}/{quote(run.metrics.run_id)}/">seed {run.metrics.seed}: test {run.score:.3f}</a>'
        for run in own
    )

"""The table that compares a final run's validation score with that of its configuration in the search."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tuning.results.report.comparable import epochs_text
from tuning.results.report.evidence import Evidence
from tuning.results.report.html import card, remark, table


def validation_table(runs: Sequence[Evidence]) -> str:
    """Returns a table with each run's score in the search, retrained, published, and on the test split."""
    if not any(run.searched for run in runs):
        return ""
    rows = "".join(
        f"<tr><th>{escape(run.name)}</th><td>{_searched(run)}</td><td>{_retrained(run)}</td><td>{_published(run)}</td>"
        f"<td>{run.score:.3f} {_soft(f'{run.interval[0]:.3f}–{run.interval[1]:.3f}')}</td></tr>"
        for run in runs
    )
    names = ("", "validation, in the search", "validation, retrained", "validation, published model", "test")
    head = "".join(f"<th>{name}</th>" for name in names)
    note = (
        "Macro-F1, with 95 % intervals over the choice of images. The first score is the highest over epochs and "
        "trials, and is therefore too high for configurations that were chosen by it. The second is of the published "
        "epoch, with another seed and other numbers of epochs. The published model may have additions to its graph, or "
        "several networks, which were also chosen on these validation images."
    )
    return card("The same configurations, trained twice", remark(note) + table("numbers", f"<tr>{head}</tr>", rows))


def _searched(run: Evidence) -> str:
    if run.searched is None:
        return "–"
    return f"{run.searched.score:.3f} {_soft(f'within {epochs_text(run.searched.epochs)}')}"


def _retrained(run: Evidence) -> str:
    if run.network_score is None:
        return "–"
    return f"{run.network_score:.3f} {_soft(f'epoch {run.metrics.best_epoch} of {run.metrics.epochs}')}"


def _published(run: Evidence) -> str:
    bounds = "" if run.validated is None else f" {_soft(f'{run.validated[0]:.3f}–{run.validated[1]:.3f}')}"
    return f"{run.metrics.val.f1_macro:.3f}{bounds}"


def _soft(text: str) -> str:
    return f'<span class="soft">{text}</span>'

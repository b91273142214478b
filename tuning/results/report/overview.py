"""`artifacts/searches/report.html`: all searches of a workspace on one page, with a link to the page of each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from tuning.core import files
from tuning.core.errors import DataError, TuningError
from tuning.core.html import document
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import read_info
from tuning.engine.budget import duration
from tuning.history import searches
from tuning.history.source import JOURNAL
from tuning.history.status import WORDS, is_open, status_of
from tuning.results.report import PAGE, asset, outdated, write
from tuning.results.report.html import remark, table
from tuning.results.runs import best_run, readable_run
from tuning.results.schema import Metrics, base_words


@dataclass(frozen=True)
class Row:
    """A search in the table.

    Attributes:
        name: name of the search.
        status: a key of `history.status.WORDS`.
        data_digest: digest of the data that it was run on.
        asked: strategy and space.
        trials: number of trials that have ended.
        seconds: running time; None if unknown.
        worked: time of the last write to its journal, in seconds since 1970; 0 without a journal.
        run: its best published run, by test macro-F1; None if there is none.
        score: the best validation macro-F1 of its trials; None if no trial completed.
    """

    name: str
    status: str
    data_digest: str
    asked: str
    trials: int
    seconds: float | None
    worked: float
    run: Metrics | None
    score: float | None

    @property
    def base(self) -> str:
        """The result of `base_words` for its best run."""
        return base_words(self.run.base if self.run else None)

    @property
    def words(self) -> str:
        """One line for the terminal."""
        found = "no score yet" if self.score is None else f"validation {self.score:.3f}, not tested yet"
        if self.run is not None:
            found = f"test {self.run.test.f1_macro:.3f} ({self.run.run_id}){self.base}"
        return f"{self.name}: {WORDS[self.status]}, data {self.data_digest[:12]}, {found}"


def write_overview(workspace: Workspace) -> tuple[Path, list[Row], list[str]]:
    """Writes the overview, and the outdated pages of searches.

    Returns:
        the path of the overview, its rows, and a sentence for each search that cannot be read.
    """
    rows, problems = [], []
    for folder in searches.folders(workspace):
        try:
            rows.append(_row(workspace, folder.name))
        except TuningError as error:
            problems.append(f"{folder.name}: {error.problem}")
    rows.sort(key=lambda row: (-row.worked, row.name))
    path = workspace.searches / PAGE
    files.write_text(path, render(rows, problems, _classes(workspace), workspace.pool_report.is_file()))
    # Written after the overview, so that these pages link back to it.
    for row in rows:
        if outdated(workspace, row.name):
            write(workspace, row.name)
    return path, rows, problems


def _row(workspace: Workspace, name: str) -> Row:
    search = searches.read(workspace, name)
    history, settings = search.history, search.settings
    # Unreadable runs are skipped here and named on the search's own page.
    runs = [readable_run(workspace.run(final.run_id)) for final in history.finals if final.published]
    return Row(
        name=name,
        status=status_of(history, is_open(search.directory)),
        data_digest=str(settings["data_digest"]),
        asked=f"{settings['strategy']} · {settings['space']}",
        trials=len(history.steps),
        seconds=history.seconds,
        worked=os.path.getmtime(search.directory / JOURNAL) if (search.directory / JOURNAL).is_file() else 0.0,
        run=best_run(filter(None, runs)),
        score=None if history.best is None else history.best.score,
    )


def _classes(workspace: Workspace) -> tuple[str, int] | None:
    """Returns digest and number of classes of the prepared data; None if no data is prepared."""
    try:
        info = read_info(workspace)
    except DataError:
        return None
    return info.digest, len(info.classes)


def render(rows: Sequence[Row], problems: Iterable[str], now: tuple[str, int] | None, pool: bool) -> str:
    """Returns the page as HTML.

    Args:
        rows: the searches, the most recently active first.
        problems: a sentence for each search that could not be read.
        now: digest and number of classes of the prepared data; None if no data is prepared.
        pool: whether there is a pool report to link to.
    """
    by_data: dict[str, list[Row]] = {}
    for row in rows:
        by_data.setdefault(row.data_digest, []).append(row)
    parts = [_data(digest, own, now, pool) for digest, own in by_data.items()]
    warnings = "".join(f'<p class="verdict bad">{escape(problem)}</p>' for problem in problems)
    lead = (
        "The search that ran last comes first; dates are those of its files. Scores can only be compared within a "
        "table, because each has its own test images. ★ marks the best of a table."
    )
    head = f'<header><h1>All searches</h1><p class="sub">{lead}</p></header>'
    nothing = "" if rows else remark("There is no search that can be read.")
    return document("All searches", f"{head}{warnings}{nothing}{''.join(parts)}", style=asset("report.css"))


def _data(digest: str, rows: Sequence[Row], now: tuple[str, int] | None, pool: bool) -> str:
    current = now is not None and now[0] == digest
    words = f"as currently prepared, {now[1]} classes" if current and now else "prepared at another time"
    link = ' · <a href="../outputs/pool_report.html">pool report</a>' if current and pool else ""
    scores = [row.run.test.f1_macro for row in rows if row.run]
    top = max(scores, default=None)
    names = ("search", "state", "strategy · space", "best", "trials", "running time", "last at work")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(_line(row, top) for row in rows)
    return (
        f'<section><h2>Data <code>{escape(digest[:12])}</code></h2><p class="lead">{words}{link}</p>'
        f"{table('plain numbers searches', f'<tr>{head}</tr>', body)}</section>"
    )


def _line(row: Row, top: float | None) -> str:
    cells = {
        "state": escape(WORDS[row.status]),
        "strategy · space": escape(row.asked),
        "best": _best(row, top),
        "trials": f"{row.trials:,}",
        "running time": "–" if row.seconds is None else duration(row.seconds),
        "last at work": time.strftime("%Y-%m-%d %H:%M", time.localtime(row.worked)) if row.worked else "–",
    }
    shown = "".join(f'<td data-name="{name}">{text}</td>' for name, text in cells.items())
    return f'<tr><th scope="row"><a href="{quote(row.name)}/{PAGE}">{escape(row.name)}</a></th>{shown}</tr>'


def _best(row: Row, top: float | None) -> str:
    if row.run is None:
        return "–" if row.score is None else f"validation {row.score:.3f}, not tested yet"
    run, mark = row.run, " ★" * (row.run.test.f1_macro == top)
    low, high = run.test.f1_macro_interval
    link = f'<a href="../trials/{quote(run.run_id)}/">{escape(run.role)}</a>'
    return f"<b>test {run.test.f1_macro:.3f}{mark}</b> ({low:.3f}–{high:.3f}), {link}{row.base}"


def summary(rows: Iterable[Row]) -> list[Mapping[str, object]]:
    """Returns the rows as JSON objects for programs."""
    return [
        {
            "search": row.name,
            "standing": row.status,
            "data_digest": row.data_digest,
            "trials": row.trials,
            "best_run": row.run.run_id if row.run else None,
            "test_f1_macro": row.run.test.f1_macro if row.run else None,
            "val_f1_macro": row.score,
        }
        for row in rows
    ]

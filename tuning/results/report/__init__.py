"""The report of a search: `artifacts/searches/<name>/report.html`, with its main charts as PNG files beside it.

The page is written from the search's journal and its runs' own files without taking their locks, at any time: while the
search runs, after it ended, or after it was killed. It loads no external resources, and writing it never opens the test
split.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files as resources
from pathlib import Path

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.html import document
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import read_info
from tuning.history import searches
from tuning.history.searches import Search
from tuning.history.source import JOURNAL
from tuning.history.status import WORDS, is_open, status_of
from tuning.results.report import sections
from tuning.results.report.comparable import comparable
from tuning.results.report.data import compared_entries, ordered, scored
from tuning.results.report.evidence import Evidence, compare, in_search, read_evidence
from tuning.results.report.finals_part import finals_part
from tuning.results.report.importance import Importance, importances
from tuning.results.report.importance_part import importance_part
from tuning.results.report.time_part import time_part
from tuning.results.report.trials_part import trials_part
from tuning.results.report.verdict import Verdict, verdict

PAGE = "report.html"


@dataclass(frozen=True)
class Report:
    """The content of a report.

    Attributes:
        search: the search as read from its folder.
        status: state of the search, a key of `history.status.WORDS`.
        runs: published runs, best test score first.
        importances: importances of the hyperparameters, per budget.
        verdict: the verdict in words.
        classes: number of classes of the search's data; None if that data is no longer prepared.
        links: links to related files, as (text, address relative to the page).
        problems: a sentence for each run that could not be read.
    """

    search: Search
    status: str
    runs: tuple[Evidence, ...]
    importances: tuple[Importance, ...]
    verdict: Verdict
    classes: int | None
    links: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]


def collect(workspace: Workspace, name: str) -> Report:
    """Reads a search and its runs as they are now.

    Raises:
        UsageError: there is no search of that name; the message lists the existing ones.
        DataError: the settings cannot be read.
        StateError: the settings were edited, or the journal is damaged or contradicts itself.
    """
    search = searches.read(workspace, name)
    history = search.history
    runs, problems = read_evidence(workspace, [final.run_id for final in history.finals if final.published])
    runs = in_search(history, runs, _reused_seed(search))
    status = status_of(history, is_open(search.directory))
    claims = compare(workspace, runs)
    return Report(
        search=search,
        status=status,
        runs=tuple(runs),
        importances=importances(history, search.settings.get("seed", 0)),
        verdict=verdict(history, status, runs, claims),
        classes=_classes(workspace, search.settings.get("data_digest")),
        links=_links(workspace),
        problems=tuple(problems),
    )


def _reused_seed(search: Search) -> int | None:
    """Returns the seed of the final runs that continued a trial (`--reuse-trials`); None if none did."""
    return search.settings.get("seed") if search.settings.get("reuse_trials") else None


def _score_error(runs: Sequence[Evidence]) -> float | None:
    """Returns half the width of the 95 % interval of a validation score, as the median over all runs."""
    widths = [(run.validated[1] - run.validated[0]) / 2 for run in runs if run.validated]
    return statistics.median(widths) if widths else None


def _classes(workspace: Workspace, data_digest: str | None) -> int | None:
    try:
        info = read_info(workspace)
    except DataError:
        return None
    return len(info.classes) if info.digest == data_digest else None


def render(report: Report, refresh: int = 0) -> str:
    """Returns the page as HTML.

    Args:
        refresh: seconds after which the page reloads itself; 0 for never.
    """
    search, history = report.search, report.search.history
    compared = comparable(history, report.importances)
    entries, parameters = scored(history, report.runs), ordered(history, report.importances)
    equal = compared_entries(entries, compared.scores)
    parts = [("verdict", sections.verdict_part(report.verdict, history, report.runs, report.problems))]
    if history.configurations or search.plan is not None:
        parts.append(("time", time_part(history, report.runs, search.plan, report.classes, _reused_seed(search))))
    if history.configurations:
        parts += [
            ("progress", sections.progress_part(history, entries)),
            ("learning curves", sections.curves_part(entries)),
            ("rungs", sections.rungs_part(history, entries)),
            (
                "configurations",
                trials_part(search.name, entries, equal, parameters, report.runs, compared, _score_error(report.runs)),
            ),
            ("importance", importance_part(compared, report.importances)),
            ("slices", sections.slices_part(equal, parameters, compared)),
        ]
    parts += [
        ("failed trials", sections.failures_part(history)),
        ("finalists", finals_part(report.runs, history.finals)),
        (
            "how to repeat it",
            sections.repeat_part(
                search.settings, search.settings_digest, report.runs, search.plan, history.stopped, search.accepted
            ),
        ),
    ]
    shown = [(title, html) for title, html in parts if html]
    body = "\n".join([_head(report), _navigation(shown), *(html for _, html in shown)])
    return document(
        f"{search.name} · search report",
        body,
        style=asset("report.css"),
        script=asset("report.js"),
        refresh=refresh,
    )


def outdated(workspace: Workspace, name: str) -> bool:
    """Whether a search has no page, or its journal or the leaderboard changed after the page was written.

    The leaderboard counts because the verdict also depends on the scores and seeds of other runs.
    """
    page, sources = workspace.search(name) / PAGE, (workspace.search(name) / JOURNAL, workspace.leaderboard)
    return not page.is_file() or any(
        path.is_file() and page.stat().st_mtime_ns < path.stat().st_mtime_ns for path in sources
    )


def write(workspace: Workspace, name: str, refresh: int = 0) -> tuple[Path, Report]:
    """Writes the page and its pictures into the search's folder; returns the page's path and its content.

    Raises:
        TuningError: as `collect`.
    """
    # Imported here because matplotlib takes a second to import.
    from tuning.results.plots import save
    from tuning.results.report.pictures import pictures

    report = collect(workspace, name)
    directory = workspace.search(name)
    files.write_text(directory / PAGE, render(report, refresh))
    for picture, figure in pictures(report.search.history, report.importances, name).items():
        save(figure, directory / picture)
    return directory / PAGE, report


def _head(report: Report) -> str:
    settings = report.search.settings
    facts = [settings.get("strategy"), settings.get("space"), f"data {str(settings.get('data_digest'))[:12]}"]
    words = " · ".join(escape(str(fact)) for fact in facts if fact)
    return (
        f'<header><h1>{escape(report.search.name)}</h1><p class="sub">{words} '
        f'<span class="chip">{escape(WORDS[report.status])}</span></p>{_link_list(report.links)}</header>'
    )


def _links(workspace: Workspace) -> tuple[tuple[str, str], ...]:
    """Returns the links to existing related files, as (text, address relative to the page)."""
    places = {
        "the data: pool report": workspace.pool_report,
        "leaderboard": workspace.leaderboard,
        "card of the promoted model": workspace.models / "README.md",
        "all searches": workspace.searches / PAGE,
    }
    here = workspace.search("any")
    return tuple(
        (words, os.path.relpath(path, here).replace(os.sep, "/")) for words, path in places.items() if path.is_file()
    )


def _link_list(links: Sequence[tuple[str, str]]) -> str:
    shown = "".join(f'<a href="{address}">{words}</a>' for words, address in links)
    return f'<p class="beside">{shown}</p>' if shown else ""


def _navigation(parts: Sequence[tuple[str, str]]) -> str:
    links = []
    for title, html in parts:
        anchor = html.partition('id="')[2].partition('"')[0]
        links.append(f'<a href="#{anchor}">{title}</a>')
    return f'<nav class="jump" aria-label="Sections">{"".join(links)}</nav>'


def asset(name: str) -> str:
    """Returns the text of a file in `assets/`."""
    return (resources("tuning.results.report") / "assets" / name).read_text(encoding="utf-8")

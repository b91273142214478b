"""Converts a journal's entries to typed facts about the search.

Most readers outside the engine start from `records.Facts`; in this package, `decisions` and `nodes` read entries, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuning.core.errors import RESTORE, DataError
from tuning.core.records import configuration
from tuning.engine import journal
from tuning.engine.audit import audit
from tuning.engine.entries import Entry, OpenedTestSplit, Result, Spent, UnopenedTestSplit
from tuning.engine.loop import outcome_of, trial_key
from tuning.engine.state import SearchState, replay
from tuning.history.decisions import decisions
from tuning.history.nodes import node_lines
from tuning.history.records import Facts, FinalRun

JOURNAL = "journal.jsonl"
_TRIALS = trial_key("")


@dataclass(frozen=True)
class Soundness:
    """The progress of a search with a sound journal.

    Attributes:
        trials: number of proposed trials.
        jobs, done: number of jobs, and how many of them have a result.
        torn: the journal's last line is incomplete; the next start drops it.
    """

    trials: int
    jobs: int
    done: int
    torn: bool


def read_facts(directory: Path) -> Facts:
    """The facts in the journal of a search's folder; another process may be writing it.

    Raises:
        StateError: the journal is damaged, or contradicts itself.
    """
    return facts_of(journal.read(directory / JOURNAL))


def facts_of(records: Sequence[Entry]) -> Facts:
    """The facts in a journal's entries.

    Raises:
        StateError: the entries contradict each other.
    """
    state = replay(records)
    proposals = tuple(asked.trial for asked in state.asks)
    specs = {trial_key(spec.trial_id): spec for spec in proposals}
    # If a trial was run again, its last result counts, also for the order.
    last = {record.key: record.n for record in records if isinstance(record, Result) and record.key in specs}
    ended = [key for key in sorted(last, key=lambda key: last[key]) if state.job(key).result is not None]
    outcomes = {}
    for key in ended:
        result = state.jobs[key].result
        if result is not None:
            outcomes[specs[key].trial_id] = outcome_of(specs[key], result)
    described = _described(state)
    return Facts(
        proposals=proposals,
        outcomes=outcomes,
        times=tuple(_times(records, {last[key] for key in ended})),
        space=(*described.get("space", ()), *_declared_later(state)),
        defaults=configuration(described.get("defaults", {})),
        finals=_finals(state),
        test_evaluations=tuple(_test_evaluations(records)),
        seconds=sum(record.seconds for record in state.spent) if state.spent else None,
        stopped=state.stopped,
        reopened=_reopened(state),
        decisions=decisions(records),
        nodes=node_lines(records),
    )


def recorded_evaluations(path: Path) -> list[str]:
    """The run id of each evaluation on the test split in a journal, up to its first damaged line.

    Raises:
        OSError: the file cannot be read.
    """
    return _test_evaluations(journal.parse(path.read_bytes()).records)


def _test_evaluations(records: Sequence[Entry]) -> list[str]:
    """The run id of each evaluation on the test split, except those withdrawn because the run failed first."""
    unopened = {record.key for record in records if isinstance(record, UnopenedTestSplit)}
    return [record.run_id for record in records if isinstance(record, OpenedTestSplit) and record.key not in unopened]


def check(directory: Path) -> Soundness:
    """Checks the journal in a search's folder, more strictly than reading it does.

    Raises:
        DataError: the journal is missing or damaged, or violates a rule of `audit`.
    """
    path = directory / JOURNAL
    if not path.exists():
        raise DataError(f"{path} is gone", RESTORE)
    content = path.read_bytes()
    parsed = journal.parse(content)
    if parsed.damage:
        raise DataError(f"{path}: {parsed.damage}", RESTORE)
    if found := audit(parsed.records):
        raise DataError(f"{path}: {'; '.join(found)}", RESTORE)
    state = replay(parsed.records)
    done = sum(job.result is not None for job in state.jobs.values())
    return Soundness(len(state.asks), len(state.jobs), done, parsed.length < len(content))


def _described(state: SearchState) -> Mapping[str, Any]:
    for key in ("describe", "describe-default"):
        job = state.jobs.get(key)
        if job and job.result and "error" not in job.result:
            return job.result
    return {}


def _declared_later(state: SearchState) -> Iterable[Mapping[str, Any]]:
    """Hyperparameters that a builder declared only in a trial."""
    for key, job in state.jobs.items():
        if key.startswith(_TRIALS) and job.result:
            yield from job.result.get("space", ())


def _times(records: Iterable[Entry], ended: set[int]) -> list[float | None]:
    """Running time at the end of each trial, in the order in which they ended; None without journaled times.

    Running time is journaled every half minute; the ends of the trials in between are spread evenly over the interval.
    Trials that ended after the last such entry have its time.

    Args:
        ended: numbers of the trials' result entries.
    """
    times: list[float | None] = []
    waiting, total = 0, 0.0
    for record in records:
        if isinstance(record, Result) and record.n in ended:
            waiting += 1
        elif isinstance(record, Spent):
            times += [total + record.seconds * (place + 1) / waiting for place in range(waiting)]
            waiting, total = 0, total + record.seconds
    return times + [total or None] * waiting


def _reopened(state: SearchState) -> bool:
    """Whether the finals of a larger budget are not planned yet, or trials are unfinished although finals exist."""
    if state.earlier_finals and not state.planned_finals:
        return True
    trials = (state.jobs.get(trial_key(asked.trial.trial_id)) for asked in state.asks)
    return bool(state.test_openings) and not state.stopped and any(job is None or job.result is None for job in trials)


def _finals(state: SearchState) -> tuple[FinalRun, ...]:
    published = {record.run_id for record in state.published}
    latest: dict[str, FinalRun] = {}
    for record in state.test_openings:
        changes, job = state.new_lengths.get(record.run_id), state.jobs.get(record.key)
        result = job.result if job else None
        error = (result or {}).get("error")
        if (changes and not changes[-1].until) or (record.key in state.withdrawn and not error):
            # Left out for lack of time, or withdrawn in favour of later plans: it will not be published.
            continue
        latest[record.run_id] = FinalRun(
            record.run_id,
            record.purpose,
            error["message"] if error else None,
            result is not None,
            record.run_id in published,
        )
    return tuple(latest.values())

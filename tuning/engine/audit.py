"""Audits a journal for lost, duplicate and misordered entries. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tuning.core.errors import StateError
from tuning.engine.entries import Attempt, Entry, OpenedTestSplit
from tuning.engine.loop import trial_key
from tuning.engine.state import SearchState, replay

_FINAL = "final/"


def audit(records: Sequence[Entry], ended: bool = False) -> list[str]:
    """One phrase for each violation; empty if the journal is sound.

    Args:
        records: the journal's entries, in order.
        ended: the search has run to its end, so that no job may be unfinished.
    """
    wrong = [f"record {index} carries number {record.n}" for index, record in enumerate(records) if record.n != index]
    try:
        # Refuses a result without an attempt, a second result, and a fencing number that is not the latest.
        state = replay(records)
    except StateError as error:
        return [*wrong, error.problem]
    asked = Counter(ask.trial.trial_id for ask in state.asks)
    wrong += [f"trial {trial_id} was proposed {count} times" for trial_id, count in asked.items() if count > 1]
    wrong += [
        f"{key} ran, but was never proposed"
        for key in state.jobs
        if key.startswith(trial_key("")) and key.removeprefix(trial_key("")) not in asked
    ]
    wrong += _unsealed(records)
    return wrong + (_unfinished(state, list(asked)) if ended else [])


def _unsealed(records: Sequence[Entry]) -> list[str]:
    """Final runs that began before their opening of the test split was recorded, or that opened it more than once."""
    opened: Counter[str] = Counter()
    wrong = []
    for record in records:
        if isinstance(record, OpenedTestSplit):
            opened[record.key] += 1
        elif isinstance(record, Attempt) and record.key.startswith(_FINAL) and not opened[record.key]:
            wrong.append(f"record {record.n}: {record.key} ran before its opening of the test split was recorded")
    return wrong + [f"{key} opened the test split {count} times" for key, count in opened.items() if count > 1]


def _unfinished(state: SearchState, asked: Sequence[str]) -> list[str]:
    wrong = []
    if not state.stopped:
        wrong += [
            f"trial {trial_id} has no result"
            for trial_id in asked
            if (job := state.jobs.get(trial_key(trial_id))) is None or job.result is None
        ]
    published = {record.key for record in state.published}
    for key, job in state.jobs.items():
        if not key.startswith(_FINAL) or key in state.withdrawn:
            continue
        if job.result is None:
            wrong.append(f"{key} has no result")
        elif "error" not in job.result and key not in published:
            wrong.append(f"{key} was never published")
    return wrong

"""What a journal says, by replay: pure functions over its records.

Kinds of record, in the field `type`:

- `begin`      the search's settings digest
- `described`  what the search space holds (`description`)
- `ask`        a proposal (`trial`: a `TrialSpec`), in logical order, made when so many trials had been `told`
- `attempt`    about to run `key`, from `epoch` on; the record's number is the attempt's fencing number
- `died`       attempt `fence` of `key` ended without a result, through no doing of ours (`failure`)
- `result`     attempt `fence` of `key` ended with `result`
- `spent`      seconds of running time since the last such record
- anything else is carried along for whoever wrote it (`finalists`, `test-opened`, `published`, …)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tuning.core.errors import StateError

Record = dict[str, Any]


@dataclass
class JobState:
    """The attempts of one job.

    Attributes:
        fence: number of the latest attempt; only a result that carries it counts.
        deaths: attempts seen to die, with their failures; those whose node or worker was merely lost apart.
        result: the result, once there is one.
        epoch: epochs that were done when an attempt began.
        unresolved: attempts from that epoch on that neither died nor ended before our eyes: the whole search was
            killed meanwhile. Those that got further are no cause for suspicion.
    """

    fence: int | None = None
    deaths: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    epoch: int = 0
    unresolved: int = 0


@dataclass
class SearchState:
    """Everything the journal knows.

    Attributes:
        jobs: by their keys.
        asks: the trials proposed.
        told: for each of them, how many trials had been told; 0 in journals that do not say.
        others: records by kind.
    """

    jobs: dict[str, JobState] = field(default_factory=dict)
    asks: list[dict[str, Any]] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    others: dict[str, list[Record]] = field(default_factory=dict)

    def job(self, key: str) -> JobState:
        return self.jobs.setdefault(key, JobState())

    def first(self, kind: str) -> Record | None:
        """The first record of a kind that only its writer interprets."""
        records = self.others.get(kind)
        return records[0] if records else None


def replay(records: Iterable[Record]) -> SearchState:
    """The state after all records, in order.

    Raises:
        StateError: a result or death whose fencing number is not that of the job's latest attempt.
    """
    state = SearchState()
    for record in records:
        apply(state, record)
    return state


def apply(state: SearchState, record: Record) -> None:
    """Advances `state` by one record."""
    kind = record["type"]
    if kind == "ask":
        state.asks.append(record["trial"])
        state.told.append(record.get("told", 0))
    elif kind == "attempt":
        job = state.job(record["key"])
        if job.result is not None:
            raise StateError(f"record {record['n']}: {record['key']} is attempted again after its result", _REMEDY)
        job.fence = record["n"]
        if record.get("epoch", 0) > job.epoch:
            job.epoch, job.unresolved = record["epoch"], 0
        job.unresolved += 1
    elif kind in ("died", "result"):
        job = state.job(record["key"])
        if not accepts(job, record["fence"]):
            raise StateError(f"record {record['n']}: {record['key']} has no open attempt {record['fence']}", _REMEDY)
        if kind == "died":
            job.fence = None
            # A lost node or a worker that fell silent says as little of the configuration as a killed search.
            if record["failure"]["kind"] != "lost":
                job.deaths.append(record["failure"])
                job.unresolved -= 1
        else:
            job.unresolved -= 1
            job.result = record["result"]
    else:
        state.others.setdefault(kind, []).append(record)


def accepts(job: JobState, fence: int) -> bool:
    """Whether a result or death of attempt `fence` still counts: it is the latest, and it is open."""
    return job.result is None and job.fence is not None and job.fence == fence


_REMEDY = "the journal contradicts itself: restore it from a copy, or start the search over with --fresh"

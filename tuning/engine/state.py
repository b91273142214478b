"""The state of a search, replayed from its journal: pure functions over the entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tuning.core.errors import StateError
from tuning.core.files import canonical_json
from tuning.core.plan import NewLength
from tuning.core.records import Failure, TrialSpec
from tuning.engine.entries import (
    Ask,
    Attempt,
    AttemptDied,
    Closing,
    Entry,
    Extended,
    NewLengths,
    Node,
    OpenedTestSplit,
    PlannedFinals,
    Published,
    Result,
    RetryFailed,
    Spent,
    Stopped,
    UnopenedTestSplit,
    Withdrawn,
)

_REMEDY = "the journal contradicts itself: restore it from a copy, or start the search over with --fresh"


@dataclass
class JobState:
    """The attempts of one job.

    Attributes:
        fence: fencing number of the latest attempt, the only one whose result counts; None once that attempt has died.
        deaths: failures of the attempts that were seen to die, except those that were stopped by the search or whose
            node or worker was merely lost.
        result: the result as JSON, with a `JobError` under `error` if the job failed; None while there is none.
        epoch: the most epochs that were done when an attempt began.
        unresolved: number of attempts since that epoch was reached whose end was not observed, because the whole
            search was killed, or their node or worker was lost; a running attempt counts, too. Progress resets the
            number, because an attempt that got further is not suspect.
    """

    fence: int | None = None
    deaths: list[Failure] = field(default_factory=list)
    result: dict[str, Any] | None = None
    epoch: int = 0
    unresolved: int = 0


@dataclass
class SearchState:
    """The state that follows from a journal.

    Attributes:
        jobs: job key -> its attempts.
        asks: the proposed trials, in logical order.
        phases: the points from which on no new configurations were begun, or were begun again; in order.
        stopped: whether the search ended before its strategy was done.
        spent: running time.
        test_openings: evaluations on the test split, each recorded beforehand.
        unopened: keys of the jobs that failed before they opened it.
        former: jobs of withdrawn proposals, by the proposals' `content`; see `withdraw`.
        planned_finals: the decisions on final trainings, in order; empty without a budget.
        earlier_finals: those before the budget was extended.
        new_lengths: run id -> each decision on a new length of that final training, in order.
        published: runs whose files are in the workspace.
        withdrawn: keys of finals that will not be published.
        nodes: events of the nodes that jobs ran on, in order.
    """

    jobs: dict[str, JobState] = field(default_factory=dict)
    asks: list[Ask] = field(default_factory=list)
    phases: list[Closing | Extended] = field(default_factory=list)
    stopped: bool = False
    spent: list[Spent] = field(default_factory=list)
    test_openings: list[OpenedTestSplit] = field(default_factory=list)
    unopened: set[str] = field(default_factory=set)
    former: dict[str, JobState] = field(default_factory=dict)
    planned_finals: list[PlannedFinals] = field(default_factory=list)
    earlier_finals: list[PlannedFinals] = field(default_factory=list)
    new_lengths: dict[str, list[NewLength]] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)
    nodes: list[Node] = field(default_factory=list)

    @property
    def is_closing(self) -> bool:
        """Whether no new configuration may be begun."""
        return bool(self.phases) and isinstance(self.phases[-1], Closing)

    @property
    def extension(self) -> Extended | None:
        """The latest extension of the budget; None: there was none."""
        return next((phase for phase in reversed(self.phases) if isinstance(phase, Extended)), None)

    def job(self, key: str) -> JobState:
        return self.jobs.setdefault(key, JobState())


def replay(records: Iterable[Entry]) -> SearchState:
    """The state after all entries, in order.

    Raises:
        StateError: an attempt follows its job's result, or a result or death does not belong to the job's open attempt.
    """
    state = SearchState()
    for record in records:
        apply(state, record)
    return state


def apply(state: SearchState, record: Entry) -> None:
    """Advances `state` by one entry."""
    match record:
        case Ask():
            state.asks.append(record)
            if (job := state.former.pop(content(record.trial), None)) is not None:
                state.jobs[trial_key(record.trial.trial_id)] = job
        case RetryFailed():
            withdraw(state, record.trials, record.asks)
        case Attempt():
            _begin(state.job(record.key), record)
        case AttemptDied() | Result():
            _end(state.job(record.key), record)
        case Closing():
            state.phases.append(record)
        case Extended():
            state.phases.append(record)
            state.stopped = False
            state.earlier_finals += state.planned_finals
            state.planned_finals = []
        case Stopped():
            state.stopped = True
        case Spent():
            state.spent.append(record)
        case OpenedTestSplit():
            state.test_openings.append(record)
        case UnopenedTestSplit():
            state.unopened.add(record.key)
        case PlannedFinals():
            state.planned_finals.append(record)
        case NewLengths():
            for run in record.runs:
                state.new_lengths.setdefault(run.run_id, []).append(msgspec.structs.replace(run, since=record.n))
        case Published():
            state.published.append(record)
        case Withdrawn():
            state.published = [other for other in state.published if other.key != record.key]
            state.withdrawn.add(record.key)
        case Node():
            state.nodes.append(record)


def trial_key(trial_id: str) -> str:
    """The key of a trial's job in the journal."""
    return f"trial/{trial_id}"


def content(trial: TrialSpec) -> str:
    """The part of a proposal that its training depends on, as canonical JSON."""
    return canonical_json({name: value for name, value in msgspec.to_builtins(trial).items() if name != "cost"})


def withdraw(state: SearchState, trials: Sequence[str], asks: int) -> None:
    """Withdraws the results of `trials`, and the proposals after the first `asks`, which these may have influenced.

    The rest is the search as it would be if those trials had not ended yet. If a withdrawn proposal is made again with
    the same `content`, it gets its old job back, result included.
    """
    for ask in state.asks[asks:]:
        job = state.jobs.pop(trial_key(ask.trial.trial_id), None)
        if job is not None and ask.trial.trial_id not in trials:
            state.former[content(ask.trial)] = job
    for trial_id in trials:
        state.jobs.pop(trial_key(trial_id), None)
    del state.asks[asks:]
    # An extension of the budget stays; later decisions to begin nothing new are dropped and made again.
    state.phases = [
        msgspec.structs.replace(phase, asks=min(phase.asks, asks))
        for phase in state.phases
        if phase.asks <= asks or isinstance(phase, Extended)
    ]


def accepts(job: JobState, fence: int) -> bool:
    """Whether a result or death of attempt `fence` counts: the attempt is the latest and has not ended."""
    return job.result is None and job.fence is not None and job.fence == fence


def _begin(job: JobState, attempt: Attempt) -> None:
    if job.result is not None:
        raise StateError(f"record {attempt.n}: {attempt.key} is attempted again after its result", _REMEDY)
    job.fence = attempt.n
    if attempt.epoch > job.epoch:
        job.epoch, job.unresolved = attempt.epoch, 0
    job.unresolved += 1


def _end(job: JobState, record: AttemptDied | Result) -> None:
    if not accepts(job, record.fence):
        raise StateError(f"record {record.n}: {record.key} has no open attempt {record.fence}", _REMEDY)
    if isinstance(record, Result):
        job.unresolved -= 1
        job.result = record.result
        return
    job.fence = None
    # A lost node or a silent worker says as little about the configuration as a killed search: it stays unresolved.
    if record.failure.kind == "lost":
        return
    job.unresolved -= 1
    # Nor does an attempt that the search itself stopped.
    if record.failure.kind != "stopped":
        job.deaths.append(record.failure)

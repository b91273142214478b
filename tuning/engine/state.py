"""The state of a search, replayed from its journal: pure functions over the entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tuning.core.errors import StateError
from tuning.core.files import canonical_json
from tuning.core.plan import ShortenedFinal
from tuning.core.records import Failure, TrialSpec
from tuning.engine.entries import (
    Ask,
    Attempt,
    AttemptDied,
    Closing,
    Entry,
    Extended,
    Node,
    OpenedTestSplit,
    PlannedFinals,
    Published,
    Result,
    RetryFailed,
    ShortenedFinals,
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
        fence: number of the latest attempt; only a result that carries it counts.
        deaths: attempts seen to die, with their failures; those whose node or worker was merely lost, and those that
            were told to stop, apart.
        result: the result, once there is one: JSON, with a `JobError` under `error` where the job failed.
        epoch: epochs that were done when an attempt began.
        unresolved: attempts from that epoch on that neither died nor ended before our eyes: the whole search was
            killed meanwhile. Those that got further are no cause for suspicion.
    """

    fence: int | None = None
    deaths: list[Failure] = field(default_factory=list)
    result: dict[str, Any] | None = None
    epoch: int = 0
    unresolved: int = 0


@dataclass
class SearchState:
    """Everything the journal knows.

    Attributes:
        jobs: by their keys.
        asks: the trials proposed, in logical order.
        phases: from which proposals on nothing new was begun, and from which on it was again; in order.
        stopped: whether the search ended before its strategy was done.
        spent: running time.
        test_openings: evaluations on the test split, each recorded beforehand.
        unopened: keys of those jobs among them that failed before they opened it.
        former: jobs of proposals that no longer count, by the content of these; see `withdraw`.
        planned_finals: what was decided on the finals, in order; empty without a budget.
        earlier_finals: the same, before the budget was extended.
        shortened: final trainings that end earlier than planned, by their run ids: each time they were shortened.
        published: runs whose files are in the workspace.
        withdrawn: keys of finals of which nothing is to come any more.
        nodes: what has happened to machines that jobs ran on, in order.
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
    shortened: dict[str, list[ShortenedFinal]] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)
    nodes: list[Node] = field(default_factory=list)

    @property
    def is_closing(self) -> bool:
        """Whether nothing new is begun any more."""
        return bool(self.phases) and isinstance(self.phases[-1], Closing)

    @property
    def extension(self) -> Extended | None:
        """The latest larger budget; None: that of the plan holds."""
        return next((phase for phase in reversed(self.phases) if isinstance(phase, Extended)), None)

    def job(self, key: str) -> JobState:
        return self.jobs.setdefault(key, JobState())


def replay(records: Iterable[Entry]) -> SearchState:
    """The state after all entries, in order.

    Raises:
        StateError: a result or death whose fencing number is not that of the job's latest attempt.
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
        case ShortenedFinals():
            for run in record.runs:
                state.shortened.setdefault(run.run_id, []).append(msgspec.structs.replace(run, since=record.n))
        case Published():
            state.published.append(record)
        case Withdrawn():
            state.published = [other for other in state.published if other.key != record.key]
            state.withdrawn.add(record.key)
        case Node():
            state.nodes.append(record)


def trial_key(trial_id: str) -> str:
    """The name of a trial's job in the journal."""
    return f"trial/{trial_id}"


def content(trial: TrialSpec) -> str:
    """All of a proposal that its training depends on."""
    return canonical_json({name: value for name, value in msgspec.to_builtins(trial).items() if name != "cost"})


def withdraw(state: SearchState, trials: Sequence[str], asks: int) -> None:
    """Takes back the results of `trials`, and the proposals after the first `asks`, which these may have influenced.

    What remains is the beginning of the search as it would have been if those trials had not ended yet. A proposal that
    was taken back and is made again, equal in all that its training depends on, has its old job, result included.
    """
    for ask in state.asks[asks:]:
        job = state.jobs.pop(trial_key(ask.trial.trial_id), None)
        if job is not None and ask.trial.trial_id not in trials:
            state.former[content(ask.trial)] = job
    for trial_id in trials:
        state.jobs.pop(trial_key(trial_id), None)
    del state.asks[asks:]
    # A larger budget stays; that nothing new was begun is decided again.
    state.phases = [
        msgspec.structs.replace(phase, asks=min(phase.asks, asks))
        for phase in state.phases
        if phase.asks <= asks or isinstance(phase, Extended)
    ]


def accepts(job: JobState, fence: int) -> bool:
    """Whether a result or death of attempt `fence` still counts: it is the latest, and it is open."""
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
    # A lost node or a worker that fell silent says as little of the configuration as a killed search.
    if record.failure.kind == "lost":
        return
    job.unresolved -= 1
    # That it was told to stop says nothing.
    if record.failure.kind != "stopped":
        job.deaths.append(record.failure)

"""Replay: attempts, deaths and results by fencing number."""

from __future__ import annotations

import msgspec
import pytest

from tuning.core.errors import StateError
from tuning.core.plan import NewLength
from tuning.core.records import Failure, TrialSpec
from tuning.engine.entries import (
    Ask,
    Attempt,
    AttemptDied,
    NewLengths,
    OpenedTestSplit,
    Published,
    Result,
    Spent,
    Stopped,
)
from tuning.engine.state import accepts, replay


def numbered(*records):
    return [msgspec.structs.replace(record, n=n) for n, record in enumerate(records)]


def result(fence, **result):
    return Result(key="trial/0", fence=fence, result=result)


ATTEMPT = Attempt(key="trial/0")
FAILURE = Failure("crash", "killed")
DIED = AttemptDied(key="trial/0", fence=0, failure=FAILURE)


def test_a_result_ends_its_job():
    state = replay(numbered(ATTEMPT, result(0, score=1)))
    job = state.jobs["trial/0"]
    assert (job.result, job.unresolved) == ({"score": 1}, 0)
    assert not accepts(job, 0)


def test_only_the_latest_attempt_may_commit():
    state = replay(numbered(ATTEMPT, ATTEMPT))
    job = state.jobs["trial/0"]
    assert not accepts(job, 0)
    assert accepts(job, 1)
    assert job.unresolved == 2


def test_a_lost_node_is_no_death_of_the_configuration():
    lost = Failure("lost", "the node is gone")
    state = replay(numbered(ATTEMPT, AttemptDied(key="trial/0", fence=0, failure=lost)))
    job = state.jobs["trial/0"]
    assert (job.deaths, job.unresolved, job.fence) == ([], 1, None)


def test_a_death_closes_its_attempt():
    state = replay(numbered(ATTEMPT, DIED, ATTEMPT))
    job = state.jobs["trial/0"]
    assert job.deaths == [FAILURE]
    assert job.unresolved == 1
    assert accepts(job, 2)


@pytest.mark.parametrize(
    "records",
    [
        numbered(result(0)),
        numbered(ATTEMPT, ATTEMPT, result(0)),
        numbered(ATTEMPT, *[DIED] * 2),
        numbered(ATTEMPT, result(0), ATTEMPT),
    ],
    ids=["never attempted", "stale fence", "died twice", "attempted after its result"],
)
def test_a_journal_that_contradicts_itself_is_refused(records):
    with pytest.raises(StateError, match="record"):
        replay(records)


def test_entries_of_a_kind_are_kept_in_order():
    asks = [Ask(trial=TrialSpec(name, {}), completed=0) for name in "ab"]
    opened = OpenedTestSplit(key="final/a", run_id="a", purpose="train")
    published = Published(key="final/a", run_id="a")
    records = numbered(*asks, Spent(seconds=1.0), opened, published, Stopped())
    state = replay(records)
    assert (state.asks, state.spent) == (records[:2], [records[2]])
    assert (state.test_openings, state.published, state.stopped) == ([records[3]], [records[4]], True)


def test_a_training_that_was_shortened_knows_from_which_attempts_on():
    cut = NewLengths(runs=[NewLength(run_id="a", after=2, until=4)])
    state = replay(numbered(Attempt(key="final/a"), cut, Attempt(key="final/a")))
    assert state.jobs["final/a"].fence == 2
    assert state.new_lengths == {"a": [NewLength(run_id="a", after=2, until=4, since=1)]}
    # In the journal it is the entry's number, and nothing else.
    assert msgspec.to_builtins(cut)["runs"] == [{"run_id": "a", "after": 2, "until": 4}]


def test_each_time_that_a_final_training_was_shortened_is_kept_in_order():
    cuts = [
        NewLength(run_id="a-s0", after=20, until=35),
        NewLength(run_id="b-s0", after=0, until=0),
        NewLength(run_id="a-s0", after=26, until=30),
    ]
    state = replay(numbered(Spent(seconds=1.0), NewLengths(runs=cuts[:2]), NewLengths(runs=cuts[2:])))
    first, left_out, second = (msgspec.structs.replace(cut, since=n) for cut, n in zip(cuts, (1, 1, 2), strict=True))
    assert state.new_lengths == {"a-s0": [first, second], "b-s0": [left_out]}

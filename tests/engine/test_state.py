"""Replay: attempts, deaths and results by fencing number."""

from __future__ import annotations

import pytest

from tuning.core.errors import StateError
from tuning.engine.state import accepts, replay


def numbered(*records):
    return [{"n": n, **record} for n, record in enumerate(records)]


ATTEMPT = {"type": "attempt", "key": "trial/0"}
FAILURE = {"kind": "crash", "message": "killed"}


def test_a_result_ends_its_job():
    state = replay(numbered(ATTEMPT, {"type": "result", "key": "trial/0", "fence": 0, "result": {"score": 1}}))
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
    lost = {"kind": "lost", "message": "the node is gone"}
    state = replay(numbered(ATTEMPT, {"type": "died", "key": "trial/0", "fence": 0, "failure": lost}))
    job = state.jobs["trial/0"]
    assert (job.deaths, job.unresolved, job.fence) == ([], 1, None)


def test_a_death_closes_its_attempt():
    state = replay(numbered(ATTEMPT, {"type": "died", "key": "trial/0", "fence": 0, "failure": FAILURE}, ATTEMPT))
    job = state.jobs["trial/0"]
    assert job.deaths == [FAILURE]
    assert job.unresolved == 1
    assert accepts(job, 2)


@pytest.mark.parametrize(
    "records",
    [
        numbered({"type": "result", "key": "trial/0", "fence": 0, "result": {}}),
        numbered(ATTEMPT, ATTEMPT, {"type": "result", "key": "trial/0", "fence": 0, "result": {}}),
        numbered(ATTEMPT, *[{"type": "died", "key": "trial/0", "fence": 0, "failure": FAILURE}] * 2),
        numbered(ATTEMPT, {"type": "result", "key": "trial/0", "fence": 0, "result": {}}, ATTEMPT),
    ],
    ids=["never attempted", "stale fence", "died twice", "attempted after its result"],
)
def test_a_journal_that_contradicts_itself_is_refused(records):
    with pytest.raises(StateError, match="record"):
        replay(records)


def test_asks_and_foreign_records_are_kept_in_order():
    state = replay(numbered({"type": "ask", "trial": {"trial_id": "0"}}, {"type": "published", "run_id": "a"}))
    assert state.asks == [{"trial_id": "0"}]
    assert state.others["published"] == [{"n": 1, "type": "published", "run_id": "a"}]

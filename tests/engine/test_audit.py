"""The audit: a sound journal has no finding, and each kind of unsoundness has its own."""

from __future__ import annotations

import msgspec
import pytest

from tuning.core.records import TrialSpec
from tuning.engine.audit import audit
from tuning.engine.entries import Ask, Attempt, OpenedTestSplit, Published, Result, Spent, Stopped

ASK = Ask(trial=TrialSpec("0", {}), completed=0)
ATTEMPT = Attempt(key="trial/0")
RESULT = Result(key="trial/0", fence=1, result={})
OPENED = OpenedTestSplit(key="final/a", run_id="a", purpose="finalist")
FINAL = Attempt(key="final/a")
PUBLISHED = Published(key="final/a", run_id="a")


def numbered(*records):
    return [msgspec.structs.replace(record, n=n) for n, record in enumerate(records)]


def final_result(fence, **result):
    return Result(key="final/a", fence=fence, result=result)


SOUND = (ASK, ATTEMPT, RESULT, OPENED, FINAL, final_result(4), PUBLISHED)


def test_a_sound_journal_has_no_finding_nor_has_any_beginning_of_it():
    assert audit(numbered(*SOUND), ended=True) == []
    for length in range(len(SOUND)):
        assert audit(numbered(*SOUND)[:length]) == []


def test_a_stopped_search_owes_no_results_and_a_failed_run_no_publication():
    assert audit(numbered(ASK, Stopped()), ended=True) == []
    assert audit(numbered(OPENED, FINAL, final_result(1, error={})), ended=True) == []


@pytest.mark.parametrize(
    ("records", "finding"),
    [
        ((ASK, ATTEMPT, RESULT, RESULT), "no open attempt"),
        ((ASK, ATTEMPT, RESULT, ATTEMPT), "attempted again after its result"),
        ((ASK, RESULT), "no open attempt"),
        ((ASK, ASK), "proposed 2 times"),
        ((ATTEMPT,), "never proposed"),
        ((FINAL,), "before its opening of the test split"),
        ((OPENED, OPENED), "opened the test split 2 times"),
    ],
)
def test_what_must_never_be_is_found(records, finding):
    (found,) = audit(numbered(*records))
    assert finding in found


@pytest.mark.parametrize(
    ("records", "finding"),
    [
        ((ASK,), "trial 0 has no result"),
        ((ASK, ATTEMPT), "trial 0 has no result"),
        ((OPENED, FINAL), "final/a has no result"),
        ((OPENED, FINAL, final_result(1)), "never published"),
    ],
)
def test_what_must_not_be_at_the_end_is_found(records, finding):
    assert audit(numbered(*records)) == []
    (found,) = audit(numbered(*records), ended=True)
    assert finding in found


def test_a_gap_in_the_numbers_is_found():
    (found,) = audit([Spent(n=1, seconds=2.0)])
    assert "record 0 carries number 1" in found

"""A run of failures with one cause ends a search; failures of the configurations' own do not."""

from __future__ import annotations

import pytest

from tuning.core.errors import StateError
from tuning.core.records import COMPLETED, FAILED, Failure, TrialOutcome
from tuning.engine.failures import LIMIT, RunOfFailures


def failed(message, kind="exception"):
    return TrialOutcome("0", FAILED, failure=Failure(kind, message))


@pytest.fixture
def failures(tmp_path):
    return RunOfFailures("faces", tmp_path)


def test_the_last_of_a_run_ends_the_search_with_the_cause_and_where_to_look(failures, tmp_path):
    for number in range(LIMIT - 1):
        failures.tell(failed(f"no file /data/{number} at 0x{number:x}f"))
    with pytest.raises(StateError, match=f"{LIMIT} trials of faces in a row failed alike: no file /data/9") as caught:
        failures.tell(failed("no file /data/9 at 0x7fff"))
    assert str(tmp_path / "logs") in caught.value.remedy


@pytest.mark.parametrize("other", [TrialOutcome("1", COMPLETED, 0.5), failed("another"), failed("no", "memory")])
def test_anything_else_in_between_begins_the_count_anew(failures, other):
    for _ in range(3):
        for _ in range(LIMIT - 1):
            failures.tell(failed("no"))
        failures.tell(other)


@pytest.mark.parametrize("kind", ["not-finite", "too-large", "unfit"])
def test_what_configurations_have_of_themselves_never_ends_a_search(failures, kind):
    for epoch in range(3 * LIMIT):
        failures.tell(failed(f"loss became nan in epoch {epoch}", kind))

"""What failed is tried again, and the search ends as if it had not failed. The work is a toy."""

from __future__ import annotations

import json
import os

import msgspec
import pytest

from stress import toy
from tuning.core.errors import StateError
from tuning.core.records import TrialSpec
from tuning.engine import journal as journals
from tuning.engine.audit import audit
from tuning.engine.entries import Ask, Attempt, OpenedTestSplit, Result, RetryFailed
from tuning.engine.state import replay
from tuning.pipeline.resources import Resources
from tuning.pipeline.retry import failed_trials, unaffected_asks

from .conftest import records

BROKEN = toy.BROKEN


def answer(workspace, name):
    """What counts of the journal: proposals in order, and the result of each."""
    state = replay(journals.read(workspace.search(name) / "journal.jsonl"))
    asked = [msgspec.structs.replace(ask.trial, cost=None) for ask in state.asks]
    return asked, [state.jobs[f"trial/{spec.trial_id}"].result for spec in asked]


@pytest.fixture
def search(toy_search, monkeypatch):
    """search(name, broken="0001,0003") runs a search in which these trials fail."""

    def run(name, broken="", **given):
        monkeypatch.setenv(BROKEN, broken)
        brackets = {"factor": 2} if given.get("strategy") == "hyperband" else {}
        return toy_search(name, **{"max_trials": 9, "max_epochs": 4, "seed": 7, **brackets, **given})

    return run


@pytest.mark.parametrize(
    ("strategy", "window", "broken"),
    [
        ("random", 3, "0001,0004"),
        ("hyperband", 64, "0000,0002"),
        ("hyperband", 2, "0001,0003"),
        ("bayesian", 2, "0002"),
        ("hyperband", 4, "0002,0005"),
    ],
)
def test_a_search_ends_as_if_the_trials_had_not_failed(workspace, search, strategy, window, broken):
    more = {"strategy": strategy, "window": window}
    search("sound", **more)
    assert search("s", broken, **more).failed == broken.count(",") + 1
    again = search("s", retry_failed=True, resources=Resources(workers=2), **more)
    assert again.failed == 0
    assert answer(workspace, "s") == answer(workspace, "sound")
    assert audit(journals.read(workspace.search("s") / "journal.jsonl"), ended=True) == []
    (record,) = records(workspace, "retry-failed")
    assert record["trials"] == broken.split(",")
    # A resume sees the same, and trains nothing.
    before = len(records(workspace, "attempt"))
    assert search("s", **more).trials == again.trials
    assert len(records(workspace, "attempt")) == before


def test_wherever_it_is_killed_it_ends_the_same(workspace, search):
    more = {"strategy": "hyperband", "window": 2}
    search("sound", **more)
    search("s", "0001,0003", **more)
    journal = workspace.search("s") / "journal.jsonl"
    began = len(journal.read_bytes().splitlines())
    search("s", retry_failed=True, **more)
    lines = journal.read_bytes().splitlines(keepends=True)
    for kept in range(began, len(lines), 3):
        journal.write_bytes(b"".join(lines[:kept]))
        # Before the record was there, the failures still count; after it, no option is needed.
        decided = any(isinstance(entry, RetryFailed) for entry in journals.read(journal))
        search("s", retry_failed=not decided, **more)
        assert answer(workspace, "s") == answer(workspace, "sound")


def test_a_proposal_that_is_made_again_keeps_its_result(workspace, search):
    more = {"strategy": "random", "window": 2}
    search("s", "0001", **more)
    trained = {record["key"] for record in records(workspace, "attempt")}
    before = len(records(workspace, "attempt"))
    search("s", retry_failed=True, **more)
    again = [record["key"] for record in records(workspace, "attempt")][before:]
    assert again == ["trial/0001"]
    assert len(trained) == before


def test_a_failure_that_is_met_again_is_a_failure_again(workspace, search):
    assert search("s", "0001").failed == 1
    assert search("s", "0001", retry_failed=True).failed == 1
    assert search("s", retry_failed=True).failed == 0
    assert len(records(workspace, "retry-failed")) == 2


def test_nothing_that_failed_is_no_decision(workspace, search):
    search("s")
    search("s", retry_failed=True)
    assert records(workspace, "retry-failed") == []


def test_ten_failures_of_one_cause_do_not_block_for_ever(workspace, search):
    everything = ",".join(f"{number:04d}" for number in range(40))
    with pytest.raises(StateError, match="in a row failed alike") as refused:
        search("s", everything, max_trials=20)
    assert "--retry-failed" in refused.value.remedy
    with pytest.raises(StateError, match="in a row failed alike"):
        search("s", max_trials=20)
    assert search("s", retry_failed=True, max_trials=20).failed == 0


def test_a_search_whose_finalists_were_tested_is_over(workspace, search):
    search("s", "0001", max_trials=3)
    with journals.Journal(workspace.search("s") / "journal.jsonl") as open_journal:
        open_journal.append(OpenedTestSplit(key="final/x", run_id="x", purpose="finalist"))
    with pytest.raises(StateError, match="finalists were tested"):
        search("s", retry_failed=True, max_trials=3)


def asks(*completed):
    return [Ask(trial=TrialSpec(f"{n:04d}", {"rate": n}, 1), completed=count) for n, count in enumerate(completed)]


def ended(trial, error=None):
    result = {"trial_id": trial, "status": "COMPLETED"}
    if error:
        result = {"error": {"kind": error, "message": "m"}}
    return [Attempt(key=f"trial/{trial}"), Result(key=f"trial/{trial}", fence=0, result=result)]


def state_of(*entries):
    numbered, fence = [], 0
    for n, entry in enumerate(entries):
        fence = n if isinstance(entry, Attempt) else fence
        changes = {"fence": fence} if isinstance(entry, Result) else {}
        numbered.append(msgspec.structs.replace(entry, n=n, **changes))
    return replay(numbered)


def test_what_was_proposed_before_a_failure_was_told_stays():
    state = state_of(*asks(0, 0, 1, 2, 3), *ended("0001", "crash"), *ended("0002", "not-finite"))
    # A loss that diverges is the configuration's own.
    assert failed_trials(state) == ["0001"]
    assert unaffected_asks(state, ["0001"], window=2) == 3


def test_records_alone_say_what_counts():
    before = [*asks(0, 0, 1), *ended("0000", "crash"), *ended("0001"), *ended("0002")]
    retry = RetryFailed(trials=["0000"], asks=2)
    state = state_of(*before, retry)
    assert [ask.trial.trial_id for ask in state.asks] == ["0000", "0001"]
    assert set(state.jobs) == {"trial/0001"}
    same = state_of(*before, retry, *asks(0, 0, 1)[2:])
    assert same.jobs["trial/0002"].result
    other = Ask(trial=TrialSpec("0002", {"rate": 7}, 1), completed=1)
    assert "trial/0002" not in state_of(*before, retry, other).jobs


def test_finals_that_failed_are_trained_again_by_the_same_command(workspace, search):
    with pytest.raises(StateError, match=r"none of the 3 finalists .*the last one, s-.*the device is busy") as refused:
        search("s", "final", max_trials=4, top_k=2, search_only=False)
    assert "same command" in refused.value.remedy
    opened = records(workspace, "test-opened")
    assert [record["key"] for record in records(workspace, "test-unopened")] == [record["key"] for record in opened]
    result = search("s", max_trials=4, top_k=2, search_only=False)
    # Beside the mean of some of them.
    assert len([run for run in result.runs if "-ensemble-" not in run]) == len(opened)
    metrics = [json.loads((workspace.run(run) / "metrics.json").read_text()) for run in result.runs]
    assert {found["test_openings"] for found in metrics} == {1}
    assert audit(journals.read(workspace.search("s") / "journal.jsonl"), ended=True) == []
    assert os.environ[BROKEN] == ""

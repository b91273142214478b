"""One finalist that fails, or cannot be published, costs itself only. The work is a toy."""

from __future__ import annotations

import shutil

import pytest

from tuning.core.errors import DataError
from tuning.dataset.store.arrays import read_info
from tuning.engine import journal
from tuning.engine.audit import audit
from tuning.history import searches
from tuning.pipeline import finals
from tuning.results.report import collect


@pytest.fixture
def refusing(monkeypatch):
    """`refusing("-01-")`: no run whose id has that can be published; `refusing(None)`: all can."""
    publish, refused = finals.publish_run, [None]

    def publish_or_refuse(workspace, staged):
        if refused[0] is not None and refused[0] in staged.run_id:
            raise DataError("these are no probabilities", "end the model in a softmax")
        return publish(workspace, staged)

    monkeypatch.setattr(finals, "publish_run", publish_or_refuse)
    return lambda part: refused.__setitem__(0, part)


def test_a_finalist_that_cannot_be_published_is_left_out_and_tried_again(toy_search, refusing, workspace):
    refusing("-01-")
    for _ in range(2):
        result = toy_search("s", search_only=False, top_k=2, ensemble=False)
        (left_out,) = result.failures
        assert "-01-" in left_out and result.failures[left_out] == "these are no probabilities"
        assert result.promoted in result.runs and any("baseline" in run_id for run_id in result.runs)
        assert left_out not in result.runs and not workspace.run(left_out).exists()
    refusing(None)
    result = toy_search("s", search_only=False, top_k=2, ensemble=False)
    assert result.failures == {} and left_out in result.runs


def test_the_ensemble_made_while_a_final_had_failed_gives_way_to_that_of_all(toy_search, refusing, workspace, copied):
    given = {"search_only": False, "max_trials": 4, "top_k": 2, "executions": 2, "seed": 4}
    undisturbed = copied(workspace)
    toy_search("s", undisturbed, **given)
    refusing("-01-")
    first = toy_search("s", **given)
    assert first.failures and "-ensemble-" in first.runs[-1]
    refusing(None)
    for _ in range(2):
        found = toy_search("s", **given)
        assert "-ensemble-" in found.runs[-1] and found.runs[-1] != first.runs[-1]
        assert workspace.leaderboard.read_bytes() == undisturbed.leaderboard.read_bytes()
    # Nothing of it is lost, nor that the test split was evaluated for it.
    assert (workspace.search("s") / "runs" / first.runs[-1] / "model.keras").is_file()
    assert searches.test_evaluations(workspace)[read_info(workspace).digest, first.runs[-1]] == 1
    report = collect(workspace, "s")
    assert (report.status, report.problems, len(report.runs)) == ("finished", (), len(found.runs))
    assert audit(journal.read(workspace.search("s") / "journal.jsonl"), ended=True) == []


def test_a_final_whose_files_are_gone_before_it_was_published_is_trained_again(toy_search, refusing, workspace):
    refusing("-01-")
    (left_out,) = toy_search("s", search_only=False, top_k=1, ensemble=False).failures
    shutil.rmtree(workspace.search("s") / "staging" / left_out)
    refusing(None)
    result = toy_search("s", search_only=False, top_k=1, ensemble=False)
    assert left_out in result.runs and result.failures == {}

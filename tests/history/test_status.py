"""What a search is doing, seen from outside."""

from __future__ import annotations

import socket

from tuning.history.status import is_open, status_of


def test_a_dead_owner_is_not_taken_for_a_running_one(tmp_path):
    assert not is_open(tmp_path)
    (tmp_path / "journal.owner").write_text("process 4194399 on " + socket.gethostname())
    assert not is_open(tmp_path)
    (tmp_path / "journal.owner").write_text("process 7 on another-machine")
    assert is_open(tmp_path)


def test_a_stopped_search_is_not_interrupted(new_search):
    search = new_search()
    search.tell(search.ask("0000", search.values(0), 1), 1)
    search.ask("0001", search.values(1), 1)
    assert status_of(search.history(), alive=False) == "interrupted"
    search.add("stopped")
    assert status_of(search.history(), alive=False) == "trials only"


def test_a_finished_search_that_a_larger_budget_reopened_is_not_finished(random_search):
    search = random_search(2)
    search.add("stopped")
    for seed, budget in ((0, None), (1, 7200.0)):
        if budget:
            search.add("extended", asks=2, budget=budget, finals=1800.0)
            seen = [(status_of(search.history(), alive=True), status_of(search.history(), alive=False))]
            search.tell(search.ask("0002", search.values(2), None), 9)
            search.add("stopped")
            seen.append((status_of(search.history(), alive=True), status_of(search.history(), alive=False)))
            assert seen == [("running", "interrupted")] * 2
        search.add("planned-finals", runs=[{"key": "s-baseline-cccccccc", "seed": seed, "epochs": 9}])
        run_id = f"s-baseline-cccccccc-s{seed}"
        search.add("test-opened", key=f"final/{run_id}", run_id=run_id, purpose="baseline")
        assert status_of(search.history(), alive=True) == "testing"
        search.add("published", key=f"final/{run_id}", run_id=run_id)
        assert status_of(search.history(), alive=False) == "finished"


def test_trials_that_run_beside_finals_keep_a_search_open(random_search):
    """Finals whose number a person gave are in no plan; nor is one needed to try failed trials again."""
    search = random_search(2)
    search.add("test-opened", key="final/one", run_id="one", purpose="finalist")
    search.add("published", key="final/one", run_id="one")
    assert status_of(search.history(), alive=False) == "finished"
    spec = search.ask("0002", search.values(2), None)
    assert status_of(search.history(), alive=True) == "running"
    assert status_of(search.history(), alive=False) == "interrupted"
    search.tell(spec, 9)
    assert status_of(search.history(), alive=False) == "finished"

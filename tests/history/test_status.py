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

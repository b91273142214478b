"""The engine with real processes, killed with SIGKILL at random moments: it ends as if nothing had happened."""

from __future__ import annotations

import itertools
import sys

import pytest

from stress import evidence, killing, toy_kills

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.mark.slow
def test_killed_again_and_again_it_ends_the_same(tmp_path):
    result = toy_kills.main(tmp_path, searches=2, kills=10)
    assert result["kills"] >= 20
    for report in result["each"]:
        assert report["code"] == 0
        assert report["identical"]
        assert report["audit"] == []
        assert report["orphans"] == 0
        assert report["went_back"] == 0
        assert report["repeated_epochs"] <= report["kills"] * report["workers"]


def test_only_processes_that_were_killed_count_as_kills(tmp_path):
    """A search without worker processes: a kill of a worker finds none."""
    command = [sys.executable, "-S", "-c", "import time; time.sleep(3)"]
    done = killing.run_killed(command, {}, tmp_path, 6, 0, 0.1, 1, itertools.count().__next__, lambda: "training")
    assert done.kills.total() == done.moments["training"] == done.launches - 1 == 6
    assert done.kills["worker"] == 0


@pytest.mark.parametrize(
    ("notes", "wrong"),
    [
        ([(7, 1), (7, 2), (7, 2), (8, 1), (7, 3)], 0),
        ([(7, 1), (7, 3)], 1),
        ([(7, 2)], 1),
        ([(7, 1), (7, 2), (7, 1)], 1),
        ([(7, 0)], 1),
        ([(7, 1), (7, 1, "saving"), (7, 2), (7, 1)], 0),
        ([(7, 1), (7, 1, "saving"), (7, 2), (7, 1, "saved"), (7, 1)], 1),
        ([(7, 1), (7, 1, "saving"), (7, 1, "saved"), (7, 2), (7, 2, "saving"), (7, 3), (7, 1)], 1),
        ([(7, 1), (8, 1), (8, 1, "saving"), (7, 2), (7, 1)], 1),
        # The next save waits for the one before it.
        ([(7, 1), (7, 1, "saving"), (7, 2), (7, 2, "saving"), (7, 1)], 0),
        ([(7, 1), (7, 1, "saving"), (7, 2), (7, 2, "saving"), (7, 1, "saved"), (7, 3), (7, 2)], 0),
        ([(7, 1), (7, 1, "saving"), (7, 2), (7, 2, "saving"), (7, 1, "saved"), (7, 1)], 1),
    ],
)
def test_training_that_goes_back_or_leaps_is_seen(notes, wrong):
    assert evidence.went_back([evidence.Note(*each) for each in notes]) == wrong

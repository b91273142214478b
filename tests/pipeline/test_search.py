"""One search, many ways to run it, one result."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from tuning.results.runs import RUN_FILES

from .conftest import SEARCH, records, results

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


def gone(pids, seconds=5.0):
    """Whether all of these processes end within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


def repeated(workspace):
    """Attempts beyond the first of each job."""
    keys = [record["key"] for record in records(workspace, "attempt")]
    return len(keys) - len(set(keys))


def test_a_search_ends_in_runs_a_leaderboard_and_a_promoted_model(finished):
    runs = sorted(path.name for path in finished.trials.iterdir())
    assert any(re.fullmatch(r"s-0[12]-t\d{4}-[0-9a-f]{8}-s3", name) for name in runs)
    assert sum("baseline" in name for name in runs) == 1
    for name in runs:
        assert sorted(path.name for path in finished.run(name).iterdir()) == sorted(RUN_FILES)
    opened = [record["run_id"] for record in records(finished, "test-opened")]
    assert sorted(opened) == runs
    rows = finished.leaderboard.read_text().splitlines()
    assert len(rows) == 1 + len(runs)
    best = json.loads(finished.best_model_metrics.read_text())
    assert best["run_id"] in runs
    assert best["test"]["f1_macro"] == max(
        json.loads((finished.run(name) / "metrics.json").read_text())["test"]["f1_macro"] for name in runs
    )
    # Nobody goes on from a finished search's checkpoints.
    assert not (finished.search("s") / "checkpoints").exists()


def test_two_workers_give_the_same_answer(finished, workspace, start):
    done = start(workspace, "search", *SEARCH, "--workers", "2").wait()
    assert done.code == 0, done.stderr
    assert results(workspace) == results(finished)
    assert re.search(r"\npromoted: [a-z]+-[a-z]+, s-\S+ → ", done.stdout)


def test_in_this_very_process_the_answer_is_the_same_and_an_interruption_is_no_result(finished, workspace, start):
    running = start(workspace, "search", *SEARCH, "--executor", "inline")
    running.until("result", 3)
    began = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    done = running.wait()
    assert time.monotonic() - began < 10
    assert done.code == 130, done.stderr
    assert not any("error" in record["result"] for record in records(workspace, "result"))
    done = start(workspace, "search", *SEARCH, "--executor", "inline").wait()
    assert done.code == 0, done.stderr
    assert results(workspace) == results(finished)


def test_interrupted_once_and_killed_twice_the_answer_is_the_same(finished, workspace, start):
    running = start(workspace, "search", *SEARCH, "--workers", "1")
    running.until("attempt", 2)
    workers = running.workers()
    assert workers
    running.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    done = running.wait()
    assert time.monotonic() - began < 10
    assert done.code == 130
    assert f"to resume: {sys.executable} -m tuning.search --root {workspace.root} {' '.join(SEARCH)}" in done.stderr
    assert gone(workers)

    # In the middle of the trials, then in the middle of the final trainings.
    for kind, count in (("result", 4), ("test-opened", 2)):
        running = start(workspace, "search", *SEARCH, "--workers", "1")
        running.until(kind, count)
        workers = running.workers()
        assert workers
        running.process.kill()
        running.process.communicate()
        assert gone(workers), "a worker outlived its parent"

    done = start(workspace, "search", *SEARCH, "--workers", "1").wait()
    assert done.code == 0, done.stderr
    assert results(workspace) == results(finished)
    # Each interruption costs the one job that it met, or none.
    assert repeated(workspace) <= 3
    assert len(records(workspace, "ask")) == 8
    assert len(records(workspace, "result")) == len(records(finished, "result"))


def test_a_finished_search_is_shown_again_without_training(finished, copied, start):
    workspace = copied(finished)
    before = results(workspace)
    model = workspace.best_model.read_bytes()
    done = start(workspace, "search", *SEARCH, "--json").wait()
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["trials"] == 8
    assert len(done.stdout.splitlines()) == 1
    assert len(records(workspace, "attempt")) == len(records(finished, "attempt"))
    assert results(workspace) == before
    assert workspace.best_model.read_bytes() == model


def test_a_run_s_folder_that_was_removed_is_trained_again(finished, copied, start):
    workspace = copied(finished)
    removed = next(workspace.trials.glob("s-*"))
    shutil.rmtree(removed)
    done = start(workspace, "search", *SEARCH, "--executor", "inline").wait()
    assert done.code == 0, done.stderr
    # The same run, for which the test split has now been opened twice; the leaderboard says so.
    openings = {
        path.parent.name: json.loads(path.read_text())["test_openings"]
        for path in workspace.trials.glob("*/metrics.json")
    }
    assert openings == {name: 1 + (name == removed.name) for name in openings}
    again, before = results(workspace), results(finished)
    assert again.pop("leaderboard") != before.pop("leaderboard")
    assert again == before


def test_fresh_moves_the_search_and_its_runs_aside_and_a_budget_too_short_says_so(finished, copied, here, toys):
    workspace = copied(finished)
    runs = sorted(path.name for path in workspace.trials.iterdir())
    short = here(workspace, "search", *SEARCH, *toys, "--fresh", "--budget", "0.0001s")
    assert short.code == 2, short.stderr
    assert "--budget" in short.stderr
    assert sorted(path.name for path in workspace.trials.iterdir()) == runs
    done = here(workspace, "search", *SEARCH, *toys, "--fresh", "--max-trials", "1", "--search-only")
    assert done.code == 0, done.stderr
    assert "the same command, without --fresh, resumes" in done.stderr
    aside = workspace.search("s~1")
    assert (aside / "journal.jsonl").read_bytes() == (finished.search("s") / "journal.jsonl").read_bytes()
    assert sorted(path.name for path in (aside / "runs").iterdir()) == runs
    assert list(workspace.trials.iterdir()) == []
    assert len(workspace.leaderboard.read_text().splitlines()) == 1


def test_a_dry_run_plans_and_starts_nothing(workspace, start):
    done = start(workspace, "search", *SEARCH, "--executor", "inline", "--dry-run").wait()
    assert done.code == 0, done.stderr
    assert "11 epochs in the search" in done.stdout
    assert "expected time" in done.stdout
    # Nothing else is said before it is over.
    assert "timing a few configurations" in done.stderr
    assert all(f"  {size}" in done.stdout for size in ("smallest", "default", "largest"))
    assert list(workspace.searches.iterdir()) == []
    assert list(workspace.trials.iterdir()) == []
    assert not workspace.leaderboard.exists()


def test_trials_that_all_fail_alike_end_the_search_with_the_cause(workspace, start):
    arguments = ("--space", "sample_spaces:only_default_builds", "--strategy", "random", "--max-trials", "40")
    done = start(workspace, "search", *arguments, "--executor", "inline").wait()
    assert done.code == 3, done.stderr
    assert "in a row failed alike: RuntimeError: the data pipeline is broken" in done.stderr


def test_a_builder_that_kills_its_process_fails_those_trials_and_the_search_goes_on(workspace, start):
    """With these settings its four trials end well, by os._exit, by SIGKILL and by an exception."""
    arguments = ("--space", "sample_spaces:deadly", "--strategy", "random", "--max-trials", "4", "--seed", "6")
    more = ("--name", "s", "--max-epochs", "1", "--top-k", "1", "--workers", "1", "--max-deaths", "1")
    done = start(workspace, "search", *arguments, *more).wait()
    assert done.code == 0, done.stderr
    assert "4 trials (3 failed)" in done.stdout
    failed = {
        record["key"]: record["result"]["error"]
        for record in records(workspace, "result")
        if "error" in record["result"] and record["key"].startswith("trial/")
    }
    assert {key: error["kind"] for key, error in failed.items()} == {
        "trial/0001": "crash",
        "trial/0002": "memory",
        "trial/0003": "exception",
    }
    assert "exit code 7" in failed["trial/0001"]["message"]
    assert "SIGKILL" in failed["trial/0002"]["message"]


def test_a_builder_without_a_compiled_model_is_refused_and_nothing_stands_in_the_way_of_a_mended_one(workspace, start):
    done = start(workspace, "search", "--space", "sample_spaces:uncompiled", "--name", "s", "--workers", "1").wait()
    assert done.code == 2
    assert re.search(r"error: .*sample_spaces:uncompiled.* not compiled", done.stderr)
    assert "model.compile" in done.stderr
    # Only the logs and the lock are left: the mended code is another space, and must not be refused for that.
    assert not (workspace.search("s") / "search.json").exists()
    assert not (workspace.search("s") / "journal.jsonl").exists()

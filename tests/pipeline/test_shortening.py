"""Final trainings that take longer than planned: which end earlier, and that the decision makes the run."""

from __future__ import annotations

import itertools
import shutil

import pytest

from stress import toy
from tuning.core.plan import ShortenedFinal
from tuning.engine import journal
from tuning.engine.entries import OpenedTestSplit, PlannedFinals, ShortenedFinals
from tuning.pipeline.final_roles import Final
from tuning.pipeline.planning import Candidate
from tuning.pipeline.resources import Resources
from tuning.pipeline.search import run_search
from tuning.pipeline.shortening import Remaining, Watch, remaining, shortened
from tuning.results.runs import read_runs, run_params

from .conftest import before_its_finals, rewrite_journal, toys_instead

PRICES = {role: Candidate(key=role, epoch=10.0, start=5.0) for role in ("a", "b")}


def final(run_id: str, epochs: int = 50) -> Final:
    return Final(run_id, "finalist", {}, epochs, 0)


def test_what_is_left_is_counted_in_epochs_as_they_take_now():
    finals = [final("a-s0"), final("a-s1"), final("b-s0")]
    found = remaining(finals, {"a-s0": 20}, {"a-s0": [90.0, *[10.0] * 9, *[30.0] * 10]}, PRICES)
    assert [(one.done, one.left, one.epoch) for one in found] == [(20, 30, 30.0), (0, 50, 10.0), (0, 50, 10.0)]
    # A further seed that has not begun may be left out; what alone stands for its configuration may not.
    assert [one.needed for one in found] == [True, False, True]


def test_each_keeps_an_equal_share_of_what_it_had_to_do_and_further_seeds_go():
    trainings = [
        Remaining("a-s0", done=20, left=30, epoch=10.0, others=5.0, needed=True),
        Remaining("a-s1", done=0, left=50, epoch=10.0, others=5.0, needed=False),
        Remaining("b-s0", done=0, left=50, epoch=10.0, others=5.0, needed=True),
    ]
    assert shortened(trainings, 255.0, seats=2) == [
        ShortenedFinal(run_id="a-s0", after=20, until=35),
        ShortenedFinal(run_id="a-s1", after=0, until=0),
        ShortenedFinal(run_id="b-s0", after=0, until=25),
    ]
    # However little time there is, each trains an epoch more.
    assert [run.until for run in shortened(trainings, 0.0, seats=2)] == [21, 0, 1]


def watch(left: float, **known: ShortenedFinal) -> Watch:
    return Watch(PRICES, lambda: left, 1, after=10.0, restart=5.0, tolerated=20.0, known=known)


def test_nothing_is_shortened_before_the_budget_would_be_exceeded():
    pending, done, seconds = [final("a-s0")], {"a-s0": 20}, {"a-s0": [40.0, *[10.0] * 10]}
    # 30 epochs of 10 s and 5 s: 305 s.
    assert not watch(296.0).is_late(pending, done, seconds)
    assert watch(294.0).is_late(pending, done, seconds)
    cut = watch(294.0).shortened(pending, {"a-s0": 21}, seconds)
    assert cut == [ShortenedFinal(run_id="a-s0", after=21, until=48)]
    # Too early to tell: ten of fifty epochs are, beside the first; or shortened already.
    assert not watch(100.0).is_late(pending, done, {"a-s0": [10.0] * 10})
    assert not watch(100.0, **{"a-s0": ShortenedFinal(run_id="a-s0", after=1, until=9)}).is_late(pending, done, seconds)


def test_a_run_that_ended_early_says_so(toy_search, workspace):
    given = {"search_only": False, "ensemble": False}
    whole, *others = toy_search("s", **given).runs
    before = itertools.takewhile(
        lambda entry: not isinstance(entry, OpenedTestSplit), journal.read(workspace.search("s") / "journal.jsonl")
    )
    rewrite_journal(workspace, [*before, ShortenedFinals(runs=[ShortenedFinal(run_id=whole, after=1, until=2)])])
    shutil.rmtree(workspace.trials)
    workspace.trials.mkdir()
    toy_search("s", **given)
    found = {
        metrics.run_id: (metrics.epochs, run_params(workspace, metrics.run_id)) for metrics in read_runs(workspace)
    }
    assert (found[whole][0], found[whole][1].settings.shortened) == (2, (1, 2))
    assert others and all(found[run][0] == 3 and not found[run][1].settings.shortened for run in others)


@pytest.mark.slow
def test_a_machine_that_slows_down_ends_in_time_and_the_decision_is_replayed(
    workspace, sample_environment, tmp_path, monkeypatch
):
    given = {"space": "stress.tiny_cnn:build_model", "dtype": "float32", "name": "s"}
    toys_instead(monkeypatch, sample_environment, seconds=0.1)
    monkeypatch.setenv(toy.SLOW_FINALS, "4")
    result = run_search(workspace, budget=40.0, resources=Resources(workers=1), **given)
    entries = journal.read(result.directory / "journal.jsonl")
    decided = [entry for entry in entries if isinstance(entry, PlannedFinals | ShortenedFinals)]
    (cut,) = [entry for entry in decided if isinstance(entry, ShortenedFinals)]
    epochs = {run.run_id: run.epochs for run in read_runs(workspace)}
    for run in cut.runs:
        assert epochs.get(run.run_id, 0) == run.until

    other = before_its_finals(workspace, tmp_path / "other", decided)
    monkeypatch.setenv(toy.SLOW_FINALS, "1")
    run_search(other, resources=Resources(workers=2), **given)
    assert other.leaderboard.read_bytes() == workspace.leaderboard.read_bytes()

"""Final trainings that take longer than planned: which end earlier, and that the decision makes the run."""

from __future__ import annotations

import itertools
import math
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from stress import toy
from tuning.core.plan import NewLength
from tuning.engine import journal
from tuning.engine.entries import Attempt, NewLengths, OpenedTestSplit, PlannedFinals
from tuning.pipeline import search
from tuning.pipeline.final_planning import Candidate
from tuning.pipeline.final_roles import Final
from tuning.pipeline.lengths import Remaining, Watch, lengthened, loses_little, remaining, shortened
from tuning.pipeline.resources import Resources
from tuning.pipeline.search import run_search
from tuning.results.runs import read_runs, run_params
from tuning.trials.checkpoint import TrainingState, epochs_done, save_state

from .conftest import before_its_finals, results, rewrite_journal, toys_instead

PRICES = {role: Candidate(key=role, epoch=10.0, start=5.0) for role in ("a", "b")}


def final(run_id: str, epochs: int = 50) -> Final:
    return Final(run_id, "finalist", {}, epochs, 0)


def test_what_is_left_is_counted_in_epochs_as_they_take_now():
    finals = [final("a-s0"), final("a-s1"), final("b-s0")]
    found = remaining(finals, {"a-s0": 20}, {"a-s0": [90.0, *[10.0] * 9, *[30.0] * 10]}, PRICES, {})
    assert [(one.done, one.left, one.epoch) for one in found] == [(20, 30, 30.0), (0, 50, 30.0), (0, 50, 30.0)]
    # A further seed that has not begun may be left out; what alone stands for its configuration may not.
    assert [one.needed for one in found] == [True, False, True]


def test_what_has_not_told_yet_is_taken_to_be_as_slow_as_what_has():
    # Twice as slow as planned, all of them: the quick one tells first, and all are shortened together.
    prices = {
        "slow": Candidate(key="slow", epoch=40.0, start=5.0),
        "quick": Candidate(key="quick", epoch=10.0, start=5.0),
    }
    finals = [final("slow-s0"), final("quick-s0")]
    done, seconds = {"slow-s0": 2, "quick-s0": 11}, {"slow-s0": [90.0, 80.0], "quick-s0": [25.0, *[20.0] * 10]}
    assert [one.epoch for one in remaining(finals, done, seconds, prices, {})] == [80.0, 20.0]
    late = Watch(prices, lambda: 2010.0, 2, after=5.0, restart=5.0, budget=0.0, longest=50, changes={})
    assert late.is_off_schedule(finals, done, seconds)
    assert late.new_lengths(finals, done, seconds) == [
        NewLength(run_id="slow-s0", after=2, until=26),
        NewLength(run_id="quick-s0", after=11, until=31),
    ]


def test_a_yardstick_that_costs_more_than_it_was_taken_for_makes_nothing_else_slower():
    finals = [final("a-s0"), replace(final("b-s0"), space="baseline_cnn")]
    found = remaining(finals, {"b-s0": 11}, {"b-s0": [50.0, *[40.0] * 10]}, PRICES, {})
    assert [one.epoch for one in found] == [10.0, 40.0]


def test_each_keeps_an_equal_share_of_what_it_had_to_do_and_further_seeds_go():
    trainings = [
        Remaining("a-s0", done=20, left=30, epoch=10.0, others=5.0, needed=True),
        Remaining("a-s1", done=0, left=50, epoch=10.0, others=5.0, needed=False),
        Remaining("b-s0", done=0, left=50, epoch=10.0, others=5.0, needed=True),
    ]
    assert shortened(trainings, 255.0, seats=2) == [
        NewLength(run_id="a-s0", after=20, until=35),
        NewLength(run_id="a-s1", after=0, until=0),
        NewLength(run_id="b-s0", after=0, until=25),
    ]
    # However little time there is, each trains an epoch more.
    assert [run.until for run in shortened(trainings, 0.0, seats=2)] == [21, 0, 1]


def test_what_becomes_longer_gets_one_length():
    trainings = [
        Remaining("a-s0", done=20, left=10, epoch=10.0, others=5.0, needed=True),
        Remaining("a-s1", done=1, left=49, epoch=10.0, others=5.0, needed=True),
        Remaining("b-s0", done=40, left=0, epoch=10.0, others=5.0, needed=True),
        Remaining("c-s0", done=0, left=25, epoch=10.0, others=5.0, needed=True),
    ]
    # One after the other: 105, 495, 5 and 255 s. Up to 40 epochs for two of them: 205 and 405 s.
    assert lengthened(trainings, 1110.0, seats=1, longest=60) == [
        NewLength(run_id="a-s0", after=20, until=40),
        NewLength(run_id="c-s0", after=0, until=40),
    ]
    # One that has this length, or nearly, remains as it is.
    assert lengthened(trainings, 909.0, seats=1, longest=60) == [NewLength(run_id="c-s0", after=0, until=29)]
    assert lengthened(trainings, 860.0, seats=1, longest=60) == []
    assert [run.until for run in lengthened(trainings, math.inf, seats=1, longest=50)] == [50, 50]
    assert [run.until for run in lengthened(trainings, math.inf, seats=1, longest=60)] == [60, 60, 60]


def test_trainings_are_stopped_when_little_of_their_epochs_would_be_lost():
    seconds = {"a": [90.0, 100.0], "b": [100.0], "c": [10.0]}
    assert loses_little({}, seconds)
    # One by itself: just after its epoch, not in the middle of one, nor while it is evaluated.
    assert loses_little({"a": 5.0}, seconds)
    assert not loses_little({"a": 50.0}, seconds) and not loses_little({"a": 500.0}, seconds)
    # Two that began together, one of which has ended its epoch: the other one will in a moment.
    assert not loses_little({"a": 0.0, "b": 95.0}, seconds)
    assert loses_little({"a": 5.0, "b": 0.0}, seconds)
    # However two are shifted, one of their ends is good.
    assert all(
        loses_little({"a": 0.0, "b": shift}, seconds) or loses_little({"a": 100.0 - shift, "b": 0.0}, seconds)
        for shift in range(101)
    )
    assert loses_little({"a": 60.0, "b": 40.0, "c": 0.0}, seconds)


def watch(left: float, *cuts: NewLength, longest: int = 50) -> Watch:
    known = {cut.run_id: [one for one in cuts if one.run_id == cut.run_id] for cut in cuts}
    return Watch(dict(PRICES), lambda: left, 1, after=10.0, restart=5.0, budget=1000.0, longest=longest, changes=known)


def test_nothing_is_shortened_before_the_budget_would_be_exceeded():
    pending, done, seconds = [final("a-s0")], {"a-s0": 20}, {"a-s0": [40.0, *[10.0] * 10]}
    # 30 epochs of 10 s and 5 s: 305 s.
    assert not watch(296.0).is_off_schedule(pending, done, seconds)
    assert watch(294.0).is_off_schedule(pending, done, seconds)
    cut = watch(294.0).new_lengths(pending, {"a-s0": 21}, seconds)
    assert cut == [NewLength(run_id="a-s0", after=21, until=48)]
    # Too early to tell: ten of fifty epochs are, beside the first; or all that it was shortened to is done.
    assert not watch(100.0).is_off_schedule(pending, done, {"a-s0": [10.0] * 10})
    assert not watch(100.0, NewLength(run_id="a-s0", after=1, until=9)).is_off_schedule(pending, done, seconds)


def test_what_was_shortened_is_shortened_again_once_its_epochs_tell_of_a_slower_machine():
    once = NewLength(run_id="a-s0", after=20, until=40)
    pending, done = [final("a-s0")], {"a-s0": 25}
    # Four of the twenty epochs that it was to have then, beside the first: 15 more of 30 s, not 25.
    assert not watch(100.0, once).is_off_schedule(pending, done, {"a-s0": [90.0, *[30.0] * 3]})
    seconds = {"a-s0": [90.0, *[30.0] * 4]}
    assert not watch(446.0, once).is_off_schedule(pending, done, seconds)
    late = watch(444.0, once)
    assert late.is_off_schedule(pending, done, seconds)
    assert late.new_lengths(pending, done, seconds) == [NewLength(run_id="a-s0", after=25, until=39)]


def test_what_was_shortened_gets_epochs_back_once_the_machine_is_quicker_again():
    once = NewLength(run_id="a-s0", after=20, until=40)
    pending, done, seconds = [final("a-s0")], {"a-s0": 30}, {"a-s0": [40.0, *[10.0] * 5]}
    # 10 epochs of 10 s and 5 s: 105 s, 10 s after them. A twentieth of the budget, 50 s, is not worth a change. Of
    # what is left, new workers take 5 s, and 20 s remain.
    assert not watch(164.0, once).is_off_schedule(pending, done, seconds)
    early = watch(166.0, once)
    assert early.is_off_schedule(pending, done, seconds)
    assert early.new_lengths(pending, done, seconds) == [NewLength(run_id="a-s0", after=30, until=42)]
    assert watch(900.0, once).new_lengths(pending, done, seconds)[0].until == 50
    # Too few epochs since, or nothing left to train.
    assert not watch(900.0, once).is_off_schedule(pending, done, {"a-s0": [40.0, *[10.0] * 3]})
    assert not watch(900.0, once).is_off_schedule(pending, {"a-s0": 40}, seconds)


def test_a_machine_that_is_quicker_than_planned_trains_all_longer_even_those_that_have_not_begun():
    pending, done, seconds = [final("a-s0"), final("b-s0")], {"a-s0": 11}, {"a-s0": [40.0, *[5.0] * 10]}
    # 39 and 50 epochs of 5 s, twice 5 s, and 10 s after them: 465 s, where 915 s were planned.
    early = watch(905.0, longest=150)
    assert early.is_off_schedule(pending, done, seconds)
    assert early.new_lengths(pending, done, seconds) == [
        NewLength(run_id="a-s0", after=11, until=91),
        NewLength(run_id="b-s0", after=0, until=91),
    ]
    # Not beyond the most that a final training may have; and not before its pace is known.
    assert not watch(905.0).is_off_schedule(pending, done, seconds)
    assert not watch(905.0, longest=150).is_off_schedule(pending, done, {"a-s0": [40.0, *[5.0] * 9]})
    # A machine whose pace has changed once may do so again; then only once both have begun.
    cut = NewLength(run_id="a-s0", after=2, until=50)
    assert not watch(905.0, cut, longest=150).is_off_schedule(pending, done, seconds)
    assert watch(905.0, cut, longest=150).is_off_schedule(pending, done | {"b-s0": 1}, seconds)


def test_after_it_what_epochs_took_then_is_what_is_planned_with():
    # So that one that has not told is not taken for three times as slow once more.
    prices, seconds = dict(PRICES), {"a-s0": [90.0, *[30.0] * 10]}
    late = Watch(prices, lambda: 444.0, 2, after=10.0, restart=5.0, budget=0.0, longest=50, changes={})
    assert late.new_lengths([final("a-s0"), final("b-s0")], {"a-s0": 11}, seconds)
    assert [price.epoch for price in prices.values()] == [30.0, 30.0]


def test_nothing_is_given_up_where_it_would_not_end_earlier():
    # An epoch is left of each, and no time: new workers would take longer.
    seconds = {"a-s0": [10.0] * 20}
    assert not watch(0.0).is_off_schedule([final("a-s0")], {"a-s0": 49}, seconds)
    assert watch(0.0).is_off_schedule([final("a-s0")], {"a-s0": 47}, seconds)
    assert watch(0.0).is_off_schedule([final("a-s0"), final("a-s1")], {"a-s0": 49}, seconds)


class Scripted:
    """Gives all that trains another length when the first of it has trained so many epochs; then kills the search.

    Args:
        script: (epochs that are done, epochs that each keeps) of each time.
        killed: epochs that are done when the search is killed.
    """

    class Killed(Exception):
        """The search was killed."""

    def __init__(self, script: list[tuple[int, int]], killed: int) -> None:
        self._script, self._killed = list(script), killed

    def is_off_schedule(self, pending, done, seconds) -> bool:
        epochs = done[pending[0].run_id]
        if not self._script and epochs >= self._killed:
            raise self.Killed
        return bool(self._script) and epochs >= self._script[0][0]

    def new_lengths(self, pending, done, seconds) -> list[NewLength]:
        _, kept = self._script.pop(0)
        return [NewLength(run_id=one.run_id, after=(n := done[one.run_id]), until=n + kept) for one in pending]


@pytest.mark.slow
def test_shortened_lengthened_and_killed_then_all_is_as_without_a_break_on_other_workers(
    toy_search, workspace, tmp_path, monkeypatch
):
    given = {"max_trials": 3, "top_k": 1, "retrain_epochs": 40, "ensemble": False}
    toy_search("s", **given)
    given["search_only"] = False
    plain = search.run_finals
    monkeypatch.setenv(toy.SECONDS, "0.15")
    script = Scripted([(3, 30), (8, 12), (12, 16)], killed=15)
    monkeypatch.setattr(search, "run_finals", partial(plain, watch=script))
    with pytest.raises(Scripted.Killed):
        toy_search("s", resources=Resources(workers=1), **given)
    entries = journal.read(workspace.search("s") / "journal.jsonl")
    cuts = [entry for entry in entries if isinstance(entry, NewLengths)]
    first, second, third = ({run.run_id: run for run in entry.runs} for entry in cuts)
    run_id = cuts[0].runs[0].run_id
    assert 0 < first[run_id].after < second[run_id].after < third[run_id].after < second[run_id].until
    assert second[run_id].until < third[run_id].until < first[run_id].until
    # It goes on from what it had when it was lengthened, or from later on.
    assert epochs_done(workspace.search("s") / "checkpoints" / "final" / run_id) >= third[run_id].after
    monkeypatch.setattr(search, "run_finals", plain)
    monkeypatch.setenv(toy.SECONDS, "0")
    toy_search("s", resources=Resources(workers=1), **given)
    assert {run.run_id: run.epochs for run in read_runs(workspace)} == {run.run_id: run.until for run in cuts[2].runs}

    ended = results(workspace)
    for number, resources in enumerate((Resources(executor="inline"), Resources(workers=2))):
        other = before_its_finals(workspace, tmp_path / f"other-{number}", cuts)
        toy_search("s", other, resources=resources, **given)
        assert results(other) == ended
    # Each time counts: without the last ones, in a journal as it was until then, there are other weights.
    for count in (1, 2):
        other = before_its_finals(workspace, tmp_path / f"first-{count}", cuts[:count])
        toy_search("s", other, **given)
        fewer = results(other)["weights"]
        assert set(fewer) == set(ended["weights"])
        assert all(fewer[run] != ended["weights"][run] for run in fewer)


def test_an_epoch_that_a_worker_ended_after_it_was_given_up_is_no_part_of_the_run(toy_search, workspace, copied):
    """A node of a cluster may end one more, at the rate that was planned, while the decision is made."""
    given = {"max_trials": 2, "top_k": 1, "retrain_epochs": 4, "ensemble": False}
    toy_search("s", **given)
    (run_id, *_) = toy_search("s", copied(workspace), **given, search_only=False).runs
    cut, folder = NewLength(run_id=run_id, after=2, until=4), Path("checkpoints") / "final" / run_id
    ended = []
    for late in (False, True):
        other = copied(workspace)
        with journal.Journal(other.search("s") / "journal.jsonl") as decided:
            fence = decided.append(Attempt(key=f"final/{run_id}")).n
            decided.append(NewLengths(runs=[cut]))
        if late:
            entry = {
                "epoch": 3,
                "loss": 0.5,
                "accuracy": 0.5,
                "val_loss": 0.5,
                "val_accuracy": 0.5,
                "val_f1_macro": 0.5,
            }
            other_rate = TrainingState(3, (entry,) * 3, (0.1,) * 3, (np.ones(8),), (np.zeros(1),))
            save_state(other.search("s") / folder, fence, other_rate)
        toy_search("s", other, **given, search_only=False)
        ended.append(results(other))
    assert ended[0] == ended[1]


def test_a_run_that_ended_early_says_so(toy_search, workspace):
    given = {"search_only": False, "ensemble": False}
    whole, *others = toy_search("s", **given).runs
    before = itertools.takewhile(
        lambda entry: not isinstance(entry, OpenedTestSplit), journal.read(workspace.search("s") / "journal.jsonl")
    )
    rewrite_journal(workspace, [*before, NewLengths(runs=[NewLength(run_id=whole, after=1, until=2)])])
    shutil.rmtree(workspace.trials)
    workspace.trials.mkdir()
    toy_search("s", **given)
    found = {
        metrics.run_id: (metrics.epochs, run_params(workspace, metrics.run_id)) for metrics in read_runs(workspace)
    }
    assert (found[whole][0], found[whole][1].settings.shortened) == (2, ((1, 2),))
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
    decided = [entry for entry in entries if isinstance(entry, PlannedFinals | NewLengths)]
    cuts = [entry for entry in decided if isinstance(entry, NewLengths)]
    assert cuts
    epochs = {run.run_id: run.epochs for run in read_runs(workspace)}
    for run_id, until in {run.run_id: run.until for entry in cuts for run in entry.runs}.items():
        assert epochs.get(run_id, 0) == until

    other = before_its_finals(workspace, tmp_path / "other", decided)
    monkeypatch.setenv(toy.SLOW_FINALS, "1")
    run_search(other, resources=Resources(workers=2), **given)
    assert other.leaderboard.read_bytes() == workspace.leaderboard.read_bytes()

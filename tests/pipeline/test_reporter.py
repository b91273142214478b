"""What a person sees of a search counts epochs, however they are cut up."""

from __future__ import annotations

import contextlib

import pytest

from tuning.core.records import COMPLETED, FAILED, TrialOutcome, TrialSpec
from tuning.pipeline.reporter import FinalsReporter, ProgressReporter
from tuning.pipeline.timing import Timing


class Progress:
    """Keeps what is said, and what the last bar shows."""

    def __init__(self):
        self.said, self.count, self.text, self.total, self.unit = [], 0.0, "", None, ""

    def say(self, text):
        self.said.append(text)

    @contextlib.contextmanager
    def bar(self, total, description, unit="it", noted=False):
        self.total, self.unit, self.noted = total, unit, noted
        yield self

    def update(self, n=1):
        self.count += n

    def reach(self, n):
        self.count = n

    def note(self, text):
        self.text = text


class Budget:
    budget = 600.0

    def __init__(self, left):
        self.seconds = left

    def left(self):
        return self.seconds


def reporter(progress, parts=1, planned=(4, 30), time=None, before=frozenset(), counts=(0, 2)):
    timing = Timing(parts)
    return timing, ProgressReporter(progress, timing, planned, time, lambda: counts, 1, 0, before)


def entry(epoch, seconds):
    return {"epoch": epoch, "seconds": seconds, "val_f1_macro": 0.5}


CURVE = tuple(entry(epoch, 0) for epoch in (1 / 3, 2 / 3, 1, 2, 3))


def outcome(spec, seconds):
    return TrialOutcome(spec.trial_id, COMPLETED, 0.5, CURVE, seconds=seconds)


def test_a_trial_that_has_ended_counts_before_it_is_told():
    progress = Progress()
    with reporter(progress, counts=(1, 1))[1] as shown:
        shown.show()
    assert progress.text.endswith("1 trial done · 1 running")


@pytest.mark.parametrize("seen", [0, 2, 5])
def test_parts_of_an_epoch_count_as_much_of_it(seen):
    """Whatever was seen to pass before a resume, the sum is the same."""
    progress = Progress()
    timing, told = reporter(progress, parts=3)
    spec = TrialSpec("0000", {}, epochs=9)
    seconds = (1.0, 1.0, 1.0, 3.0, 3.0)
    with told:
        for row, lasted in zip(CURVE[:seen], seconds, strict=False):
            told.epoch("trial/0000", {**row, "seconds": lasted})
        told.completed(spec, outcome(spec, seconds))
    assert (progress.total, progress.unit) == (30, "epoch")
    assert progress.count == pytest.approx(3)
    assert timing.seconds == pytest.approx([3.0] * 5)
    assert progress.text.startswith("about 1 min to go · best 0.5000 (trial 0000) · 1 trial done")


def test_a_trial_that_goes_on_counts_its_own_epochs():
    progress = Progress()
    timing, told = reporter(progress, parts=3)
    spec = TrialSpec("0001", {}, epochs=9, initial_epoch=3, continues="0000")
    with told:
        told.completed(spec, outcome(spec, (1.0, 1.0, 1.0, 3.0, 3.0)))
    assert progress.count == pytest.approx(2)
    assert timing.seconds == [3.0, 3.0]


def test_a_curve_that_ended_early_counts_what_there_is():
    progress = Progress()
    _, told = reporter(progress)
    curve = tuple(entry(epoch, 0) for epoch in range(1, 7))
    with told:
        for spec in (TrialSpec("0", {}, epochs=9), TrialSpec("1", {}, epochs=27, initial_epoch=9, continues="0")):
            told.completed(spec, TrialOutcome(spec.trial_id, COMPLETED, 0.5, curve, seconds=(2.0,) * 6))
    assert progress.count == 6


def test_a_budget_is_counted_in_its_time_and_says_when_it_ends():
    progress, time = Progress(), Budget(540)
    _, told = reporter(progress, planned=(None, None), time=time)
    with told:
        assert (progress.total, progress.unit, progress.noted, progress.count) == (600, "second", True, 60)
        told.show()
        assert progress.text == "9 min to go · 0 trials done · 2 running"
        time.seconds = 30
        told.completed(TrialSpec("0", {}, epochs=3), TrialOutcome("0", FAILED, None))
    assert progress.count == 570
    assert progress.text == "30 s to go · 1 trial done · 1 failed · 2 running"
    # What is read an hour later holds no time.
    assert progress.said == ["[1] trial 0: FAILED: no score"]


def test_where_nobody_knows_the_epochs_trials_are_counted():
    progress = Progress()
    _, told = reporter(progress, planned=(4, None))
    with told:
        told.completed(TrialSpec("0", {}, epochs=9), outcome(TrialSpec("0", {}, epochs=9), (1.0,) * 5))
    assert (progress.total, progress.unit, progress.count) == (4, "trial", 1)


def test_trials_of_an_earlier_start_are_told_in_one_line():
    progress = Progress()
    _, told = reporter(progress, before={"0", "1"})
    with told:
        for name in ("0", "2", "1"):
            told.completed(TrialSpec(name, {}, epochs=9), outcome(TrialSpec(name, {}, epochs=9), (1.0,) * 5))
    assert progress.said == [
        "[2/4] trial 2: val_f1_macro 0.5000 after 3 epochs",
        "2 trials were done before, best 0.5000 (trial 0)",
    ]


@pytest.mark.parametrize("budget", [None, Budget(60)])
def test_final_trainings_have_the_same_bar_and_some_lines(budget):
    progress, now = Progress(), [0.0]
    with FinalsReporter(progress, 20, budget, every=2, now=lambda: now[0]) as told:
        for epoch in range(1, 11):
            told.epoch("final/run-1", {"epoch": epoch, "loss": 1, "val_loss": None, "val_f1_macro": 0.5, "seconds": 2})
            now[0] += 2
    # Every second epoch would be every four seconds.
    assert progress.said == [
        f"  run-1: epoch {epoch}, loss 1.0000, val_loss missing, val_f1_macro 0.5000 (2.0 s)" for epoch in (2, 8)
    ]
    assert (progress.total, progress.count) == ((20, 10) if budget is None else (600, 540))
    assert progress.text == ("" if budget is None else "1 min to go")


class Said(Progress):
    def warn(self, text):
        """Warnings of such small data are not what is looked at."""


def test_a_search_begins_with_its_plan_its_folder_and_that_it_may_be_stopped(toy_search, workspace):
    for trained in (5, 0):
        progress = Said()
        toy_search("s", progress=progress)
        plan, folder, safe, *rest = [line for line in progress.said if "training images are few" not in line]
        assert plan.startswith("s: 5 trials")
        assert folder == f"folder: {workspace.search('s')}"
        assert safe == "Ctrl-C is safe: the same command resumes"
        trials = [line for line in rest if " trial 0" in line and line.startswith("[")]
        assert len(trials) == trained
    # Shown again, it says once what was there, and no time to go.
    assert sum(line.startswith("5 trials were done before, best") for line in rest) == 1
    assert not any("to go" in line for line in rest)

"""What a person sees of a search counts epochs, however they are cut up."""

from __future__ import annotations

import pytest

from tuning.core.progress import SILENT
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec
from tuning.pipeline.reporter import ProgressReporter
from tuning.pipeline.timing import Timing


class Counter:
    def __init__(self):
        self.count, self.text = 0.0, ""

    def update(self, n=1):
        self.count += n

    def note(self, text):
        self.text = text


def reporter(bar, parts=1):
    timing = Timing(parts)
    return timing, ProgressReporter(SILENT, bar, timing, (4, 30), lambda: None, lambda: 0, workers=1, final_epochs=0)


def entry(epoch, seconds):
    return {"epoch": epoch, "seconds": seconds, "val_f1_macro": 0.5}


CURVE = tuple(entry(epoch, 0) for epoch in (1 / 3, 2 / 3, 1, 2, 3))


def outcome(spec, seconds):
    return TrialOutcome(spec.trial_id, COMPLETED, 0.5, CURVE, seconds=seconds)


@pytest.mark.parametrize("seen", [0, 2, 5])
def test_parts_of_an_epoch_count_as_much_of_it(seen):
    """Whatever was seen to pass before a resume, the sum is the same."""
    bar = Counter()
    timing, told = reporter(bar, parts=3)
    spec = TrialSpec("0000", {}, epochs=9)
    seconds = (1.0, 1.0, 1.0, 3.0, 3.0)
    for row, lasted in zip(CURVE[:seen], seconds, strict=False):
        told.epoch("trial/0000", {**row, "seconds": lasted})
    told.completed(spec, outcome(spec, seconds))
    assert bar.count == pytest.approx(3)
    assert timing.seconds == pytest.approx([3.0] * 5)
    assert "1 min to go" in told.state()


def test_a_trial_that_goes_on_counts_its_own_epochs():
    bar = Counter()
    timing, told = reporter(bar, parts=3)
    spec = TrialSpec("0001", {}, epochs=9, initial_epoch=3, continues="0000")
    told.completed(spec, outcome(spec, (1.0, 1.0, 1.0, 3.0, 3.0)))
    assert bar.count == pytest.approx(2)
    assert timing.seconds == [3.0, 3.0]


def test_a_curve_that_ended_early_counts_what_there_is():
    bar = Counter()
    _, told = reporter(bar)
    curve = tuple(entry(epoch, 0) for epoch in range(1, 7))
    for spec in (TrialSpec("0", {}, epochs=9), TrialSpec("1", {}, epochs=27, initial_epoch=9, continues="0")):
        told.completed(spec, TrialOutcome(spec.trial_id, COMPLETED, 0.5, curve, seconds=(2.0,) * 6))
    assert bar.count == 6

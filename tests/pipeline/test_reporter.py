"""What a person sees of a search counts epochs, however they are cut up."""

from __future__ import annotations

import pytest

from tuning.core.progress import SILENT
from tuning.core.records import COMPLETED, TrialOutcome, TrialSpec
from tuning.pipeline.reporter import Watch


class Counter:
    def __init__(self):
        self.count, self.text = 0.0, ""

    def update(self, n=1):
        self.count += n

    def note(self, text):
        self.text = text


def entry(epoch, seconds):
    return {"epoch": epoch, "seconds": seconds, "val_f1_macro": 0.5}


CURVE = tuple(entry(epoch, 0) for epoch in (1 / 3, 2 / 3, 1, 2, 3))


def outcome(spec, seconds):
    return TrialOutcome(spec.trial_id, COMPLETED, 0.5, CURVE, seconds=seconds)


@pytest.mark.parametrize("seen", [0, 2, 5])
def test_parts_of_an_epoch_count_as_much_of_it(seen):
    """Whatever was seen to pass before a resume, the sum is the same."""
    bar = Counter()
    watch = Watch(SILENT, bar, (4, 30), lambda: None, 1, 0, slices=3)
    spec = TrialSpec("0000", {}, epochs=9)
    seconds = (1.0, 1.0, 1.0, 3.0, 3.0)
    for row, lasted in zip(CURVE[:seen], seconds, strict=False):
        watch.epoch("trial/0000", {**row, "seconds": lasted})
    watch.told(spec, outcome(spec, seconds))
    assert bar.count == pytest.approx(3)
    assert watch.seconds == pytest.approx([3.0] * 5)
    assert "1 min to go" in watch.state()


def test_a_trial_that_goes_on_counts_its_own_epochs():
    bar = Counter()
    watch = Watch(SILENT, bar, (4, 30), lambda: None, 1, 0, slices=3)
    spec = TrialSpec("0001", {}, epochs=9, initial_epoch=3, continues="0000")
    watch.told(spec, outcome(spec, (1.0, 1.0, 1.0, 3.0, 3.0)))
    assert bar.count == pytest.approx(2)
    assert watch.seconds == [3.0, 3.0]


def test_a_curve_that_ended_early_counts_what_there_is():
    bar = Counter()
    watch = Watch(SILENT, bar, (4, 30), lambda: None, 1, 0)
    curve = tuple(entry(epoch, 0) for epoch in range(1, 7))
    for spec in (TrialSpec("0", {}, epochs=9), TrialSpec("1", {}, epochs=27, initial_epoch=9, continues="0")):
        watch.told(spec, TrialOutcome(spec.trial_id, COMPLETED, 0.5, curve, seconds=(2.0,) * 6))
    assert bar.count == 6

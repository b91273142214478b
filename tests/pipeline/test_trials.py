"""What a person is told about the trials of a search."""

from __future__ import annotations

from tuning.core.records import COMPLETED, FAILED, TrialOutcome
from tuning.pipeline.trials import never_learned


def outcome(*scores: float | None) -> TrialOutcome:
    curve = [{"epoch": epoch, "val_f1_macro": score} for epoch, score in enumerate(scores, start=1)]
    return TrialOutcome("0000", COMPLETED, score=0.1, curve=curve, seconds=[1.0] * len(curve))


def test_defaults_that_never_leave_chance_are_named():
    warning = never_learned(outcome(0.10, 0.14, None, 0.12), 7)
    assert warning is not None
    assert "nothing in 3 epochs (val_f1_macro 0.1400)" in warning


def test_defaults_that_leave_it_once_are_not_nor_those_that_failed():
    assert never_learned(outcome(0.10, 0.16, 0.12), 7) is None
    assert never_learned(TrialOutcome("0000", FAILED), 7) is None

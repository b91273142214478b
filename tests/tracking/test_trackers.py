"""The wall between a search and what follows it."""

from __future__ import annotations

import contextlib
import signal

import pytest

from tuning import tracking as trackers
from tuning.core.errors import Interrupted
from tuning.tracking import TRACKERS, Published, Trackers, Tracking, following


class Heard:
    """A progress that remembers its warnings, and a tracker that remembers its calls and fails on demand."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails, self.calls, self.warnings = fails, [], []

    def warn(self, text):
        self.warnings.append(text)

    def trial(self, spec, outcome):
        self.calls.append(spec.trial_id)
        if self.fails:
            raise self.fails

    def run(self, run):
        self.calls.append(run.run_id)

    def end(self, finished):
        self.calls.append(finished)


def test_every_field_of_tracking_is_a_tracker():
    assert set(Tracking.__dataclass_fields__) == set(TRACKERS)


def test_trackers_hear_everything_in_order(trials, published):
    tracker = Heard()
    following_it = Trackers({"one": tracker}, tracker)
    for spec, outcome in trials:
        following_it.trial(spec, outcome)
    following_it.runs([published])
    following_it.end(finished=True)
    assert tracker.calls == ["0000", "0001", "0002", published.name, True]


def test_one_that_fails_warns_once_and_the_others_go_on(trials):
    gone, sound = Heard(ConnectionError("no route to host\nat length")), Heard()
    both = Trackers({"gone": gone, "sound": sound}, gone)
    for spec, outcome in trials:
        both.trial(spec, outcome)
    both.end(finished=True)
    assert gone.calls == ["0000"]
    assert sound.calls == ["0000", "0001", "0002", True]
    assert gone.warnings == ["gone is left out from here on, the search continues: no route to host"]


def test_a_run_that_cannot_be_read_is_the_trackers_problem(tmp_path):
    tracker = Heard()
    Trackers({"one": tracker}, tracker).runs([tmp_path / "gone"])
    assert len(tracker.warnings) == 1 and "does not exist" in tracker.warnings[0]


def test_a_signal_is_no_failure_of_a_tracker(trials):
    tracker = Heard(Interrupted(signal.SIGINT))
    with pytest.raises(Interrupted):
        Trackers({"one": tracker}, tracker).trial(*trials[0])
    assert tracker.warnings == []


@pytest.mark.parametrize("error", [None, Interrupted(signal.SIGTERM), ValueError("broken")])
def test_the_end_is_told_apart(error, subject, monkeypatch):
    tracker = Heard()
    monkeypatch.setattr(trackers, "TRACKERS", {"tensorboard": "fake:Fake"})
    fake = type("Module", (), {"Fake": lambda subject, wanted: tracker})
    monkeypatch.setattr(trackers.importlib, "import_module", lambda name: fake)
    with contextlib.suppress(Interrupted, ValueError), following(Tracking(tensorboard=True), subject, tracker):
        if error:
            raise error
    assert tracker.calls == [error is None]


def test_nothing_is_opened_that_was_not_asked_for(subject):
    with following(Tracking(), subject, Heard()) as opened:
        opened.end(finished=True)
    assert list(subject.directory.iterdir()) == []


def test_a_published_run_in_the_form_of_a_trial(published):
    run = Published.read(published)
    assert [entry["epoch"] for entry in run.curve] == [1, 2, 3, 4, 5]
    assert "seconds" not in run.curve[0] and "val_f1_macro" in run.curve[0]
    assert run.values == {"learning_rate": 0.001, "blocks": 3}
    assert set(run.results) == {"val_f1_macro", "epochs", "test_f1_macro", "test_accuracy", "test_loss"}

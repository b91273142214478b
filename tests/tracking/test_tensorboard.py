"""Event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from tensorboard.plugins.hparams import api_pb2, metadata

from tuning.core import files
from tuning.core.records import COMPLETED, TrialOutcome
from tuning.tracking import Published, Subject
from tuning.tracking.tensorboard import TensorBoard
from tuning.tracking.times import entry_times, timed_points

from .conftest import curve


@pytest.fixture
def read(monkeypatch):
    """read(folder) is TensorBoard's view of a log directory, without TensorFlow."""
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", types.ModuleType("notf"))
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    def view(folder: Path) -> EventMultiplexer:
        return EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()

    return view


def points(view, run: str, tag: str) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value)) for event in view.Scalars(run, tag)]


def hparams(view, run: str, tag: str, parse):
    return parse(view.SummaryMetadata(run, tag).plugin_data.content)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def followed(subject, trials, published) -> Subject:
    tracker = TensorBoard(subject, True)
    for spec, outcome in trials:
        tracker.trial(spec, outcome)
    tracker.run(Published.read(published))
    tracker.end(finished=True)
    return subject


def test_every_epoch_of_every_trial_is_a_point(followed, read):
    view = read(followed.events)
    assert points(view, "trials/0000", "val_f1_macro") == [(1, 0.2), (2, 0.3)]
    assert points(view, "trials/0001", "val_f1_macro") == [(1, 0.2), (2, 0.3), (3, 0.5)]
    assert points(view, "trials/0001", "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert points(view, "trials/0001", "result/val_f1_macro") == [(3, 0.5)]
    assert points(view, "trials/0001", "result/epochs") == [(3, 3)]
    assert "epoch" not in view.Runs()["trials/0001"]["scalars"]


def test_a_finalist_has_its_curve_and_its_test_figures(followed, published, read):
    view, run = read(followed.events), f"runs/{published.name}"
    metrics = files.read_json(published / "metrics.json", "")
    assert [step for step, _ in points(view, run, "val_f1_macro")] == [1, 2, 3, 4, 5]
    assert points(view, run, "result/test_f1_macro") == [(5, metrics["test"]["f1_macro"])]
    assert points(view, run, "result/val_f1_macro") == [(5, metrics["val"]["f1_macro"])]


def test_a_failed_trial_says_why(followed, read):
    view = read(followed.events)
    assert view.Runs()["trials/0002"]["scalars"] == ["loss"]
    (event,) = view.Tensors("trials/0002", "failure")
    assert event.tensor_proto.string_val == [b"loss became nan in epoch 2"]
    ends = {
        run: hparams(view, run, metadata.SESSION_END_INFO_TAG, metadata.parse_session_end_info_plugin_data).status
        for run in ("trials/0000", "trials/0002")
    }
    assert ends == {"trials/0000": api_pb2.STATUS_SUCCESS, "trials/0002": api_pb2.STATUS_FAILURE}


def test_the_hparams_page_knows_configurations_and_columns(followed, read):
    view = read(followed.events)
    start = hparams(view, "trials/0001", metadata.SESSION_START_INFO_TAG, metadata.parse_session_start_info_plugin_data)
    assert start.group_name == "0001"
    assert start.hparams["rate"].number_value == 1e-3
    assert start.hparams["head"].string_value == "dense"
    assert start.hparams["norm"].bool_value is True
    assert "tuner/bracket" not in start.hparams
    experiment = hparams(view, ".", metadata.EXPERIMENT_TAG, metadata.parse_experiment_plugin_data)
    found = {info.name: info for info in experiment.hparam_infos}
    assert list(found) == ["rate", "batch_size", "head", "norm"]
    assert (found["rate"].domain_interval.min_value, found["rate"].domain_interval.max_value) == (1e-4, 1e-2)
    assert [value.string_value for value in found["head"].domain_discrete.values] == ["dense", "average"]
    assert found["norm"].type == api_pb2.DATA_TYPE_BOOL
    assert [info.display_name for info in experiment.metric_infos][:3] == ["val_f1_macro", "epochs", "test_f1_macro"]


def test_a_resume_writes_what_is_missing_and_nothing_else(followed, trials, later, published):
    before = contents(followed.events)
    again = TensorBoard(followed, True)
    for spec, outcome in trials:
        again.trial(spec, outcome)
    again.run(Published.read(published))
    assert contents(followed.events) == before
    again.trial(*later())
    assert len(contents(followed.events)) == len(before) + 1


def test_a_trial_that_was_tried_again_replaces_the_failed_one(followed, trials, read):
    before, (spec, _) = contents(followed.events), trials[2]
    again = TensorBoard(followed, True)
    again.trial(spec, TrialOutcome("0002", COMPLETED, 0.4, curve(0.4), seconds=(1.0,)))
    assert len(contents(followed.events)) == len(before)
    view = read(followed.events)
    assert points(view, "trials/0002", "result/val_f1_macro") == [(1, 0.4)]
    assert "failure" not in view.Runs()["trials/0002"]["tensors"]


@pytest.mark.parametrize("operation", ["write", "fsync", "rename"])
def test_a_kill_leaves_no_half_file_where_tensorboard_looks(operation, subject, trials):
    def kill(announced, path):
        if announced == operation:
            raise SystemExit

    tracker = TensorBoard(subject, True)
    before = contents(subject.events)
    files.fault_hook = kill
    with pytest.raises(SystemExit):
        tracker.trial(*trials[0])
    files.fault_hook = None
    assert contents(subject.events) == before
    TensorBoard(subject, True).trial(*trials[0])
    assert len(contents(subject.events)) == len(before) + 1


def test_a_hyperparameter_that_turns_up_late_gets_its_column(followed, later, read):
    units = {"class_name": "Int", "config": {"name": "units", "min_value": 1, "max_value": 9}}
    TensorBoard(followed, True).trial(*later(space=(units,), units=3))
    experiment = hparams(read(followed.events), ".", metadata.EXPERIMENT_TAG, metadata.parse_experiment_plugin_data)
    assert "units" in [info.name for info in experiment.hparam_infos]
    assert len(list(followed.events.glob("events*"))) == 1


def test_times_of_epochs():
    assert entry_times(3, [2.0, 1.0, 4.0], 100.0) == [95.0, 96.0, 100.0]
    # Two epochs that another trial had trained.
    assert entry_times(3, [4.0], 100.0) == [96.0, 96.0, 100.0]
    assert entry_times(0, [], 100.0) == []


@pytest.mark.parametrize(
    ("epochs", "drawn"),
    [
        ([1, 2], [(1, 99.0), (2, 100.0)]),
        ([0.25, 0.5, 1, 2], [(1, 99.0), (2, 100.0)]),
        ([0.25, 0.5], [(0, 100.0)]),
        ([], []),
    ],
)
def test_trackers_count_in_whole_epochs(epochs, drawn):
    curve = [{"epoch": epoch} for epoch in epochs]
    assert [(epoch, at) for epoch, at, _ in timed_points(curve, [1.0] * len(curve), 100.0)] == drawn


def test_writing_needs_no_tensorflow():
    import subprocess

    code = "import sys; import tuning.tracking.tensorboard; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

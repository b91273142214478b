from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tuning.core import files
from tuning.core.errors import DataError
from tuning.results.runs import (
    HISTORY_COLUMNS,
    RUN_FILES,
    best_run,
    publish_run,
    read_run,
    read_runs,
    run_folders,
    verify_model,
)
from tuning.results.schema import Metrics, read_params


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def about(staged, **changes):
    """The run, if this were known of it."""
    return replace(staged, about=msgspec.structs.replace(staged.about, **changes))


@pytest.fixture
def no_plots(monkeypatch):
    """Drawing takes half a second; most tests here are about other files."""
    monkeypatch.setattr("tuning.results.plots.run_figures", lambda metrics, history: {})


def test_a_published_run_has_exactly_its_files(workspace, stage_run):
    staged = stage_run("faces-1")
    metrics = publish_run(workspace, staged)
    folder = workspace.run("faces-1")
    assert sorted(path.name for path in folder.iterdir()) == sorted(RUN_FILES)
    assert len(RUN_FILES) == 10
    assert workspace.predictions("faces-1").read_bytes() == (staged.directory / "predictions.npz").read_bytes()
    assert read_run(folder) == metrics
    assert json.loads(msgspec.json.encode(metrics)) == json.loads((folder / "metrics.json").read_text())
    assert (folder / "model.keras").read_bytes() == (staged.directory / "model.keras").read_bytes()
    assert metrics.model_sha256 == hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
    assert (folder / "confusion_matrix_raw.png").read_bytes().startswith(b"\x89PNG")
    assert "macro avg" in (folder / "classification_report.txt").read_text()
    assert [path.name for path in workspace.trials.iterdir()] == ["faces-1"]


def test_publishing_twice_gives_the_same_bytes(workspace, stage_run):
    staged = stage_run("faces-1")
    publish_run(workspace, staged)
    before = contents(workspace.run("faces-1"))
    publish_run(workspace, staged)
    assert contents(workspace.run("faces-1")) == before


def test_metrics_hold_what_was_said_and_what_was_computed(workspace, stage_run, no_plots):
    val = {"loss": 1.23456789, "accuracy": 0.5, "f1_macro": 0.4}
    staged = stage_run("faces-1", epochs=6, best_epoch=2, val=val, output="logits")
    metrics = publish_run(workspace, staged)
    assert (metrics.epochs, metrics.best_epoch, metrics.output) == (6, 2, "logits")
    assert msgspec.to_builtins(metrics.val) == {"f1_macro": 0.4, "accuracy": 0.5, "loss": 1.234568}
    said = {name: getattr(staged.about, name) for name in staged.about.__struct_fields__ if name != "val"}
    assert {name: getattr(metrics, name) for name in said} == said
    assert metrics.test.images == 90
    assert list(metrics.test.per_class) == metrics.classes


def test_metrics_hold_how_far_confidence_is_from_accuracy(workspace, stage_run, no_plots):
    """Where a temperature is in the graph, without it too."""
    left_out = {"used": False, "reason": "it does not pay"}
    additions = {name: left_out for name in ("mirrored_view", "prior_correction")}
    tempered = {**additions, "temperature": {"used": True, "value": 2.0}}
    plain = publish_run(workspace, stage_run("plain", additions={**additions, "temperature": left_out})).test
    assert plain.untempered is None
    low, high = plain.calibration.interval
    assert low <= plain.calibration.error < high
    publish_run(workspace, stage_run("tempered", additions=tempered))
    found = read_run(workspace.run("tempered")).test
    assert found.calibration == plain.calibration
    # The temperature has made the model less sure of itself.
    assert found.untempered.overconfident > found.calibration.overconfident


def test_a_validation_figure_that_is_not_finite_is_missing(workspace, stage_run, no_plots):
    staged = stage_run("faces-1")
    val = msgspec.structs.replace(staged.about.val, loss=float("nan"))
    metrics = publish_run(workspace, about(staged, val=val))
    assert metrics.val.loss is None


def test_history_keeps_its_columns_and_turns_what_json_lacks_into_null(workspace, stage_run, no_plots):
    staged = stage_run("faces-1", epochs=3)
    staged.history["val_loss"][:] = [np.float32(1.5), float("inf"), float("nan")]
    staged.history["top2"] = [0.5, 0.6, 0.7]
    publish_run(workspace, staged)
    history = json.loads((workspace.run("faces-1") / "history.json").read_text())
    assert list(history) == [*HISTORY_COLUMNS, "top2"]
    assert history["val_loss"] == [1.5, None, None]
    params = json.loads((workspace.run("faces-1") / "params.json").read_text())
    assert list(params) == ["learning_rate", "blocks", "settings"]
    assert (params["learning_rate"], params["settings"]["epochs"]) == (0.001, 3)
    assert read_params(workspace.run("faces-1") / "params.json", "") == staged.params


def test_a_failed_write_leaves_the_old_run(workspace, stage_run, no_plots, monkeypatch):
    staged = stage_run("faces-1")
    publish_run(workspace, staged)
    before = contents(workspace.run("faces-1"))

    def full(operation, path):
        if path.name == "params.json" and operation == "rename":
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "fault_hook", full)
    (staged.directory / "model.keras").write_bytes(b"another model")
    with pytest.raises(OSError, match="No space left"):
        publish_run(workspace, staged)
    assert contents(workspace.run("faces-1")) == before
    assert [path.name for path in workspace.trials.iterdir()] == ["faces-1"]


@pytest.mark.parametrize("name", ["model.keras", "model_summary.txt", "predictions.npz"])
def test_a_missing_staged_file_is_named(workspace, stage_run, name):
    staged = stage_run()
    (staged.directory / name).unlink()
    with pytest.raises(DataError, match=name):
        publish_run(workspace, staged)
    assert run_folders(workspace) == []


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 torn"])
def test_broken_predictions_are_named(workspace, stage_run, content):
    staged = stage_run()
    (staged.directory / "predictions.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"predictions\.npz does not hold predictions"):
        publish_run(workspace, staged)


def test_predictions_without_probabilities_are_named(workspace, stage_run):
    staged = stage_run()
    np.savez(staged.directory / "predictions.npz", labels=np.zeros(3, np.int64))
    with pytest.raises(DataError, match=r"predictions\.npz"):
        publish_run(workspace, staged)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda staged: about(staged, run_id="../elsewhere"), "cannot be the name"),
        (lambda staged: about(staged, run_id=".hidden"), "cannot be the name"),
        (lambda staged: about(staged, kind="winner"), "'winner'"),
        (lambda staged: about(staged, best_epoch=6), "best_epoch is 6"),
        (lambda staged: replace(staged, history=staged.history | {"loss": [1.0]}), "differ in length"),
        (lambda staged: replace(staged, history={"epoch": []}), "history lacks loss"),
    ],
)
def test_a_caller_that_breaks_the_contract_is_told(workspace, stage_run, change, says):
    with pytest.raises(ValueError, match=says):
        publish_run(workspace, change(stage_run(epochs=5)))
    assert run_folders(workspace) == []


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda metrics: [], "Expected `object`, got `array`"),
        (lambda metrics: metrics | {"schema": 2}, "schema is 2"),
        (lambda metrics: metrics | {"run_id": "other"}, "the folder is 'one'"),
        (lambda metrics: metrics | {"seed": True}, "seed is True: Expected `int`"),
        (lambda metrics: metrics | {"sedd": 1}, "unknown field `sedd`"),
        (lambda metrics: metrics | {"classes": ["a", "a"]}, "one of them is there twice"),
        (lambda metrics: metrics | {"model_sha256": "X" * 64}, "model_sha256 is"),
        (
            lambda metrics: metrics | {"input": {"image_size": 48, "color": "cmyk", "scaling": "0-1"}},
            "'cmyk'",
        ),
        (lambda metrics: metrics | {"test": metrics["test"] | {"f1_macro": 1.5}}, "test.f1_macro is 1.5"),
        (
            lambda metrics: metrics | {"test": metrics["test"] | {"f1_macro_interval": [0.5, 0.4]}},
            "is 0.5 to 0.4",
        ),
        (
            lambda metrics: metrics | {"test": metrics["test"] | {"confusion_matrix": [[1, 2]]}},
            "is not square",
        ),
        (lambda metrics: metrics | {"test": metrics["test"] | {"confusion_matrix": [[1]]}}, "agree with classes"),
        (lambda metrics: metrics | {"test": None}, "test is None"),
        (lambda metrics: {name: metrics[name] for name in metrics if name != "val"}, "missing required field `val`"),
    ],
)
def test_metrics_that_cannot_be_trusted_name_file_and_remedy(workspace, write_run, edit, says):
    metrics = write_run("one")
    path = workspace.run("one") / "metrics.json"
    path.write_text(json.dumps(edit(metrics)))
    with pytest.raises(DataError, match=says) as caught:
        read_run(workspace.run("one"))
    assert str(path) in caught.value.problem
    assert "python -m tuning.leaderboard --rebuild" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_broken_json_names_file_and_remedy(workspace, write_run, text):
    write_run("one")
    (workspace.run("one") / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"metrics\.json is not valid JSON") as caught:
        read_runs(workspace)
    assert "--rebuild" in caught.value.remedy


def test_folders_that_are_no_runs_are_passed_over(workspace, write_run):
    write_run("b")
    write_run("a")
    (workspace.trials / "notes").mkdir()
    (workspace.trials / "readme.txt").write_text("hello")
    write_run("c")
    workspace.run("c").rename(workspace.trials / ".partial-1-c")
    assert [folder.name for folder in run_folders(workspace)] == ["a", "b"]


def test_the_best_run_has_the_highest_test_macro_f1_and_is_the_first_of_equals(workspace, write_run):
    for name, f1 in (("c", 0.7), ("b", 0.7), ("a", 0.6)):
        write_run(name, f1)
    runs = read_runs(workspace)
    assert best_run(runs).run_id == best_run(reversed(runs)).run_id == "b"
    assert best_run([]) is None


def test_a_workspace_without_runs_has_none(tmp_path):
    from tuning.core.workspace import Workspace

    assert read_runs(Workspace(tmp_path / "nowhere")) == []
    assert not (tmp_path / "nowhere").exists()


def test_a_changed_model_is_refused(workspace, write_run):
    metrics = write_run("one")
    model = workspace.run("one") / "model.keras"
    metrics = msgspec.convert(metrics, Metrics)
    verify_model(model, metrics, "restore it")
    model.write_bytes(b"changed")
    with pytest.raises(DataError, match="is not the model that its metrics describe") as caught:
        verify_model(model, metrics, "restore it")
    assert caught.value.remedy == "restore it"
    model.unlink()
    with pytest.raises(DataError, match="does not exist"):
        verify_model(model, metrics, "restore it")

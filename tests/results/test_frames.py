"""Frames and figures for notebooks, from a journal that nobody had to train for."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.written_runs import SUMMARY
from tuning.core.errors import DataError, UsageError
from tuning.core.files import digest
from tuning.core.records import TrialSpec
from tuning.dataset.store.manifests import Place, SplitManifest
from tuning.engine.entries import Ask, Attempt, Result, Stopped
from tuning.engine.journal import Journal
from tuning.pipeline.values import as_text
from tuning.results import figures, frames, plots
from tuning.results.frames import curves_frame, dataset_frame, trials_frame


def freeze(folder, **settings) -> None:
    """The settings of a search, as it writes them down."""
    (folder / "search.json").write_text(json.dumps({"settings": settings, "digest": digest(settings)}))


def result(trial: str, *scores: float | None, error: dict | None = None) -> dict:
    curve = [{"epoch": n, "loss": 1.0, "val_loss": 1 / n, "val_f1_macro": s} for n, s in enumerate(scores, 1)]
    if error:
        return {"error": error}
    done = {"trial_id": trial, "status": "COMPLETED", "score": max(scores), "curve": curve, "failure": None}
    return {**done, "space": [], "seconds": [1.5] * len(scores)}


@pytest.fixture
def search(workspace) -> str:
    """Four trials: the baseline, one that goes on from it, one that failed, one that runs."""
    folder = workspace.search("faces")
    folder.mkdir()
    freeze(folder)
    rate = {"name": "rate", "min_value": 0.1, "max_value": 1.0, "default": 0.1, "sampling": "linear", "step": None}
    space = [{"class_name": "Float", "config": rate}]
    specs = [
        TrialSpec("0000", {"rate": 0.1, "tuner/bracket": 1}, 2),
        TrialSpec("0001", {"rate": 0.1, "tuner/bracket": 1}, 3, 2, "0000", "0000"),
        TrialSpec("0002", {"rate": 0.9, "late": "x"}, 3),
        TrialSpec("0003", {"rate": 0.5}, 3),
    ]
    failure = {"kind": "exception", "message": "no such layer", "traceback": None, "remedy": "", "exit_code": 1}
    results = {
        "0000": result("0000", 0.2, 0.3),
        "0001": {**result("0001", 0.2, 0.3, 0.5), "seconds": [2.0]},
        "0002": result("0002", error=failure),
    }
    with Journal(folder / "journal.jsonl") as journal:
        described = journal.append(Attempt(key="describe"))
        content = {"space": space, "defaults": {"rate": 0.1}, "parameters": {}}
        journal.append(Result(key="describe", fence=described.n, result=content))
        for spec in specs:
            journal.append(Ask(trial=spec, completed=0))
            attempt = journal.append(Attempt(key=f"trial/{spec.trial_id}"))
            if spec.trial_id in results:
                journal.append(Result(key=f"trial/{spec.trial_id}", fence=attempt.n, result=results[spec.trial_id]))
    return "faces"


def test_trials(workspace, search):
    frame = trials_frame(workspace, search)
    assert list(frame.index) == ["0000", "0001", "0002", "0003"]
    assert list(frame.columns) == [*frames._COLUMNS, "hp.rate", "hp.late"]
    assert list(frame["status"]) == ["COMPLETED", "COMPLETED", "FAILED", "RUNNING"]
    assert list(frame["val_f1_macro"][:2]) == [0.3, 0.5]
    assert list(frame["epochs"][:2]) == [2, 3] and list(frame["new_epochs"][:2]) == [2, 1]
    assert frame.loc["0001", "continues"] == "0000" and pd.isna(frame.loc["0000", "continues"])
    assert frame.loc["0001", "bracket"] == 1 and pd.isna(frame.loc["0002", "bracket"])
    assert frame.loc["0002", "failure"] == "no such layer"
    assert list(frame["hp.rate"]) == [0.1, 0.1, 0.9, 0.5]
    assert frame.loc["0002", "hp.late"] == "x" and pd.isna(frame.loc["0000", "hp.late"])
    assert str(frame["epochs"].dtype) == "float64" and str(frame["status"].dtype) == "string"


def test_a_trial_that_was_given_up_runs_no_more(workspace, search):
    with Journal(workspace.search(search) / "journal.jsonl") as journal:
        journal.append(Stopped())
    frame = trials_frame(workspace, search)
    assert list(frame["status"]) == ["COMPLETED", "COMPLETED", "FAILED", "GIVEN UP"]


def test_whole_numbers_and_booleans_stay_what_they_are_beside_missing_cells(workspace):
    folder = workspace.search("whole")
    folder.mkdir()
    freeze(folder)
    values = [{"block": "plain", "flip": True}, {"block": "double", "blocks": 4, "rate": 0.5}]
    with Journal(folder / "journal.jsonl") as journal:
        for number, each in enumerate(values):
            journal.append(Ask(trial=TrialSpec(f"000{number}", {**each, "tuner/epochs": 3}, 3), completed=0))
    frame = trials_frame(workspace, "whole")
    assert {name: str(kind) for name, kind in frame.dtypes.items() if name.startswith("hp.")} == {
        "hp.block": str(frame["hp.block"].dtype),
        "hp.blocks": "Int64",
        "hp.flip": "boolean",
        "hp.rate": "float64",
    }
    assert as_text(frame.loc["0000"]) == {"block": "plain", "flip": "True"}
    assert as_text(frame.loc["0001"]) == as_text(values[1] | {"tuner/epochs": 3})
    assert as_text(frame.reset_index().to_dict("records")[1]) == as_text(values[1])


def test_curves(workspace, search):
    frame = curves_frame(workspace, search)
    assert list(frame.itertuples(index=False, name=None)) == [
        ("0000", 1, 0.2, 1.0),
        ("0000", 2, 0.3, 0.5),
        ("0001", 1, 0.2, 1.0),
        ("0001", 2, 0.3, 0.5),
        ("0001", 3, 0.5, 1 / 3),
    ]


def test_a_first_epoch_in_parts(workspace):
    """Budgets in the journal are counted in thirds of an epoch; the frames speak of epochs."""
    folder = workspace.search("thirds")
    folder.mkdir()
    freeze(folder, parts=3)
    specs = [TrialSpec("0000", {"rate": 0.1}, 6), TrialSpec("0001", {"rate": 0.1}, 12, 6, "0000", "0000")]
    scores = {"0000": (0.1, 0.2, 0.3, 0.4), "0001": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
    points = (1 / 3, 2 / 3, 1, 2, 3, 4)
    with Journal(folder / "journal.jsonl") as journal:
        for spec in specs:
            journal.append(Ask(trial=spec, completed=0))
            key = f"trial/{spec.trial_id}"
            attempt = journal.append(Attempt(key=key))
            done = result(spec.trial_id, *scores[spec.trial_id])
            for entry, epoch in zip(done["curve"], points, strict=False):
                entry["epoch"] = epoch
            journal.append(Result(key=key, fence=attempt.n, result=done))
    frame = trials_frame(workspace, "thirds")
    assert list(frame["epochs"]) == [2, 4] and list(frame["new_epochs"]) == [2, 2]
    # 1.5 s for each point that a trial added: four and two.
    assert list(frame["seconds"]) == [6, 3]
    assert list(curves_frame(workspace, "thirds")["epoch"]) == [*points[:4], *points]
    axes = figures.search_figures(workspace, "thirds")["learning_curves"].axes[0]
    assert max(max(line.get_xdata()) for line in axes.lines) == 4


@pytest.mark.parametrize("made", [trials_frame, curves_frame, figures.search_figures])
def test_a_search_that_is_not_there(made, workspace, search):
    with pytest.raises(UsageError, match="no search 'other'") as caught:
        made(workspace, "other")
    assert caught.value.remedy == "use one of faces"


def test_a_search_that_has_just_begun(workspace):
    folder = workspace.search("new")
    folder.mkdir()
    freeze(folder)
    assert len(trials_frame(workspace, "new")) == len(curves_frame(workspace, "new")) == 0
    assert figures.search_figures(workspace, "new") == {}


def test_the_data_set(workspace):
    workspace.pool_summary.write_text(json.dumps(SUMMARY))
    frame = dataset_frame(workspace)
    assert frame.index.name == "class" and list(frame.columns) == ["train", "val", "test", "all"]
    assert frame.to_dict("index") == SUMMARY["classes"]


def test_a_data_set_whose_summary_is_damaged_is_refused(workspace):
    damaged = {name: value for name, value in SUMMARY.items() if name != "classes"}
    workspace.pool_summary.write_text(json.dumps(damaged))
    with pytest.raises(DataError, match=r"pool_summary\.json.*classes"):
        dataset_frame(workspace)


def test_figures_of_a_search(workspace, search):
    found = figures.search_figures(workspace, search)
    assert set(found) == {"best_so_far", "learning_curves"}
    assert len(found["learning_curves"].axes[0].lines) == 1


def test_figures_of_a_run(workspace, stage_run, write_run):
    staged = stage_run()
    write_run(staged.run_id, epochs=5, best_epoch=5)
    (workspace.run(staged.run_id) / "history.json").write_text(json.dumps(staged.history))
    found = figures.run_figures(workspace, staged.run_id)
    assert set(found) == {"accuracy", "loss", "confusion_matrix_raw", "confusion_matrix_norm"}
    with pytest.raises(UsageError, match="no run 'other'"):
        figures.run_figures(workspace, "other")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda history: history.pop("val_loss"), "history lacks val_loss"),
        (lambda history: history["loss"].pop(), "columns are empty or differ in length"),
        (lambda history: [column.pop() for column in history.values()], "ends before epoch 5"),
    ],
)
def test_a_damaged_history_of_a_run_is_refused(workspace, stage_run, write_run, damage, said):
    staged = stage_run()
    write_run(staged.run_id, epochs=5, best_epoch=5)
    damage(staged.history)
    (workspace.run(staged.run_id) / "history.json").write_text(json.dumps(staged.history))
    with pytest.raises(DataError, match=rf"history\.json.*{said}"):
        figures.run_figures(workspace, staged.run_id)


def test_no_faces_a_class_are_refused(workspace):
    with pytest.raises(UsageError, match="per_class is 0"):
        figures.faces_figure(workspace, per_class=0)


def test_labelled_test_images_are_those_that_the_kept_predictions_are_of(workspace, monkeypatch):
    """Rows of the predictions are in the order of the split: by pixels, then label."""
    (workspace.run("one")).mkdir(parents=True)
    (workspace.run("one") / "metrics.json").touch()
    monkeypatch.setattr(
        figures, "read_run", lambda folder: SimpleNamespace(data_digest="d", classes=["angry", "happy", "sad"])
    )
    places = [Place(f"{name}.png", "", name, "happy", "", "test") for name in "cab"]
    places.append(Place("0.png", "", "0", "sad", "", "val"))
    manifest = SplitManifest((70.0, 15.0, 15.0), 0, "box", tuple(places), {})
    monkeypatch.setattr(figures, "read_split_manifest", lambda path: manifest)
    info = SimpleNamespace(digest="d", image_size=2, color="gray")
    monkeypatch.setattr(figures, "read_info", lambda workspace: info)
    opened = []
    monkeypatch.setattr(
        figures, "decode", lambda path, size, color: opened.append(path.name) or np.zeros((2, 2, 1), np.uint8)
    )
    kept = np.array([1, 1, 1]), np.array([[0, 0.9, 0.1], [0.6, 0.4, 0], [0.2, 0.5, 0.3]], np.float32)
    monkeypatch.setattr(figures, "run_predictions", lambda workspace, run_id: kept)
    figure = figures.predictions_figure(workspace, "one")
    assert opened == ["a.png", "b.png", "c.png"]
    assert [axes.get_title() for axes in figure.axes] == ["happy 0.90", "angry 0.60\nis happy", "happy 0.50"]
    assert [axes.title.get_color() for axes in figure.axes] == [figures.RIGHT, figures.WRONG, figures.RIGHT]
    assert len(figures.predictions_figure(workspace, "one", images=2).axes) == 2
    with pytest.raises(UsageError, match="images is 0"):
        figures.predictions_figure(workspace, "one", images=0)
    with pytest.raises(UsageError, match="no run 'other'"):
        figures.predictions_figure(workspace, "other")
    info.digest = "e"
    with pytest.raises(DataError, match="other data"):
        figures.predictions_figure(workspace, "one")
    monkeypatch.setattr(figures, "run_predictions", lambda workspace, run_id: None)
    with pytest.raises(DataError, match="were not kept"):
        figures.predictions_figure(workspace, "one")


def test_faces(workspace, write_data, tmp_path):
    write_data("d" * 64)
    figure = figures.faces_figure(workspace, per_class=3)
    assert len(figure.axes) == 9
    # Six training images in three classes: two of each, and a cell that stays empty.
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 0] * 3
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["angry", "happy", "sad"]
    plots.save(figure, tmp_path / "faces.png")
    assert (tmp_path / "faces.png").read_bytes().startswith(b"\x89PNG")

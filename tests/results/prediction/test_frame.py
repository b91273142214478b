"""Predictions for notebooks, with Keras in this process."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from tuning.core.errors import DataError, EnvironmentProblem, UsageError
from tuning.results.prediction import labelling
from tuning.results.prediction.frame import predict_frame
from tuning.results.promotion import promote

CLASSES = ["dark", "bright"]


@pytest.fixture
def promoted(workspace, make_run, tmp_path):
    """The workspace, with a model that tells bright images of 8 pixels a side from dark ones."""
    import keras

    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    model.set_weights([np.tile([[-0.1, 0.1]], (64, 1)), np.array([3.0, -3.0])])
    model.save(tmp_path / "saved.keras")
    make_run(workspace, "run-1", model=(tmp_path / "saved.keras").read_bytes(), classes=CLASSES)
    promote(workspace)
    return workspace


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "white.png"), np.full((20, 20), 255, np.uint8))
    cv2.imwrite(str(folder / "black.png"), np.zeros((20, 20), np.uint8))
    (folder / "torn.png").write_bytes(b"\x89PNG torn")
    return folder


def test_a_row_for_each_image_and_label_in_order(promoted, images):
    frame = predict_frame(promoted, [images / "white.png", str(images / "black.png")], top_k=2)
    assert list(frame["label"]) == ["bright", "dark", "dark", "bright"]
    assert list(frame["rank"]) == [1, 2, 1, 2]
    assert list(frame["path"])[::2] == [str(images / "white.png"), str(images / "black.png")]
    assert frame["probability"][0] > 0.9 and frame["probability"][:2].sum() == pytest.approx(1)
    assert frame["error"].isna().all()


def test_what_cannot_be_read_has_its_reason_in_place_of_a_label(promoted, images):
    frame = predict_frame(promoted, [images, images / "missing.png"])
    assert list(frame["label"].fillna("–")) == ["dark", "–", "bright", "–"]
    assert frame["error"][3] == "does not exist, or is no file" and frame["error"].notna().sum() == 2
    assert [str(kind) for kind in frame.dtypes] == ["string", "Int64", "string", "float64", "string"]
    assert pd.isna(frame["rank"][1])


def test_a_cameras_raw_file_is_not_labelled_by_its_thumbnail(promoted, images):
    (images / "photo.NEF").write_bytes(cv2.imencode(".tiff", np.full((20, 20), 255, np.uint8))[1].tobytes())
    frame = predict_frame(promoted, images / "photo.NEF")
    assert list(frame["error"]) == ["a camera's raw file (NEF), which is not decoded"]
    assert frame["label"].isna().all()


def test_one_path_is_no_list_of_letters_and_no_path_gives_no_row(promoted, images):
    assert list(predict_frame(promoted, str(images / "white.png"))["label"]) == ["bright"]
    assert len(predict_frame(promoted, [])) == 0


def test_a_given_model_is_taken(promoted, images):
    model = promoted.run("run-1") / "model.keras"
    promoted.best_model.unlink()
    assert list(predict_frame(promoted, images / "black.png", model)["label"]) == ["dark"]
    with pytest.raises(UsageError, match=r"not a \.keras file"):
        predict_frame(promoted, images, model.with_suffix(".pkl"))


def test_refusals(workspace, images):
    with pytest.raises(DataError, match="no model is promoted yet"):
        predict_frame(workspace, images)
    with pytest.raises(UsageError, match="top_k is 0"):
        predict_frame(workspace, images, top_k=0)


def test_what_the_numpy_backend_lacks_is_said_with_the_way_out(promoted, images, monkeypatch):
    def lacking(*_):
        raise NotImplementedError("no such operation")

    monkeypatch.setattr(labelling, "probabilities", lacking)
    monkeypatch.setattr("keras.backend.backend", lambda: "numpy")
    with pytest.raises(EnvironmentProblem, match="numpy backend: no such operation") as caught:
        predict_frame(promoted, images)
    assert "KERAS_BACKEND=tensorflow" in caught.value.remedy
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    with pytest.raises(NotImplementedError):
        predict_frame(promoted, images)

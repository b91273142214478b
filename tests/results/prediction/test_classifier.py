"""A model file is opened where it takes and gives what its metrics say."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from tuning.core.errors import DataError
from tuning.results.prediction.classifier import Classifier, load
from tuning.results.prediction.labelling import probabilities


def saved(path, shape, classes: int = 3) -> Classifier:
    """A model of that input, said to take gray images of 8 pixels and to know three classes."""
    image = keras.Input(shape)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(image))
    keras.Model(image, layers.Dense(classes, activation="softmax")(x)).save(path)
    return Classifier(path, "run-1", ("a", "b", "c"), 8, "gray", "0-255", "probabilities")


@pytest.mark.parametrize("shape", [(8, 8, 1), (None, None, 1), (8, None, 1)])
def test_a_model_may_leave_the_size_of_its_images_open(tmp_path, shape):
    found = saved(tmp_path / "model.keras", shape)
    model = load(found)
    rows = probabilities(model, found, np.full((2, 8, 8, 1), 77, np.uint8))
    assert rows.shape == (2, 3) and rows.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("shape", "classes"), [((9, 9, 1), 3), ((None, 9, 1), 3), ((None, None, 3), 3), ((None, None, 1), 2)]
)
def test_a_model_that_does_not_fit_its_metrics_is_refused(tmp_path, shape, classes):
    with pytest.raises(DataError, match=r"maps .* its metrics say \(None, 8, 8, 1\) to \(None, 3\)"):
        load(saved(tmp_path / "model.keras", shape, classes))


def test_a_model_of_no_image_is_refused(tmp_path):
    found = saved(tmp_path / "model.keras", (8, 8, 1))
    keras.Sequential([keras.Input((8,)), layers.Dense(3)]).save(found.path)
    with pytest.raises(DataError, match=r"maps \(None, 8\) to"):
        load(found)

"""A training loss above the validation loss is explained by what makes it so, and by nothing else."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tuning.results.report.training_loss import explanation

HISTORY = {"loss": [2.0, 1.5, 1.2], "val_loss": [1.9, 1.3, 1.25]}


def test_what_is_on_is_named_with_its_value():
    values = {
        "label_smoothing": 0.1,
        "augmentation": 0.5,
        "head_dropout": 0.4,
        "spatial_dropout": 0.0,
        "mixup": False,
        "l2": 1e-4,
        "learning_rate": 1e-3,
    }
    words = explanation(HISTORY, values, 2, 7)
    assert words.startswith("Its training loss in epoch 2, 1.500, is above its validation loss, 1.300")
    for part in ("smoothed (label_smoothing 0.1)", "augmented (augmentation 0.5)", "dropped (head_dropout 0.4)"):
        assert part in words
    assert "penalties on weights are added (l2 0.0001)" in words
    assert not any(name in words for name in ("spatial_dropout", "mixed", "learning_rate"))


@pytest.mark.parametrize("classes", [2, 7])
def test_no_model_comes_below_the_entropy_of_smoothed_labels(classes):
    words = explanation(HISTORY, {"label_smoothing": 0.2}, 1, classes)
    truth = np.eye(classes, dtype="float32")[:1]
    smoothed = truth * 0.8 + 0.2 / classes
    lowest = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)(truth, smoothed)
    assert f"come below {float(lowest):.3f}" in words


def test_a_training_loss_that_is_lower_needs_no_words():
    assert explanation(HISTORY, {"label_smoothing": 0.1}, 3, 7) == ""
    assert explanation({"loss": [None], "val_loss": [1.0]}, {}, 1, 7) == ""
    assert explanation({}, {}, 1, 7) == ""


def test_what_no_name_explains_is_not_explained():
    words = explanation(HISTORY, {"learning_rate": 1e-3, "augmentation": 0.0}, 1, 7)
    assert "No hyperparameter of it explains that by its name" in words

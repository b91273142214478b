"""Every loss of Keras that a builder may compile with is fed labels as it wants them."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

from tuning.core.errors import UsageError
from tuning.trials.spaces import Interface, interface

LABELS = np.array([0, 2, 1, 1])
RIGHT = np.full((4, 3), 0.05, np.float32) + 0.85 * np.eye(3, dtype=np.float32)[LABELS]


def read(loss) -> Interface:
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model.compile("adam", loss)
    return interface(model, "own")


def accepted() -> list[str]:
    """Names of the losses in Keras that are not refused."""
    found = []
    for name, kind in vars(keras.losses).items():
        if isinstance(kind, type) and kind is not keras.losses.Loss:
            try:
                read(kind())
            except UsageError:
                continue
            found.append(name)
    return found


def compared(loss, sparse: bool) -> None:
    labels = LABELS if sparse else np.eye(3, dtype=np.float32)[LABELS]
    right, wrong = (float(np.mean(loss(labels, given))) for given in (RIGHT, np.roll(RIGHT, 1, axis=1)))
    assert right < wrong


@pytest.mark.parametrize("name", accepted())
def test_a_right_answer_costs_less_than_a_wrong_one(name):
    loss = getattr(keras.losses, name)()
    compared(loss, read(loss).sparse)


def test_those_that_are_accepted():
    assert {"CategoricalCrossentropy", "SparseCategoricalCrossentropy"} < set(accepted())
    assert "BinaryCrossentropy" not in accepted()


def test_a_loss_of_a_person_s_own_says_by_its_name_which_labels_it_takes():
    def focal(labels, outputs):
        return keras.losses.categorical_focal_crossentropy(labels, outputs)

    with pytest.raises(UsageError, match="'focal'") as refused:
        read(focal)
    words = refused.value.remedy.split()
    for word, sparse in {"sparse_categorical": True, "categorical": False}.items():
        assert word in words
        focal.__name__ = f"{word}_focal"
        assert read(focal).sparse is sparse


def test_generalized_cross_entropy_is_fed_indices_as_a_class_and_as_a_function():
    assert read(keras.losses.CategoricalGeneralizedCrossEntropy(q=0.7)).sparse
    loss = functools.partial(keras.losses.categorical_generalized_cross_entropy, q=0.7)
    assert read(loss).sparse
    compared(loss, True)

"""What a model puts out is compared with what its loss takes that for, before anything trains."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from tuning.core.errors import UsageError
from tuning.trials.fit import _training_metrics, check_outputs
from tuning.trials.keras_private import symbolic_build
from tuning.trials.spaces import interface

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _policy_stays():
    yield
    keras.config.set_dtype_policy("float32")


def model(outputs, from_logits: bool = False) -> keras.Model:
    """A model that ends in `outputs(features)`."""
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 1))
    made = keras.Model(image, outputs(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))))
    made.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=from_logits))
    return made


def checked(made: keras.Model) -> None:
    check_outputs(made, interface(made, "own"), "own", IMAGES)


def two_sides(x):
    """One sigmoid for two classes, which sum to 1 whatever its weights."""
    side = layers.Dense(1, activation="sigmoid")(x)
    return layers.Concatenate()([side, 1 - side])


PROBABILITIES = {
    "softmax": lambda x: layers.Dense(3, activation="softmax")(x),
    "softmax without a bias": lambda x: layers.Dense(3, activation="softmax", use_bias=False)(x),
    "softmax as a layer": lambda x: layers.Softmax()(layers.Dense(3)(x)),
    "nothing to train": lambda x: ops.softmax(x),
    "one sigmoid for two classes": two_sides,
    "mean of two": lambda x: layers.Average()([layers.Dense(3, activation="softmax")(x) for _ in range(2)]),
}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_go_with_a_loss_of_probabilities_alone(name, policy):
    keras.config.set_dtype_policy(policy)
    made = model(PROBABILITIES[name])
    before = made.get_weights()
    checked(made)
    assert all((one == other).all() for one, other in zip(before, made.get_weights(), strict=True))
    with pytest.raises(UsageError, match="from_logits=True, but the outputs of the model are probabilities") as refused:
        checked(model(PROBABILITIES[name], from_logits=True))
    assert "leave out the softmax" in refused.value.remedy


@pytest.mark.parametrize("start", ["glorot_uniform", "zeros"])
@pytest.mark.parametrize("activation", [None, "relu", "log_softmax"])
def test_logits_go_with_a_loss_of_logits_alone(activation, start):
    def logits(x):
        return layers.Dense(3, activation=activation, kernel_initializer=start)(x)

    checked(model(logits, from_logits=True))
    with pytest.raises(UsageError, match="not probabilities, but its loss expects them"):
        checked(model(logits))


@pytest.mark.parametrize("start", ["glorot_uniform", "zeros"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_two_sigmoids_are_no_probabilities_though_they_sum_to_one_before_training(start, batch_norm):
    def sigmoids(x):
        x = layers.Dense(2, kernel_initializer=start, name="last")(x)
        return layers.Activation("sigmoid")(layers.BatchNormalization()(x) if batch_norm else x)

    made = model(sigmoids)
    # As small as those of features that are hardly larger than 0.
    made.get_layer("last").kernel.assign(made.get_layer("last").kernel * 1e-4)
    sums = np.asarray(made(IMAGES[:8] / 255, training=False)).sum(axis=1)
    assert sums == pytest.approx(1, abs=0.02)
    with pytest.raises(UsageError, match="not probabilities, but its loss expects them"):
        checked(made)


def test_outputs_that_are_no_numbers_yet_are_left_to_the_training():
    for from_logits in (False, True):
        made = model(PROBABILITIES["softmax"], from_logits)
        made.layers[-1].bias.assign(np.full(3, np.nan))
        checked(made)


def test_a_space_is_refused_for_it_before_its_search_begins(described, monkeypatch):
    import sample_spaces as module

    def twice(hp, input_shape, num_classes):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return module._compiled(input_shape, num_classes, loss)

    monkeypatch.setattr(module, "hp_only", twice)
    with pytest.raises(UsageError, match="'sample_spaces:hp_only' compiles with from_logits=True"):
        described("hp_only")


def test_of_several_accuracies_the_one_of_that_name_is_reported():
    model = _with_metrics(keras.metrics.SparseCategoricalAccuracy(name="a_acc"))
    logs = {"loss": 1, "a_acc": 0.5, "accuracy": 0.2}
    assert _training_metrics(logs, 1, model) == {"loss": 1.0, "accuracy": 0.2}
    # Else the first by name, in whatever order they come.
    kinds = [keras.metrics.SparseCategoricalAccuracy(name=name) for name in ("right", "exact")]
    for names in (("right", "exact"), ("exact", "right")):
        logs = {"loss": 1, **{name: len(name) / 100 for name in names}}
        assert _training_metrics(logs, 1, _with_metrics(*kinds))["accuracy"] == 0.05
        kinds.reverse()
    assert _training_metrics({"loss": 1}, 1, model) == {"loss": 1.0}


def test_a_step_that_reports_no_loss_is_refused_with_what_it_reports():
    with pytest.raises(UsageError, match=r"train_step of Sequential returns accuracy, mae, but no loss"):
        _training_metrics({"mae": 1, "accuracy": 0.2}, 1, _with_metrics())


def test_what_is_no_share_of_right_answers_is_not_shown_as_one():
    """Beside the accuracy on validation, one of the best two, or of a yes or no for each class, would tell a tale."""
    two = keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="acc_top2")
    assert _training_metrics({"loss": 1, "acc_top2": 0.9}, 1, _with_metrics(two)) == {"loss": 1.0}
    own = keras.metrics.SparseCategoricalAccuracy(name="train_acc")
    logs = {"loss": 1, "acc_top2": 0.9, "binary_accuracy": 0.8, "train_acc": 0.2}
    assert _training_metrics(logs, 1, _with_metrics(two, own)) == {"loss": 1.0, "accuracy": 0.2}


def _with_metrics(*metrics):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=list(metrics))
    symbolic_build(model, (np.zeros((2, 4), "float32"), np.zeros(2, "int64")))
    return model

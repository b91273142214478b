"""The graphs that are published hold what they need, in layers that plain Keras opens in safe mode."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from tuning.core.jobs import Addition, Additions, Member
from tuning.trials.additions import corrected, prior_scale, tempered
from tuning.trials.published import (
    NotAsTrained,
    check_as_trained,
    ensemble,
    plain_model,
    save_and_open,
    summary,
    weights_sha256,
    with_additions,
)
from tuning.trials.spaces import Interface
from tuning.trials.steps import KerasSteps

COUNTS = np.array([50, 30, 10])
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
PROBABILITIES = Interface(sparse=True, scaled=True, logits=False)


def network(seed: int, name: str = "network", activation: str | None = "softmax") -> keras.Model:
    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 1), name="pixels")
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(image))
    return keras.Model(image, layers.Dense(3, activation=activation)(x), name=name)


def additions(view: bool = False, exponent: float | None = None, temperature: float | None = None) -> Additions:
    return Additions(
        mirrored_view=Addition(used=view),
        prior_correction=Addition(used=exponent is not None, value=exponent),
        temperature=Addition(used=temperature is not None, value=temperature),
    )


def outputs(model: keras.Model, images: np.ndarray = IMAGES, scaled: bool = True) -> np.ndarray:
    given = images.astype(np.float32) / 255 if scaled else images.astype(np.float32)
    return np.asarray(model.predict(given, verbose=0))


@pytest.mark.parametrize("chosen", [(True, 0.5, 1.5), (True, None, None), (False, -0.5, None), (False, None, 0.8)])
def test_the_graph_computes_what_was_decided_and_survives_safe_mode(tmp_path, chosen):
    view, exponent, temperature = chosen
    model = network(1)
    expected = outputs(model).astype(np.float64)
    if view:
        expected = (expected + outputs(model, IMAGES[:, :, ::-1])) / 2
    if exponent is not None:
        expected = corrected(expected, prior_scale(COUNTS, exponent))
    if temperature is not None:
        expected = tempered(expected, temperature)
    found = save_and_open(with_additions(model, additions(*chosen), COUNTS), tmp_path / "model.keras")
    assert outputs(found) == pytest.approx(expected, abs=1e-6)
    assert found.count_params() == model.count_params()
    assert weights_sha256(found) == weights_sha256(model)
    assert "conv2d" in summary(found)


@pytest.mark.parametrize("name", ["pixels", "mean_of_views", "prior_correction", "flip", "power", "sum", "divide"])
def test_a_model_may_have_the_name_of_another_layer_of_the_graph(tmp_path, name):
    keras.utils.clear_session()  # as before each trial: Keras then names operations without a number
    model = network(1, name)
    found = save_and_open(with_additions(model, additions(True, 0.5, 1.5), COUNTS), tmp_path / "model.keras")
    plain = save_and_open(with_additions(network(1), additions(True, 0.5, 1.5), COUNTS), tmp_path / "plain.keras")
    assert np.array_equal(outputs(found), outputs(plain))
    assert found.inputs[0].name == "pixels"
    assert weights_sha256(found) == weights_sha256(model)


def test_nothing_around_a_model_is_the_model():
    model = network(1)
    assert with_additions(model, additions(), COUNTS) is model


def test_state_that_a_layer_derives_from_its_weights_is_in_the_file(tmp_path):
    norm = layers.Normalization()
    norm.adapt(IMAGES.astype(np.float32) / 255)
    model = keras.Sequential([keras.Input((8, 8, 1)), norm, layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.compiled = False
    opened = save_and_open(plain_model(model), tmp_path / "model.keras")
    assert type(opened) is keras.Sequential
    assert outputs(opened) == pytest.approx(outputs(model), abs=1e-6)
    mean = next(np.asarray(layer.mean) for layer in opened.layers if isinstance(layer, layers.Normalization))
    assert mean == pytest.approx(np.asarray(norm.mean))
    check_as_trained(KerasSteps(model, PROBABILITIES), KerasSteps(opened, PROBABILITIES), IMAGES)


def test_a_file_that_computes_something_else_is_refused_with_the_difference(tmp_path):
    model = network(1)
    opened = save_and_open(plain_model(model), tmp_path / "model.keras")
    model.layers[-1].bias.assign(np.array([0.0, 0.5, 0.0]))
    with pytest.raises(NotAsTrained, match=r"probabilities of 20 validation images differ by up to 0\.\d+"):
        check_as_trained(KerasSteps(model, PROBABILITIES), KerasSteps(opened, PROBABILITIES), IMAGES)


def test_an_ensemble_is_the_weighted_mean_of_members_of_any_interface(tmp_path):
    rescaling = keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), network(2)], name="network")
    models = [network(1), with_additions(rescaling, additions(view=True), COUNTS), network(3, activation=None)]
    members = [
        Member(model="a", weight=2, scaled=True, logits=False),
        Member(model="b", weight=1, scaled=False, logits=False),
        Member(model="c", weight=1, scaled=True, logits=True),
    ]
    first, second, logits = outputs(models[0]), outputs(models[1], scaled=False), outputs(models[2])
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = save_and_open(ensemble(models, members), tmp_path / "model.keras")
    assert outputs(found) == pytest.approx((2 * first + second + softmax) / 4, abs=1e-6)
    assert found.count_params() == sum(model.count_params() for model in models)
    names = [layer.name for layer in found.layers]
    assert len(names) == len(set(names))

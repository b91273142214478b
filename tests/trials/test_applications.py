"""Backbones of Keras Applications, their weights from a file."""

from __future__ import annotations

import time
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from tuning.core.errors import EnvironmentProblem, UsageError
from tuning.trials import applications


def small(include_top=True, weights=None, input_shape=(16, 16, 3), width=4) -> keras.Model:
    """Made like an application: most of its layers have no name, some have."""
    image = keras.Input(input_shape)
    x = layers.Conv2D(width, 3, strides=2, activation="relu", name="stem")(image)
    for _ in range(2):
        branch = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.Add()([layers.Conv2D(width, 1)(x), branch])
    x = layers.BatchNormalization()(x)
    if include_top:
        x = layers.Dense(5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x)


def test_of_a_whole_classifiers_file_all_below_its_head_is_taken(tmp_path):
    whole = small()
    random = np.random.default_rng(0)
    whole.set_weights([random.uniform(0.1, 1, value.shape) for value in whole.get_weights()])
    path = tmp_path / "whole.h5"
    whole.save(path)
    pixels = random.uniform(0, 1, (2, 16, 16, 3)).astype("float32")
    expected = keras.Model(whole.inputs, whole.layers[-3].output).predict(pixels, verbose=0)
    found = applications._from_file("Small", small, (16, 16, 3), str(path))
    np.testing.assert_allclose(found.predict(pixels, verbose=0), expected, rtol=1e-5)


@pytest.mark.parametrize("include_top", [True, False])
def test_weights_of_something_else_are_refused(tmp_path, include_top):
    path = tmp_path / "other.h5"
    small(include_top, width=3).save(path)
    with pytest.raises(UsageError, match="does not hold weights of Small"):
        applications._from_file("Small", small, (16, 16, 3), str(path))


@pytest.mark.parametrize("name", ["EfficientNetB0", "EfficientNetB7", "MobileNet"])
def test_a_network_that_is_another_from_a_file_is_only_taken_from_the_cache(tmp_path, monkeypatch, name):
    def absent(include_top, weights, input_shape):
        raise OSError("URL fetch failure on https://example.org/weights.h5")

    monkeypatch.setattr(keras.applications, name, absent)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="cannot be fetched: URL fetch failure on https") as offline:
        applications.save_application(name, None, tmp_path / "model.keras")
    assert str(tmp_path / "models") in offline.value.remedy
    assert ("--base-weights" in offline.value.remedy) == (name == "MobileNet")
    if name != "MobileNet":
        with pytest.raises(UsageError, match=f"--base-weights is given, but Keras builds {name} otherwise") as refused:
            applications.save_application(name, "weights.h5", tmp_path / "model.keras")
        assert str(tmp_path / "models") in refused.value.remedy


def test_an_application_is_built_as_keras_has_it_whatever_a_person_s_keras_json_says(tmp_path, monkeypatch):
    monkeypatch.setattr(
        keras.applications, "Small", lambda include_top, weights, input_shape: small(include_top), raising=False
    )
    monkeypatch.setitem(applications.APPLICATIONS, "Small", "own")
    monkeypatch.setattr(applications, "SIZE", 16)
    try:
        keras.config.set_image_data_format("channels_first")
        keras.config.set_floatx("float16")
        applications.save_application("Small", None, tmp_path / "model.keras")
    finally:
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert model.output_shape == (None, 7, 7, 4)
    assert model.inputs[0].dtype == "float32"


def test_an_application_has_the_same_digest_whenever_it_is_built(tmp_path, monkeypatch):
    def named(include_top, weights, input_shape):
        image = keras.Input(input_shape, name="image")
        x = layers.Conv2D(4, 3, name="conv", kernel_initializer="ones")(image)
        return keras.Model(image, layers.Conv2D(4, 3, name="last", kernel_initializer="ones")(x), name="small")

    monkeypatch.setattr(keras.applications, "Small", named, raising=False)
    monkeypatch.setitem(applications.APPLICATIONS, "Small", "own")
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    applications.save_application("Small", None, first)
    made = zipfile.ZipFile(first).infolist()
    # The files of an archive have times of two seconds each.
    time.sleep(2.1)
    # Layers refer to the policy that they share by its address; the first one stays, so that it is another.
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(before.name)
    applications.save_application("Small", None, second)
    assert first.read_bytes() == second.read_bytes()
    assert {one.filename for one in made} == {"metadata.json", "config.json", "model.weights.h5"}
    assert {path.name for path in tmp_path.iterdir()} == {"first.keras", "second.keras"}
    model = keras.saving.load_model(first)
    np.testing.assert_array_equal(model.get_weights()[0], np.ones((3, 3, 3, 4)))

from __future__ import annotations

import keras
import pytest
from keras import layers

from tuning.trials.portable import custom_objects


class Doubling(layers.Layer):
    def call(self, inputs):
        return inputs * 2


@keras.saving.register_keras_serializable(package="tests")
class Registered(Doubling):
    pass


def steep(x):
    return 2 * x


def model(*extra):
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, kernel_initializer="he_normal", kernel_regularizer=keras.regularizers.L2(1e-3))(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(2, activation=keras.activations.relu)(layers.Flatten()(x[:, 1:]) * 2)
    for layer in extra:
        x = layer(x)
    return keras.Model(inputs, x)


def test_a_model_of_keras_own_parts_has_nothing_of_its_own():
    assert keras.Model.from_config(model().get_config()).count_params()
    assert custom_objects(model().get_config()) == []
    assert custom_objects(keras.Sequential([keras.Input((8, 8, 1)), model()]).get_config()) == []


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (Doubling, "Doubling"),
        (Registered, "Registered"),
        (lambda: layers.Dense(2, activation=steep), "function steep"),
        (lambda: layers.Dense(2, activation=lambda x: x), "a lambda as activation"),
        (lambda: layers.Lambda(lambda x: x), "Lambda"),
        (lambda: keras.Sequential([Doubling(), Doubling()]), "Doubling"),
    ],
)
def test_what_only_its_own_code_brings_back_is_named_once(layer, name):
    assert custom_objects(model(layer()).get_config()) == [name]

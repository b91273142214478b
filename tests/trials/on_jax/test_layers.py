"""Max pooling in tiles against Keras's own, on real JAX, in one process of its own."""

from __future__ import annotations

import importlib.util

import pytest

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not there"),
]

_COMPARE = """
import json
import jax, jax.numpy as jnp, keras, numpy as np
from keras import layers
from tuning.trials.steps import swap_layers

rng = np.random.default_rng(0)


def functional(pooling):
    inputs = keras.Input((13, 11, 3))
    x = layers.Activation("relu")(inputs)
    model = keras.Model(inputs, pooling(x))
    model.compile()
    return model


def compare(pooling, dtype):
    # Few values, so that many windows hold their largest one several times; the first of them gets the gradient.
    images = jnp.asarray(rng.integers(-3, 4, (5, 13, 11, 3)), dtype)
    found = []
    for fast in (False, True):
        model = functional(pooling())
        if fast:
            swap_layers(model)
        layer = model.layers[-1]
        weights = jnp.asarray(np.random.default_rng(1).normal(size=layer(images).shape), dtype)
        values, gradient = jax.jit(jax.value_and_grad(lambda x: (layer(x) * weights).sum()))(images)
        found.append([np.asarray(layer(images)), np.asarray(gradient).astype("float32"), type(layer).__name__])
    plain, tiled = found
    return [bool((plain[0] == tiled[0]).all()), bool((plain[1] == tiled[1]).all()), tiled[2]]


class Own(layers.MaxPooling2D):
    pass


cases = {
    "usual": lambda: layers.MaxPooling2D(),
    "oblong": lambda: layers.MaxPooling2D((3, 2)),
    "row": lambda: layers.MaxPooling2D((1, 4)),
    "same": lambda: layers.MaxPooling2D(padding="same"),
    "overlapping": lambda: layers.MaxPooling2D(3, strides=2),
    "channels": lambda: layers.MaxPooling2D(data_format="channels_first"),
    "own": lambda: Own(),
}
nested = keras.Sequential([keras.Input((8, 8, 1)), keras.Sequential([layers.MaxPooling2D(name="inner")])])
nested.compile()
swap_layers(nested)
print(json.dumps({
    "float32": {name: compare(pooling, "float32") for name, pooling in cases.items()},
    "bfloat16": {name: compare(pooling, "bfloat16") for name, pooling in list(cases.items())[:3]},
    "nested": type(nested.layers[0].layers[0]).__name__,
}))
"""


@pytest.fixture(scope="module")
def found(printed_by):
    return printed_by(_COMPARE, "jax")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", ["usual", "oblong", "row"])
def test_windows_side_by_side_are_compared_to_the_same_bits(found, dtype, case):
    assert found[dtype][case] == [True, True, "TiledMaxPooling2D"]


@pytest.mark.parametrize("case", ["same", "overlapping", "channels"])
def test_any_other_pooling_stays_what_it_is(found, case):
    assert found["float32"][case] == [True, True, "MaxPooling2D"]


def test_a_persons_own_layer_stays_what_it_is_and_a_nested_one_does_not(found):
    assert found["float32"]["own"] == [True, True, "Own"]
    assert found["nested"] == "TiledMaxPooling2D"

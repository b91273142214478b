from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from tuning.trials.precision import use_float32_outputs


def ending_in(end, policy="mixed_bfloat16"):
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((4,))
        model = keras.Model(inputs, end(layers.Dense(8, activation="relu")(inputs)))
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy")
    return model


def nested(x):
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))(x)


def ends():
    return {
        "dense": lambda x: layers.Dense(3, activation="softmax")(x),
        "logits": lambda x: layers.Dense(3)(x),
        "activation": lambda x: layers.Activation("softmax")(layers.Dense(3)(x)),
        "softmax": lambda x: layers.Softmax()(layers.Dense(3)(x)),
        "nested": nested,
    }


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("end", ["dense", "logits", "activation", "softmax", "nested"])
def test_outputs_are_computed_in_float32_whoever_built_the_model(end, policy):
    images = np.random.default_rng(0).random((40, 4), np.float32)
    model = ending_in(ends()[end], policy)
    before, variables = np.asarray(model(images)), [v.path for v in model.variables]
    assert before.dtype != np.float32
    use_float32_outputs(model)
    after = np.asarray(model(images))
    assert after.dtype == np.float32
    assert np.abs(after - before.astype(np.float32)).max() < 0.02
    assert end == "logits" or np.abs(after.sum(axis=1) - 1).max() < 1e-6
    assert [v.path for v in model.variables] == variables
    hidden = model.layers[1]
    assert hidden.compute_dtype == policy.removeprefix("mixed_")


def test_what_computes_in_float32_already_or_is_a_person_s_own_stays():
    class OwnDense(keras.layers.Dense):
        pass

    model = ending_in(lambda x: OwnDense(3, activation="softmax")(x))
    use_float32_outputs(model)
    assert model.layers[-1].compute_dtype == "bfloat16"
    model = ending_in(ends()["dense"], "float32")
    policy = model.layers[-1].dtype_policy
    use_float32_outputs(model)
    assert model.layers[-1].dtype_policy is policy

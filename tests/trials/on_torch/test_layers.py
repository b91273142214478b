"""The exchanged layers against plain Keras, on real PyTorch, in one process of its own."""

from __future__ import annotations

import importlib.util

import pytest

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not there"),
]

_COMPARE = """
import json
import keras, numpy as np, torch
from keras import layers
from tuning.trials import runtime
from tuning.trials.steps import swap_layers

runtime.configure(1)
rng = np.random.default_rng(0)
X = rng.integers(0, 256, (24, 13, 12, 2)).astype(np.uint8)
Y = rng.integers(0, 3, 24)


def usual(dropout=0.0, batch_norm=None, pooling=None):
    inputs = keras.Input((13, 12, 2))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(**(batch_norm or {"momentum": 0.9}), name="norm")(x)
    x = layers.Activation("relu")(x)
    x = layers.MaxPooling2D(**(pooling or {}), name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Conv2D(4, 3)(x)
    x = layers.BatchNormalization(scale=False, center=False, name="bare")(x)
    x = layers.Flatten()(x)
    x = layers.BatchNormalization(name="flat")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", dtype="float32")(x))


def frozen():
    model = usual()
    model.get_layer("norm").trainable = False
    return model


def compare(build, policy):
    found = []
    for fast in (False, True):
        runtime.begin_trial(3, policy)
        model = build()
        model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
        if fast:
            swap_layers(model)
        losses = [float(model.train_on_batch(X, Y)) for _ in range(4)]
        weights = [keras.ops.convert_to_numpy(w) for w in model.weights]
        found.append((losses, weights, model.predict(X, verbose=0)))
    (losses, weights, outputs), (our_losses, our_weights, our_outputs) = found
    return {
        "losses": max(abs(a - b) for a, b in zip(losses, our_losses)),
        "weights": max(float(np.abs(a.astype(float) - b).max()) for a, b in zip(weights, our_weights)),
        "outputs": float(np.abs(outputs.astype(float) - our_outputs).max()),
        "layers": [type(model.get_layer(name)).__name__ for name in ("norm", "pool", "flat")],
    }


def dropped(rate, policy="float32"):
    runtime.begin_trial(1, policy)
    model = keras.Sequential([keras.Input((40, 40, 8)), layers.Dropout(rate)])
    model.compile()
    swap_layers(model)
    layer, images, shares = model.layers[0], torch.ones((8, 40, 40, 8), dtype=torch.float32), []
    runtime.begin_epoch(model, 1, 1)
    first = layer(images, training=True)
    runtime.begin_epoch(model, 1, 1)
    again = layer(images, training=True)
    for _ in range(40):
        shares.append(float((layer(images, training=True) == 0).float().mean()))
    return {
        "share": float(np.mean(shares)),
        "kept": sorted({round(float(value), 4) for value in first.unique()}),
        "again": bool((first == again).all()),
        "asked": bool((layer(images, training=False) == images).all()),
        "layer": type(layer).__name__,
    }


print(json.dumps({
    "float32": compare(usual, "float32"),
    "bfloat16": compare(usual, "mixed_bfloat16"),
    "frozen": compare(frozen, "float32"),
    "channels": compare(lambda: usual(batch_norm={"axis": 1}), "float32"),
    "renormalised": compare(lambda: usual(batch_norm={"renorm": True}), "float32"),
    "same": compare(lambda: usual(pooling={"padding": "same"}), "float32"),
    "overlapping": compare(lambda: usual(pooling={"pool_size": 3, "strides": 2}), "float32"),
    "dropout": {str(rate): dropped(rate) for rate in (0.2, 0.5, 0.001)},
}))
"""


@pytest.fixture(scope="module")
def found(printed_by):
    return printed_by(_COMPARE, "torch")


@pytest.mark.parametrize("case", ["float32", "frozen", "channels", "renormalised", "same", "overlapping"])
def test_training_and_predictions_are_those_of_plain_keras(found, case):
    result = found[case]
    assert result["layers"] == ["FusedBatchNormalization", "ChannelsLastMaxPooling2D", "FusedBatchNormalization"]
    assert result["losses"] < 1e-5
    assert result["weights"] < 1e-5
    assert result["outputs"] < 1e-5


def test_in_bfloat16_they_differ_by_its_rounding(found):
    assert found["bfloat16"]["losses"] < 0.02
    assert found["bfloat16"]["outputs"] < 0.02


@pytest.mark.parametrize("rate", ["0.2", "0.5"])
def test_dropout_drops_as_often_as_asked_and_the_same_again(found, rate):
    result = found["dropout"][rate]
    # 41 draws of 102,400 values: a deviation of 0.0002, and of the threshold between two steps 0.0003.
    assert result["share"] == pytest.approx(float(rate), abs=0.0015)
    assert result["kept"] == [0, round(1 / (1 - float(rate)), 4)]
    assert (result["again"], result["asked"], result["layer"]) == (True, True, "EightBitDropout")


def test_a_rate_that_eight_bits_cannot_tell_is_left_to_keras(found):
    result = found["dropout"]["0.001"]
    assert 0 < result["share"] < 0.002
    assert result["again"]

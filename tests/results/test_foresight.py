"""Formats that a model cannot leave in are found before it trains; layers that need no such trial are proven here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tuning.core.progress import SILENT
from tuning.results.exporters import FORMATS, foresight
from tuning.results.exporters.foresight import cannot_leave

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]
SHAPE = (16, 16, 1)

#: Everything that is proven, in one model.
PROVEN = """
import keras
from keras import layers as L
from tuning.trials.exportable import ACTIVATIONS, PROVEN, unproven
from tuning.trials.keras_private import nodes_in_order

image = keras.Input((16, 16, 1))
x = L.Normalization(mean=0.5, variance=0.1)(L.Rescaling(2.0)(image)) / 2.0
for layer in (
    L.RandomFlip(), L.RandomRotation(0.1), L.RandomZoom(0.1), L.RandomTranslation(0.1, 0.1), L.RandomContrast(0.1),
    L.RandomBrightness(0.1), L.Conv2D(8, 3, padding="same", activation="relu"), L.BatchNormalization(),
    L.GroupNormalization(4), L.LayerNormalization(), L.DepthwiseConv2D(3, padding="same"), L.SpatialDropout2D(0.1),
    L.SeparableConv2D(8, 3, padding="same"), L.MaxPooling2D(), L.Conv2DTranspose(8, 3, strides=2, padding="same"),
    L.AveragePooling2D(2), L.UpSampling2D(interpolation="bilinear"), L.ZeroPadding2D(1), L.Cropping2D(1),
    L.GaussianNoise(0.1), L.GaussianDropout(0.1), L.ActivityRegularization(l2=0.01), L.ReLU(), L.LeakyReLU(), L.PReLU(),
    L.ELU(), L.Permute((2, 1, 3)),
):
    x = layer(x)
branches = [L.Activation(name)(L.Conv2D(4, 1)(x)) for name in sorted(ACTIVATIONS)]
x = L.Concatenate()([L.Add()(branches[:4]), L.Average()(branches[4:8]), L.Maximum()(branches[8:])])
x = L.Subtract()([L.Multiply()([x, x]), x])
x = L.Concatenate()([L.GlobalAveragePooling2D()(x), L.GlobalMaxPooling2D()(x), L.Flatten()(L.Reshape((-1,))(x))])
inner = keras.Sequential([keras.Input(x.shape[1:]), L.Dense(8, activation="silu"), L.Dropout(0.1)])
model = keras.Model(image, L.Softmax()(L.Dense(3)(inner(x))))
found = {type(node.operation).__name__ for part in (model, inner) for node in nodes_in_order(part)}
assert found - {"Sequential"} == PROVEN, found ^ PROVEN
assert unproven(model) == [], unproven(model)
"""

#: Resizing as LiteRT's own operations cannot, in a model inside a model.
BICUBIC = """
import keras
from keras import layers as L
from tuning.trials.exportable import unproven

image = keras.Input((16, 16, 1))
inner = keras.Sequential([keras.Input((16, 16, 1)), L.Conv2D(4, 3), L.Resizing(8, 8, "bicubic", name="shrink")])
model = keras.Model(image, L.Dense(3, activation="softmax")(L.Flatten()(inner(image))))
assert unproven(model) == ["shrink"]
"""


@pytest.fixture(scope="module")
def in_json() -> list[str]:
    """Both models as Keras writes them in JSON, from one process."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    program = "".join(f"{text}\nprint(model.to_json())\n" for text in (PROVEN, BICUBIC))
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.long
def test_what_is_not_tried_leaves_in_all_formats(in_json):
    assert cannot_leave(in_json[0], SHAPE, SILENT, []) == []


def test_a_format_that_refuses_is_told_with_the_layer(in_json, monkeypatch):
    # With one that does not: what all of them do with a sound model is seen above.
    few = {name: FORMATS[name] for name in ("savedmodel", "litert")}
    monkeypatch.setattr(foresight, "FORMATS", few)
    said = cannot_leave(in_json[1], SHAPE, SILENT, ["shrink"])
    assert len(said) == 1 and "export will refuse litert (layer shrink)" in said[0]

"""Detects the pixel range that a model expects, from the output of its preprocessing.

Builders preprocess in many ways: a `Rescaling` layer, `x / 255`, `preprocess_input`, a `Normalization` with means in 0
to 255, an application with preprocessing inside, an integer input. Everything before the first layer with weights is
applied to images of 0 to 1 and of 0 to 255; the expected range is the one whose result a network can learn from. If
there is nothing before that layer, images are of 0 to 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.trials.keras_private import all_layers, nodes_in_order
from tuning.trials.runtime import is_seed_state

if TYPE_CHECKING:
    import keras

#: Smallest and largest difference between the darkest and the brightest input value: beyond, a network learns slowly or
#: not at all.
LEAST_SPREAD, MOST_SPREAD = 0.05, 300.0
#: A mean more than this many standard deviations from 0 shows that the range is not the intended one.
_FAR = 10.0
_SAMPLES = 4
#: Bounds of the scales that bring pixels of 0 to 255 to 0…1 or -1…1; features may be scaled by other factors.
_OF_PIXELS = 1 / 300, 1 / 100
#: A layer with a larger mean, or a larger end of its value range, expects pixels of 0 to 255.
_MOST_OF_UNIT = 2.0


def wants_0_to_1(model: keras.Model) -> bool:
    """Returns whether a model expects pixels divided by 255 rather than 0 to 255."""
    if "int" in str(model.inputs[0].dtype):
        return False
    images = _images(model)
    plain, divided = _seen(model, images), _seen(model, images / 255)
    if not _are_pixels(plain) and not np.allclose(plain, divided):
        return _doubt(divided) <= _doubt(plain)
    layers = list(all_layers(model))
    return any(_makes_pixels(layer) for layer in layers) or not any(_names_pixels(layer) for layer in layers)


def _makes_pixels(layer: keras.layers.Layer) -> bool:
    """Whether a layer brings pixels of 0 to 1 to 0 to 255, as an ensemble does for members that want these."""
    import keras

    return isinstance(layer, keras.layers.Rescaling) and bool(np.min(np.abs(layer.scale)) > 1 / _OF_PIXELS[1])


def _names_pixels(layer: keras.layers.Layer) -> bool:
    """Whether a layer expects pixels of 0 to 255, wherever it is in the model.

    An example is an application of Keras behind a convolution that makes three channels of one.
    """
    import keras

    if isinstance(layer, keras.layers.Rescaling):
        return bool(_OF_PIXELS[0] < np.max(np.abs(layer.scale)) < _OF_PIXELS[1])
    if isinstance(layer, keras.layers.Normalization):
        return layer.input_mean is not None and bool(np.max(layer.input_mean) > _MOST_OF_UNIT)
    found = getattr(layer, "value_range", None)
    return isinstance(found, (tuple, list)) and max(found) > _MOST_OF_UNIT


def _are_pixels(seen: np.ndarray) -> bool:
    """Returns whether preprocessed images of 0 to 255 are still in that range."""
    return bool(seen.min() > -1 and seen.max() < 256 and np.ptp(seen) > 128)


def doubts(model: keras.Model, scaled: bool) -> str | None:
    """Returns a warning if a model can hardly learn from the range that its first layer with weights gets, else None.

    Args:
        scaled: whether the model gets pixels divided by 255.
    """
    images = _images(model)
    seen = _seen(model, images / 255 if scaled else images)
    spread = float(np.ptp(seen))
    if LEAST_SPREAD <= spread <= MOST_SPREAD:
        return None
    given = "0 to 1" if scaled else "0 to 255"
    return (
        f"the model is given pixels of {given}, of which its first layer with weights sees {seen.min():.3g} to "
        f"{seen.max():.3g}: a spread of {spread:.2g} is hard to learn from; check its preprocessing, such as a "
        "division that is done twice"
    )


def _doubt(seen: np.ndarray) -> float:
    """Measures how unsuitable inputs are: suitable are a standard deviation of about 1 and a mean not far from 0."""
    deviation = float(seen.std())
    if not math.isfinite(deviation) or deviation == 0:
        return math.inf
    far = abs(float(seen.mean())) / deviation
    return abs(math.log(deviation)) + (1000.0 if far > _FAR else 0.0)


def _images(model: keras.Model) -> np.ndarray:
    shape = [size or 32 for size in model.inputs[0].shape[1:]]
    return np.random.default_rng(0).uniform(0, 255, (_SAMPLES, *shape)).round().astype(np.float32)


def _seen(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Returns the input of the first layer with weights for these images."""
    import keras

    found: Any = images
    for part in _before_weights(model):
        found = part(keras.ops.convert_to_tensor(found, dtype=part.inputs[0].dtype), training=False)
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(found, "float32")))


def _before_weights(model: keras.Model) -> list[keras.Model]:
    """Returns the models that, applied in order, lead to the first layer with weights; none if that comes first."""
    import keras

    for node in nodes_in_order(model):
        layer = node.operation
        if isinstance(layer, keras.layers.InputLayer) or not _has_weights(layer):
            continue
        tensor = node.input_tensors[0]
        start = model.inputs[0]
        before = [] if tensor is start else [keras.Model(start, tensor)]
        return before + (_before_weights(layer) if nodes_in_order(layer) else [])
    return []


def _has_weights(layer: Any) -> bool:
    import keras

    if isinstance(layer, keras.layers.Normalization):
        return False  # it is preprocessing, despite its weights
    if isinstance(layer, keras.Model):
        return any(_has_weights(inner) for inner in layer.layers)
    return any(not is_seed_state(weight) for weight in getattr(layer, "weights", ()))

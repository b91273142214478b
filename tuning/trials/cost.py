"""Counts the cost of training a model: the same on every machine, busy or not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tuning.trials.keras_private import all_layers

if TYPE_CHECKING:
    import keras

#: Attributes under which Keras's layers keep what they multiply images with.
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
#: Bytes of a number of other types than float32.
_SIZES = {"bfloat16": 2, "float16": 2, "float64": 8}


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of one image's way forward through a built Keras model: its kernels, once for each output position.

    Convolutions and dense layers are nearly all of it; what lies between them is not counted. Of a layer inside another
    one's `call`, where no output shape is known, a kernel counts once.
    """
    total = 0
    for layer in all_layers(model, include_self=False):
        kernels = [getattr(layer, name, None) for name in _KERNELS]
        sizes = [math.prod(kernel.shape) for kernel in kernels if kernel is not None]
        if sizes:
            total += sum(sizes) * _positions(layer)
    return total


def least_memory(model: keras.Model, batch_size: int) -> int:
    """Bytes that training a built Keras model holds at the very least, at the end of a batch's way forward.

    Its weights, the gradients of those that are trained, and what every trained kernel was applied to, of which its
    gradient is made. An optimizer's averages, all other outputs and what the libraries need come on top: twice as much
    is usual.
    """
    weights = sum(_bytes(weight.shape, weight.dtype) for weight in model.weights)
    gradients = sum(_bytes(weight.shape, weight.dtype) for weight in model.trainable_weights)
    applied = {id(tensor): size for tensor, size in map(_applied, all_layers(model, include_self=False))}
    return weights + gradients + batch_size * sum(applied.values())


def _applied(layer: keras.layers.Layer) -> tuple[object, int]:
    """(what the layer's trained kernels are applied to, its bytes of one image); (None, 0) where that is unknown."""
    kernels = [getattr(layer, name, None) for name in _KERNELS]
    if not any(kernel is not None and kernel.trainable for kernel in kernels):
        return None, 0
    try:
        tensor = layer.input
        return tensor, _bytes([size or 1 for size in tensor.shape[1:]], layer.compute_dtype)
    except AttributeError:
        return None, 0


def _bytes(shape: Iterable[int], dtype: str) -> int:
    return math.prod(shape) * _SIZES.get(dtype, 4)


def _positions(layer: keras.layers.Layer) -> int:
    """How many places of an image the layer's kernel is applied at."""
    try:
        shape = layer.output.shape
    except AttributeError:
        return 1
    between = shape[2:] if getattr(layer, "data_format", None) == "channels_first" else shape[1:-1]
    return math.prod(size or 1 for size in between)

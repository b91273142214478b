"""Counts the cost of training a model, which is the same on every machine, whatever its load."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tuning.trials.keras_private import all_layers

if TYPE_CHECKING:
    import keras

#: Attributes of Keras layers that hold kernels.
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
#: Bytes per number of types other than float32.
_SIZES = {"bfloat16": 2, "float16": 2, "float64": 8}


def multiply_adds(model: keras.Model) -> int:
    """Counts the multiply-adds of a forward pass of one image: kernel sizes times output positions.

    Only kernels are counted: convolutions and dense layers are nearly all of the cost. The kernel of a layer called
    inside another layer's `call`, whose output shape is unknown, counts once.
    """
    total = 0
    for layer in all_layers(model, include_self=False):
        kernels = [getattr(layer, name, None) for name in _KERNELS]
        sizes = [math.prod(kernel.shape) for kernel in kernels if kernel is not None]
        if sizes:
            total += sum(sizes) * _positions(layer)
    return total


def least_memory(model: keras.Model, batch_size: int) -> int:
    """Returns a lower bound on the bytes in use at the end of a batch's forward pass in training.

    Counts the weights, the gradients of trained weights, and the inputs of trained kernels, which their gradients need.
    The optimizer's state, all other activations and the libraries come on top: twice as much is usual.
    """
    weights = sum(_bytes(weight.shape, weight.dtype) for weight in model.weights)
    gradients = sum(_bytes(weight.shape, weight.dtype) for weight in model.trainable_weights)
    applied = {id(tensor): size for tensor, size in map(_applied, all_layers(model, include_self=False))}
    return weights + gradients + batch_size * sum(applied.values())


def _applied(layer: keras.layers.Layer) -> tuple[object, int]:
    """Returns (input tensor of a layer with trained kernels, its bytes per image); (None, 0) if unknown."""
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
    """Returns the number of output positions at which the layer's kernel is applied."""
    try:
        shape = layer.output.shape
    except AttributeError:
        return 1
    between = shape[2:] if getattr(layer, "data_format", None) == "channels_first" else shape[1:-1]
    return math.prod(size or 1 for size in between)

"""What a model costs, counted: the same on every machine, busy or not."""

from __future__ import annotations

import math

#: Attributes under which Keras's layers keep what they multiply images with.
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def multiply_adds(model) -> int:
    """Multiply-adds of one image's way forward through a built Keras model: its kernels, once for each output position.

    Convolutions and dense layers are nearly all of it; what lies between them is not counted. Of a layer inside another
    one's `call`, where no output shape is known, a kernel counts once.
    """
    total = 0
    for layer in model._flatten_layers(include_self=False):
        kernels = [getattr(layer, name, None) for name in _KERNELS]
        sizes = [math.prod(kernel.shape) for kernel in kernels if kernel is not None]
        if sizes:
            total += sum(sizes) * _positions(layer)
    return total


def _positions(layer) -> int:
    """How many places of an image the layer's kernel is applied at."""
    try:
        shape = layer.output.shape
    except AttributeError:
        return 1
    between = shape[2:] if getattr(layer, "data_format", None) == "channels_first" else shape[1:-1]
    return math.prod(size or 1 for size in between)

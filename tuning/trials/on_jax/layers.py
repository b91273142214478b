"""Faster implementations of plain Keras layers on JAX: the same functions, in a form that XLA fuses."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import keras
from keras import layers

from tuning.trials.keras_private import all_layers


def swap_layers(model: keras.Model) -> None:
    """See `tuning.trials.steps.swap_layers`; includes nested models, leaves subclasses of a layer unchanged."""
    for layer in all_layers(model):
        if type(layer) is layers.MaxPooling2D and _in_tiles(layer):
            layer.__class__ = TiledMaxPooling2D


class TiledMaxPooling2D(layers.MaxPooling2D):
    """Max pooling with windows that do not overlap, whose gradient is computed by comparison.

    XLA computes the gradient by a scatter, which takes half of a training step on a CPU and a fifth on a GPU. In both
    versions, the first of several equal maxima of a window gets the gradient.
    """

    def call(self, inputs: Any) -> Any:
        return tiled_max(inputs, tuple(self.pool_size))


def _in_tiles(layer: layers.MaxPooling2D) -> bool:
    return (
        tuple(layer.pool_size) == tuple(layer.strides)
        and layer.padding == "valid"
        and layer.data_format == "channels_last"
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def tiled_max(images: Any, window: tuple[int, int]) -> Any:
    """Returns the maximum of every window of images (n, height, width, channels); incomplete windows are cut off."""
    return functools.reduce(jnp.maximum, _places(images, window))


def _forward(images: Any, window: tuple[int, int]) -> tuple[Any, tuple[Any, Any]]:
    largest = tiled_max(images, window)
    return largest, (images, largest)


def _backward(window: tuple[int, int], seen: tuple[Any, Any], gradient: Any) -> tuple[Any]:
    images, largest = seen
    free: Any = True
    shares = []
    for values in _places(images, window):
        here = (values == largest) & free
        free = free & ~here
        shares.append(jnp.where(here, gradient, jnp.zeros_like(gradient)))
    n, height, width, channels = largest.shape
    rows, columns = window
    # Interleaves the positions again, row by row: (n, height, rows, width, columns, channels).
    lines = [
        jnp.stack(shares[row * columns : (row + 1) * columns], axis=3).reshape(n, height, width * columns, channels)
        for row in range(rows)
    ]
    whole = jnp.stack(lines, axis=2).reshape(n, height * rows, width * columns, channels)
    left = [(0, images.shape[axis] - whole.shape[axis]) for axis in (1, 2)]
    return (jnp.pad(whole, [(0, 0), *left, (0, 0)]),)


tiled_max.defvjp(_forward, _backward)


def _places(images: Any, window: tuple[int, int]) -> list[Any]:
    """Returns for each position in a window, row by row, its values (n, windows, windows, channels) in all windows."""
    rows, columns = window
    height, width = images.shape[1] // rows * rows, images.shape[2] // columns * columns
    return [images[:, row:height:rows, column:width:columns] for row in range(rows) for column in range(columns)]

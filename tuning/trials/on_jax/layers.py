"""Plain Keras layers computed faster on JAX: the same functions, in a form that XLA fuses."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import keras
from keras import layers

from tuning.trials.keras_private import all_layers


def swap_layers(model: keras.Model) -> None:
    """See `tuning.trials.steps.swap_layers`; nested models are included, subclasses of a layer stay what they are."""
    for layer in all_layers(model):
        if type(layer) is layers.MaxPooling2D and _in_tiles(layer):
            layer.__class__ = TiledMaxPooling2D


class TiledMaxPooling2D(layers.MaxPooling2D):
    """Max pooling by windows that do not overlap, whose gradient is a comparison.

    The gradient of XLA's own is a scatter, which takes half of a training step on a processor and a fifth on a GPU.
    Where several values of a window are the largest, the first one gets the gradient in either.
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
    """The largest value of every window of images (n, height, width, channels); rows and columns left over are cut."""
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
    # Places, row by row, side by side again: (n, height, rows, width, columns, channels).
    lines = [
        jnp.stack(shares[row * columns : (row + 1) * columns], axis=3).reshape(n, height, width * columns, channels)
        for row in range(rows)
    ]
    whole = jnp.stack(lines, axis=2).reshape(n, height * rows, width * columns, channels)
    left = [(0, images.shape[axis] - whole.shape[axis]) for axis in (1, 2)]
    return (jnp.pad(whole, [(0, 0), *left, (0, 0)]),)


tiled_max.defvjp(_forward, _backward)


def _places(images: Any, window: tuple[int, int]) -> list[Any]:
    """For each place of a window, row by row, its values in all windows: (n, windows, windows, channels)."""
    rows, columns = window
    height, width = images.shape[1] // rows * rows, images.shape[2] // columns * columns
    return [images[:, row:height:rows, column:width:columns] for row in range(rows) for column in range(columns)]

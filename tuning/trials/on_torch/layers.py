"""Faster implementations of plain Keras layers on PyTorch on a CPU: the same functions, in fewer passes over memory.

There convolutions are a tenth of a Keras training step, and most of the rest is avoided here. On a GPU no layer is
swapped: neither speed nor reproducibility has been measured there.
"""

from __future__ import annotations

from typing import Any

import keras
import torch
from keras import layers

from tuning.trials.keras_private import all_layers

#: Number of possible values of the 8 random bits that decide whether a value is dropped.
_DRAWS = 2**8
_WORDS = torch.iinfo(torch.int64)


def swap_layers(model: keras.Model) -> None:
    """See `tuning.trials.steps.swap_layers`; includes nested models, leaves subclasses of a layer unchanged."""
    if any(variable.value.device.type != "cpu" for variable in model.variables):
        return
    for layer in all_layers(model):
        if faster := _FASTER.get(type(layer)):
            layer.__class__ = faster


class FusedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation (Ioffe & Szegedy 2015) by PyTorch's fused function; Keras composes it of a dozen passes.

    It takes images of any float type and computes in float32 inside; everything else (masks,
    other ranks and axes, renormalisation, synchronisation) is left to Keras.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not self._suits(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        updates = bool(training) and self.trainable
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if updates:
            # With a momentum of 1, these become the statistics of this batch.
            mean, variance = torch.zeros_like(mean), torch.zeros_like(variance)
        outputs = torch.nn.functional.batch_norm(
            inputs.movedim(-1, 1),
            mean,
            variance,
            self.gamma.value if self.scale else None,
            self.beta.value if self.center else None,
            training=updates,
            momentum=1.0,
            eps=self.epsilon,
        )
        if updates:
            # It returns the unbiased variance, Keras averages the biased one.
            count = inputs[..., 0].numel()
            variance = variance * ((count - 1) / count)
            self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
            self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1 - self.momentum))
        return outputs.movedim(1, -1)

    def _suits(self, inputs: Any, mask: Any) -> bool:
        return (
            mask is None
            and inputs.ndim == 4
            and inputs.device.type == "cpu"
            and inputs[..., 0].numel() > 1
            and self.axis in (-1, 3)
            and not self.renorm
            and not self.synchronized
            and self.compute_dtype in ("float32", "bfloat16")
            and keras.backend.standardize_dtype(inputs.dtype) == self.compute_dtype
            and self.moving_mean.dtype == "float32"
        )


class ChannelsLastMaxPooling2D(layers.MaxPooling2D):
    """Max pooling in the channels-last memory layout; Keras converts the layout and pools several times as slowly."""

    def call(self, inputs: Any) -> Any:
        if self.padding != "valid" or self.data_format != "channels_last" or inputs.device.type != "cpu":
            return super().call(inputs)
        images = inputs.movedim(-1, 1).contiguous(memory_format=torch.channels_last)
        return torch.nn.functional.max_pool2d(images, tuple(self.pool_size), tuple(self.strides)).movedim(1, -1)


class EightBitDropout(layers.Dropout):
    """Dropout with 8 random bits per value, instead of a random number each, and one product.

    A value is dropped if its bits, a number from 0 to 255, are below a threshold: 256 times the rate, rounded up or
    down at random once per step, so that the probability of dropping each value is exactly the rate. The bits come from
    PyTorch's own generator, as in Keras.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        suits = inputs.device.type == "cpu" and self.noise_shape is None
        # Rounded up, the threshold must still be a number of 8 bits.
        if not training or not suits or not 1 <= self.rate * _DRAWS <= _DRAWS - 2:
            return super().call(inputs, training=training)
        threshold = int(self.rate * _DRAWS + torch.rand(()).item())
        words = torch.randint(_WORDS.min, _WORDS.max, (-(-inputs.numel() // 8),), dtype=torch.int64)
        kept = (words.view(torch.uint8)[: inputs.numel()] >= threshold).reshape(inputs.shape)
        return inputs * (kept.to(inputs.dtype) * (1 / (1 - self.rate)))


_FASTER = {
    layers.BatchNormalization: FusedBatchNormalization,
    layers.MaxPooling2D: ChannelsLastMaxPooling2D,
    layers.Dropout: EightBitDropout,
}

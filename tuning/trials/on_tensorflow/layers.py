"""Faster implementations of plain Keras layers on TensorFlow: the same functions, in fewer passes over memory.

On a CPU with wide vectors, most of a training step is spent between the convolutions, not in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
from keras import activations, layers

from tuning.trials.keras_private import all_layers, functional_graph, nodes_in_order, producer
from tuning.trials.on_tensorflow.optimizers import optimize_faster

#: The least epsilon that cuDNN's batch normalisation takes.
_LEAST_EPSILON = 1e-5
#: Number of possible values of the 8 random bits that decide whether a value is dropped.
_DRAWS = 2**8


def swap_layers(model: keras.Model) -> None:
    """See `tuning.trials.steps.swap_layers`; includes nested models and the optimizer.

    Subclasses of a layer, which may compute anything, are left unchanged.
    """
    for layer in all_layers(model):
        if faster := _FASTER.get(type(layer)):
            layer.__class__ = faster
    for rectifier, pooling, dropout in _rectified_then_pooled(model):
        if type(rectifier) is layers.ReLU:
            rectifier.__class__ = layers.Identity
        else:
            rectifier.activation = activations.linear
        if dropout is not None and _drops(dropout.rate) and dropout.noise_shape is None:
            dropout.__class__ = RectifyingDropout
        else:
            pooling.__class__ = RectifiedMaxPooling2D
    optimize_faster(model.optimizer)


class FusedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation (Ioffe & Szegedy 2015) by TensorFlow's fused op; Keras takes five passes, always in float32.

    The op takes channels-last images of any float type and computes in float32 inside;
    everything else (masks, other ranks and axes, renormalisation, synchronisation) is left to Keras.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        import tensorflow as tf

        if not self._suits(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        scale = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones_like(mean)
        offset = tf.convert_to_tensor(self.beta) if self.center else tf.zeros_like(mean)
        updates = bool(training) and self.trainable
        outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale,
            offset=offset,
            mean=[] if updates else mean,
            variance=[] if updates else variance,
            epsilon=self.epsilon,
            is_training=updates,
        )
        if updates:
            # The op returns the unbiased variance, Keras averages the biased one.
            count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), variance.dtype)
            batch_variance *= tf.maximum(count - 1, 1) / count
            self.moving_mean.assign(mean * self.momentum + batch_mean * (1 - self.momentum))
            self.moving_variance.assign(variance * self.momentum + batch_variance * (1 - self.momentum))
        return outputs

    def _suits(self, inputs: Any, mask: Any) -> bool:
        return (
            mask is None
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and not self.renorm
            and not self.synchronized
            and self.epsilon >= _LEAST_EPSILON
            and self.compute_dtype in ("float32", "bfloat16", "float16")
            and inputs.dtype.name == self.compute_dtype
            and self.moving_mean.dtype == "float32"
        )


class EightBitDropout(layers.Dropout):
    """Dropout with 8 random bits per value, not 32, and one product, not a product and a selection.

    A value is dropped if its bits, a number from 0 to 255, are below a threshold: 256 times the rate, rounded up or
    down at random once per step, so that the probability of dropping each value is exactly the rate.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.noise_shape is not None or not _drops(self.rate):
            return super().call(inputs, training=training)
        import tensorflow as tf

        return _dropped(inputs, tf.shape(inputs), self.rate, self.seed_generator)


class EightBitSpatialDropout2D(layers.SpatialDropout2D):
    """`EightBitDropout` for whole feature maps."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or not _drops(self.rate):
            return super().call(inputs, training=training)
        return _dropped(inputs, self._get_noise_shape(inputs), self.rate, self.seed_generator)


class RectifyingDropout(EightBitDropout):
    """ReLU, then `EightBitDropout`, as one product, whose gradient is one product."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return activations.relu(inputs)
        import tensorflow as tf

        return _dropped(inputs, tf.shape(inputs), self.rate, self.seed_generator, also_kept=inputs > 0)


def _drops(rate: float) -> bool:
    # Rounded up, the threshold must still be a number of 8 bits.
    return 1 <= rate * _DRAWS <= _DRAWS - 2


def _dropped(inputs: Any, shape: Any, rate: float, seed_generator: Any, also_kept: Any = True) -> Any:
    import tensorflow as tf

    count = tf.reduce_prod(shape)
    # Keras's seed is an int64; the op takes an int32.
    seed = tf.cast(tf.math.floormod(seed_generator.next(), tf.int32.max - 1), tf.int32)
    words = tf.random.stateless_uniform([1 + (count + 3) // 4], seed, None, None, tf.uint32)
    rounding = tf.cast(words[0], tf.float32) / 2**32
    threshold = tf.cast(tf.floor(rate * _DRAWS + rounding), tf.uint8)
    draws = tf.reshape(tf.bitcast(words[1:], tf.uint8), [-1])[:count]
    kept = tf.reshape(draws >= threshold, shape)
    if also_kept is not True:
        kept = tf.logical_and(kept, also_kept)
    return inputs * (tf.cast(kept, inputs.dtype) * tf.constant(1 / (1 - rate), inputs.dtype))


class RectifiedMaxPooling2D(layers.MaxPooling2D):
    """Max pooling, then ReLU: in this order, ReLU and its gradient process a quarter of the values.

    ReLU is monotone, so it commutes exactly with the maximum; where the maximum is not positive, no gradient passes in
    either order.
    """

    def call(self, inputs: Any) -> Any:
        return activations.relu(super().call(inputs))


_FASTER = {
    layers.BatchNormalization: FusedBatchNormalization,
    layers.Dropout: EightBitDropout,
    layers.SpatialDropout2D: EightBitSpatialDropout2D,
}


def _rectified_then_pooled(model: keras.Model) -> Iterator[tuple[layers.Layer, layers.Layer, layers.Layer | None]]:
    """Yields (rectifier, pooling, dropout) where the pooling is the only consumer of the rectifier's output.

    The dropout is the only consumer of the pooling's output; None if there is no such layer.
    """
    graphs = [layer for layer in all_layers(model) if nodes_in_order(layer)]
    nodes = [node for graph in graphs for node in nodes_in_order(graph)]
    calls = Counter(id(node.operation) for node in nodes)
    consumers = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    consumer = {id(tensor): node.operation for node in nodes for tensor in node.input_tensors}
    outputs = {id(tensor) for graph in graphs for tensor in functional_graph(graph).outputs}
    wrappers = [layer for layer in all_layers(model) if not isinstance(layer, keras.Model)]
    held = {id(layer) for wrapper in wrappers for layer in all_layers(wrapper, include_self=False)}
    for node in nodes:
        if type(node.operation) is not layers.MaxPooling2D or calls[id(node.operation)] != 1:
            continue
        (tensor,) = node.input_tensors
        source = producer(tensor)
        alone = calls[id(source)] == consumers[id(tensor)] == 1 and not {id(tensor), id(source)} & {*outputs, *held}
        if not (alone and _rectifies(source)):
            continue
        (pooled,) = node.output_tensors
        dropout = consumer.get(id(pooled))
        alone = type(dropout) is EightBitDropout and calls[id(dropout)] == consumers[id(pooled)] == 1
        # If the pooling's output is also a model output or regularized, it must be rectified before the dropout.
        seen = id(pooled) in outputs or getattr(node.operation, "activity_regularizer", None) is not None
        yield source, node.operation, dropout if alone and not seen else None


def _rectifies(layer: layers.Layer) -> bool:
    if getattr(layer, "activity_regularizer", None) is not None:
        return False
    if type(layer) is layers.ReLU:
        return layer.max_value is None and layer.negative_slope == 0 and layer.threshold == 0
    return type(layer) in (layers.Activation, layers.Conv2D) and layer.activation is activations.relu

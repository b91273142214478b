"""Fine-tuning: a model pretrained on faces or other images gets a new head and is trained further.

A linear head starts with the weights of the base's own classifier for classes of the same names.

The defaults train every layer of the base at a small rate. Searched are the frozen share of the base, the rates of base
and head, whether batch norms of the base keep their statistics, the head, and the regularization against overfitting a
small folder. Images are converted to the size and channels of the base in the graph.

The head learns `head_rate` times as fast as the base: its outputs are multiplied by that number, and its initial
weights divided by it. For an optimizer such as Adam, whose steps do not depend on the size of gradients, this is
equivalent to a learning rate higher by that factor, and needs no second optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import keras
from keras import KerasTensor, layers, ops

if TYPE_CHECKING:
    import numpy as np
    from keras_tuner import HyperParameters

#: Units of the dense head, and the momentum of its batch norm, as in the baseline.
UNITS, MOMENTUM = 128, 0.7
BATCH = 32
LABEL_SMOOTHING = 0.1


def build_model(
    hp: HyperParameters, input_shape: tuple[int, int, int], num_classes: int, base: keras.Model
) -> keras.Model:
    """Builds and compiles one configuration.

    Args:
        hp: declares the hyperparameters and supplies their values.
        input_shape: (height, width, channels); images arrive as uint8 0…255.
        num_classes: number of softmax outputs.
        base: maps pixels 0…255, in its own size and channels, to a vector or feature maps; its layers are not shared.
    """
    training_hyperparameters(hp)
    prepare(base, hp.Choice("frozen", [0.0, 0.25, 0.5, 0.75, 1.0], default=0.0), hp.Boolean("adapt_batch_norm", True))
    inputs = keras.Input(input_shape, name="image")
    x = base(fitted(inputs, base.input_shape[1:]))
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D()(x)
    outputs = head(hp, x, num_classes, base.classifier)
    model = keras.Model(inputs, outputs, name="fine_tune")
    rate = hp.Float("learning_rate", 5e-5, 3e-3, sampling="log", default=5e-4)
    decay = hp.Choice("weight_decay", [0.0, 5e-3, 2e-2, 1e-1], default=2e-2)
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=decay),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING),
        metrics=["accuracy"],
    )
    return model


def training_hyperparameters(hp: HyperParameters) -> None:
    """Declares the hyperparameters that the trial uses, not the model."""
    hp.Choice("class_balance", ["none", "sampler"], default="sampler")
    hp.Float("augmentation", 0.0, 0.75, default=0.5)
    hp.Fixed("flip", True)
    hp.Fixed("batch_size", BATCH)
    hp.Fixed("schedule", "cosine")


def prepare(base: keras.Model, frozen: float, adapt_batch_norm: bool) -> None:
    """Freezes the given share of the base's layers, from the bottom, and its batch norms unless they are to adapt.

    Only layers with weights count. A frozen batch norm uses its stored statistics also in training.
    """
    weighted = [layer for layer in leaves(base) if layer.weights]
    for layer in weighted[: round(frozen * len(weighted))]:
        layer.trainable = False
    if not adapt_batch_norm:
        for layer in weighted:
            if isinstance(layer, layers.BatchNormalization):
                layer.trainable = False


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields the layers of a model from bottom to top, with nested models replaced by their layers."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def fitted(image: KerasTensor, shape: tuple[int | None, int | None, int]) -> KerasTensor:
    """Converts an image to the size and channels of the base; a size that the base leaves open is not changed."""
    height, width, channels = shape
    if height and width and (height, width) != tuple(image.shape[1:3]):
        image = layers.Resizing(height, width, interpolation="bilinear", name="resize")(image)
    if channels == 3 and image.shape[-1] == 1:
        return layers.Concatenate(name="gray_to_rgb")([image, image, image])
    if channels == 1 and image.shape[-1] == 3:
        return ops.mean(image, axis=-1, keepdims=True)
    return image


def head(hp: HyperParameters, x: KerasTensor, num_classes: int, known: Sequence[np.ndarray] | None) -> KerasTensor:
    """Converts features to probabilities.

    Args:
        known: kernel and bias that a linear head starts with; None: random ones.
    """
    kind = hp.Choice("head", ["linear", "dense"], default="linear")
    if kind == "dense":
        x = layers.Dense(UNITS, use_bias=False)(x)
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
        x = layers.Activation("relu")(x)
    dropout = hp.Choice("dropout", [0.0, 0.2, 0.4, 0.6], default=0.4)
    if dropout:
        x = layers.Dropout(dropout)(x)
    rate = hp.Choice("head_rate", [1.0, 3.0, 10.0], default=1.0)
    first = keras.initializers.VarianceScaling(1 / rate**2, mode="fan_avg", distribution="uniform")
    # In float32 under every dtype policy: bfloat16 probabilities have only two digits.
    logits = layers.Dense(num_classes, kernel_initializer=first, dtype="float32", name="logits")
    x = logits(x)
    if kind == "linear" and known is not None:
        logits.set_weights([part / rate for part in known])
    if rate != 1:
        x = layers.Rescaling(rate, dtype="float32", name="head_rate")(x)
    return layers.Softmax(dtype="float32", name="probabilities")(x)

"""Fine-tuning: a model that has seen faces, or other pictures, gets a new head and is trained on.

The defaults train every layer of the base at a small rate. What is searched: how much of the base stays as it is, the
rates of base and head, whether its batch norms keep their statistics, the head, and what keeps a small folder from
being learned by heart. Images are brought to the size and channels of the base in the graph.

The head learns `head_rate` times as fast as the base: its outputs are multiplied by that number and its first weights
divided by it. To an optimizer whose steps do not depend on the size of gradients, as Adam's, that is a learning rate so
many times as high, and needs no optimizer of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import keras
from keras import KerasTensor, layers, ops

if TYPE_CHECKING:
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
        hp: takes and declares the hyperparameters.
        input_shape: (height, width, channels); images arrive as uint8 0…255.
        num_classes: number of softmax outputs.
        base: from pixels 0…255 of its own size and channels to a vector or feature maps; its layers are its own.
    """
    training_hyperparameters(hp)
    prepare(base, hp.Choice("frozen", [0.0, 0.25, 0.5, 0.75, 1.0], default=0.0), hp.Boolean("adapt_batch_norm", True))
    inputs = keras.Input(input_shape, name="image")
    x = base(fitted(inputs, base.input_shape[1:]))
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D()(x)
    outputs = head(hp, x, num_classes)
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
    """Declares what the trial, not the model, needs to know."""
    hp.Choice("class_balance", ["none", "sampler"], default="sampler")
    hp.Float("augmentation", 0.0, 0.75, default=0.5)
    hp.Fixed("flip", True)
    hp.Fixed("batch_size", BATCH)
    hp.Fixed("schedule", "cosine")


def prepare(base: keras.Model, frozen: float, adapt_batch_norm: bool) -> None:
    """Freezes the lower share of the base's layers with weights, and its batch norms unless they are to adapt.

    A batch norm that cannot be trained computes with the statistics it came with, in training too.
    """
    weighted = [layer for layer in leaves(base) if layer.weights]
    for layer in weighted[: round(frozen * len(weighted))]:
        layer.trainable = False
    if not adapt_batch_norm:
        for layer in weighted:
            if isinstance(layer, layers.BatchNormalization):
                layer.trainable = False


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model from bottom to top, those of nested models in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def fitted(image: KerasTensor, shape: tuple[int | None, int | None, int]) -> KerasTensor:
    """An image in the size and channels that the base wants; sizes that it leaves open stay."""
    height, width, channels = shape
    if height and width and (height, width) != tuple(image.shape[1:3]):
        image = layers.Resizing(height, width, interpolation="bilinear", name="resize")(image)
    if channels == 3 and image.shape[-1] == 1:
        return layers.Concatenate(name="gray_to_rgb")([image, image, image])
    if channels == 1 and image.shape[-1] == 3:
        return ops.mean(image, axis=-1, keepdims=True)
    return image


def head(hp: HyperParameters, x: KerasTensor, num_classes: int) -> KerasTensor:
    """Features to probabilities."""
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
    # In float32 whatever the compute type: bfloat16 probabilities have two digits.
    x = layers.Dense(num_classes, kernel_initializer=first, dtype="float32", name="logits")(x)
    if rate != 1:
        x = layers.Rescaling(rate, dtype="float32", name="head_rate")(x)
    return layers.Softmax(dtype="float32", name="probabilities")(x)

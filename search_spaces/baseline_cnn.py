"""The baseline CNN and the space around it.

The default value of every hyperparameter *is* the baseline: three convolution/pooling blocks of 32, 64 and 128
filters, a dense layer of 128 units, softmax; Adam at 1e-3 on a cosine schedule, batches of 64 from a balanced sampler
(macro-F1 counts every class alike), mirrored at random. The ranges cover what is known to matter for small face images,
most important first: learning rate, class balance, depth and width, dropout, augmentation, weight decay, schedule,
label smoothing, batch size, head, kernels, optimizer.

Architecture and optimizer are used here. The training hyperparameters (`batch_size`, `class_balance`, `augmentation`,
`flip`, `schedule`) are declared here too, so that the tuner sees one space; the trial reads them by name.

Shares are choices rather than `hp.Float` with a step: that counts its steps in floats and misses the largest value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import KerasTensor, layers

if TYPE_CHECKING:
    from keras_tuner import HyperParameters

MAX_FILTERS = 256
#: SGD with momentum wants a learning rate about this much larger than Adam's for the same effect.
SGD_SCALE = 30.0
#: Of batch norm's averages. Keras's 0.99, and still 0.9, lag behind the weights of a small data set for epochs, and
#: what is ranked then is their lag.
MOMENTUM = 0.7


def build_model(hp: HyperParameters, input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Builds and compiles one configuration.

    Args:
        hp: takes and declares the hyperparameters.
        input_shape: (height, width, channels); images arrive as uint8 0…255, the model scales them itself.
        num_classes: number of classes, that is, of softmax outputs.

    Returns:
        A compiled `keras.Model` that maps (n, height, width, channels) to float32 probabilities (n, num_classes).
    """
    training_hyperparameters(hp)
    l2 = hp.Choice("l2", [0.0, 1e-5, 1e-4, 1e-3], default=0.0)
    regularizer = keras.regularizers.L2(l2) if l2 else None

    inputs = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    batch_norm = hp.Boolean("batch_norm", default=False)
    x = feature_blocks(hp, x, regularizer, batch_norm)
    x = head(hp, x, regularizer, batch_norm)
    # Softmax in float32 whatever the compute type: bfloat16 probabilities have two digits.
    outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)

    model = keras.Model(inputs, outputs, name="baseline_cnn")
    smoothing = hp.Choice("label_smoothing", [0.0, 0.05, 0.1, 0.15], default=0.0)
    model.compile(
        optimizer=optimizer(hp),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=smoothing),
        metrics=["accuracy"],
    )
    return model


def training_hyperparameters(hp: HyperParameters) -> None:
    """Declares what the trial, not the model, needs to know."""
    hp.Choice("class_balance", ["none", "weights", "sampler"], default="sampler")
    hp.Float("augmentation", 0.0, 1.0, step=0.25, default=0.0)
    hp.Fixed("flip", True)
    hp.Choice("batch_size", [32, 64, 128, 256], default=64)
    hp.Choice("schedule", ["constant", "cosine", "plateau"], default="cosine")


def feature_blocks(
    hp: HyperParameters, x: KerasTensor, regularizer: keras.regularizers.Regularizer | None, batch_norm: bool
) -> KerasTensor:
    """Blocks of convolutions, each closed by pooling and spatial dropout; pooling stops at 3×3 feature maps."""
    blocks = hp.Int("blocks", 3, 5, default=3)
    convolutions = hp.Int("convolutions_per_block", 1, 2, default=1)
    width = hp.Choice("width", [16, 32, 48, 64], default=32)
    growth = hp.Choice("growth", [1.0, 1.5, 2.0], default=2.0)
    first_kernel = hp.Choice("first_kernel", [3, 5], default=3)
    kernel = hp.Choice("kernel", [3, 5], default=3)
    dropout = hp.Choice("spatial_dropout", [0.0, 0.05, 0.1, 0.15, 0.2, 0.25], default=0.1)
    for block in range(blocks):
        filters = min(round(width * growth**block), MAX_FILTERS)
        for convolution in range(convolutions):
            x = layers.Conv2D(
                filters,
                first_kernel if block == 0 and convolution == 0 else kernel,
                padding="same",
                use_bias=not batch_norm,
                kernel_regularizer=regularizer,
            )(x)
            if batch_norm:
                x = layers.BatchNormalization(momentum=MOMENTUM)(x)
            x = layers.Activation("relu")(x)
        if min(x.shape[1:3]) >= 6:
            x = layers.MaxPooling2D()(x)
        if dropout:
            x = layers.SpatialDropout2D(dropout)(x)
    return x


def head(
    hp: HyperParameters, x: KerasTensor, regularizer: keras.regularizers.Regularizer | None, batch_norm: bool
) -> KerasTensor:
    """Feature maps to a vector: flatten and a dense layer, or global average pooling."""
    kind = hp.Choice("head", ["dense", "average"], default="dense")
    dropout = hp.Choice("head_dropout", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], default=0.5)
    if kind == "average":
        x = layers.GlobalAveragePooling2D()(x)
    else:
        x = layers.Flatten()(x)
    with hp.conditional_scope("head", ["dense"]):
        units = hp.Choice("dense_units", [64, 128, 256], default=128)
        if kind == "dense":
            x = layers.Dense(units, use_bias=not batch_norm, kernel_regularizer=regularizer)(x)
            if batch_norm:
                # Without it, what follows normalised maps stays at one class for many epochs.
                x = layers.BatchNormalization(momentum=MOMENTUM)(x)
            x = layers.Activation("relu")(x)
    return layers.Dropout(dropout)(x)


def optimizer(hp: HyperParameters) -> keras.optimizers.Optimizer:
    """The optimizer; one `learning_rate` on Adam's scale serves all three."""
    learning_rate = hp.Float("learning_rate", 1e-4, 3e-3, sampling="log", default=1e-3)
    name = hp.Choice("optimizer", ["adam", "adamw", "sgd"], default="adam")
    with hp.conditional_scope("optimizer", ["adamw"]):
        weight_decay = hp.Float("weight_decay", 1e-5, 1e-1, sampling="log", default=1e-2)
    if name == "adamw":
        return keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
    if name == "sgd":
        return keras.optimizers.SGD(learning_rate * SGD_SCALE, momentum=0.9, nesterov=True)
    return keras.optimizers.Adam(learning_rate)

"""The baseline CNN and the space around it.

The defaults *are* the baseline: three blocks of one convolution and pooling with 32, 64 and 128 filters, a dense layer
of 128 units, softmax; Adam at 1e-3 on a cosine schedule, batches of 64 from a balanced sampler (macro-F1 weights all
classes equally), random mirroring. The space also contains the small VGG-like networks that suit photos of faces, see
`STARTING_POINTS`. What is searched, what is not, and why: `docs/recipe.md`.

Architecture and optimizer are used here. The training hyperparameters (`batch_size`, `class_balance`, `augmentation`,
`flip`, `schedule`) are declared here too, so that the tuner sees one space; the trial reads them by name.

Rates of dropout and the like are `hp.Choice` rather than `hp.Float` with a step, which counts its steps in floats and
misses the largest value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import KerasTensor, layers

if TYPE_CHECKING:
    from keras_tuner import HyperParameters

#: Kinds of blocks whose width, depth and dropout are searched. Plain blocks stay at chance for epochs with other values
#: than the baseline's; so do blocks of a single convolution with an average head.
NORMALISED = ["normalised", "double"]
#: The baseline's number of blocks and filters of the first one; dropout of whole feature maps after each block.
BLOCKS, WIDTH, SPATIAL_DROPOUT = 3, 32, 0.1
MAX_FILTERS = 256
#: Units of the last hidden dense layer.
UNITS = 128
#: Momentum of batch norm. With Keras's 0.99, and even with 0.9, the averages lag behind the weights for epochs on a
#: small data set, so that configurations would be ranked by that lag.
MOMENTUM = 0.7
#: Images with sides of at least this many pixels are large enough for pooling in a fifth block.
LARGE = 96

#: A small VGG: stages of two normalised convolutions.
_VGG = {
    "block": "double",
    "blocks": 4,
    "width": 32,
    "spatial_dropout": 0.0,
    "augmentation": 0.5,
    "head_dropout": 0.4,
    "label_smoothing": 0.1,
    "learning_rate": 4e-3,
    "weight_decay": 2e-2,
}
#: Configurations known to be good on photos of faces of 48 pixels, tried right after the default one. The second makes
#: other mistakes than the first, which helps an ensemble. The next two are narrow and train in less than half the time:
#: better with too little time for a full training of the wide ones. The last one takes a fraction of that, for minutes.
STARTING_POINTS = (
    _VGG,
    {**_VGG, "class_balance": "none"},
    {**_VGG, "width": 16},
    {**_VGG, "width": 16, "class_balance": "none"},
    {**_VGG, "width": 16, "block": "normalised", "augmentation": 0.25, "head_dropout": 0.3, "learning_rate": 3e-3},
)


def build_model(hp: HyperParameters, input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Builds and compiles one configuration.

    Args:
        hp: declares the hyperparameters and supplies their values.
        input_shape: (height, width, channels); images arrive as uint8 0…255, the model scales them itself.
        num_classes: number of classes, that is, of softmax outputs.

    Returns:
        A compiled `keras.Model` that maps (n, height, width, channels) to float32 probabilities (n, num_classes).
    """
    training_hyperparameters(hp)
    inputs = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    kind = hp.Choice("block", ["plain", *NORMALISED], default="plain")
    x = feature_blocks(hp, x, kind)
    x = head(hp, x, kind)
    # Softmax in float32 under every dtype policy: bfloat16 probabilities have only two digits.
    outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)

    model = keras.Model(inputs, outputs, name="baseline_cnn")
    smoothing = hp.Choice("label_smoothing", [0.0, 0.05, 0.1, 0.15], default=0.0)
    model.compile(
        optimizer=optimizer(hp, kind),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=smoothing),
        metrics=["accuracy"],
    )
    return model


def training_hyperparameters(hp: HyperParameters) -> None:
    """Declares the hyperparameters that the trial uses, not the model."""
    hp.Choice("class_balance", ["none", "sampler"], default="sampler")
    hp.Float("augmentation", 0.0, 0.75, default=0.0)
    hp.Fixed("flip", True)
    hp.Choice("batch_size", [32, 64, 128], default=64)
    hp.Fixed("schedule", "cosine")


def feature_blocks(hp: HyperParameters, x: KerasTensor, kind: str) -> KerasTensor:
    """Adds blocks of convolutions, each ending in pooling and spatial dropout; pooling stops at 3×3 feature maps.

    A "double" block has two convolutions. The very first one has half the filters: its maps are the largest, so that it
    takes most of the time, but contributes least to the capacity.
    """
    with hp.conditional_scope("block", NORMALISED):
        deepest = 5 if min(x.shape[1:3]) >= LARGE else 4
        chosen = (
            hp.Choice("width", [16, 32, 48], default=WIDTH),
            hp.Int("blocks", 3, deepest, default=BLOCKS),
            hp.Choice("spatial_dropout", [0.0, 0.05, 0.1], default=SPATIAL_DROPOUT),
        )
    width, blocks, dropout = (WIDTH, BLOCKS, SPATIAL_DROPOUT) if kind == "plain" else chosen
    for block in range(blocks):
        filters = min(width * 2**block, MAX_FILTERS)
        if kind == "double":
            x = convolution(x, max(filters // 2, 16) if block == 0 else filters, kind)
        x = convolution(x, filters, kind)
        if min(x.shape[1:3]) >= 6:
            x = layers.MaxPooling2D()(x)
        if dropout:
            x = layers.SpatialDropout2D(dropout)(x)
    return x


def convolution(x: KerasTensor, filters: int, kind: str) -> KerasTensor:
    """Adds a 3×3 convolution, batch norm unless the block is plain, and ReLU."""
    return rectified(layers.Conv2D(filters, 3, padding="same", use_bias=kind == "plain")(x), kind)


def head(hp: HyperParameters, x: KerasTensor, kind: str) -> KerasTensor:
    """Converts feature maps to a vector, flattened or averaged, and adds a dense layer and dropout."""
    with hp.conditional_scope("block", ["double"]):
        pooling = hp.Choice("head", ["dense", "average"], default="dense")
    if pooling == "average":
        x = layers.GlobalAveragePooling2D()(x)
    else:
        x = layers.Flatten()(x)
    # Normalised like the blocks: a plain layer after normalised maps would predict a single class for many epochs.
    x = rectified(layers.Dense(UNITS, use_bias=kind == "plain")(x), kind)
    return layers.Dropout(hp.Choice("head_dropout", [0.2, 0.3, 0.4, 0.5], default=0.5))(x)


def rectified(x: KerasTensor, kind: str) -> KerasTensor:
    if kind != "plain":
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
    return layers.Activation("relu")(x)


def optimizer(hp: HyperParameters, kind: str) -> keras.optimizers.Optimizer:
    """Returns Adam, or AdamW with weight decay. Plain blocks stay at chance with the rates of normalised ones."""
    with hp.conditional_scope("block", ["plain"]):
        plain = hp.Float("learning_rate", 7e-4, 3e-3, sampling="log", default=1e-3)
    with hp.conditional_scope("block", NORMALISED):
        normalised = hp.Float("learning_rate", 1e-3, 6e-3, sampling="log", default=2e-3)
    learning_rate = plain if kind == "plain" else normalised
    weight_decay = hp.Choice("weight_decay", [0.0, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1], default=0.0)
    if weight_decay:
        return keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
    return keras.optimizers.Adam(learning_rate)


build_model.starting_points = STARTING_POINTS  # type: ignore[attr-defined]

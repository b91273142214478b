"""Recognises models that every export format is known to support, so that only other models need a trial export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuning.trials.keras_private import nodes_in_order

if TYPE_CHECKING:
    import keras

#: Kinds of layers and operations that `tests/results/test_foresight.py` exports in all formats.
PROVEN = frozenset(
    (
        *("InputLayer", "Rescaling", "Normalization"),
        *("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "Dense"),
        *("BatchNormalization", "LayerNormalization", "GroupNormalization"),
        *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D"),
        *("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "ActivityRegularization"),
        *("Flatten", "Reshape", "Permute", "ZeroPadding2D", "Cropping2D", "UpSampling2D"),
        *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"),
        *("Add", "Subtract", "Multiply", "Average", "Maximum", "Concatenate"),
        *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness"),
        "TrueDivide",
    )
)
ACTIVATIONS = frozenset(
    ("linear", "relu", "relu6", "elu", "selu", "gelu", "silu", "sigmoid", "tanh", "softmax", "softplus", "hard_sigmoid")
)


def unproven(model: keras.Model) -> list[str]:
    """Returns the names of a model's layers and operations that some format may not support."""
    found = []
    for node in nodes_in_order(model):
        operation: Any = node.operation
        if nodes_in_order(operation):
            found += unproven(operation)
        elif type(operation).__name__ not in PROVEN or not _is_plain(operation):
            found.append(str(operation.name))
    return list(dict.fromkeys(found))


def _is_plain(operation: Any) -> bool:
    activation = getattr(operation, "activation", None)
    named = activation is None or getattr(activation, "__name__", "") in ACTIVATIONS
    resampled = getattr(operation, "interpolation", "nearest") in ("nearest", "bilinear")
    return named and resampled and getattr(operation, "data_format", None) != "channels_first"

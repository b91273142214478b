"""Lets a model's output layer compute in float32 under a lower-precision policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuning.trials.keras_private import producer

if TYPE_CHECKING:
    import keras


def use_float32_outputs(model: keras.Model) -> None:
    """Sets the output layer of a compiled model to float32, in place, whatever the policy of the other layers.

    Probabilities in bfloat16 have two digits: classes tie, and loss and metrics become inexact.
    """
    import keras

    for output in model.outputs:
        layer = producer(output)
        if isinstance(layer, keras.Model):
            use_float32_outputs(layer)
        elif type(layer) in (keras.layers.Dense, keras.layers.Activation, keras.layers.Softmax) and (
            layer.compute_dtype in ("bfloat16", "float16") and layer.variable_dtype == "float32"
        ):
            layer.dtype_policy = "float32"

"""The parts of a model that compute in float32 although the rest does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuning.trials.keras_private import producer

if TYPE_CHECKING:
    import keras


def use_float32_outputs(model: keras.Model) -> None:
    """Lets the layer that a compiled model ends in compute in float32, in place, whatever the others compute in.

    Probabilities in bfloat16 have two digits: classes tie, and loss and metrics are of what is left.
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

"""Builds the published graphs from Keras's own layers, saves them, and opens them again before they are tested."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuning.core.errors import TuningError
from tuning.core.files import replacing
from tuning.core.jobs import Additions, Member
from tuning.trials import runtime
from tuning.trials.additions import prior_scale
from tuning.trials.fit import predict
from tuning.trials.steps import KerasSteps

if TYPE_CHECKING:
    import keras

#: Largest difference of two probabilities that is explained by rounding.
TOLERANCE = 1e-4
#: Number of validation images on which the saved model is compared with the trained one.
COMPARED = 256
#: Names of the layers and operations that `with_additions` adds; Keras names the operations itself.
_ADDED = ("mean_of_views", "prior_correction", "flip", "power", "sum", "divide")


class NotAsTrained(TuningError):
    """The predictions of the saved model, opened again, differ from those of the trained one."""

    def __init__(self, difference: float, images: int) -> None:
        super().__init__(
            f"the saved model, opened again, does not predict what the trained one did: probabilities of {images} "
            f"validation images differ by up to {difference:.2g}, allowed is {TOLERANCE:g}",
            "keep what the model computes with in weights or in arguments of its layers, which its file holds, and "
            "compute the outputs in call, not in predict_step",
        )


def plain_model(model: keras.Model) -> keras.Model:
    """Returns the graph of a compiled model over its own layers, without optimizer, loss, metrics and custom class.

    Plain Keras would refuse a file that names an unknown metric or loss. Layers are shared, not cloned: a clone has
    their weights, but not the state derived from them, such as the mean of an adapted `Normalization`.
    """
    import keras

    if type(model) is keras.Sequential:
        image = model.inputs[0]
        start = keras.Input(batch_shape=image.shape, dtype=image.dtype, name=image.name)
        return keras.Sequential([start, *model.layers], name=model.name)
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def save_and_open(model: keras.Model, path: Path) -> keras.Model:
    """Saves a model, and returns it loaded again as any user would: with plain Keras, without custom code."""
    import keras

    with replacing(path) as temporary:
        model.save(temporary)
    return keras.saving.load_model(path, safe_mode=True, compile=False)


def check_as_trained(trained: KerasSteps, opened: KerasSteps, images: np.ndarray) -> None:
    """Refuses a saved model whose predictions differ from those of the trained one, both in float32.

    Raises:
        NotAsTrained: probabilities differ by more than `TOLERANCE`.
    """
    few = images[:COMPARED]
    expected = predict(trained, few)
    difference = float(np.abs(expected - predict(opened, few)).max())
    # A network that overflows is refused elsewhere, with that reason.
    if np.isfinite(expected).all() and not difference <= TOLERANCE:
        raise NotAsTrained(difference, len(few))


def with_additions(model: keras.Model, additions: Additions, counts: np.ndarray) -> keras.Model:
    """Returns a model of probabilities with the additions to be used; the model itself if there are none."""
    import keras
    from keras import layers, ops

    view, prior, temperature = additions.mirrored_view, additions.prior_correction, additions.temperature
    if not (view.used or prior.used or temperature.used):
        return model
    if model.name in (model.inputs[0].name, *_ADDED):
        # A model may have the name of its input or of an addition, but within one graph names must be unique.
        model = keras.Model(model.inputs[0], model.outputs[0], name=f"{model.name}_network")
    image = keras.Input(batch_shape=model.inputs[0].shape, dtype=model.inputs[0].dtype, name=model.inputs[0].name)
    output = model(image)
    if view.used:
        output = layers.Average(name="mean_of_views")([output, model(ops.flip(image, axis=2))])
    if prior.used and prior.value is not None:
        scale = [float(factor) for factor in prior_scale(counts, prior.value)]
        output = layers.Rescaling(scale, name="prior_correction")(output)
    if temperature.used and temperature.value is not None:
        output = ops.power(output, 1 / temperature.value)
    if prior.used or temperature.used:
        output = ops.divide(output, ops.sum(output, axis=-1, keepdims=True))
    return keras.Model(image, output, name="published")


def ensemble(models: Sequence[keras.Model], members: Sequence[Member]) -> keras.Model:
    """Builds the weighted mean of the models' probabilities; it takes images in the pixel range of the first member."""
    import keras
    from keras import layers

    first, total = members[0], sum(member.weight for member in members)
    image = keras.Input(batch_shape=models[0].inputs[0].shape, dtype="float32", name="image")
    outputs = []
    for number, (model, member) in enumerate(zip(models, members, strict=True), start=1):
        # Members of one search often have the same name, but in one graph names must be unique.
        own = keras.Model(model.inputs[0], model.outputs[0], name=f"member_{number}")
        given = image
        if member.scaled != first.scaled:
            given = layers.Rescaling(1 / 255 if member.scaled else 255.0, name=f"pixels_{number}")(image)
        output = own(given)
        if member.logits:
            output = layers.Softmax(name=f"probabilities_{number}")(output)
        outputs.append(layers.Rescaling(member.weight / total, name=f"share_{number}")(output))
    return keras.Model(image, layers.Add(name="mean")(outputs), name="ensemble")


def weights_sha256(model: keras.Model) -> str:
    """Returns the sha256 of all weights in order, without the states of random layers, which no prediction uses."""
    result = hashlib.sha256()
    for variable in model.weights:
        if not runtime.is_seed_state(variable):
            result.update(np.ascontiguousarray(variable).tobytes())
    return result.hexdigest()


def summary(model: keras.Model) -> str:
    """Returns Keras's table of the layers at full width; Keras would cut it to the width of the terminal."""
    lines: list[str] = []
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        model.summary(print_fn=lambda text, line_break=True: lines.append(text), line_length=100, expand_nested=True)
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return "\n".join(lines) + "\n"

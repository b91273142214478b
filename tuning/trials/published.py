"""The graphs that are published: built from Keras's own layers, saved, and opened again before they are tested."""

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

#: The largest difference of two probabilities that rounding explains.
TOLERANCE = 1e-4
#: Validation images that the saved model is compared on.
COMPARED = 256


class NotAsTrained(TuningError):
    """The saved model, opened again, computes something else than the one that was trained."""

    def __init__(self, difference: float, images: int) -> None:
        super().__init__(
            f"the saved model, opened again, does not predict what the trained one did: probabilities of {images} "
            f"validation images differ by up to {difference:.2g}, allowed is {TOLERANCE:g}",
            "keep what the model computes with in weights or in arguments of its layers, which its file holds; compute "
            "the outputs in call, not in predict_step; and call no function of yours like one of Keras's",
        )


def plain_model(model: keras.Model) -> keras.Model:
    """The graph of a compiled model over its own layers, without optimizer, loss, metrics and custom class.

    Plain Keras would refuse a file that names a metric or a loss it does not know. Layers are shared, not cloned: a
    clone has their weights, but not what they derived from them, such as the mean of an adapted `Normalization`.
    """
    import keras

    if type(model) is keras.Sequential:
        image = model.inputs[0]
        start = keras.Input(batch_shape=image.shape, dtype=image.dtype, name=image.name)
        return keras.Sequential([start, *model.layers], name=model.name)
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def save_and_open(model: keras.Model, path: Path) -> keras.Model:
    """Saves a model, and returns what whoever opens the file has, with Keras alone and without code of its own."""
    import keras

    with replacing(path) as temporary:
        model.save(temporary)
    return keras.saving.load_model(path, safe_mode=True, compile=False)


def check_as_trained(trained: KerasSteps, opened: KerasSteps, images: np.ndarray) -> None:
    """Refuses a saved model that computes something else than the trained one, both in float32.

    Raises:
        NotAsTrained: probabilities differ by more than rounding explains.
    """
    few = images[:COMPARED]
    expected = predict(trained, few)
    difference = float(np.abs(expected - predict(opened, few)).max())
    # A network that overflows is refused for that.
    if np.isfinite(expected).all() and not difference <= TOLERANCE:
        raise NotAsTrained(difference, len(few))


def with_additions(model: keras.Model, additions: Additions, counts: np.ndarray) -> keras.Model:
    """A model of probabilities with what was decided on around it; the model itself where that is nothing."""
    import keras
    from keras import layers, ops

    view, prior, temperature = additions.mirrored_view, additions.prior_correction, additions.temperature
    if not (view.used or prior.used or temperature.used):
        return model
    if model.name in (model.inputs[0].name, "mean_of_views", "prior_correction"):
        # A model may have the name of its own input, but here both are layers of one graph.
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
    """The weighted mean of the models' probabilities, for images as the first of them wants them."""
    import keras
    from keras import layers

    first, total = members[0], sum(member.weight for member in members)
    image = keras.Input(batch_shape=models[0].inputs[0].shape, dtype="float32", name="image")
    outputs = []
    for number, (model, member) in enumerate(zip(models, members, strict=True), start=1):
        # Members of one search often have the same name, which only one layer of a graph may have.
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
    """sha256 over the bytes of all weights in order; the states of random layers, which no prediction uses, apart."""
    result = hashlib.sha256()
    for variable in model.weights:
        if not runtime.is_seed_state(variable):
            result.update(np.ascontiguousarray(variable).tobytes())
    return result.hexdigest()


def summary(model: keras.Model) -> str:
    """Keras's table of the layers, whole: its printer cuts it off at the width of whatever terminal it finds."""
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

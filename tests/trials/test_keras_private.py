"""The private parts of Keras and Keras Tuner that are used exist in the installed versions, and mean what we think."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest
from keras import layers

import tuning
from tuning.trials import keras_private


def attribute(path):
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


class Oracle(keras_tuner.Oracle):
    def populate_space(self, trial_id):
        return {}


@pytest.fixture
def model():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="inner")], name="nested")
    inputs = keras.Input((4,))
    made = keras.Model(inputs, layers.Softmax(name="last")(inner(inputs)))
    made.compile(keras.optimizers.Adam(1e-3, use_ema=True), keras.losses.CategoricalCrossentropy(from_logits=True))
    return made


@pytest.mark.parametrize(
    ("path", "name"), [(path, name) for path, names in keras_private.INHERITED.items() for name in names]
)
def test_what_is_inherited_exists(path, name):
    assert callable(getattr(attribute(path), name))


@pytest.mark.parametrize("path", keras_private.INHERITED_OF_OBJECTS)
def test_what_objects_have_exists(path):
    made = {
        "keras.optimizers:Adam": keras.optimizers.Adam,
        "keras_tuner:Oracle": lambda: Oracle(objective="val_loss"),
        "keras_tuner:HyperParameters": keras_tuner.HyperParameters,
    }[path]()
    if path == "keras.optimizers:Adam":
        made.build([keras.Variable(np.zeros(2, "float32"))])
    missing = {name for name in keras_private.INHERITED_OF_OBJECTS[path] if not hasattr(made, name)}
    assert missing <= {"_display"}  # the tuner sets it


def test_layers_and_graphs(model):
    assert {layer.name for layer in keras_private.all_layers(model)} >= {"nested", "inner", "last", model.name}
    assert model not in keras_private.all_layers(model, include_self=False)
    names = [node.operation.name for node in keras_private.nodes_in_order(model)]
    assert names[1:] == ["nested", "last"]
    for node in keras_private.nodes_in_order(model.get_layer("nested")):
        assert isinstance(node.input_tensors, (list, tuple)) and isinstance(node.output_tensors, (list, tuple))
    assert keras_private.nodes_in_order(layers.ReLU()) == keras_private.nodes_in_order(keras.Sequential()) == []
    assert keras_private.producer(model.outputs[0]).name == "last"


def test_losses_and_optimizers(model):
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    assert keras_private.loss_arguments(loss)["from_logits"] is True
    assert keras_private.loss_arguments("mse") == {}
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)
    for rate in (schedule, lambda: 0.5):
        assert keras_private.learning_rate_variable(keras.optimizers.SGD(rate)) is None
    one = keras.optimizers.SGD(0.5)
    scaled = keras.optimizers.LossScaleOptimizer(one)
    for optimizer in (one, scaled):
        found = keras_private.learning_rate_variable(optimizer)
        assert found is one.learning_rate and float(found) == 0.5
    # Its own, the first of that name, is not the one that it learns by.
    assert next(variable for variable in scaled.variables if variable.name == "learning_rate") is not found
    several = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(keras.optimizers.Adam()))
    assert keras_private.learning_rate_variable(several) is None
    model.optimizer.build(model.trainable_variables)
    pairs = list(keras_private.weight_averages(model.optimizer))
    assert [variable is own for (variable, _), own in zip(pairs, model.trainable_variables, strict=True)] == [True] * 2
    assert all(average.shape == variable.shape for variable, average in pairs)


def test_symbolic_build_makes_the_metrics(model):
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    keras_private.symbolic_build(model, (np.zeros((2, 4), "float32"), np.eye(2, dtype="float32")))
    assert "accuracy" in model.get_metrics_result()


def test_the_shared_seed_generator_is_the_one_layers_draw_from():
    keras.utils.clear_session()
    assert keras_private.shared_seed_generator() is None
    keras.random.uniform((1,))
    assert keras_private.shared_seed_generator().state.shape == (2,)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not there")
def test_the_torch_device_exists():
    source = importlib.util.find_spec("keras.src.backend.torch.core").origin
    assert "def get_device(" in Path(source).read_text(encoding="utf-8")


LISTED = {
    name
    for table in (keras_private.INHERITED, keras_private.INHERITED_OF_OBJECTS)
    for names in table.values()
    for name in names
}
PACKAGE = Path(tuning.__file__).parent


def sources(folder, exclude=("keras_private.py",)):
    return {
        path.relative_to(PACKAGE): path.read_text(encoding="utf-8")
        for path in sorted((PACKAGE / folder).rglob("*.py"))
        if path.name not in exclude
    }


@pytest.mark.parametrize("folder", ["trials", "oracles", "pipeline", "history", "results", "tracking"])
def test_nothing_private_of_another_object_is_touched_elsewhere(folder):
    found = []
    for path, text in sources(folder).items():
        names = re.findall(r"(?<!\bself)(?<!\bcls)(?<!super\(\))\.(_[a-z]\w*)", text)
        # Objects of our own, whose private parts their own module defines.
        own = set(re.findall(r"(?:def |class |self\.|^|    )(_[a-z]\w*)\b(?= *[(:=])", text, re.MULTILINE))
        found += [f"{path}: {name}" for name in names if name not in LISTED | own]
        found += [f"{path}: keras.src"] * len(re.findall(r"keras(_tuner)?\.src", text))
    assert found == []


def test_nothing_private_is_inherited_without_being_listed():
    oracle = Oracle(objective="val_loss")
    adam = keras.optimizers.Adam()
    for folder, objects in (("oracles", [oracle]), ("trials/on_tensorflow", [adam, layers.SpatialDropout2D(0.5)])):
        inherited = {name for made in objects for name in dir(made)}
        for path, text in sources(folder).items():
            used = set(re.findall(r"(?:self|super\(\))\.(_[a-z]\w*)", text)) & inherited
            assert used <= LISTED, path

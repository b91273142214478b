from __future__ import annotations

import importlib
import math
import os
import sys
from pathlib import Path

import pytest

import search_spaces
from search_spaces import SPACES
from tests.trials.sampled import CLASSES, SHAPE, build, refusal
from tuning.core.files import digest
from tuning.trials.spaces import (
    Interface,
    build_model,
    interface,
    load_builder,
    loaded_space_digest,
    space_code,
    space_digest,
    starting_points,
    target,
)


@pytest.fixture(autouse=True)
def _importable(sample_spaces, monkeypatch):
    monkeypatch.syspath_prepend(str(sample_spaces))


# Names and files -----------------------------------------------------------------------------------------------------


def test_a_name_of_the_table_and_a_person_s_own_builder_are_both_found():
    assert target("baseline_cnn") == ("search_spaces.baseline_cnn", "build_model")
    assert target("package.module:build") == ("package.module", "build")


@pytest.mark.parametrize("space", ["nothing", "", "module:", ":function", "package.module"])
def test_an_unknown_space_is_refused_with_the_valid_names(space):
    said = refusal(target, space)
    assert repr(space) in said
    assert all(name in said for name in SPACES)
    assert "package.module:function" in said


@pytest.mark.parametrize("space", list(SPACES))
def test_every_row_of_the_table_builds(space, monkeypatch):
    import keras

    some = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(2, 3)])
    some.classifier = None
    monkeypatch.setattr("tuning.trials.bases.base_model", lambda: some)
    model, _ = build_model(space, {}, SHAPE, CLASSES)
    assert model.output_shape == (None, CLASSES)


@pytest.mark.parametrize("space", ["no_such_module:build", "no.such.module:build", "sys:exit"])
def test_a_module_without_a_file_is_refused(space):
    assert "PYTHONPATH" in refusal(space_digest, space)


@pytest.mark.parametrize("space", ["models.py:build", "code/models.py:build", "/faces/models.py:build"])
def test_a_file_in_the_place_of_a_module_is_told_how_to_write_it(space):
    assert "write models:build, without .py" in refusal(space_digest, space)


def test_the_digest_changes_with_the_file_and_with_each_own_module_it_imports(module):
    def now():
        return space_digest("own_package.space:build")

    module("own_package.__init__", "")
    texts = {
        "own_package.space": "import keras\nfrom own_package import blocks\nfrom . import heads\ndef build(hp): ...\n",
        "own_package.blocks": "import own_sizes\n",
        "own_package.heads": "",
        "own_sizes": "raise SystemExit('was imported')\n",
    }
    paths = {name: module(name, text) for name, text in texts.items()}
    module("own_package.another", "")
    seen = [now()]
    assert now() == seen[0]
    for path in paths.values():
        path.write_text(path.read_text() + "print(1)\n")
        seen.append(now())
    assert len(set(seen)) == len(seen) == 5
    module("own_package.another", "print(1)\n")
    assert now() == seen[-1]


def test_a_folder_without_an_init_is_a_package_too(module):
    path = module("bare_folder.space", "import keras\ndef build(hp): ...\n")
    first = space_digest("bare_folder.space:build")
    path.write_text(path.read_text() + "print(1)\n")
    assert space_digest("bare_folder.space:build") != first


def test_the_digest_of_our_own_space_covers_its_file_and_not_the_table_of_spaces():
    reached, files = space_code("baseline_cnn")
    assert files == {"search_spaces.baseline_cnn": Path(search_spaces.__file__).with_name("baseline_cnn.py")}
    assert space_digest("baseline_cnn") == digest(reached)


def test_the_digest_of_a_file_that_python_cannot_read_is_that_of_its_text(module):
    path = module("torn_space", "def build(hp:\n")
    first = space_digest("torn_space:build")
    path.write_text("def build(hp::\n")
    assert space_digest("torn_space:build") != first


def test_finding_the_digest_does_not_run_the_file(module):
    module("explosive_space", "raise SystemExit('was imported')\n")
    assert space_digest("explosive_space:build")


def test_a_module_or_package_that_cannot_be_imported_is_a_line_that_says_where(module):
    path = module("broken_space", "import keras\n\nanswer = 1 / 0\n")
    said = refusal(load_builder, "broken_space:build")
    assert "ZeroDivisionError" in said
    assert f"{path}:3" in said
    assert "→ mend the module: python -c 'import broken_space'" in said
    module("torn_space", "def build(hp:\n")
    assert "SyntaxError" in refusal(load_builder, "torn_space:build")
    module("broken_package.__init__", "answer = 1 / 0\n")
    module("broken_package.space", "")
    assert "ZeroDivisionError" in refusal(space_digest, "broken_package.space:build")


POINTED = """
def build(hp): ...
build.starting_points = [{"rate": 0.5}]
def plain(hp): ...
class Model:
    starting_points = ({"units": 3},)
    def build(self, hp): ...
instance = Model()
"""


def test_starting_points_are_an_attribute_of_the_builder(module):
    module("pointed_space", POINTED)
    assert starting_points("pointed_space:build") == [{"rate": 0.5}]
    assert starting_points("pointed_space:plain") == []
    assert starting_points("pointed_space:Model") == starting_points("pointed_space:instance") == [{"units": 3}]


@pytest.mark.parametrize("points", ["{'rate': 1}", "[3]", "'rate=1'", "3"])
def test_starting_points_that_are_no_list_of_values_are_refused(module, points):
    module("wrong_points", f"def build(hp): ...\nbuild.starting_points = {points}\n")
    sys.modules.pop("wrong_points", None)
    said = refusal(starting_points, "wrong_points:build")
    assert points in said and "list of dictionaries" in said


@pytest.mark.parametrize("name", ["not_callable", "nothing"])
def test_an_attribute_that_builds_nothing_is_refused(name):
    assert repr(name) in refusal(load_builder, f"sample_spaces:{name}")


# Signatures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "hp_only", "Own", "own_instance"])
def test_functions_and_hypermodels_build_with_the_arguments_they_take(name):
    model, hp = build(name)
    assert model.compiled
    assert model.output_shape == (None, CLASSES)
    assert hp.space


def test_an_instance_keeps_its_state():
    assert build("Own")[1].space[0].max_value == 2
    assert build("own_instance")[1].space[0].max_value == 5


def test_values_are_the_builder_s_and_the_rest_its_defaults():
    _, hp = build("tiny", {"units": 32})
    assert hp.values["units"] == 32
    assert hp.values["batch_size"] == 16
    assert "weight_decay" not in hp.values
    _, hp = build("tiny", {"optimizer": "adamw"})
    assert hp.values["weight_decay"] == 1e-2


@pytest.mark.parametrize(
    ("declare", "name", "said"),
    [
        (lambda hp: hp.Choice("rate", [0.1, math.inf], default=0.1), "rate", "inf in its values"),
        (lambda hp: hp.Choice("rate", [0.1, math.nan], default=0.1), "rate", "nan in its values"),
        (lambda hp: hp.Float("patience", 0.0, math.inf), "patience", "inf in its max_value"),
        (lambda hp: hp.Float("floor", -math.inf, 0.0, default=0.0), "floor", "-inf in its min_value"),
        (lambda hp: hp.Fixed("limit", -math.inf), "limit", "-inf in its value"),
    ],
)
def test_a_choice_or_a_bound_that_is_not_finite_is_refused_with_its_name(monkeypatch, declare, name, said):
    import sample_spaces as module

    def endless(hp, input_shape, num_classes):
        declare(hp)
        return module.one_hot_rescaling(hp, input_shape, num_classes)

    monkeypatch.setattr(module, "hp_only", endless)
    found = refusal(build, "hp_only")
    assert f"hyperparameter {name!r} has {said}" in found
    assert "finite" in found


# The interface -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sparse", "scaled", "logits"),
    [
        ("tiny", False, True, False),  # a loss by its name
        ("hp_only", True, True, False),
        ("one_hot_rescaling", False, False, False),  # an instance
        ("sparse_logits", True, True, True),
        ("one_hot_logits_own_metric", False, False, True),
        ("own_schedule", True, True, False),  # a function
    ],
)
def test_what_a_model_expects_is_read_off_it(name, sparse, scaled, logits):
    model, _ = build(name)
    assert interface(model, name) == Interface(sparse, scaled, logits)


def test_a_rescaling_inside_a_nested_model_counts():
    import keras

    inner = keras.Sequential([keras.Input(SHAPE), keras.layers.Rescaling(1 / 255)])
    model = keras.Sequential([keras.Input(SHAPE), inner, keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.CategoricalFocalCrossentropy(from_logits=True))
    assert interface(model, "nested") == Interface(sparse=False, scaled=False, logits=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_model", "str, not a Keras model"),
        ("uncompiled", "not compiled"),
        ("two_outputs_too_many", "5 model outputs for 3 classes"),
        ("no_flatten", "outputs have the shape (24, 24, 3), not one number for each class"),
        ("two_outputs", "the model has 2 outputs"),
        ("two_inputs", "the model has 2 inputs"),
        ("other_images", "(48, 48, 3), the data has (24, 24, 1)"),
        ("subclassed", "call()"),
        ("own_call", "call()"),
    ],
)
def test_a_model_that_cannot_be_trained_here_is_refused(name, said):
    found = refusal(build, name)
    assert said in found
    assert f"sample_spaces:{name}" in found


def test_a_loss_that_says_nothing_about_labels_is_refused():
    model, _ = build("regression")
    assert "'mse'" in refusal(interface, model, "own")


def test_a_model_that_plain_keras_could_not_load_is_refused_before_it_trains(module):
    module(
        "layered_space",
        """
import keras


class Doubling(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2


def build(hp, input_shape, num_classes):
    layers = [keras.Input(input_shape), Doubling(), keras.layers.Flatten(), keras.layers.Dense(num_classes)]
    model = keras.Sequential(layers)
    model.compile("adam", "categorical_crossentropy")
    return model
""",
    )
    assert "cannot load a model with Doubling" in refusal(build_model, "layered_space:build", {}, SHAPE, CLASSES)


def test_the_digest_is_that_of_the_code_which_runs(tmp_path, monkeypatch):
    path = tmp_path / "reloaded_space.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    path.write_text("def build(hp):\n    return 1\n")
    space = "reloaded_space:build"
    first = loaded_space_digest(space)
    load_builder(space)
    path.write_text("def build(hp):\n    return 1 + 1\n")
    os.utime(path, (1, 1))  # within a second and at the same size, Python would take the compiled one
    assert loaded_space_digest(space) == first != space_digest(space)
    importlib.reload(sys.modules["reloaded_space"])
    load_builder(space)
    assert loaded_space_digest(space) == space_digest(space)

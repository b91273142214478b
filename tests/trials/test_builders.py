"""Builders and HyperModels as Keras Tuner's users have them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.trials.sampled import CLASSES, SHAPE, build, refusal
from tuning.core.errors import UsageError
from tuning.trials.spaces import Interface, build_model, interface, load_builder, mistake


@pytest.fixture(autouse=True)
def _importable(sample_spaces, monkeypatch):
    monkeypatch.syspath_prepend(str(sample_spaces))


SHAPED = """
import keras, keras_tuner

class Shaped(keras_tuner.HyperModel):
    def build(self, hp, input_shape, num_classes):
        hp.Boolean("unused")
        image = keras.Input(input_shape)
        outputs = keras.layers.Dense(num_classes, activation="softmax")(keras.layers.Flatten()(image))
        model = keras.Model(image, outputs)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

untunable = Shaped(tunable=False)

class Missing(Shaped):
    def build(self, hp, depth):
        return super().build(hp, (8, 8, 1), 2)

class Sized(Shaped):
    def __init__(self, image_size, num_classes, **options):
        super().__init__(**options)

sized = Sized(8, 3)
"""


def test_the_arguments_of_a_hypermodel_s_build_are_those_that_were_written(module):
    """Keras Tuner puts a method around it that has none."""
    module("shaped_space", SHAPED)
    model, hp = build_model("shaped_space:Shaped", {}, SHAPE, CLASSES)
    assert (model.input_shape, model.output_shape, len(hp.space)) == ((None, *SHAPE), (None, CLASSES), 1)
    assert build_model("shaped_space:untunable", {}, SHAPE, CLASSES)[1].space == []
    assert "takes depth, which a search does not provide" in refusal(
        build_model, "shaped_space:Missing", {}, SHAPE, CLASSES
    )


def test_a_constructor_s_other_arguments_are_named_and_an_instance_has_them(module):
    module("sized_space", SHAPED)
    with pytest.raises(UsageError, match="takes image_size, which a search does not provide") as refused:
        build_model("sized_space:Sized", {}, SHAPE, CLASSES)
    assert "name an instance of it" in refused.value.remedy
    assert build_model("sized_space:sized", {}, SHAPE, CLASSES)[0].output_shape == (None, CLASSES)


def test_what_a_hypermodel_declares_is_declared_before_it_builds():
    _, hp = build("Declaring")
    assert set(hp.values) == {"filters", "depth"}


@pytest.mark.parametrize("space", ["sample_spaces:Shaped", "keras_tuner.applications:HyperXception"])
def test_a_constructor_gets_shape_and_classes_where_it_has_them(space):
    model, _ = build_model(space, {}, (71, 71, 3), 4)
    assert model.input_shape == (None, 71, 71, 3) and model.output_shape == (None, 4)


def test_a_hypermodel_that_trains_in_its_own_way_is_refused():
    assert "has a fit() of its own" in refusal(load_builder, "sample_spaces:Fitting")


def test_a_model_of_keras_tuner_that_no_file_can_hold_says_what_to_write_instead():
    with pytest.raises(UsageError, match="Lambda") as refused:
        build_model("keras_tuner.applications:HyperResNet", {"version": "next"}, (32, 32, 3), 4)
    assert "keras.applications.ResNet50(weights=None, input_shape=input_shape" in refused.value.remedy


@pytest.mark.parametrize(
    ("name", "logits"), [("loss_in_a_list", False), ("loss_by_name", False), ("loss_as_partial", True)]
)
def test_one_loss_is_one_however_it_is_given(name, logits):
    model, _ = build(name)
    assert interface(model, name) == Interface(sparse=True, scaled=True, logits=logits)


def test_weights_that_cannot_be_fetched_are_said_with_where_to_put_them():
    url = "https://example.org/keras/xception_weights.h5"
    found = mistake("own:build", Exception(f"URL fetch failure on {url}: None -- no address"))
    assert url in found.problem and found.remedy.endswith("models/xception_weights.h5")


def test_a_file_that_cannot_be_fetched_belongs_where_keras_looks_for_it(module, tmp_path):
    module(
        "fetching",
        "import keras\ndef build(hp):\n"
        f"    keras.utils.get_file('own.npz', 'http://127.0.0.1:9/v1/file', cache_dir={str(tmp_path)!r})\n",
    )
    with pytest.raises(Exception, match="URL fetch failure") as raised:
        build_model("fetching:build", {}, SHAPE, CLASSES)
    place = tmp_path / "datasets" / "own.npz"
    assert mistake("fetching:build", raised.value).remedy.endswith(f"put it at {place}")


@pytest.mark.parametrize("name", ["clears_the_session", "sets_half_precision"])
def test_a_builder_that_changes_keras_for_all_that_follows_is_refused(name):
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert "the dtype policy from 'mixed_bfloat16' to" in refusal(build, name)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("of_module", [False, True])
def test_warnings_and_overflows_are_a_builder_s_own_affair(module, of_module):
    strict = ["warnings.simplefilter('error')", "np.seterr(all='raise')"]
    lines = ["import warnings", "import numpy as np", "import sample_spaces", *(strict if of_module else ())]
    lines += ["def build(hp, input_shape, num_classes):", *(() if of_module else (f"    {line}" for line in strict))]
    lines += ["    return sample_spaces.one_hot_rescaling(hp, input_shape, num_classes)"]
    module(f"strict_space_{of_module}", "\n".join(lines))
    before = list(warnings.filters), np.geterr()
    build_model(f"strict_space_{of_module}:build", {}, SHAPE, 3)
    assert (list(warnings.filters), np.geterr()) == before


def test_an_error_is_told_with_the_line_of_the_builder_and_a_refusal_with_its_remedy(module):
    text = "import json\nfrom tuning.core.errors import UsageError\n"
    text += (
        "def build(hp):\n    json.loads('no JSON')\ndef refusing(hp):\n    raise UsageError('not here', 'but there')\n"
    )
    module("failing_space", text)
    for name, line, remedy in (("build", 4, "make the builder work"), ("refusing", 6, "but there")):
        with pytest.raises(Exception, match=r"Expecting value|not here") as raised:
            build_model(f"failing_space:{name}", {}, SHAPE, 3)
        found = mistake(f"failing_space:{name}", raised.value)
        assert found.problem.endswith(f"failing_space.py:{line})")
        assert found.remedy.startswith(remedy)

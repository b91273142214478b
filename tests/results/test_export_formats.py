"""Each format of export: its description, its example, and the real thing in its own runtime."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

from tuning.dataset.decode import decode
from tuning.results.exporters import FORMATS, description, writing

INPUT = {"image_size": 8, "color": "gray", "scaling": "0-255"}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("color", "channels"), [("gray", 1), ("rgb", 3)])
@pytest.mark.parametrize("scaling", ["0-1", "0-255"])
@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_preprocessing_and_examples_agree(run_metrics, name, color, channels, scaling, output):
    given = {"image_size": 48, "color": color, "scaling": scaling}
    metrics = run_metrics(input=given, output=output)
    steps = description.preprocessing(metrics)
    text = description.example(name, FORMATS[name], metrics)
    compile(text, "example", "exec")
    assert len(text.splitlines()) == 10 and max(map(len, text.splitlines())) <= 120
    assert steps["channels"] == channels
    assert f"reshape(1, 48, 48, {channels})" in text
    assert ("/ 255" in text) == (steps["scaling_factor"] != 1)
    assert ("COLOR_BGR2GRAY" in text) == (color == "gray")
    assert steps["output"].startswith(f"{output} of 3 classes")
    assert ("softmax" in steps["probabilities"]) == ("np.exp" in text) == (output == "logits")


def test_every_conversion_is_one_that_keras_knows():
    assert {form.keras_format for form in FORMATS.values()} <= {None, "tf_saved_model", "onnx", "litert", "openvino"}
    assert len({form.product for form in FORMATS.values()}) == len(FORMATS)


#: Two models. The first puts out logits, its input has a name of its own and no size, and it brings augmentation along.
#: The second is an ensemble of two members with all that a published graph may have, built by the code that publishes.
BUILD = """
import sys, keras, numpy as np
from tuning.core.jobs import Addition, Additions, Member
from tuning.trials.published import ensemble, with_additions
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((None, None, 1), name="some-other-name"), keras.layers.RandomFlip(), keras.layers.RandomContrast(0.5),
    keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.BatchNormalization(),
    keras.layers.SpatialDropout2D(0.2), keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.2),
    keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=3)),
])
model.save(sys.argv[1])
keras.utils.set_random_seed(0)

def network():
    image = keras.Input((8, 8, 1))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, activation="relu")(image))
    x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(x), name="network")

def additions(exponent, temperature):
    prior = Addition(used=exponent is not None, value=exponent)
    return Additions(
        mirrored_view=Addition(used=True), prior_correction=prior, temperature=Addition(used=True, value=temperature)
    )

counts = np.array([50, 30, 10])
models = [
    with_additions(network(), additions(0.5, 1.5), counts),
    with_additions(network(), additions(None, 0.7), counts),
]
members = [Member(model="", weight=weight, scaled=True, logits=False) for weight in (2, 1)]
ensemble(models, members).save(sys.argv[2])
"""

#: Runs examples one after the other in a process that cannot import what its first argument names.
RUN_EXAMPLES = """
import runpy, sys
blocked, image, *examples = sys.argv[1:]
sys.modules |= dict.fromkeys(blocked.split(","))
sys.argv = ["example", image]
for example in examples:
    runpy.run_path(example, run_name="__main__")
"""


@pytest.fixture(scope="module")
def built(sample_environment, tmp_path_factory):
    """The files of both models."""
    folder = tmp_path_factory.mktemp("built")
    paths = folder / "logits.keras", folder / "ensemble.keras"
    command = [sys.executable, "-c", BUILD, *map(str, paths)]
    done = subprocess.run(command, env=sample_environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return paths


@pytest.fixture
def exported(workspace, write_run, write_data, run_command):
    """exported(file, **changes) exports a run with that model in all formats that are installed.

    Returns their names and the folder, once every format was found to predict what the model does.
    """

    def export(made: Path, **changes) -> tuple[list[str], Path]:
        installed = [name for name in FORMATS if all(map(importlib.util.find_spec, FORMATS[name].modules))]
        write_data("d" * 64)
        write_run("one", model=made.read_bytes(), **changes)
        options = ("--root", workspace.root, "--run", "one", "--format", ",".join(installed), "--json")
        done = run_command("export", *options, timeout=280)
        assert done.code == 0, done.stderr
        checked = json.loads(done.stdout)["checked"]
        assert list(checked) == installed
        assert all(check["images"] == 16 and check["difference"] <= writing.TOLERANCE for check in checked.values())
        folder = workspace.art / "exports" / "one"
        assert (folder / "model.keras").read_bytes() == made.read_bytes()
        return installed, folder

    return export


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_real_model_in_all_formats(built, workspace, exported):
    """Each runtime opens its file in a process without this project; the examples agree on a label."""
    environment = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": "/usr/bin:/bin"}
    installed, folder = exported(built[0], input=INPUT, output="logits")

    image = workspace.root / "face.png"
    cv2.imwrite(str(image), np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8))

    def answers(blocked: str, *names: str) -> list[str]:
        examples = [folder / description.example_name(name) for name in names if name in installed]
        command = [sys.executable, "-E", "-P", "-c", RUN_EXAMPLES, f"tuning,search_spaces{blocked}", image, *examples]
        ran = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd="/", timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip().splitlines()

    found = answers("", "keras", "savedmodel")
    assert len(found) == 2
    small = ["onnx", *(["litert"] if importlib.util.find_spec("ai_edge_litert") else [])]
    found += answers(",tensorflow,keras", *small)
    assert len(set(found)) == 1
    path, label, probability = found[0].split("\t")
    assert path == str(image) and label in ("angry", "happy", "sad") and 1 / 3 < float(probability) <= 1


@pytest.mark.slow
@pytest.mark.tensorflow
def test_an_ensemble_with_everything_in_its_graph_in_all_formats(built, exported):
    exported(built[1], input={**INPUT, "scaling": "0-1"}, kind="ensemble")


@pytest.mark.parametrize("color", ["gray", "rgb"])
@pytest.mark.parametrize("shape", [(48, 48, 3), (48, 48), (48, 90, 3), (20, 90, 3), (20, 20, 3), (20, 20, 4)], ids=str)
def test_the_examples_see_what_the_decoder_sees(run_metrics, color, shape, tmp_path):
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8))
    metrics = run_metrics(input={"image_size": 48, "color": color, "scaling": "0-1"})
    text = description.example("onnx", FORMATS["onnx"], metrics)
    names = {"cv2": cv2, "path": str(path)}
    exec(textwrap.dedent("\n".join(line for line in text.splitlines() if line.startswith("    face = "))), names)
    assert (names["face"].reshape(48, 48, -1) == decode(path, 48, color)).all()

"""The command `space`: the content of a search space as a table and as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuning import space
from tuning.trials.list_space import Condition, Hyperparameter, Listing

REPOSITORY = Path(__file__).resolve().parent.parent

PACKAGE = """
import keras

def build_model(hp, input_shape, num_classes):
    x = image = keras.Input(input_shape)
    units = hp.Int("units", 8, 32, step=8, default=16)
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    if hp.Choice("head", ["average", "dense"]) == "dense":
        # Declared only in configurations other than the default.
        with hp.conditional_scope("head", ["dense"]):
            units += hp.Int("more", 1, 3)
    x = keras.layers.Dense(units)(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Dense(num_classes, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model

build_model.starting_points = [{"units": 32, "head": "dense"}]
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Name of a space in a package that imports Keras itself, even when a module in it is only looked up."""
    (tmp_path / "listed_package").mkdir()
    (tmp_path / "listed_package" / "__init__.py").write_text("import keras\n")
    (tmp_path / "listed_package" / "cnn.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "listed_package.cnn:build_model"


def call(capsys, *argv: object) -> tuple[int, str, str]:
    code = space.main([str(argument) for argument in argv])
    return code, *capsys.readouterr()


def test_a_builder_of_ones_own_is_listed_whole(own, tmp_path, capsys):
    code, stdout, _ = call(capsys, "--space", own, "--root", tmp_path, "--json")
    found = json.loads(stdout)
    assert (code, found["input_shape"], found["classes"]) == (0, [48, 48, 1], 7)
    by_name = {entry["name"]: entry for entry in found["hyperparameters"]}
    assert list(by_name) == ["units", "learning_rate", "head", "more"]
    assert by_name["units"] | {"low": 8, "high": 32, "step": 8, "default": 16, "kind": "int"} == by_name["units"]
    rate = by_name["learning_rate"]
    assert (rate["low"], rate["high"], rate["sampling"], rate["default"]) == (1e-4, 1e-2, "log", 1e-3)
    assert (by_name["head"]["values"], by_name["head"]["default"]) == (["average", "dense"], "average")
    assert by_name["more"]["conditions"] == [{"name": "head", "values": ["dense"]}]
    assert by_name["more"]["default"] == 1  # Keras Tuner's default if the builder gives none
    assert found["starting_points"] == [{"units": 32, "head": "dense"}]


def test_values_of_numpy_s_are_listed_as_numbers(tmp_path, monkeypatch, capsys):
    given = 'hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)'
    numpy = 'hp.Choice("learning_rate", list(__import__("numpy").logspace(-4, -2, 3)))'
    assert given in PACKAGE
    (tmp_path / "numpy_space.py").write_text(PACKAGE.replace(given, numpy))
    monkeypatch.syspath_prepend(str(tmp_path))
    code, stdout, _ = call(capsys, "--space", "numpy_space:build_model", "--root", tmp_path, "--json")
    rate = next(entry for entry in json.loads(stdout)["hyperparameters"] if entry["name"] == "learning_rate")
    assert (code, rate["values"], rate["default"]) == (0, [1e-4, 1e-3, 1e-2], 1e-4)


def test_what_a_builder_prints_is_no_part_of_the_result(tmp_path, monkeypatch, capsys):
    said = PACKAGE.replace("    x = image", "    print('a builder that prints')\n    x = image")
    (tmp_path / "printing_space.py").write_text(said)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "printing_space:build_model"
    code, stdout, stderr = call(capsys, "--space", name, "--root", tmp_path, "--json")
    assert (code, json.loads(stdout)["space"]) == (0, name)
    assert "a builder that prints" in stderr


def test_it_is_built_for_the_data_that_is_prepared(own, prepared, capsys):
    code, stdout, stderr = call(capsys, "--space", own, "--root", prepared.root, "--json")
    assert (code, stderr) == (0, "")
    assert json.loads(stdout)["input_shape"] != [48, 48, 1]


def test_damaged_data_is_not_taken_for_none(tmp_path, capsys):
    folder = tmp_path / "data" / "cls_data"
    folder.mkdir(parents=True)
    (folder / "arrays.json").write_text("{}")
    code, stdout, stderr = call(capsys, "--root", tmp_path)
    assert (code, stdout) == (3, "") and f"{folder / 'arrays.json'}" in stderr and "FER2013" not in stderr


@pytest.mark.parametrize(("name", "count"), [("baseline_cnn", 12), ("fine_tune", 9)])
def test_our_own_spaces_are_listed_and_nothing_is_written(name, count, tmp_path, capsys):
    code, stdout, stderr = call(capsys, "--space", name, "--root", tmp_path)
    assert code == 0 and "no prepared data" in stderr
    # A name declared twice, under two conditions, counts as one hyperparameter.
    assert stdout.startswith(f"{name}: {count} hyperparameters, ")
    assert "learning_rate" in stdout and " log" in stdout
    assert ("starting points" in stdout) is (name == "baseline_cnn")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_space_is_refused(tmp_path, capsys):
    code, stdout, stderr = call(capsys, "--space", "baseline", "--root", tmp_path)
    assert (code, stdout) == (2, "")
    assert "unknown search space 'baseline'" in stderr and "use one of baseline_cnn, fine_tune" in stderr


ENTRIES = [
    Hyperparameter(name="kind", kind="choice", values=["plain", "normalised", "double"], default="plain"),
    Hyperparameter(name="rate", kind="float", low=1e-4, high=0.01, sampling="log", default=0.001),
    Hyperparameter(
        name="units",
        kind="int",
        low=8,
        high=32,
        step=8,
        sampling="linear",
        default=16,
        conditions=[Condition("kind", ["normalised", "double"])],
    ),
]


def listing(entries=ENTRIES) -> Listing:
    points = [{"rate": 0.002, "units": 32}]
    return Listing(space="s", input_shape=(48, 48, 1), classes=7, hyperparameters=entries, starting_points=points)


def test_the_table_for_a_person():
    assert space.text(listing(), 100).splitlines()[2:] == [
        "name   values                              default  sampling  only with",
        "kind   plain, normalised, double           plain",
        "rate   0.0001 to 0.01                      0.001    log",
        "units  whole numbers, 8 to 32, steps of 8  16       linear    kind=normalised or double",
        "",
        "starting points, tried right after the defaults:",
        "  1  rate=0.002, units=32",
    ]


def test_a_fixed_value_is_listed_and_no_hyperparameter():
    fixed = Hyperparameter(name="flip", kind="fixed", values=[True], default=True)
    lines = space.text(listing([*ENTRIES, fixed]), 100).splitlines()
    assert lines[0].startswith("s: 3 hyperparameters,") and any(line.startswith("flip ") for line in lines)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_and_keeps_every_value(width):
    many = Hyperparameter(name="many", kind="choice", values=list(range(100)), default=0)
    text = space.text(listing([*ENTRIES, many]), width)
    assert max(map(len, text.splitlines())) <= width
    assert all(f"{value}," in text for value in range(99))
    # An empty column is left out.
    assert "only with" not in space.text(listing(ENTRIES[:2]), width)


@pytest.mark.tensorflow
def test_nothing_of_tensorflows_own_is_said(own, tmp_path):
    """Not even if the user has set no log level, as other tests do."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment |= {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "-m", "tuning.space", "--space", own, "--root", str(tmp_path), "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["space"] == own

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from tests.written_runs import SUMMARY
from tuning.core.settings import freeze
from tuning.results import card_sections
from tuning.results.model_card import CARD, loading_lines, model_card
from tuning.results.schema import Metrics, Origin, UsedBase

ORIGIN = {"from": "artifacts/trials/one", "rule": "the highest", "compared": 2, "left_out": 0}


@pytest.fixture
def described(workspace, write_run, write_params, write_data):
    """A run with its parameters, in a workspace that still holds its data; returns its metrics."""
    write_data("d" * 64)
    workspace.pool_summary.write_text(json.dumps(SUMMARY))
    metrics = write_run("one")
    write_params("one", {"learning_rate": 0.000812064, "class_balance": "sampler"})
    return msgspec.convert(metrics, Metrics)


def changed(metrics: Metrics, **changes: Any) -> Metrics:
    return msgspec.convert(msgspec.to_builtins(metrics) | changes, Metrics)


def front(card: str) -> dict:
    """The metadata of a card."""
    opening, text, _ = card.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(text)


def sections(card: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)$", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_metadata_are_those_that_model_hubs_read(workspace, described):
    found = front(model_card(workspace, described))
    assert (found["library_name"], found["pipeline_tag"]) == ("keras", "image-classification")
    assert "license" not in found
    result = found["model-index"][0]["results"][0]
    assert found["model-index"][0]["name"] == "one"
    assert (result["task"]["type"], result["dataset"]["split"]) == ("image-classification", "test")
    measured = {figure["type"]: figure["value"] for figure in result["metrics"]}
    assert measured == {"f1": 0.5, "accuracy": 0.55, "precision": 0.54, "recall": 0.53}


def test_the_metadata_of_the_best_of_several_say_what_it_is_worth(workspace, described):
    origin = Origin(
        origin="artifacts/trials/one", rule="r", compared=3, left_out=0, corrected=0.47, seed_deviation=None
    )
    found = front(model_card(workspace, msgspec.structs.replace(described, promoted=origin)))
    figures = {figure["type"]: figure["value"] for figure in found["model-index"][0]["results"][0]["metrics"]}
    assert (figures["f1"], figures["f1_corrected"]) == (0.5, 0.47)


def test_hugging_face_s_own_reader_finds_every_figure(workspace, described):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(model_card(workspace, described))
    assert (card.data.library_name, card.data.pipeline_tag) == ("keras", "image-classification")
    assert {(result.metric_type, result.metric_value) for result in card.data.eval_results} == {
        ("f1", 0.5),
        ("accuracy", 0.55),
        ("precision", 0.54),
        ("recall", 0.53),
    }
    assert all(
        (result.task_type, result.dataset_split) == ("image-classification", "test")
        for result in card.data.eval_results
    )


def test_it_says_what_the_data_were_how_they_were_split_and_what_leaks(workspace, described):
    data = sections(model_card(workspace, described))["Data"]
    assert "52 images in 3 classes, from class folders" in data
    assert "| angry | 2 | 14 | 2 | 18 |" in data and "| **all** | 6 | 40 | 6 | 52 |" in data
    assert "the largest class, angry, has 1.1 times as many images as the smallest, sad" in data
    assert "20 persons were told apart" in data
    assert "no test image has a copy in training" in data and "16.7% exact copies" in data
    assert "files that could not be used: 1; exact copies of other images: 2; images with near copies: 4." in data
    assert "d" * 64 in data


def test_a_leak_and_unknown_persons_are_said(workspace, described):
    leak = {"test": 6, "exact": 0, "near": 1, "subject": None}
    changes = {"leakage": {"naive": None, "split": leak}, "grouping": {"words": "", "group_by": None, "subjects": None}}
    workspace.pool_summary.write_text(json.dumps(SUMMARY | changes))
    data = sections(model_card(workspace, described))["Data"]
    assert "test images have copies in training" in data
    assert "the same person may be in training and in test" in data


def test_it_says_how_it_was_trained_and_the_command_that_does_it_again(workspace, described):
    training = sections(model_card(workspace, described))["Training"]
    assert "| `learning_rate` | 0.000812064 |" in training and "settings" not in training.split("hyperparameter")[1]
    assert "the weights are those of epoch 7" in training
    assert "python -m tuning.train --from-trial faces/0003 --epochs 9 --seed 0 --dtype float32\n" in training


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({"kind": "baseline", "trial": None}, "--space baseline_cnn --epochs 9 --seed 0 --dtype float32"),
        (
            {"kind": "train", "trial": None, "search": None, "dtype_policy": "mixed_bfloat16"},
            "--space baseline_cnn --hp learning_rate=0.000812064 --hp class_balance=sampler --epochs 9 --seed 0 "
            "--dtype bfloat16",
        ),
    ],
)
def test_the_command_fits_the_kind_of_run(workspace, described, changes, command):
    assert f"python -m tuning.train {command}\n" in model_card(workspace, changed(described, **changes))


def test_the_command_accepts_what_was_accepted_and_names_the_backend(workspace, described, write_params):
    write_params("one", backend="jax")
    base = {"name": "faces", "sha256": "a" * 64, "overlap": 7}
    card = model_card(workspace, changed(described, base=base))
    trained = "python -m tuning.train --from-trial faces/0003 --epochs 9 --seed 0 --dtype float32"
    assert f"\nKERAS_BACKEND=jax {trained} --accept base-overlap\n" in card
    assert "--accept" not in model_card(workspace, changed(described, base={**base, "overlap": 0}))


@pytest.mark.parametrize(
    ("given", "changes", "same"),
    [
        ({}, {}, True),
        ({"reuse_trials": True}, {}, False),
        ({"reuse_trials": True}, {"seed": 1}, True),
        ({"reuse_trials": True}, {"kind": "baseline", "trial": None}, True),
        ({"base": "a" * 64}, {}, True),
        ({"base": "a" * 64}, {"kind": "baseline", "trial": None}, False),
    ],
)
def test_only_a_run_that_is_keyed_by_its_configuration_is_promised_again(
    workspace, described, settings, given, changes, same
):
    """Not one that went on with the search's own training, nor the baseline of a search from a base."""
    freeze(workspace.search("faces"), settings(name="faces", **given))
    card = model_card(workspace, changed(described, **changes))
    assert ("this command trains the same weights:" in card) == same
    assert ("trains the same configuration, but with other random numbers:" in card) == (not same)
    assert card.count("python -m tuning.train") == 1


@pytest.mark.parametrize(
    ("changes", "chosen", "place"),
    [
        ({}, "Configuration and epoch were chosen on the validation split.", "that search and its data"),
        ({"kind": "baseline", "trial": None}, "The epoch was chosen on the validation split.", "its data"),
        (
            {"kind": "train", "trial": None, "search": None},
            "The epoch was chosen on the validation split.",
            "its data",
        ),
        (
            {"kind": "ensemble", "trial": None},
            "Members, and the epoch of each, were chosen on the validation split.",
            None,
        ),
    ],
)
def test_it_says_what_validation_chose_and_what_training_again_takes(
    workspace, described, write_params, changes, chosen, place
):
    if place is None:
        write_params("one", members={"a": 1, "b": 1})
    parts = sections(model_card(workspace, changed(described, **changes)))
    assert parts["Evaluation"].strip().startswith(chosen)
    said = f"In a workspace with {place}, this command trains the same weights:"
    assert (said in parts["Training"]) == (place is not None)


def test_of_a_training_that_the_clock_ended_there_is_no_such_command(workspace, described, write_params):
    write_params("one", {"learning_rate": 0.001}, shortened=[[3, 6]])
    training = sections(model_card(workspace, changed(described, epochs=6, best_epoch=5)))["Training"]
    assert "| `learning_rate` | 0.001 |" in training
    assert "it has 6 of 9 epochs, and no command trains the same weights again." in training
    assert "tuning.train" not in training


def test_it_says_how_good_it_is_and_how_sure_that_is(workspace, described, write_run, write_params):
    evaluation = sections(model_card(workspace, described))["Evaluation"]
    assert "| macro-F1 | 0.500 (0.480–0.520) | 0.600 |" in evaluation
    figure = "0.500 (0.010–0.990)"
    assert f"| angry | {figure} | {figure} | {figure} | 2 | too few to tell |" in evaluation
    assert "| accuracy | 0.550 (0.120–0.880) |" in evaluation
    assert "**Too few to tell:** angry, happy, sad." in evaluation
    assert "Most frequent confusions: angry taken for happy, 1 of 2" in evaluation
    assert "used once for this run" in evaluation
    assert "The validation scores are of this same model" in evaluation and "maxima" not in evaluation
    assert "seeds" not in evaluation and "promoted" not in evaluation
    write_run("two", 0.6, seed=1)
    write_params("two", seed=1)
    card = model_card(workspace, changed(described, promoted=ORIGIN, test_openings=2))
    assert "trained with 2 seeds: test macro-F1 0.550 ± 0.071" in card
    assert "used 2 times for this run" in card
    assert "The highest of several scores is optimistic: raw" in card


def test_it_says_whether_probabilities_can_be_believed(workspace, described):
    test = msgspec.to_builtins(described.test)
    test["calibration"] = {"error": 0.0415, "interval": [0.0, 0.08], "overconfident": -0.02}
    words = sections(model_card(workspace, changed(described, test=test)))["Evaluation"]
    assert "**Calibration:** expected calibration error on test 0.042 (0.000–0.080), in 15 bins" in words
    assert "Its mean confidence is 0.020 below its accuracy" in words and "without the temperature" not in words
    test["untempered"] = {"error": 0.12, "interval": [0.09, 0.15], "overconfident": 0.12}
    words = sections(model_card(workspace, changed(described, test=test)))["Evaluation"]
    assert "without the temperature in its graph, which was fitted on validation, 0.120 (0.090–0.150)" in words


def test_it_names_limits_and_leaves_the_license_to_its_owner(workspace, described):
    found = sections(model_card(workspace, described))
    assert "must not decide about people" in found["Intended use and limits"]
    assert "not what the person feels" in " ".join(found["Intended use and limits"].split())
    assert "`license:`" in found["License"]


def test_no_path_of_the_machine_gets_into_it(workspace, described):
    card = model_card(workspace, described)
    assert "secret" not in card
    assert str(workspace.root) not in card


@pytest.mark.parametrize(
    "lose",
    [
        lambda workspace: (workspace.split / "arrays.json").unlink(),
        lambda workspace: workspace.pool_summary.unlink(),
        lambda workspace: workspace.pool_summary.write_text('{"schema": 0}'),
        lambda workspace: workspace.pool_summary.write_text("[]"),
    ],
)
def test_what_the_workspace_no_longer_holds_is_left_out(workspace, described, lose):
    lose(workspace)
    (workspace.run("one") / "params.json").unlink()
    card = model_card(workspace, described)
    assert "how the data were made is not known" in card and "| angry | 2 |" in card
    assert "hyperparameter" not in card and "tuning.train" not in card


def test_other_data_than_the_run_s_are_not_described(workspace, described):
    assert "how the data were made is not known" in model_card(workspace, changed(described, data_digest="e" * 64))


def test_hostile_names_stay_words(workspace, described):
    classes = ["a|b", "<img src=x>", "**z**"]
    test = msgspec.to_builtins(described.test)
    test["per_class"] = dict(zip(classes, test["per_class"].values(), strict=True))
    card = model_card(workspace, changed(described, classes=classes, test=test, space="=x\n---\nevil: true"))
    assert "<img" not in card and "a\\|b" in card and "\\*\\*z\\*\\*" in card
    assert "evil" not in front(card)
    lines = [line.replace("\\|", "") for line in sections(card)["Evaluation"].splitlines() if "taken" not in line]
    assert len({line.count("|") for line in lines if line.startswith("|") and "&lt;img" in line}) == 1


def test_further_files_are_named_and_other_models_have_lines_of_their_own(workspace, described):
    card = model_card(workspace, described, also={"class_names.json": "the labels"})
    assert "| `class_names.json` | the labels |" in card
    card = model_card(workspace, described, model="model.onnx", loading="import onnxruntime\n")
    assert "```python\nimport onnxruntime\n```" in card and "load_model" not in card and "## Files" not in card


@pytest.mark.parametrize(("color", "channels"), [("gray", 1), ("rgb", 3)])
@pytest.mark.parametrize("scaling", ["0-1", "0-255"])
def test_the_loading_lines_are_five_and_prepare_the_image_as_training_did(described, color, channels, scaling):
    given = {"image_size": 64, "color": color, "scaling": scaling}
    lines = loading_lines(changed(described, input=given), "best_model.keras")
    assert len(lines.splitlines()) == 5
    compile(lines, "lines", "exec")
    assert f"reshape(1, 64, 64, {channels})" in lines
    assert ("/ 255" in lines) == (scaling == "0-1")
    assert ("COLOR_BGR2GRAY" in lines) == (color == "gray")
    assert "best_model_metrics.json" in lines


def test_logits_are_mentioned(workspace, described):
    assert "logits: a softmax" in model_card(workspace, changed(described, output="logits"))
    assert "softmax" not in model_card(workspace, described)


@pytest.mark.tensorflow
def test_the_lines_of_a_promoted_model_s_card_label_an_image_without_this_project(workspace, write_run):
    """The model's answers are known: it says "sad" for bright images, "angry" for dark ones."""
    import cv2
    import keras

    from tuning.results.promotion import promote

    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)])
    model.layers[-1].set_weights([np.array([[-1.0, 0.0, 1.0]]), np.array([0.5, 0.0, -0.5])])
    made = workspace.root / "made.keras"
    model.save(made)
    given = {"image_size": 8, "color": "gray", "scaling": "0-1"}
    write_run("one", model=made.read_bytes(), input=given, output="logits")
    promote(workspace)
    card = (workspace.models / CARD).read_text(encoding="utf-8")
    assert f"saved by Keras {keras.__version__}" in card
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL).group(1)
    # An installed copy of this project would be importable: it is blocked.
    blocked = 'import sys; sys.modules["tuning"] = sys.modules["search_spaces"] = None\n'
    bright = code.replace("face.jpg", "bright.png").splitlines()[2:]
    script = "\n".join([blocked, code, *bright])
    for name, value in (("face.jpg", 20), ("bright.png", 230)):
        cv2.imwrite(str(workspace.models / name), np.full((20, 30, 3), value, np.uint8))
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=workspace.models,
        env={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["angry", "sad"]


@pytest.mark.parametrize(
    ("overlap", "words"),
    [
        (None, "**Not checked:**"),
        (7, "**The base has seen 7 images of the validation and test split,** which was accepted."),
        (
            0,
            "has seen no image of the validation or the test split, whether unchanged, mirrored, or at another size, "
            "quality or brightness.",
        ),
    ],
)
def test_what_a_base_has_seen_is_said(overlap, words):
    base = UsedBase(name="faces", sha256="a" * 64, licence="CC0", overlap=overlap)
    text = "\n".join(card_sections.base(base))
    assert words in text
    assert "CC0" in text

"""The command `predict`, with a tiny model whose outputs can be computed by hand."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tuning import predict
from tuning.core.errors import Interrupted
from tuning.core.workspace import Workspace
from tuning.results.prediction import labelling
from tuning.results.promotion import promote

REPOSITORY = Path(__file__).resolve().parent.parent
CLASSES = ["bright", "=dark", "grey"]
SIZE = 8


def save_model(path, output="probabilities", channels=1) -> None:
    """Save a model of the brightness b in 0…1 with logits (10·b, 10·(1 − b), 4) for bright, dark and grey."""
    import keras

    image = keras.Input((SIZE, SIZE, channels))
    brightness = keras.layers.GlobalAveragePooling2D()(image)
    head = keras.layers.Dense(3, activation="softmax" if output == "probabilities" else None)
    model = keras.Model(image, head(brightness))
    share = 1 / channels
    head.set_weights([np.array([[10 * share, -10 * share, 0]] * channels), np.array([0.0, 10.0, 4.0])])
    model.save(path)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "gray.keras")
    save_model(folder / "logits.keras", output="logits")
    save_model(folder / "rgb.keras", channels=3)
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def workspace(tmp_path, models, make_run) -> Workspace:
    workspace = Workspace(tmp_path / "w").create()
    make_run(workspace, "run-1", model=models["gray"], classes=CLASSES)
    promote(workspace)
    return workspace


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    (folder / "deeper").mkdir(parents=True)
    cv2.imwrite(str(folder / "b-white.png"), np.full((32, 20), 255, np.uint8))
    cv2.imwrite(str(folder / "deeper" / "a-black.jpg"), np.zeros((16, 16, 3), np.uint8))
    (folder / "notes.txt").write_text("not an image, and not called one")
    return folder


def softmax(*logits: float) -> np.ndarray:
    powers = np.exp(np.array(logits))
    return powers / powers.sum()


def call(capsys, *argv: object) -> tuple[int, str, str]:
    code = predict.main([str(argument) for argument in argv])
    return code, *capsys.readouterr()


def answer(capsys, *argv: object) -> dict:
    code, stdout, stderr = call(capsys, *argv, "--json")
    assert (code, stderr) == (0, "")
    return json.loads(stdout)


def test_the_promoted_model_labels_files_and_folders(workspace, images, capsys):
    result = answer(capsys, images, images / "b-white.png", "--root", workspace.root)
    assert result["run_id"] == "run-1"
    assert (result["images"], result["unreadable"]) == (2, 0)
    white, black = result["predictions"]
    assert white["path"].endswith("b-white.png") and black["path"].endswith("a-black.jpg")
    assert [entry["label"] for entry in white["labels"]] == ["bright", "grey", "=dark"]
    assert [entry["probability"] for entry in white["labels"]] == pytest.approx(softmax(10, 4, 0), abs=1e-5)
    assert (black["label"], black["error"]) == ("=dark", None)


def test_the_table_shows_the_most_probable_labels(workspace, images, capsys):
    code, stdout, _ = call(capsys, images / "b-white.png", "--root", workspace.root, "--top-k", 2)
    assert code == 0
    assert stdout == f"{images / 'b-white.png'}  bright 0.997  grey 0.002\n"


def test_an_unreadable_image_is_reported_and_the_others_are_labelled(workspace, images, capsys):
    (images / "a-empty.png").touch()
    (images / "c-text.jpg").write_text("no picture at all")
    code, stdout, stderr = call(capsys, images, "--root", workspace.root, "--csv", "--top-k", 1)
    assert code == 3
    assert stderr == "warning: 2 of 4 images could not be read; the output says why\n"
    rows = list(csv.DictReader(io.StringIO(stdout)))
    # A label that a spreadsheet would interpret as a formula is neutralised.
    assert [row["label"] for row in rows] == ["", "bright", "", "'=dark"]
    assert "empty" in rows[0]["error"] and "not an image" in rows[2]["error"]
    assert float(rows[1]["probability"]) == pytest.approx(softmax(10, 4, 0)[0], abs=1e-5)


def test_no_readable_image_exits_3_without_opening_the_model(workspace, images, capsys, monkeypatch):
    monkeypatch.setattr(labelling, "load", lambda found: pytest.fail("the model was opened"))
    (images / "a-empty.png").touch()
    code, stdout, _ = call(capsys, images / "a-empty.png", images / "notes.txt", "--root", workspace.root, "--json")
    assert code == 3
    assert json.loads(stdout)["unreadable"] == 2


def test_batches_change_nothing(workspace, images, capsys, monkeypatch):
    for index in range(12):
        cv2.imwrite(str(images / f"c-{index:02}.png"), np.full((9, 9), 20 * index, np.uint8))
    (images / "c-05a.png").touch()
    expected = call(capsys, images, "--root", workspace.root, "--json")[1]
    assert len(json.loads(expected)["predictions"]) == 15
    for batch, ahead, part in [(1, 0, 1), (4, 1, 3), (5, 9, 8)]:
        monkeypatch.setattr(labelling, "BATCH", batch)
        monkeypatch.setattr(labelling, "AHEAD", ahead)
        monkeypatch.setattr(labelling, "_SLICE", part)
        assert call(capsys, images, "--root", workspace.root, "--json")[1] == expected


def test_links_out_of_a_folder_are_named_not_read(workspace, images, tmp_path, capsys):
    (tmp_path / "elsewhere.png").write_bytes((images / "b-white.png").read_bytes())
    (images / "c-link.png").symlink_to(tmp_path / "elsewhere.png")
    code, stdout, _ = call(capsys, images, "--root", workspace.root, "--json")
    assert code == 3
    assert [entry["error"] for entry in json.loads(stdout)["predictions"]] == [
        None,
        "a link that leads out of the raw folder",
        None,
    ]


@pytest.fixture
def piped(tmp_path):
    """`piped(data)` makes `data` the standard input of this process for the rest of the test."""
    before = os.dup(0)

    def pipe(data: bytes) -> None:
        (tmp_path / "standard-input").write_bytes(data)
        descriptor = os.open(tmp_path / "standard-input", os.O_RDONLY)
        os.dup2(descriptor, 0)
        os.close(descriptor)

    yield pipe
    os.dup2(before, 0)
    os.close(before)


def test_standard_input_may_hold_paths_or_an_image(workspace, images, piped, capsys):
    white, black = images / "b-white.png", images / "deeper" / "a-black.jpg"
    piped(f"{white}\nmissing.png\n{images}\n".encode())
    code, stdout, _ = call(capsys, black, "-", "--root", workspace.root, "--json")
    assert code == 3
    result = json.loads(stdout)
    assert (result["images"], result["unreadable"]) == (5, 1)
    labels = [entry["label"] for entry in result["predictions"]]
    assert labels == ["=dark", "bright", None, "bright", "=dark"]
    piped(white.read_bytes())
    assert call(capsys, "-", "--root", workspace.root, "--top-k", 1)[1] == "-  bright 0.997\n"
    piped(b"\0".join([os.fsencode(white), os.fsencode(black), b""]))
    assert call(capsys, "-", "-0", "--root", workspace.root, "--csv", "--top-k", 1)[1].count("\n") == 3


@pytest.mark.parametrize(
    ("data", "options", "code", "says"),
    [(b"", [], 3, "names no image"), (b"\n\n", [], 3, "names no image"), (b"a.png\0b.png\0", [], 2, "add -0")],
)
def test_standard_input_that_is_neither(data, options, code, says, workspace, piped, capsys):
    piped(data)
    found, stdout, stderr = call(capsys, "-", *options, "--root", workspace.root, "--csv")
    assert (found, stdout) == (code, "")
    assert says in stderr and "Traceback" not in stderr


def test_interrupted_json_is_whole_and_the_error_comes_last(workspace, images, capsys, monkeypatch):
    monkeypatch.setattr(labelling, "BATCH", 1)
    monkeypatch.setattr(labelling, "AHEAD", 0)
    probabilities, calls = labelling.probabilities, []

    def interrupting(*arguments):
        calls.append(arguments)
        # The first call compiles the model.
        if len(calls) == 3:
            raise Interrupted(signal.SIGTERM)
        return probabilities(*arguments)

    monkeypatch.setattr(labelling, "probabilities", interrupting)
    code, stdout, _ = call(capsys, images, "--root", workspace.root, "--json")
    assert code == 143
    labels, error = map(json.loads, stdout.splitlines())
    assert (labels["images"], len(labels["predictions"]), error["exit_code"]) == (1, 1, 143)


READER = """
import sys
from tuning import predict
sys.exit(predict.main(sys.argv[1:]))
"""


def test_a_reader_that_goes_away_ends_it_in_silence(workspace, images, tmp_path):
    paths = tmp_path / "paths"
    paths.write_text(f"{images / 'b-white.png'}\n" * 2_000)
    reading, writing = os.pipe()
    with paths.open() as file:
        process = subprocess.Popen(
            [sys.executable, "-c", READER, "-", "--jsonl", "--quiet", "--root", str(workspace.root)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=file,
            stdout=writing,
            stderr=subprocess.PIPE,
        )
    os.close(writing)
    assert os.read(reading, 10) == b'{"path": "'
    os.close(reading)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (141, b"")


def test_a_model_that_puts_out_nan_is_refused(workspace, images, capsys, monkeypatch):
    load = labelling.load

    def broken(found):
        model = load(found)
        model.set_weights([np.full(weights.shape, np.nan) for weights in model.get_weights()])
        return model

    monkeypatch.setattr(labelling, "load", broken)
    code, stdout, stderr = call(capsys, images, "--root", workspace.root, "--csv")
    assert (code, stdout) == (3, "") and "not finite" in stderr


def test_many_images_tell_the_speed(workspace, images, capsys, monkeypatch):
    monkeypatch.setattr(predict, "MANY", 2)
    assert "images in" in call(capsys, images, "--root", workspace.root)[2]
    assert call(capsys, images, "--root", workspace.root, "--quiet")[2] == ""


@pytest.mark.parametrize(
    ("name", "scaling", "output", "color"),
    [("logits", "0-1", "logits", "gray"), ("rgb", "0-1", "probabilities", "rgb")],
)
def test_a_given_model_is_fed_as_its_metrics_say(
    name, scaling, output, color, workspace, images, models, make_run, capsys
):
    given = {"image_size": SIZE, "color": color, "scaling": scaling}
    make_run(workspace, "run-2", model=models[name], classes=CLASSES, input=given, output=output)
    result = answer(capsys, images / "b-white.png", "--model", workspace.run("run-2") / "model.keras")
    assert result["run_id"] == "run-2"
    found = [entry["probability"] for entry in result["predictions"][0]["labels"]]
    assert found == pytest.approx(softmax(10, 4, 0), abs=1e-5)


def test_unscaled_input_reaches_the_model_unscaled(workspace, images, models, make_run, capsys):
    cv2.imwrite(str(images / "almost-black.png"), np.full((SIZE, SIZE), 1, np.uint8))
    given = {"image_size": SIZE, "color": "gray", "scaling": "0-255"}
    make_run(workspace, "run-2", model=models["gray"], classes=CLASSES, input=given)
    result = answer(capsys, images / "almost-black.png", "--model", workspace.run("run-2") / "model.keras")
    # The model gets brightness 1 of 255, and takes it for the maximum, 1.
    assert result["predictions"][0]["label"] == "bright"


def swap_model(workspace):
    workspace.best_model.write_bytes(workspace.best_model.read_bytes() + b"\0")


def drop_metrics(workspace):
    workspace.best_model_metrics.unlink()


def break_model(workspace):
    """Replace the model by a file that is no archive, with a matching digest in the metrics."""
    from tuning.core import files

    workspace.best_model.write_bytes(b"not an archive")
    metrics = json.loads(workspace.best_model_metrics.read_text())
    files.write_json(workspace.best_model_metrics, {**metrics, "model_sha256": files.sha256_file(workspace.best_model)})


def resize_input(workspace):
    metrics = json.loads(workspace.best_model_metrics.read_text())
    metrics["input"]["image_size"] = 48
    workspace.best_model_metrics.write_text(json.dumps(metrics))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (swap_model, "sha256"),
        (drop_metrics, "best_model_metrics.json does not exist"),
        (break_model, "cannot be opened"),
        (resize_input, "its metrics say (None, 48, 48, 1)"),
    ],
)
@pytest.mark.parametrize("explicit", [False, True])
def test_a_model_that_its_metrics_do_not_describe_is_refused(damage, says, explicit, workspace, images, capsys):
    damage(workspace)
    if explicit and damage is drop_metrics:
        says = "metrics.json does not exist"
    model = ["--model", workspace.best_model] if explicit else []
    code, stdout, stderr = call(capsys, images, "--root", workspace.root, *model)
    assert (code, stdout) == (3, "")
    assert says in stderr and "  → " in stderr


def test_a_sheet_shows_what_was_labelled_and_replaces_no_image(workspace, images, tmp_path, piped, capsys):
    sheet = tmp_path / "sheet.png"
    piped((images / "b-white.png").read_bytes())
    assert f"{sheet}: 1 image\n" in call(capsys, "-", "--root", workspace.root, "--sheet", sheet)[2]
    assert (cv2.imread(str(sheet))[60:180, 60:120] == 255).all()
    for given, sheet in ((images, images / "deeper" / "../b-white.png"), ("-", images / "b-white.png")):
        piped(os.fsencode(images / "b-white.png"))
        assert "is one of the images to label" in call(capsys, given, "--root", workspace.root, "--sheet", sheet)[2]


BAD_ARGUMENTS = [
    (["face.png", "--sheet", "sheet.pdf"], 2, "--sheet is 'sheet.pdf'"),
    (["face.png", "--sheet", "missing/sheet.png"], 2, "which is no folder"),
    (["missing.png"], 3, "missing.png does not exist"),
    (["empty"], 3, "empty holds no image"),
    (["face.png", "--top-k", "0"], 2, "--top-k is 0"),
    (["face.png", "--csv", "--json"], 2, "choose one"),
    (["face.png", "--jsonl", "--json"], 2, "choose one"),
    (["face.png", "-0"], 2, "nothing is read from standard input"),
    (["face.png", "--model", "model.h5"], 2, "model.h5 is not a .keras file"),
    (["face.png", "--model", "model.pkl"], 2, "model.pkl is not a .keras file"),
    (["face.png", "--model", "model.keras"], 3, "model.keras does not exist"),
    (["face.png", "--root", "empty"], 3, "there is no workspace in "),
]


@pytest.mark.parametrize(("argv", "code", "says"), BAD_ARGUMENTS)
def test_bad_arguments_get_one_line_and_the_remedy(argv, code, says, workspace, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    cv2.imwrite("face.png", np.zeros((SIZE, SIZE), np.uint8))
    (tmp_path / "model.h5").touch()
    found, _, stderr = call(capsys, "--root", workspace.root, *argv)
    assert found == code
    assert says in stderr and "Traceback" not in stderr
    assert len(stderr.strip().splitlines()) == 2


def test_a_model_that_carries_code_is_refused_and_the_code_does_not_run(workspace, images, tmp_path, capsys):
    import keras

    from tuning.core import files

    witness = tmp_path / "ran"
    image = keras.Input((SIZE, SIZE, 1))
    flat = keras.layers.Flatten()(image)
    code = eval(f"lambda x: (__import__('pathlib').Path({str(witness)!r}).touch(), x)[1]")
    harmful = keras.layers.Lambda(code, output_shape=(64,))(flat)
    keras.Model(image, keras.layers.Dense(3)(harmful)).save(workspace.best_model)
    unsafe = keras.saving.load_model(workspace.best_model, safe_mode=False, compile=False)
    unsafe.predict(np.zeros((1, SIZE, SIZE, 1)), verbose=0)
    witness.unlink()
    metrics = json.loads(workspace.best_model_metrics.read_text())
    files.write_json(workspace.best_model_metrics, {**metrics, "model_sha256": files.sha256_file(workspace.best_model)})
    code, _, stderr = call(capsys, images, "--root", workspace.root)
    assert code == 3 and "cannot be opened" in stderr
    assert not witness.exists()


def test_a_missing_backend_is_an_environment_problem(workspace, images, run_command):
    environment = {"KERAS_BACKEND": "torch"}
    if importlib.util.find_spec("torch"):
        pytest.skip("PyTorch is installed here")
    code, stdout, stderr = run_command("predict", images, "--root", workspace.root, env=environment)
    assert (code, stdout) == (4, "")
    assert "Keras cannot be imported" in stderr and "tuning.doctor" in stderr


@pytest.mark.tensorflow
def test_tensorflow_gives_the_same_answers(workspace, images, run_command, capsys):
    here = answer(capsys, images, "--root", workspace.root)
    code, stdout, stderr = run_command("predict", images, "--root", workspace.root, "--json")
    # With --json there is no progress, and TensorFlow's own messages must not appear either.
    assert (code, stderr) == (0, "")
    there = json.loads(stdout)
    for one, other in zip(here["predictions"], there["predictions"], strict=True):
        assert [entry["label"] for entry in one["labels"]] == [entry["label"] for entry in other["labels"]]
        for a, b in zip(one["labels"], other["labels"], strict=True):
            assert a["probability"] == pytest.approx(b["probability"], abs=1e-5)

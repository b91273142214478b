from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tuning import export
from tuning.errors import DataError, UsageError
from tuning.results import exporters, sources
from tuning.results.promotion import promote

INPUT = {"image_size": 8, "color": "gray", "scaling": "0-1"}

#: Stands in for Keras: a "model" is a bias in a text file, and its outputs are the images' mean and that bias.
PREDICT = """
def predict(path, images):
    assert not any(sys.modules.get(name) for name in ("tuning", "search_spaces"))
    bias = float(open(path).read())
    mean = images.mean(axis=(1, 2, 3))
    return np.stack([mean, 1 - mean + bias], axis=1)
"""


@pytest.fixture
def plain(monkeypatch):
    """Replaces Keras by the stand-in above: these tests are about folders, not about models."""
    form = exporters.Format("model.keras", exporters.EXPORTERS["keras"].write, PREDICT)
    monkeypatch.setattr(exporters, "EXPORTERS", {"keras": form})
    return exporters.EXPORTERS


def test_an_export_holds_what_its_user_needs(workspace, write_run, write_data, plain, tmp_path):
    write_data("data")
    metrics = write_run("one", model=b"0", input=INPUT)
    result = exporters.export(workspace, sources.run_source(workspace, "one"))
    folder = workspace.art / "exports" / "one"
    assert result["directory"] == str(folder.resolve())
    names = ["class_names.json", "load_example.py", "metrics.json", "model.keras", "preprocessing.json"]
    assert result["files"] == names == sorted(path.name for path in folder.iterdir())
    assert result["checked"] == {"keras": {"images": 16, "origin": "validation images", "difference": 0.0}}
    assert json.loads((folder / "class_names.json").read_text()) == metrics["classes"]
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert (folder / "model.keras").read_bytes() == b"0"
    steps = json.loads((folder / "preprocessing.json").read_text())
    assert (steps["image_size"], steps["channels"], steps["scaling_factor"]) == ([8, 8], 1, 1 / 255)
    assert len((folder / "load_example.py").read_text().splitlines()) == 10
    compile((folder / "load_example.py").read_text(), "load_example.py", "exec")
    assert list(folder.parent.iterdir()) == [folder]


def test_the_command_says_what_it_wrote_and_checked(workspace, write_run, plain, tmp_path, capsys):
    write_run("one", model=b"0", input=INPUT)
    promote(workspace)
    for which in ([], ["--run", "one"], ["--search", "faces", "--format", "keras"]):
        assert export.main(["--root", str(workspace.root), "--out", str(tmp_path / "out"), *which]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"exported one to {(tmp_path / 'out').resolve()}: class_names.json, load_example.py")
        assert "keras: checked on 16 noise images" in out and "largest difference 0" in out


def test_where_the_data_is_gone_noise_is_compared_and_said(workspace, write_run, plain):
    write_run("one", model=b"0", input=INPUT)
    result = exporters.export(workspace, sources.run_source(workspace, "one"))
    assert result["checked"]["keras"]["origin"].startswith("noise images")


def test_images_of_another_size_than_the_models_are_not_used(workspace, write_run, write_data, plain):
    write_data("data", image_size=4)
    write_run("one", model=b"0", input=INPUT)
    result = exporters.export(workspace, sources.run_source(workspace, "one"))
    assert result["checked"]["keras"]["origin"].startswith("noise images")


def test_an_earlier_export_is_replaced_whole(workspace, write_run, plain, tmp_path):
    write_run("one", model=b"0", input=INPUT)
    write_run("two", model=b"0.5", input=INPUT)
    out = tmp_path / "out"
    exporters.export(workspace, sources.run_source(workspace, "one"), out=out)
    (out / ".DS_Store").write_bytes(b"")
    exporters.export(workspace, sources.run_source(workspace, "two"), out=out)
    assert (out / "model.keras").read_bytes() == b"0.5"
    assert not (out / ".DS_Store").exists()


def test_a_folder_with_anything_else_is_never_replaced(workspace, write_run, plain, tmp_path):
    write_run("one", model=b"0", input=INPUT)
    source = sources.run_source(workspace, "one")
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="which no export writes"):
        exporters.export(workspace, source, out=tmp_path)
    with pytest.raises(UsageError, match="is not a folder"):
        exporters.export(workspace, source, out=tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def other_values(source, product):
    product.write_text("0.25")


def broken(source, product):
    product.write_text("no number")


@pytest.mark.parametrize(
    ("write", "predict", "says"),
    [
        (other_values, PREDICT, "differ by up to 0.25"),
        (broken, PREDICT, "ValueError"),
        (shutil.copyfile, "import tuning", "ModuleNotFoundError|ImportError"),
        (shutil.copyfile, "import os; os._exit(9)", "exit code 9: no message"),
        (shutil.copyfile, PREDICT.replace("axis=1)", "axis=0)"), r"predicts shape \(2, 16\)"),
        (shutil.copyfile, PREDICT.replace("+ bias", "+ float('nan')"), "differ by up to nan"),
        (shutil.copyfile, "import time; time.sleep(30)", "no prediction within 1 s"),
    ],
)
def test_an_export_that_fails_its_check_is_never_left_behind(
    workspace, write_run, plain, tmp_path, monkeypatch, write, predict, says
):
    write_run("one", model=b"0", input=INPUT)
    plain["other"] = exporters.Format("model.other", write, predict)
    if "sleep" in predict:
        monkeypatch.setattr(exporters, "CHECK_SECONDS", 1)
    out = tmp_path / "out"
    with pytest.raises(DataError, match=says):
        exporters.export(workspace, sources.run_source(workspace, "one"), ["keras", "other"], out)
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_a_changed_model_is_not_exported(workspace, write_run, plain):
    write_run("one", model=b"0", input=INPUT)
    (workspace.run("one") / "model.keras").write_bytes(b"1")
    with pytest.raises(DataError, match="is not the model that its metrics describe"):
        sources.run_source(workspace, "one")


def test_the_best_of_a_search_is_chosen_by_validation(workspace, write_run):
    def val(f1):
        return {"f1_macro": f1, "accuracy": None, "loss": None}

    write_run("a", 0.9, val=val(0.5))
    write_run("c", 0.1, val=val(0.7))
    write_run("b", 0.1, val=val(0.7))
    write_run("base", 0.9, val=val(0.99), kind="baseline", rank=None)
    write_run("other", 0.9, val=val(0.99), search="other")
    source = sources.search_source(workspace, "faces")
    assert (source.name, source.metrics["run_id"]) == ("faces", "b")
    assert source.model == workspace.run("b") / "model.keras"


def test_a_baseline_that_the_search_ranked_counts_as_a_finalist(workspace, write_run):
    write_run("a", 0.5)
    write_run("base", 0.4, val={"f1_macro": 0.9, "accuracy": 0.9, "loss": 0.1}, kind="baseline", rank=2)
    assert sources.search_source(workspace, "faces").metrics["run_id"] == "base"


def test_the_promoted_model_is_the_default(workspace, write_run):
    write_run("one", 0.5)
    promote(workspace)
    source = sources.promoted_source(workspace)
    assert (source.name, source.model) == ("best_model", workspace.best_model)
    assert source.metrics["run_id"] == "one"


def test_a_long_list_of_names_is_cut(workspace, write_run):
    for index in range(23):
        write_run(f"run-{index:02}")
    with pytest.raises(UsageError) as caught:
        sources.run_source(workspace, "nothing")
    assert "run-19 and 3 more" in caught.value.remedy and "run-20" not in caught.value.remedy


@pytest.mark.parametrize(("color", "channels"), [("gray", 1), ("rgb", 3)])
@pytest.mark.parametrize("scaling", ["0-1", "0-255"])
def test_preprocessing_and_example_agree(color, channels, scaling):
    given = {"image_size": 48, "color": color, "scaling": scaling}
    steps = exporters.preprocessing({"input": given, "classes": ["a", "b"], "output": "logits"})
    text = exporters.example(given)
    assert steps["channels"] == channels
    assert f"reshape(1, 48, 48, {channels})" in text
    assert ("/ 255" in text) == (steps["scaling_factor"] != 1)
    assert ("COLOR_BGR2GRAY" in text) == (color == "gray")
    assert steps["output"].startswith("logits of 2 classes")


@pytest.mark.tensorflow
def test_a_real_model_is_exported_and_the_example_labels_an_image(workspace, write_run, write_data, run_command):
    """Plain Keras opens the file in a process without this project; the example labels images as the model does."""
    build = textwrap.dedent("""
        import sys, keras
        keras.utils.set_random_seed(0)
        model = keras.Sequential([
            keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax"),
        ])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.save(sys.argv[1])
    """)
    made = workspace.root / "made.keras"
    environment = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", build, str(made)], check=True, env=environment, timeout=120)
    write_data("d" * 64)
    write_run("one", model=made.read_bytes(), input=INPUT)

    done = run_command("export", "--root", workspace.root, "--run", "one", "--json")
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["checked"]["keras"]["images"] == 16
    assert result["checked"]["keras"]["difference"] <= exporters.TOLERANCE
    folder = workspace.art / "exports" / "one"
    assert (
        hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
        == hashlib.sha256(made.read_bytes()).hexdigest()
    )

    import cv2

    image = workspace.root / "face.png"
    cv2.imwrite(str(image), np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8))
    labelled = subprocess.run(
        [sys.executable, "-I", str(folder / "load_example.py"), str(image)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert labelled.returncode == 0, labelled.stderr
    path, label = labelled.stdout.strip().splitlines()[-1].split("\t")
    assert path == str(image) and label in ("angry", "happy", "sad")

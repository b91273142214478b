from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import re
import signal
import sys
import time

import numpy as np
import pytest

from tuning import export
from tuning.core.errors import DataError, Interrupted, UsageError
from tuning.core.packages import install_line
from tuning.dataset import seen
from tuning.results import lineage, sources
from tuning.results.exporters import FORMATS, isolation, writing
from tuning.results.promotion import promote

INPUT = {"image_size": 8, "color": "gray", "scaling": "0-1"}


def stand_in():
    """Stands in for Keras: a "model" is a bias in a text file, and its outputs are the images' mean and that bias."""

    def load(path):
        assert not any(sys.modules.get(name) for name in ("tuning", "search_spaces"))
        bias = float(np.loadtxt(path))

        def predict(images):
            mean = images.mean(axis=(1, 2, 3))
            return np.stack([mean, 1 - mean + bias], axis=1)

        return predict

    return load


def copying():
    def convert(source, path, keras_format):
        import shutil

        shutil.copyfile(source, path)

    return convert


@pytest.fixture
def plain(monkeypatch):
    """Replaces Keras by the stand-ins above: these tests are about folders, not about models."""
    form = dataclasses.replace(FORMATS["keras"], load=stand_in())
    formats = {"keras": form}
    monkeypatch.setattr(writing, "FORMATS", formats)
    monkeypatch.setattr(isolation, "convert", copying())
    return formats


def another(load=None, **changes):
    """A format that is converted to."""
    form = FORMATS["litert"]
    return dataclasses.replace(form, **{"product": "model.other", "load": load or stand_in(), **changes})


def test_an_export_holds_what_its_user_needs(workspace, write_run, write_data, plain):
    write_data("data")
    metrics = write_run("one", model=b"0", input=INPUT)
    result = writing.export(workspace, sources.run_source(workspace, "one"))
    folder = workspace.art / "exports" / "one"
    assert result["directory"] == str(folder.resolve())
    names = ["README.md", "class_names.json", "load_example.py", "metrics.json", "model.keras", "preprocessing.json"]
    assert result["files"] == names == sorted(path.name for path in folder.iterdir())
    checked = {"runtime": "Keras", "images": 16, "origin": "validation images", "difference": 0.0}
    assert result["checked"] == {"keras": checked}
    assert json.loads((folder / "class_names.json").read_text()) == metrics["classes"]
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert (folder / "model.keras").read_bytes() == b"0"
    steps = json.loads((folder / "preprocessing.json").read_text())
    assert (steps["image_size"], steps["channels"], steps["scaling_factor"]) == ([8, 8], 1, 1 / 255)
    assert len((folder / "load_example.py").read_text().splitlines()) == 10
    compile((folder / "load_example.py").read_text(), "load_example.py", "exec")
    assert list(folder.parent.iterdir()) == [folder]


def test_signatures_of_what_a_model_saw_go_along_unless_they_are_left_out(workspace, write_run, plain, tmp_path):
    metrics = write_run("one", model=b"0", input=INPUT)
    own = seen.Seen(np.array([1, 2], np.uint64), np.zeros((2, 3), np.uint64))
    seen.write(workspace.signatures(metrics["data_digest"]), own)
    folder = tmp_path / "out"
    source = sources.run_source(workspace, "one")
    writing.export(workspace, source, out=folder)
    assert lineage.seen_by(folder / "model.keras", metrics["model_sha256"]).signatures.tolist() == [1, 2]
    assert "2 images that it saw" in (folder / "README.md").read_text()
    writing.export(workspace, source, out=folder, signatures=False)
    assert not (folder / lineage.SIGNATURES).exists()
    assert lineage.seen_by(folder / "model.keras", metrics["model_sha256"]) is None


def test_the_command_says_what_it_wrote_and_checked(workspace, write_run, plain, tmp_path, capsys):
    write_run("one", model=b"0", input=INPUT)
    promote(workspace)
    for which in ([], ["--run", "one"], ["--search", "faces", "--format", "keras"]):
        assert export.main(["--root", str(workspace.root), "--out", str(tmp_path / "out"), *which]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"exported one to {(tmp_path / 'out').resolve()}: README.md, class_names.json, load_exa")
        assert "keras: opened by Keras in a process without this project; 16 noise images" in out
        assert "largest difference 0" in out


def test_a_workspace_may_be_named_from_where_one_stands(workspace, write_run, plain, monkeypatch, capsys):
    """The processes that open the models stand elsewhere."""
    write_run("one", model=b"0", input=INPUT)
    promote(workspace)
    monkeypatch.chdir(workspace.root.parent)
    assert export.main(["--root", workspace.root.name]) == 0
    monkeypatch.chdir(workspace.root)
    assert export.main(["--run", "one"]) == 0
    assert "largest difference 0" in capsys.readouterr().out


@pytest.mark.parametrize("size", [None, 4], ids=["gone", "another size"])
def test_where_no_images_fit_noise_is_compared_and_said(workspace, write_run, write_data, plain, size):
    if size:
        write_data("data", image_size=size)
    write_run("one", model=b"0", input=INPUT)
    result = writing.export(workspace, sources.run_source(workspace, "one"))
    assert result["checked"]["keras"]["origin"].startswith("noise images")


def test_an_earlier_export_is_replaced_whole(workspace, write_run, plain, tmp_path):
    write_run("one", model=b"0", input=INPUT)
    write_run("two", model=b"0.5", input=INPUT)
    out = tmp_path / "out"
    writing.export(workspace, sources.run_source(workspace, "one"), out=out)
    (out / ".DS_Store").write_bytes(b"")
    writing.export(workspace, sources.run_source(workspace, "two"), out=out)
    assert (out / "model.keras").read_bytes() == b"0.5"
    assert not (out / ".DS_Store").exists()


def test_a_folder_with_anything_else_is_never_replaced(workspace, write_run, plain, tmp_path):
    write_run("one", model=b"0", input=INPUT)
    source = sources.run_source(workspace, "one")
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match=r"holds 'thesis\.tex' and is no earlier export"):
        writing.export(workspace, source, out=tmp_path)
    with pytest.raises(UsageError, match="is not a folder"):
        writing.export(workspace, source, out=tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_folder_with_the_names_of_an_export_is_not_one(workspace, write_run, plain, tmp_path):
    write_run("one", model=b"0", input=INPUT)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("precious")
    (tmp_path / "mine" / "metrics.json").write_text("{}")
    with pytest.raises(UsageError, match="is no earlier export"):
        writing.export(workspace, sources.run_source(workspace, "one"), out=tmp_path / "mine")
    assert (tmp_path / "mine" / "README.md").read_text() == "precious"


def test_formats_share_a_folder_and_a_folder_can_be_a_product(workspace, write_run, plain, tmp_path, monkeypatch):
    write_run("one", model=b"0", input=INPUT)

    def load(path):
        import pathlib

        deep = (pathlib.Path(path) / "deep" / "bias").read_text()
        return lambda images: np.stack([(mean := images.mean(axis=(1, 2, 3))), 1 - mean + float(deep)], axis=1)

    def convert(source, path, keras_format):
        import pathlib

        assert keras_format == "litert"
        (pathlib.Path(path) / "deep").mkdir(parents=True)
        (pathlib.Path(path) / "empty").mkdir()
        (pathlib.Path(path) / "deep" / "bias").write_bytes(pathlib.Path(source).read_bytes())

    monkeypatch.setattr(isolation, "convert", convert)
    plain["other"] = another(load)
    out = tmp_path / "out"
    for formats in (["keras", "other"], ["other"]):
        result = writing.export(workspace, sources.run_source(workspace, "one"), formats, out)
        assert list(result["checked"]) == formats
        assert (out / "model.other" / "deep" / "bias").read_text() == "0"
        assert (out / "model.other" / "empty").is_dir()
        assert (out / "load_example_other.py").is_file()
        assert (out / "model.keras").exists() == (out / "load_example.py").exists() == ("keras" in formats)
        card = (out / "README.md").read_text()
        assert ("model.keras" in card) == ("keras" in formats) and "model.other" in card


def fails_to_load(problem):
    """A `load` whose source says what goes wrong."""

    def raising(path):
        import tuning

        return tuning

    def dying(path):
        import os

        os._exit(9)

    def other_shape(path):
        return lambda images: images.mean(axis=(2, 3))

    def nan(path):
        return lambda images: images.mean(axis=(2, 3))[:, :2] * float("nan")

    def one_at_a_time(path):
        def predict(images):
            assert len(images) == 1, "one image at a time"

        return predict

    def slow(path):
        import time

        time.sleep(30)

    return {function.__name__: function for function in (raising, dying, other_shape, nan, one_at_a_time, slow)}[
        problem
    ]


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        ("raising", "model.other does not work in .*(ModuleNotFoundError|ImportError)"),
        ("dying", "exit code 9: no message"),
        ("other_shape", r"predicts shape \(17, 8\), the original \(17, 2\)"),
        ("nan", "differ by up to nan"),
        ("one_at_a_time", "one image at a time"),
        ("slow", "nothing within 3 s"),
    ],
)
def test_an_export_that_fails_its_check_is_never_left_behind(
    workspace, write_run, plain, tmp_path, monkeypatch, problem, says
):
    write_run("one", model=b"0", input=INPUT)
    plain["other"] = another(fails_to_load(problem))
    source = isolation._source
    # The program calls it by that name.
    monkeypatch.setattr(isolation, "_source", lambda function: source(function).replace(f"def {problem}", "def load"))
    if problem == "slow":
        monkeypatch.setattr(isolation, "CHECK_SECONDS", 3)
    with pytest.raises(DataError, match=says):
        writing.export(workspace, sources.run_source(workspace, "one"), ["other"], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_a_conversion_that_fails_or_changes_the_model_leaves_nothing_behind(
    workspace, write_run, plain, tmp_path, monkeypatch
):
    def changing():
        def convert(source, path, keras_format):
            np.savetxt(path, [0.25])

        return convert

    def failing():
        def convert(source, path, keras_format):
            raise ValueError("no such operation")

        return convert

    write_run("one", model=b"0", input=INPUT)
    plain["other"] = another()
    for convert, says in (
        (changing, "the other export predicts other values than the original: they differ by up to 0.25"),
        (failing, "cannot be converted to other: exit code 1: ValueError: no such operation"),
    ):
        monkeypatch.setattr(isolation, "convert", convert())
        with pytest.raises(DataError, match=says):
            writing.export(workspace, sources.run_source(workspace, "one"), ["other"], tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_the_formats_that_work_are_written_although_others_do_not(workspace, write_run, plain, tmp_path, monkeypatch):
    def convert(source, path, keras_format):
        raise ValueError("no such operation")

    write_run("one", model=b"0", input=INPUT)
    plain["other"] = another()
    monkeypatch.setattr(isolation, "convert", convert)
    source = sources.run_source(workspace, "one")
    result = writing.export(workspace, source, ["keras", "other"], tmp_path / "out")
    assert list(result["checked"]) == ["keras"] and "model.keras" in result["files"]
    assert result["failed"] == {
        "other": "the model cannot be converted to other: exit code 1: ValueError: no such operation"
    }
    assert "model.other" not in [path.name for path in (tmp_path / "out").iterdir()]


def test_an_interrupted_export_ends_its_processes(workspace, write_run, plain, tmp_path, monkeypatch):
    def load(path):
        import os
        import pathlib
        import time

        pathlib.Path(path).parent.parent.joinpath(f"pid-{os.getpid()}").touch()
        time.sleep(60)

    def interrupt(self):
        while len(list(tmp_path.glob("pid-*"))) < 1:
            time.sleep(0.01)
        raise Interrupted(signal.SIGTERM)

    write_run("one", model=b"0", input=INPUT)
    plain["keras"] = dataclasses.replace(plain["keras"], load=load)
    monkeypatch.setattr(isolation.Isolated, "finish", interrupt)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        writing.export(workspace, sources.run_source(workspace, "one"), out=tmp_path / "out")
    # Not by itself: it would sleep for a minute.
    assert time.monotonic() - began < 50
    [mark] = tmp_path.glob("pid-*")
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.name.removeprefix("pid-")), 0)
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_exits_4_with_the_line_to_install_it(workspace, write_run, plain, capsys, monkeypatch):
    write_run("one", model=b"0", input=INPUT)
    plain["onnx"] = dataclasses.replace(FORMATS["onnx"], modules=("no_such_module", "onnx"))
    monkeypatch.setitem(FORMATS, "onnx", plain["onnx"])
    assert export.main(["--root", str(workspace.root), "--run", "one", "--format", "keras,onnx"]) == 4
    stderr = capsys.readouterr().err
    assert "needs packages that are not installed: no_such_module" in stderr and install_line("onnx") in stderr
    assert not (workspace.art / "exports").exists()


def test_without_tensorflow_nothing_is_exported_and_said_why(workspace, write_run, plain, capsys, monkeypatch):
    write_run("one", model=b"0", input=INPUT)
    find = importlib.util.find_spec
    # What all commands need is looked at first, and once.
    monkeypatch.setattr("tuning.core.packages.missing", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find(name))
    assert export.main(["--root", str(workspace.root), "--run", "one", "--format", "keras"]) == 4
    assert "exporting needs TensorFlow, which is not installed" in capsys.readouterr().err
    assert not (workspace.art / "exports").exists()


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
    assert (source.name, source.metrics.run_id) == ("faces", "b")
    assert source.model == workspace.run("b") / "model.keras"


def test_a_baseline_that_the_search_ranked_counts_as_a_finalist(workspace, write_run):
    write_run("a", 0.5)
    write_run("base", 0.4, val={"f1_macro": 0.9, "accuracy": 0.9, "loss": 0.1}, kind="baseline", rank=2)
    assert sources.search_source(workspace, "faces").metrics.run_id == "base"


def test_the_promoted_model_is_the_default(workspace, write_run):
    write_run("one", 0.5)
    promote(workspace)
    source = sources.promoted_source(workspace)
    assert (source.name, source.model) == ("best_model", workspace.best_model)
    assert source.metrics.run_id == "one"


def test_a_long_list_of_names_is_cut(workspace, write_run):
    for index in range(23):
        write_run(f"run-{index:02}")
    with pytest.raises(UsageError) as caught:
        sources.run_source(workspace, "nothing")
    assert re.search(r"run-19 \(\w+-\w+\) and 3 more", caught.value.remedy) and "run-20" not in caught.value.remedy

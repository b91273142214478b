"""Runs the notebooks, docs/api.md and docs/keras-tuner.md on synthetic faces.

The notebooks run with smaller settings; the documentation runs unchanged, with the search that the notebook has made.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import tuning
from tuning.core.workspace import Workspace
from tuning.results import leaderboard, promotion

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
API = REPOSITORY / "docs" / "api.md"
KERAS_TUNER = REPOSITORY / "docs" / "keras-tuner.md"
PREPARE, SEARCH = "01_prepare_dataset.ipynb", "EmotionRecognitionCNN.ipynb"

#: Notebook -> settings that replace its settings cell; the search is that of docs/api.md.
SMALL = {
    PREPARE: {
        "ROOT": "faces",
        "RAW": None,
        "IMAGE_SIZE": 24,
        "PER_CLASS": 20,
        "CLASSES": ("angry", "happy", "sad"),
    },
    SEARCH: {
        "ROOT": "faces",
        "BASELINE_EPOCHS": 1,
        "SETTINGS": {"strategy": "random", "max_trials": 3, "max_epochs": 2, "top_k": 1, "name": "first"},
        "WORKERS": None,
    },
}


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def settings_cell(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    return cell


def run(name: str, folder: Path, environment: Mapping[str, str], monkeypatch) -> nbformat.NotebookNode:
    """Run a notebook in `folder` with small settings; return it with its outputs."""
    notebook = read(REPOSITORY / "notebooks" / name)
    cell = settings_cell(notebook)
    assert {line.split(" = ")[0] for line in _assignments(cell.source)} == set(SMALL[name]), "its settings have changed"
    small = [f"{key} = {value!r}" for key, value in SMALL[name].items()]
    cell.source = "\n".join(["from pathlib import Path", *small])
    for key in ("KERAS_BACKEND", "MPLBACKEND"):
        monkeypatch.delenv(key, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}, kernel_name="python3")
    client.execute()
    return notebook


def _assignments(source: str) -> list[str]:
    lines = [line for line in source.splitlines() if " = " in line and not line.startswith(("#", " "))]
    return [f"{name} = " for line in lines for name in line.split(" = ")[0].split(", ")]


def pictures(notebook: nbformat.NotebookNode) -> int:
    """Return the number of inline figures."""
    return sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))


def tables(notebook: nbformat.NotebookNode) -> int:
    return sum(
        "<table" in output.get("data", {}).get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_what_git_holds_has_no_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None, cell.source
        assert set(cell.metadata) <= {"tags"}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}, "the version of whoever ran it last"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_thin(path):
    """They use only the public API of `tuning`, and define no functions or classes."""
    code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    names = set(re.findall(r"\btuning\.(\w+)", code))
    assert names and names <= set(tuning.__all__)
    assert not re.findall(r"^\s*(?:from tuning|def |class )", code, re.MULTILINE)


def test_every_name_of_the_api_is_documented_and_there():
    text = API.read_text(encoding="utf-8")
    for name in tuning.__all__:
        assert getattr(tuning, name) is not None
        assert name == "__version__" or f"`{name}`" in text, name


def test_the_api_clashes_with_no_module():
    modules = {path.stem for path in Path(tuning.__file__).parent.iterdir()}
    assert not modules & set(tuning.__all__)


@pytest.fixture(scope="module")
def notebooks_ran(tmp_path_factory, sample_environment) -> tuple[Path, dict[str, nbformat.NotebookNode]]:
    """The folder in which both notebooks ran one after the other, and the notebooks with their outputs."""
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as monkeypatch:
        environment = {**sample_environment, "IPYTHONDIR": str(folder / "ipython")}
        return folder, {name: run(name, folder, environment, monkeypatch) for name in (PREPARE, SEARCH)}


@pytest.mark.tensorflow
@pytest.mark.slow
def test_the_notebooks_run_and_show_what_they_promise(notebooks_ran):
    folder, ran = notebooks_ran
    # data/raw_yolo was empty, so the faces are in a workspace of their own, which the second notebook finds.
    assert not (folder / "faces" / "data").exists()
    artifacts = folder / "faces" / "notebook-workspace" / "artifacts"
    assert "data/raw_yolo is empty" in json.dumps(ran[PREPARE])
    assert pictures(ran[PREPARE]) == 1 and tables(ran[PREPARE]) == 2
    assert (artifacts / "outputs" / "faces.png").stat().st_size > 1000
    # Loss and accuracy of baseline and winner, two figures of the search, two confusion matrices, labelled test images.
    assert pictures(ran[SEARCH]) == 9 and tables(ran[SEARCH]) == 6
    assert sorted(path.name for path in (artifacts / "figures").iterdir()) == ["best_so_far.png", "learning_curves.png"]
    assert (artifacts / "models" / "best_model.keras").exists()
    shown = json.dumps(ran)
    assert all(words in shown for words in ("val_f1_macro", "macro avg", "Total params"))
    assert "Traceback" not in shown
    for notebook in ran.values():
        for cell in notebook.cells:
            # Progress replaces one line of output, however many messages there are.
            assert sum(list(output.get("data", {})) == ["text/plain"] for output in cell.get("outputs", ())) <= 1


@pytest.fixture
def searched(notebooks_ran, tmp_path) -> Path:
    """A folder whose workspace `faces` has the notebook's search and no other runs."""
    shutil.copytree(notebooks_ran[0] / "faces" / "notebook-workspace", tmp_path / "faces")
    workspace = Workspace(tmp_path / "faces")
    for folder in (workspace.models, *workspace.trials.glob("baseline-*")):
        shutil.rmtree(folder)
    leaderboard.rebuild(workspace)
    promotion.promote(workspace)
    return tmp_path


@pytest.mark.tensorflow
@pytest.mark.slow
def test_the_documentation_of_the_api_is_true(searched, sample_environment, tmp_path):
    code = (
        "import doctest, sys\n"
        "flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE\n"
        "failed, tried = doctest.testfile(sys.argv[1], module_relative=False, optionflags=flags)\n"
        "sys.exit(failed or not tried)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(API)],
        cwd=tmp_path,
        env=sample_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    (plain,) = re.findall(r"^```python\n(.*?)^```", API.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    without_us = {name: value for name, value in sample_environment.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", plain],
        cwd=tmp_path,
        env={**without_us, "HOME": os.environ.get("HOME", str(tmp_path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "(1, 3)\n", done.stderr


@pytest.mark.tensorflow
@pytest.mark.slow
def test_the_page_for_users_of_keras_tuner_is_true(searched, sample_environment, tmp_path):
    """A block whose first line names a module becomes that module; all other blocks form one program."""
    program = []
    for text in re.findall(r"^```python\n(.*?)^```", KERAS_TUNER.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if named := re.match(r"# (\w+\.py)\n", text):
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
        else:
            program.append(text)
    assert len(program) >= 4
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        cwd=tmp_path,
        env={**sample_environment, "PYTHONPATH": f"{tmp_path}{os.pathsep}{sample_environment['PYTHONPATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

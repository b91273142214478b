"""Before anything is written: what is refused leaves no trace, and the settings say what workers will run on."""

from __future__ import annotations

import importlib.util
import inspect
import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import keras
import pytest

from stress import toy
from tuning import search
from tuning.core import interruption
from tuning.core import settings as config
from tuning.core.control import Control, TrainControl
from tuning.core.errors import DataError, StateError, UsageError
from tuning.core.files import digest
from tuning.core.options import options_of, table
from tuning.pipeline import finals, session
from tuning.pipeline.resources import Resources
from tuning.pipeline.search import run_search
from tuning.pipeline.settings import search_settings, train_settings, training_backend
from tuning.pipeline.train import train_one
from tuning.tracking import Tracking

from .conftest import records, toys_instead

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(("package", "options"), [("mlflow", ("--mlflow", "runs")), ("ray", ("--executor", "ray"))])
def test_a_package_that_is_missing_is_said_before_a_search_begins(workspace, here, monkeypatch, package, options):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else real(name, *rest))
    done = here(workspace, "search", *options)
    assert done.code == 4
    assert "is not installed" in done.stderr and f"pip install -e '.[{package}]'" in done.stderr
    assert list(workspace.searches.iterdir()) == []
    done = here(workspace, "train", "--mlflow", "runs") if package == "mlflow" else done
    assert done.code == 4
    assert not (workspace.art / "work").exists()


def test_a_configuration_that_does_not_fit_leaves_nothing(workspace, toy_search):
    with pytest.raises(UsageError, match="--try rate=7"):
        toy_search("one", tries=["rate=7"])
    assert list(workspace.searches.iterdir()) == []


@pytest.mark.parametrize("run", [run_search, train_one])
def test_a_mistyped_root_makes_no_folders(tmp_path, run):
    from tuning.core.workspace import Workspace

    with pytest.raises(DataError, match="no prepared data"):
        run(Workspace(tmp_path / "nowhere"))
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_is_no_setting_is_named_with_those_that_are(prepared):
    with pytest.raises(TypeError, match=r"no setting 'epochs'; use one of .*max_epochs"):
        run_search(prepared, epochs=3)
    with pytest.raises(TypeError, match=r"no setting 'workers'; use one of .*budget, .*resources, "):
        run_search(prepared, workers=2)
    with pytest.raises(TypeError, match=r"no setting 'max_epochs'; use one of .*epochs"):
        train_one(prepared, max_epochs=3)
    with pytest.raises(UsageError, match="--seed is 'x'"):
        search_settings(prepared, seed="x")


@pytest.mark.parametrize("change", [{"skip_equal": True}, {"window": None}])
def test_settings_of_another_version_are_refused(prepared, tmp_path, change):
    settings = search_settings(prepared)
    config.freeze(tmp_path, settings)
    assert config.load(tmp_path, config.SearchSettings) == settings
    content = json.loads((tmp_path / config.FILE_NAME).read_text())
    content["settings"].update(change)
    content["digest"] = digest(content["settings"])
    (tmp_path / config.FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(StateError) as refused:
        config.freeze(tmp_path, settings)
    assert "--fresh" in refused.value.remedy
    assert next(iter(change)) in refused.value.problem


def test_what_is_frozen_is_what_may_not_change():
    """Every option of the two classes of settings is fixed, every other one may change at a resume."""
    assert all(option.fixed for option in options_of(config.SearchSettings, config.TrainSettings))
    assert not any(option.fixed for option in options_of(Resources, Control, TrainControl))


def test_the_documentation_has_all_options():
    rows = table(config.SearchSettings, Resources, Control, words=search.words())
    page = (REPOSITORY / "docs" / "options.md").read_text(encoding="utf-8")
    assert "\n".join(rows) in page
    # What is no argument of that name in Python, and what no table of settings has, is told above it.
    above, taken = page.partition("| option |")[0], set(inspect.signature(run_search).parameters)
    options = options_of(config.SearchSettings, Resources, Control)
    others = [one.flag for one in options if not one.fixed and one.name not in taken]
    tracking = [f"--{field.name}" for field in fields(Tracking)]
    assert len(others) == 8
    assert all(f"`{flag}" in above for flag in (*others, "--budget", "--try", *tracking))


# The backend -----------------------------------------------------------------------------------------------------


def test_the_backend_is_what_keras_would_take(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert training_backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    with pytest.raises(UsageError, match="KERAS_BACKEND is 'numpy'"):
        training_backend()
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert training_backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert training_backend() == "torch"


def test_another_backend_later_is_the_workers(prepared, monkeypatch):
    """This process has imported Keras long ago; its workers have not."""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert search_settings(prepared).backend == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert search_settings(prepared).backend == "jax"


def test_a_process_that_cannot_train_on_the_backend_is_told_so(prepared, tmp_path):
    settings = search_settings(prepared)
    inline = Resources(executor="inline")
    assert keras.config.backend() == "numpy"
    with pytest.raises(UsageError, match="on the backend 'numpy', but KERAS_BACKEND is 'tensorflow'"):
        session.check_start(prepared, tmp_path, settings, inline, Tracking(), fresh=False)
    session.check_start(prepared, tmp_path, replace(settings, backend="numpy"), inline, Tracking(), fresh=False)
    session.check_start(prepared, tmp_path, settings, Resources(), Tracking(), fresh=False)


NOTEBOOK = """
import sys
from pathlib import Path
from tuning import Resources, Workspace, run_search

workspace = Workspace(Path(sys.argv[1]))
result = run_search(
    workspace, "random", space="sample_spaces:tiny", name="s", max_epochs=1, max_trials=2, top_k=1,
    dtype="float32", resources=Resources(workers=1),
)
import keras
import numpy as np
model = keras.saving.load_model(workspace.best_model)
print(keras.config.backend(), model.predict(np.zeros((2, *model.input_shape[1:])), verbose=0).shape)
"""


@pytest.mark.tensorflow
@pytest.mark.slow
def test_after_a_search_in_a_notebook_its_model_predicts(workspace, sample_environment):
    command = [sys.executable, "-c", NOTEBOOK, str(workspace.root)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=sample_environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "tensorflow (2, 3)"


# A single run that failed ------------------------------------------------------------------------------------------


@pytest.fixture
def toy_train(workspace, monkeypatch, sample_environment):
    toys_instead(monkeypatch, sample_environment)
    monkeypatch.setattr("tuning.results.plots.run_figures", lambda metrics, history: {})

    def run(broken="", **given):
        monkeypatch.setenv(toy.BROKEN, broken)
        return train_one(workspace, "stress.tiny_cnn:build_model", epochs=2, dtype="float32", **given)

    return run


def test_a_training_that_failed_is_tried_again_by_the_same_command(workspace, toy_train):
    for _ in range(2):
        with pytest.raises(StateError, match="the device is busy") as refused:
            toy_train("final")
        assert "same command" in refused.value.remedy
    done = toy_train()
    # Nothing was evaluated by those that failed.
    assert done.metrics["test_openings"] == 1
    assert toy_train() == done


def test_a_training_that_cannot_be_published_says_why_and_is_published_later(toy_train, monkeypatch):
    def refuse(workspace, staged):
        raise DataError("these are no probabilities", "end the model in a softmax")

    with monkeypatch.context() as patch:
        patch.setattr(finals, "publish_run", refuse)
        with pytest.raises(StateError, match="failed: these are no probabilities"):
            toy_train()
    assert toy_train().metrics["test_openings"] == 1


def test_a_training_may_start_over(workspace, toy_train, monkeypatch):
    monkeypatch.setattr(interruption, "_started_over", False)
    first = toy_train()
    assert not interruption.started_over()
    again = toy_train(fresh=True)
    assert interruption.started_over()
    assert again.run_id == first.run_id
    (aside,) = (workspace.art / "work").glob("*~1")
    assert (aside / "runs" / first.run_id / "metrics.json").exists()
    assert [path.name for path in workspace.trials.iterdir()] == [first.run_id]


def test_other_values_are_another_run(prepared):
    one, two = (train_settings(prepared, {"rate": rate}) for rate in (0.1, "0.2"))
    assert (one.values, one.epochs) == ({"rate": "0.1"}, 30)
    assert one.digest() != two.digest()
    assert records(prepared, "ask", "nothing") == []

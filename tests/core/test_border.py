"""What callers of the Python API hand over, and what becomes of it."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import tuning
from tuning.core.border import guarded, space_name
from tuning.core.errors import UsageError
from tuning.core.progress import SILENT, Progress
from tuning.core.workspace import Workspace
from tuning.pipeline.resources import Resources


def called(
    workspace: Workspace,
    *,
    space: str = "baseline_cnn",
    size: int = 48,
    share: float = 0.5,
    on: bool = False,
    text: str | None = None,
    resources: Resources = Resources(),  # noqa: B008
    progress: Progress = SILENT,
    **more: object,
) -> tuple:
    """Says what it got."""
    return workspace, space, size, share, on, text, more


def drawn(figure: Figure, path: Path) -> tuple:
    """Says what it got."""
    return figure, path


@pytest.mark.parametrize("given", ["ws", Path("ws"), Workspace(Path("ws")), Workspace("ws")])
def test_a_path_is_a_workspace(given):
    assert guarded(called)(given)[0] == Workspace(Path("ws"))
    assert guarded(called)(workspace=given)[0].data == Path("ws") / "data"


@pytest.fixture
def spaces(sample_spaces, monkeypatch):
    monkeypatch.syspath_prepend(str(sample_spaces))
    module = importlib.import_module("sample_spaces")
    monkeypatch.setattr(module, "half", functools.partial(module.tiny, num_classes=3), raising=False)
    return module


@pytest.mark.parametrize("name", ["tiny", "Own", "own_instance", "half"])
def test_a_function_class_instance_or_partial_of_a_module_is_its_name(name, spaces):
    assert space_name(getattr(spaces, name)) == f"sample_spaces:{name}"
    assert guarded(called)("ws", space=getattr(spaces, name))[1] == f"sample_spaces:{name}"


def test_what_no_module_holds_is_refused(spaces):
    with pytest.raises(UsageError, match="space is 5") as refused:
        space_name(5)
    assert refused.value.remedy == "give a name, a function or a HyperModel"
    for made in (lambda hp: None, functools.partial(spaces.tiny, num_classes=4)):
        with pytest.raises(UsageError, match="which no module holds by a name"):
            space_name(made)


@pytest.mark.parametrize("name", ["base", "base_weights"])
def test_a_model_to_start_from_may_be_a_path(name):
    assert guarded(called)("ws", **{name: Path("an/export")})[-1] == {name: "an/export"}


def test_numbers_are_what_they_are_worth():
    assert guarded(called)("ws", size=np.int64(24), share=1, on=np.bool_(True), extra="x") == (
        *(Workspace("ws"), "baseline_cnn", 24, 1, True, None),
        {"extra": "x"},
    )
    assert guarded(called)("ws", size=24.0)[2] == 24


def test_numbers_of_numpy_s_are_settings_too():
    found = guarded(called)("ws", max_trials=np.int64(3), rate=np.float32(0.5), values=np.arange(2))[-1]
    assert type(found["max_trials"]) is int and type(found["rate"]) is float and found["values"].tolist() == [0, 1]


def test_text_is_a_path(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    figure = Figure()
    assert guarded(drawn)(figure, "~/a.png") == (figure, Path("/somewhere/a.png"))
    assert guarded(drawn)(figure, path=Path("a.png")) == (figure, Path("a.png"))


@pytest.mark.parametrize(
    ("figure", "path", "said"),
    [
        ({"loss": Figure()}, "a.png", r"figure is \{'loss'"),
        (None, "a.png", "figure is None"),
        (Figure(), 3, "path is 3"),
        (Figure(), None, "path is None"),
    ],
)
def test_what_is_no_figure_or_no_path_is_refused(figure, path, said):
    with pytest.raises(UsageError, match=said) as refused:
        guarded(drawn)(figure, path)
    assert refused.value.remedy in ("give a Figure", "give a Path")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": "24"}, "size is '24'"),
        ({"size": 2.5}, "size is 2.5"),
        ({"size": True}, "size is True"),
        ({"share": "0.5"}, "share is '0.5'"),
        ({"on": "False"}, "on is 'False'"),
        ({"text": {"a": "b"}}, "text is {'a': 'b'}"),
        ({"resources": 2}, "resources is 2"),
        ({"progress": True}, r"progress is True, which has no say\(\)"),
        ({"workspace": 3}, "workspace is 3"),
        ({"size": None}, "size is None"),
        ({"resources": None}, "resources is None"),
        ({"progress": None}, r"progress is None, which has no say\(\)"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_the_callers_words(given, said):
    with pytest.raises(UsageError, match=said) as refused:
        guarded(called)(**{"workspace": "ws", **given})
    assert refused.value.remedy.startswith("give ")


def test_what_only_type_checkers_import_keeps_nothing_from_being_checked():
    for function in (tuning.trials_frame, tuning.curves_frame, tuning.search_figures):
        with pytest.raises(UsageError, match="search is 3"):
            function("ws", 3)


def test_a_search_within_a_worker_is_refused(monkeypatch):
    import importlib.util

    spec = importlib.util.find_spec("tuning.engine.executors.worker")
    monkeypatch.setattr(importlib.import_module("__main__"), "__spec__", spec)
    with pytest.raises(UsageError, match="run_search is called while a worker imports") as refused:
        tuning.run_search("ws", "random")
    assert "__main__" in refused.value.remedy


def test_a_home_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace("~/faces").root == tmp_path / "faces"
    with pytest.raises(tuning.TuningError, match=f"{tmp_path}/raw does not exist"):
        tuning.prepare_dataset(tmp_path / "ws", "~/raw")


def test_the_api_keeps_signature_and_name():
    assert tuning.run_search.__name__ == "run_search" and tuning.run_search.__doc__
    with pytest.raises(tuning.TuningError):
        tuning.dataset_frame("nowhere-at-all")

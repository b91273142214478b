"""Settings as the commands complete them; nothing is trained."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from tests.written_searches import PLAN
from tuning.core import files, machine
from tuning.core import settings as config
from tuning.core.errors import StateError, UsageError
from tuning.core.jobs import Description
from tuning.oracles import BEST, STRATEGIES
from tuning.pipeline.plan import base_hint
from tuning.pipeline.settings import search_settings, size
from tuning.pipeline.trials import build_strategy, idle_workers, unrepeatable

DESCRIPTION = Description(
    space=[
        {"class_name": "Choice", "config": {"name": "width", "values": [16, 32], "ordered": True, "conditions": []}}
    ],
    defaults={"width": 16},
    parameters={},
)


def test_the_window_is_the_strategys_own_unless_given(prepared):
    assert search_settings(prepared, "hyperband").window == STRATEGIES["hyperband"].window
    assert search_settings(prepared, "hyperband", window=2048).window == 2048


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("my_faces", "my_faces-build-random"),
        ("gesichter_ü", "gesichter_--build-random"),
        ("_own", "own-build-random"),
        (f"deep_{'x' * 80}", f"{'x' * 51}-build-random"),
    ],
)
def test_a_search_has_a_name_whatever_the_module_of_its_space_is_called(prepared, tmp_path, monkeypatch, module, name):
    (tmp_path / f"{module}.py").write_text("def build(hp): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert search_settings(prepared, "random", space=f"{module}:build").name == name


def test_another_window_is_another_search(prepared, tmp_path):
    config.freeze(tmp_path, search_settings(prepared, "random", window=128))
    config.freeze(tmp_path, search_settings(prepared, "random", window=128))
    with pytest.raises(StateError, match="window was 128, now 64"):
        config.freeze(tmp_path, search_settings(prepared, "random"))


def test_a_plan_of_an_earlier_version_is_the_same_plan(prepared, tmp_path):
    settings = dataclasses.replace(search_settings(prepared), plan=PLAN)
    values = dataclasses.asdict(settings)
    values["plan"]["open_ended"] = True
    files.write_json(tmp_path / config.FILE_NAME, {"schema": 1, "digest": files.digest(values), "settings": values})
    assert config.check(tmp_path, settings) == settings


def test_iterations_repeat_all_brackets(prepared):
    def planned(**more):
        return build_strategy(
            search_settings(prepared, "hyperband", sampler="random", **more), DESCRIPTION, 3
        ).oracle.planned()

    once = planned()
    assert planned(iterations=3) == (3 * once[0], 3 * once[1])


@pytest.mark.parametrize(
    ("strategy", "given"),
    [
        ("random", {"iterations": 2}),
        ("random", {"factor": 4}),
        ("bayesian", {"sampler": "random"}),
        ("hyperband", {"iterations": 0}),
        ("random", {"window": 0}),
        ("random", {"name": "_mine"}),
        ("random", {"name": "report.html"}),
    ],
)
def test_what_cannot_be_meant_is_refused(prepared, strategy, given):
    ((name, value),) = given.items()
    with pytest.raises(UsageError, match=f"--{name} is '?{value}"):
        search_settings(prepared, strategy, **given)


@pytest.mark.parametrize(
    ("workers", "window", "trials", "told"),
    [
        (8, 64, None, False),
        (64, 64, 1000, False),
        (65, 64, 1000, True),
        (65, 64, None, True),
        (65, 64, 30, False),
    ],
)
def test_workers_that_cannot_be_busy_are_pointed_out(workers, window, trials, told):
    text = idle_workers(workers, window, trials)
    assert (text is not None) == told
    if told:
        assert f"--window {4 * workers}" in text


def test_auto_is_written_down_as_what_it_stands_for(prepared):
    settings = search_settings(prepared, "auto")
    assert (settings.strategy, settings.name) == (BEST, "baseline_cnn-auto")


@pytest.mark.parametrize(
    ("backend", "gpus", "warned"), [("jax", ("a GPU",), True), ("jax", (), False), ("torch", ("a GPU",), False)]
)
def test_a_person_is_told_where_the_same_search_may_end_otherwise(monkeypatch, backend, gpus, warned):
    monkeypatch.setattr("tuning.core.machine.gpus", lambda: gpus)
    assert (unrepeatable(backend) is not None) == warned


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8G", 8 * 2**30),
        ("1.5 GB", 3 * 2**29),
        ("512MiB", 2**29),
        ("100", 100),
        (7, 7),
        ("2k", 2048),
        ("0", 0),
        ("0.4", 1),
    ],
)
def test_sizes(text, found):
    assert size(text) == found


@pytest.mark.parametrize("text", ["", "much", "-1G", "8X", "nan", "1e9"])
def test_what_is_no_size_is_refused(prepared, text):
    with pytest.raises(UsageError, match="--max-memory is"):
        search_settings(prepared, max_memory=text)


def test_a_search_keeps_to_the_memory_that_there_was_when_it_began(prepared, monkeypatch):
    def limit(**given):
        return search_settings(prepared, name="limited", **given).max_memory

    monkeypatch.setattr("tuning.core.machine.memory", lambda: machine.Memory(2**34, None))
    monkeypatch.setattr("tuning.core.machine.gpus", lambda: ())
    assert limit() == 2**34
    directory = prepared.search("limited")
    directory.mkdir(parents=True)
    try:
        config.freeze(directory, search_settings(prepared, name="limited"))
        monkeypatch.setattr("tuning.core.machine.memory", lambda: machine.Memory(2**30, None))
        assert limit() == 2**34
        assert limit(fresh=True) == 2**30
        assert limit(max_memory="0") is None
        with pytest.raises(StateError, match="max_memory was 17179869184, now 8589934592"):
            config.freeze(directory, search_settings(prepared, name="limited", max_memory="8G"))
        monkeypatch.setattr(
            "tuning.core.machine.gpus", lambda: (machine.Gpu("a", 2**33, 9.0), machine.Gpu("b", 2**32, 9.0))
        )
        assert limit(fresh=True) == 2**33
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize(("images", "base", "told"), [(2_999, None, True), (3_000, None, False), (10, "a" * 64, False)])
def test_a_small_folder_is_told_of_a_base(prepared, images, base, told):
    settings = dataclasses.replace(search_settings(prepared), base=base)
    assert ("--base MODEL" in base_hint(settings, images)) == told

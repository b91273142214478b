"""What is asked of a node, and of this machine, before any trial runs there: no Ray needed."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tuning.core import packages
from tuning.core.errors import EnvironmentProblem, UsageError
from tuning.engine.executors import ray
from tuning.engine.executors.ray import RayExecutor
from tuning.pipeline.resources import Resources


@pytest.mark.parametrize(("installed", "words"), [(None, "none is installed"), ("2.51.0", "2.51.0 is installed")])
def test_a_missing_or_old_ray_is_named_with_the_line_to_install_it(tmp_path, monkeypatch, installed, words):
    monkeypatch.setattr(packages, "version", lambda name: installed if name == "ray" else "99")
    with pytest.raises(EnvironmentProblem, match=words) as caught:
        RayExecutor(1, "sample_work:run", {}, tmp_path)
    assert "pip install -e '.[ray]'" in caught.value.remedy


@pytest.mark.parametrize("address", ["ray://somewhere:10001", "local", "somewhere", ":6379", "host:port"])
def test_an_address_is_auto_or_host_and_port(tmp_path, monkeypatch, address):
    monkeypatch.setattr(packages, "version", lambda name: "99")
    with pytest.raises(UsageError, match=f"--ray-address is '{address}'"):
        RayExecutor(1, "sample_work:run", {}, tmp_path, address=address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "nowhere.invalid:6379"])
def test_an_address_where_nothing_answers_is_named_at_once(tmp_path, monkeypatch, address):
    monkeypatch.setattr(packages, "version", lambda name: "99")
    with pytest.raises(EnvironmentProblem, match=f"nothing answers at the Ray address {address}"):
        RayExecutor(1, "sample_work:run", {}, tmp_path, address=address)


def test_without_an_address_it_is_the_environments(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "version", lambda name: "99")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(EnvironmentProblem, match=r"nothing answers at the Ray address 127.0.0.1:1 \(RAY_ADDRESS\)"):
        RayExecutor(1, "sample_work:run", {}, tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "somewhere")
    with pytest.raises(UsageError, match="RAY_ADDRESS is 'somewhere'"):
        RayExecutor(1, "sample_work:run", {}, tmp_path)


def test_without_a_cluster_it_says_how_to_start_one_and_that_local_needs_none(tmp_path, monkeypatch):
    def no_cluster(*arguments, **options):
        raise ConnectionError("no running Ray instance")

    exceptions = SimpleNamespace(RayError=RuntimeError)
    monkeypatch.setitem(
        sys.modules, "ray", SimpleNamespace(init=no_cluster, exceptions=exceptions, is_initialized=lambda: False)
    )
    monkeypatch.setattr(packages, "version", lambda name: "99")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(EnvironmentProblem, match="no Ray cluster on this machine") as caught:
        RayExecutor(1, "sample_work:run", {}, tmp_path)
    for words in ("RAY_AUTH_MODE=token", "ray start --head", "tuning.search --executor ray", "--executor local"):
        assert words in caught.value.remedy


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"shared": False}, "node far does not see"),
        ({"versions": {**ray.versions(), "numpy": "1.0"}}, "node far has numpy 1.0"),
        ({"versions": {**ray.versions(), "keras": None}}, "node far has keras not at all"),
    ],
)
def test_a_node_that_would_not_give_the_same_answer_is_refused(tmp_path, facts, words):
    whole = {"node": "far", "shared": True, "versions": ray.versions()}
    ray.check(whole, tmp_path)
    with pytest.raises(EnvironmentProblem, match=words):
        ray.check({**whole, **facts}, tmp_path)


def test_a_folder_that_is_not_shared_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "_VISIBLE_SECONDS", 0.0)
    seat = ray.Seat("sample_work:run", {}, tmp_path, None)
    assert not seat.inspect(tmp_path / "mark", "one")["shared"]
    (tmp_path / "mark").write_text("another")
    assert not seat.inspect(tmp_path / "mark", "one")["shared"]
    (tmp_path / "mark").write_text("one")
    assert seat.inspect(tmp_path / "mark", "one")["shared"]


@pytest.mark.parametrize(
    ("gpus", "workers", "share"), [(0, 4, 0), (4, 4, 1), (4, 2, 1), (2, 4, 1 / 2), (2, 3, 1 / 2), (1, 3, 1 / 3)]
)
def test_every_worker_gets_its_share_of_the_gpus(gpus, workers, share):
    assert ray.gpu_share(gpus, workers) == share


def test_a_node_is_told_the_paths_of_this_project_and_the_users_only(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    paths = ray.own_paths()
    assert str(tmp_path) in paths
    assert not [path for path in paths if "site-packages" in path or path.endswith("lib-dynload")]


def test_an_address_means_something_to_ray_alone():
    with pytest.raises(UsageError, match="--ray-address is 'auto', but --executor is 'local'"):
        Resources(ray_address="auto")
    assert Resources("ray", ray_address="auto").options() == {"workers": None, "address": "auto"}
    assert Resources("ray", 3, ray_address="auto").options() == {"workers": 3, "address": "auto"}
    assert Resources("ray", 3).options() == {"workers": 3, "address": None}

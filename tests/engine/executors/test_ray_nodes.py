"""What is said of a cluster before anything is asked of it: no Ray needed."""

from __future__ import annotations

import platform
import sys
import time
from types import SimpleNamespace

import pytest

from tuning.core import packages
from tuning.core.errors import Disconnected, EnvironmentProblem, UsageError
from tuning.engine.executors import Finished, Job, ray, ray_cluster
from tuning.engine.executors.ray import RayExecutor
from tuning.engine.executors.seats import Request
from tuning.pipeline.resources import Resources


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    """A process of its own, with a Ray that is new enough."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(packages, "version", lambda name: "99")


@pytest.mark.parametrize(("installed", "words"), [(None, "none is installed"), ("2.51.0", "2.51.0 is installed")])
def test_a_missing_or_old_ray_is_named_with_the_line_to_install_it(tmp_path, monkeypatch, installed, words):
    monkeypatch.setattr(packages, "version", lambda name: installed if name == "ray" else "99")
    with pytest.raises(EnvironmentProblem, match=words) as caught:
        RayExecutor(1, "sample_work:run", {}, tmp_path)
    assert "pip install -e '.[ray]'" in caught.value.remedy


def test_installed_without_its_sources_ray_comes_from_an_index(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "_settings", lambda: None)
    monkeypatch.setattr(packages, "requirements", lambda: {None: [], "ray": ["ray>=2.52"]})
    monkeypatch.setattr(packages, "version", lambda name: None)
    with pytest.raises(EnvironmentProblem) as caught:
        RayExecutor(1, "sample_work:run", {}, tmp_path)
    assert caught.value.remedy == "run: pip install 'face-tuning[ray]'"


@pytest.mark.parametrize("address", ["ray://somewhere:10001", "local", "somewhere", ":6379", "host:port"])
def test_an_address_is_auto_or_host_and_port(address):
    with pytest.raises(UsageError, match=f"--ray-address is '{address}'"):
        ray_cluster.checked_address(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "nowhere.invalid:6379"])
def test_an_address_where_nothing_answers_is_named_at_once(tmp_path, address):
    with pytest.raises(EnvironmentProblem, match=f"nothing answers at the Ray address {address}"):
        RayExecutor(1, "sample_work:run", {}, tmp_path / "logs", address=address)
    assert not (tmp_path / "logs").exists()


_DRIVER = """
import sys
sys.stdin.readline()
print('{"type": "seats", "count": 1}', flush=True)
sys.stdin.readline()
print('{"type": "finished", "key": "trial/0001", "fence": 3, "result": {"score": 1}}', flush=True)
"""


def test_what_has_ended_before_the_cluster_went_away_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "command", lambda: [sys.executable, "-c", _DRIVER])
    executor = RayExecutor(1, "sample_work:run", {}, tmp_path, address="auto")
    try:
        executor.submit(Job("trial/0001", 3, "trial"))
        executor._process.wait(60)
        while executor._answers.qsize() < 2:  # its result, and the end of its answers
            time.sleep(0.01)
        assert executor.collect(0) == [Finished("trial/0001", 3, {"score": 1})]
        with pytest.raises(Disconnected):
            executor.collect(0)
    finally:
        executor.close()


_REFUSAL = """
print('{"type": "refused", "problem": "no room", "remedy": "wait"}', flush=True)
"""


def test_what_has_ended_before_the_driver_gave_up_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "command", lambda: [sys.executable, "-c", _DRIVER + _REFUSAL])
    executor = RayExecutor(1, "sample_work:run", {}, tmp_path, address="auto")
    try:
        executor.submit(Job("trial/0001", 3, "trial"))
        executor._process.wait(60)
        while executor._answers.qsize() < 3:  # its result, the refusal, and the end of its answers
            time.sleep(0.01)
        assert executor.collect(0) == [Finished("trial/0001", 3, {"score": 1})]
        for _ in range(2):
            with pytest.raises(EnvironmentProblem, match="no room"):
                executor.collect(0)
    finally:
        executor.close()


def test_without_an_address_it_is_the_environments(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(EnvironmentProblem, match=r"nothing answers at the Ray address 127.0.0.1:1 \(RAY_ADDRESS\)"):
        ray_cluster.checked_address(None)
    monkeypatch.setenv("RAY_ADDRESS", "somewhere")
    with pytest.raises(UsageError, match="RAY_ADDRESS is 'somewhere'"):
        ray_cluster.checked_address(None)


def test_where_jobs_are_submitted_is_no_address_but_in_a_job_it_means_this_cluster(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(UsageError, match="where `ray job submit` sends jobs to") as caught:
        ray_cluster.checked_address(None)
    assert "--ray-address auto" in caught.value.remedy
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert ray_cluster.checked_address(None) == "auto"


def test_a_notebook_that_is_connected_means_its_own_cluster(monkeypatch):
    context = SimpleNamespace(gcs_address="10.0.0.1:6379")
    connected = SimpleNamespace(is_initialized=lambda: True, get_runtime_context=lambda: context)
    monkeypatch.setitem(sys.modules, "ray", connected)
    assert ray_cluster.checked_address(None) == "10.0.0.1:6379"


class AuthenticationError(RuntimeError):
    """As Ray's."""


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("auto", ConnectionError("no running Ray instance"), ["no Ray cluster on this machine", "RAY_AUTH_MODE=token"]),
        ("auto", ConnectionError("none"), ["ray start --head", "tuning.search --executor ray", "--executor local"]),
        ("a:1", AuthenticationError("InvalidAuthToken"), ["wants a token, and this command has none"]),
        ("a:1", RuntimeError("Timed out while waiting for GCS"), ["does not answer as a Ray cluster does", "6379"]),
    ],
)
def test_why_a_cluster_lets_nobody_in_is_said(monkeypatch, address, error, words):
    def fails(address):
        raise error

    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(exceptions=SimpleNamespace(RayError=RuntimeError)))
    monkeypatch.setattr(ray_cluster, "_host_and_port", fails)
    with pytest.raises(EnvironmentProblem) as caught:
        ray_cluster.join(address)
    assert all(word in f"{caught.value.problem} {caught.value.remedy}" for word in words)


@pytest.fixture
def cluster(monkeypatch):
    """A cluster without nodes; the test says what it keeps about its versions."""
    kept = {b"CLUSTER_METADATA": None}
    ray = SimpleNamespace(exceptions=SimpleNamespace(RayError=RuntimeError), __version__="2.59.0")
    service = SimpleNamespace(
        internal_kv_get=lambda key, namespace, timeout: kept[key], get_all_node_info=lambda timeout: {}
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(ray_cluster, "_control_service", lambda address: service)
    monkeypatch.setattr(ray_cluster, "CONNECT_SECONDS", 0.0)
    return kept


def test_a_cluster_of_other_versions_is_refused_with_both(cluster):
    cluster[b"CLUSTER_METADATA"] = b'{"ray_version": "2.60.0", "python_version": "3.9.1"}'
    with pytest.raises(EnvironmentProblem) as caught:
        ray_cluster.join("a:1")
    ours = f"this command has Ray 2.59.0 and Python {platform.python_version()}"
    assert caught.value.problem == f"the Ray cluster at a:1 has Ray 2.60.0 and Python 3.9.1, {ours}"


def test_a_machine_that_is_no_node_is_told_how_to_become_one(cluster):
    with pytest.raises(EnvironmentProblem, match="this machine is no node of the Ray cluster at a:1") as caught:
        ray_cluster.join("a:1")
    assert "ray start --address=a:1" in caught.value.remedy


@pytest.mark.parametrize(("flag", "value"), [("workers", 4), ("trial_timeout", 60.0)])
def test_what_one_process_cannot_do_is_refused(flag, value):
    with pytest.raises(UsageError, match=f"--{flag.replace('_', '-')} is {value:g}, but --executor inline") as refused:
        Resources("inline", **{flag: value})
    assert "--executor local" in refused.value.remedy
    assert Resources("inline", workers=1).count() == 1


@pytest.mark.parametrize("flag", ["ray_address", "ray_resources"])
def test_options_of_ray_mean_something_to_ray_alone(flag):
    words = f"--{flag.replace('_', '-')} is 'CPU=2', but --executor is 'local'"
    with pytest.raises(UsageError, match=words):
        Resources(**{flag: "CPU=2"})


def test_what_the_executor_is_told():
    options = Resources("ray", 3, ray_address="auto", ray_resources="CPU=2", ray_wait=60).options()
    assert options == {"workers": 3, "address": "auto", "request": Request(cpus=2), "wait": 60}
    assert Resources("ray").options() == {"workers": None, "address": None, "request": Request(), "wait": None}

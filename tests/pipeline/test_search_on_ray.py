"""A whole search on a Ray cluster of two hosts of their own: what the local executor ends in, byte for byte."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from stress import cluster, cluster_hosts

from .conftest import SEARCH, results


def test_where_there_can_be_no_hosts_the_reason_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(cluster, "refused", lambda: "namespaces are not allowed: no")
    assert cluster.main(tmp_path) == {"passed": True, "skipped": "namespaces are not allowed: no"}
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    assert cluster.main(tmp_path) == {"passed": True, "skipped": "Ray is not installed"}


@pytest.mark.tensorflow
@pytest.mark.long
def test_two_hosts_of_a_ray_cluster_give_the_same_answer(finished, prepared, sample_environment, tmp_path):
    if not importlib.util.find_spec("ray"):
        pytest.skip("Ray is not installed")
    if reason := cluster_hosts.refused():
        pytest.skip(reason)
    command = [sys.executable, "-m", "stress.cluster_ray", str(tmp_path), str(prepared.root), *SEARCH]
    code = cluster_hosts.inside(command, env=sample_environment)
    assert code == 0, (tmp_path / "search.log").read_text()
    shared = type(finished)(tmp_path / "shared")
    assert results(shared) == results(finished)

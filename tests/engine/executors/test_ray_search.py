"""A whole search on a Ray cluster of two hosts of their own: the leaderboard of the local executor, byte for byte."""

from __future__ import annotations

import pytest

from stress import cluster


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_search_under_ray_ends_in_the_local_leaderboard(tmp_path):
    result = cluster.main(tmp_path, ["no fault"])
    if reason := result.get("skipped"):
        pytest.skip(reason)
    (case,) = result["each"]
    assert result["passed"], case
    assert case["leaderboard"] == case["local"] != "none"

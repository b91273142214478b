"""Whatever a builder draws random numbers with, a training that goes on is the one that never stopped."""

from __future__ import annotations

import pytest

from tuning.trials.spaces import space_digest

pytestmark = pytest.mark.tensorflow

REPEATABLE = (
    "augmix",
    "unseeded_step",
    "tf_loss",
    "numpy_loss",
    "python_step",
    "tf_step",
    "python_optimizer",
    "generator_in_loss",
    "unseeded_layers",
    "at_import",
)


@pytest.fixture
def random_job(job, sample_spaces, monkeypatch):
    """As `job`, of a builder of `random_spaces`."""
    monkeypatch.syspath_prepend(str(sample_spaces))

    def make(kind, folder, space, **more):
        name = f"random_spaces:{space}"
        made = job(kind, folder, "tiny", **more)
        made["payload"] |= {"space": name, "space_digest": space_digest(name)}
        return made

    return make


@pytest.mark.slow
def test_a_training_that_goes_on_is_the_one_that_never_stopped(random_job, run_jobs, tmp_path):
    def trainings(space):
        return [
            random_job("trial", tmp_path / f"{space}-straight", space, until=3),
            random_job("trial", tmp_path / f"{space}-stopped", space, until=1),
            random_job("trial", tmp_path / f"{space}-stopped", space, until=3, attempt=2),
        ]

    answers = run_jobs([one for space in REPEATABLE for one in trainings(space)], timeout=900)
    assert [answer["error"] for answer in answers] == [None] * len(answers)
    curves = [answer["result"]["curve"] for answer in answers]
    assert all(len(curve) == 3 for curve in curves[::3])
    differ = [space for n, space in enumerate(REPEATABLE) if curves[3 * n] != curves[3 * n + 2]]
    assert differ == []
    # In another process, after nothing: the same.
    (alone,) = run_jobs([random_job("trial", tmp_path / "alone", "at_import", until=3)])
    assert alone["result"]["curve"] == curves[-1]

"""Whatever a builder draws random numbers with, a training that goes on is the one that never stopped."""

from __future__ import annotations

import pytest

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


@pytest.mark.slow
def test_a_training_that_goes_on_is_the_one_that_never_stopped(job, run_jobs, tmp_path):
    def training(space, folder, **more):
        return job("trial", tmp_path / folder, f"random_spaces:{space}", **more)

    def trainings(space):
        return [
            training(space, f"{space}-straight", until=3),
            training(space, f"{space}-stopped", until=1),
            training(space, f"{space}-stopped", until=3, attempt=2),
        ]

    answers = run_jobs([one for space in REPEATABLE for one in trainings(space)], timeout=900)
    assert [answer["error"] for answer in answers] == [None] * len(answers)
    curves = [answer["result"]["curve"] for answer in answers]
    assert all(len(curve) == 3 for curve in curves[::3])
    differ = [space for n, space in enumerate(REPEATABLE) if curves[3 * n] != curves[3 * n + 2]]
    assert differ == []
    # In another process, after nothing: the same.
    (alone,) = run_jobs([training("at_import", "alone", until=3)])
    assert alone["result"]["curve"] == curves[-1]

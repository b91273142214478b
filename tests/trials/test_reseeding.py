"""A builder that seeds random numbers is found and named; on Keras's NumPy backend, in this process."""

from __future__ import annotations

import pytest

from tuning.core.errors import UsageError
from tuning.core.jobs import DescribeJob
from tuning.trials.discover_space import discover_space
from tuning.trials.jobs import decoded
from tuning.trials.spaces import space_digest


@pytest.fixture
def found(job, tmp_path, sample_spaces, monkeypatch):
    monkeypatch.syspath_prepend(str(sample_spaces))
    # NumPy cannot train.
    monkeypatch.setattr("tuning.trials.discover_space.try_default", lambda job, dataset: None)

    def run(space):
        name = f"random_spaces:{space}"
        payload = job("describe", tmp_path, "tiny")["payload"] | {"space": name, "space_digest": space_digest(name)}
        return discover_space(decoded(DescribeJob, payload, "describe"), lambda entry: None)

    return run


@pytest.mark.parametrize(
    ("space", "line"),
    [
        ("seeds_everything", "keras.utils.set_random_seed(42)"),
        ("seeds_python", "random.seed(hp.Fixed('seed', 7))"),
        ("seeds_numpy", "np.random.seed(1)"),
    ],
)
def test_a_builder_that_seeds_is_refused_with_the_line(found, space, line):
    with pytest.raises(UsageError) as refused:
        found(space)
    assert f"seeds random numbers in its builder ({line})" in refused.value.problem
    assert "take that line out" in refused.value.remedy


def test_weights_that_no_seed_changes_are_told(found):
    (warning,) = found("seeded_layers").warnings
    assert "the same weights whatever its seed" in warning


def test_nothing_is_said_of_others(found):
    """Also not where numbers are drawn, or seeded while the module is imported."""
    for space in ("at_import", "tf_loss", "augmix"):
        assert not any("seed" in warning for warning in found(space).warnings), space

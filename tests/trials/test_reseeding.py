"""A builder whose numbers something else than the trial's seed decides is found; on Keras's NumPy backend."""

from __future__ import annotations

import pytest

from tuning.core.errors import UsageError


@pytest.mark.parametrize(
    ("space", "line"),
    [
        ("seeds_everything", "keras.utils.set_random_seed(42)"),
        ("seeds_python", "random.seed(hp.Fixed('seed', 7))"),
        ("seeds_numpy", "np.random.seed(1)"),
    ],
)
def test_a_builder_that_seeds_is_refused_with_the_line(described, space, line):
    with pytest.raises(UsageError) as refused:
        described(f"random_spaces:{space}")
    assert f"seeds random numbers in its builder ({line})" in refused.value.problem
    assert "take that line out" in refused.value.remedy


def test_weights_that_no_seed_changes_are_told(described):
    (warning,) = described("random_spaces:seeded_layers").warnings
    assert "the same weights whatever its seed" in warning


@pytest.mark.parametrize("space", ["counts_its_calls", "grows", "unseeded"])
def test_a_builder_that_remembers_its_calls_or_draws_without_a_seed_is_refused(described, space):
    with pytest.raises(UsageError, match="does not build the same model twice") as refused:
        described(f"random_spaces:{space}")
    assert "counts or remembers its calls" in refused.value.remedy


def test_nothing_is_said_of_others(described):
    """Also not where numbers are drawn, or seeded while the module is imported."""
    for space in ("at_import", "tf_loss", "augmix"):
        assert not any("seed" in warning for warning in described(f"random_spaces:{space}").warnings), space

"""Builders of `sample_spaces`, built or refused."""

from __future__ import annotations

import pytest

from tuning.core.errors import EXIT_USAGE, UsageError
from tuning.trials.spaces import build_model

SHAPE, CLASSES = (24, 24, 1), 3


def build(name, values=None, shape=SHAPE, classes=CLASSES):
    return build_model(f"sample_spaces:{name}", values or {}, shape, classes)


def refusal(call, *arguments):
    """Problem and remedy of a call that is refused."""
    with pytest.raises(UsageError) as refused:
        call(*arguments)
    assert refused.value.exit_code == EXIT_USAGE
    assert "\n" not in refused.value.problem
    return f"{refused.value.problem} → {refused.value.remedy}"

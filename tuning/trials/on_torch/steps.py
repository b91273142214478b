"""The steps of a model on PyTorch."""

from __future__ import annotations

from tuning.trials.spaces import Interface
from tuning.trials.steps import KerasSteps


def steps_of(model, interface: Interface) -> KerasSteps:
    """Keras's own."""
    return KerasSteps(model, interface)

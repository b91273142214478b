"""Checks that a builder's random draws depend only on the trial's seed."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core.errors import UsageError
from tuning.trials.runtime import is_seed_state
from tuning.trials.spaces import space_code

if TYPE_CHECKING:
    import keras

#: In the body of a function: a call that seeds a global generator.
_SEEDING = re.compile(r"^\s+(.*\b(set_random_seed|random\.seed|set_seed|manual_seed)\(.*)", re.MULTILINE)


def generators() -> dict[str, Any]:
    """Returns the states of the global random generators, by the call that seeds them."""
    import keras

    state = np.random.get_state()
    found: dict[str, Any] = {"random.seed": random.getstate(), "np.random.seed": (bytes(state[1]), state[2])}
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        found["tf.random.set_seed"] = tf.compat.v1.get_seed(1)[0]
    elif keras.backend.backend() == "torch":
        import torch

        found["torch.manual_seed"] = torch.initial_seed()
    return found


def check_seeds(space: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Refuses a builder that seeds global generators itself: their states are then equal whatever the trial's seed.

    Args:
        one, other: `generators()` after the same configuration was built under two seeds.

    Raises:
        UsageError: a state is equal in both; names the call, and its line in the builder if found.
    """
    seeded = [name for name, state in one.items() if other[name] == state]
    if not seeded:
        return
    calls = "keras.utils.set_random_seed" if len(seeded) == len(one) else " and ".join(seeded)
    lines = (match[1].strip() for code in space_code(space)[0].values() for match in _SEEDING.finditer("\n".join(code)))
    line = next(lines, None)
    raise UsageError(
        f"search space {space!r} seeds random numbers in its builder ({line or calls}): every trial would begin with "
        "the same weights whatever its seed, and several seeds of a configuration would say nothing about it",
        "take that line out of the builder: each trial has a seed of its own, which follows from --seed; for numbers "
        "that must stay the same use np.random.default_rng(…)",
    )


def check_repeats(space: str, one: keras.Model, other: keras.Model) -> None:
    """Refuses a builder that remembers earlier calls or draws random numbers without a seed.

    A trial's result would then depend on which worker builds it, and after which other trials.

    Args:
        one, other: built from the same values under the same seed.

    Raises:
        UsageError: their weights differ.
    """
    shapes = [[tuple(weight.shape) for weight in model.weights] for model in (one, other)]
    if shapes[0] == shapes[1] and all(np.array_equal(a, b, equal_nan=True) for a, b in _weights(one, other)):
        return
    raise UsageError(
        f"search space {space!r} does not build the same model twice: called again with the same values and the same "
        "seed, it begins with other weights",
        "take out of the builder what counts or remembers its calls, such as a variable of the module, and random "
        "numbers that no seed decides, such as np.random.default_rng() without one",
    )


def _weights(one: keras.Model, other: keras.Model) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (np.asarray(a).astype(np.float32), np.asarray(b).astype(np.float32))
        for a, b in zip(one.weights, other.weights, strict=False)
        if not is_seed_state(a)
    ]


def same_weights(one: keras.Model, other: keras.Model) -> str | None:
    """Returns a warning if two models of one configuration have equal weights despite different seeds, else None."""
    drawn = _weights(one, other)
    varied = [pair for pair in drawn if pair[0].size > 1 and pair[0].std() > 0]
    if not varied or not all(np.array_equal(a, b) for a, b in varied):
        return None
    return (
        "the default configuration begins with the same weights whatever its seed (loaded, or initializers with a seed "
        "of their own): several seeds of a configuration will differ less than they should"
    )

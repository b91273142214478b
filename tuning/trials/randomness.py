"""The random state of a training step outside the model's layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Randomness:
    """Where the random numbers of a step come from.

    Attributes:
        unkeyed: operations whose random state is part of the compiled step. Only compiling resets it, so the step is
            compiled again for every epoch, from a seed of that epoch.
        foreign: names of variables that a step uses but that belong neither to the model, its optimizer or metrics, nor
            to Keras: no checkpoint contains them.
        states: states of Keras seed generators that belong neither to the model nor to Keras, for example to a loss.
    """

    unkeyed: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    states: tuple[Any, ...] = ()

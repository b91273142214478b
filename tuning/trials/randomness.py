"""The random state of a training step outside the layers of its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Randomness:
    """Where the random numbers of a step come from.

    Attributes:
        unkeyed: operations whose state lies in the compiled step, which only a new one sets back: it is made anew for
            every epoch, from a seed of that epoch.
        foreign: names of variables that a step uses and that belong to neither the model, its optimizer and metrics,
            nor to Keras: no checkpoint has them.
        states: states of Keras's seed generators that belong to neither the model nor Keras itself, but say to a loss.
    """

    unkeyed: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    states: tuple[Any, ...] = ()

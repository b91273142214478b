"""Explains why a training loss is above the validation loss: the two measure different things. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: Part of a hyperparameter's name -> what it changes in the training loss but not in the validation loss.
_CAUSES = {
    "smooth": "labels are smoothed",
    "mixup": "images are mixed with each other, and so are their labels",
    "cutmix": "images are mixed with each other, and so are their labels",
    "augment": "images are augmented",
    "dropout": "units are dropped",
    "l1": "penalties on weights are added",
    "l2": "penalties on weights are added",
    "regular": "penalties on weights are added",
}


def explanation(
    history: Mapping[str, Sequence[float | None]], values: Mapping[str, Any], epoch: int, classes: int
) -> str:
    """Explains why a run's training loss exceeds its validation loss in the published epoch; empty if it does not.

    Args:
        history: the columns of history.json.
        values: the run's hyperparameters.
        epoch: the published epoch, from 1.
        classes: number of classes.
    """
    loss, validated = (_at(history.get(name, ()), epoch) for name in ("loss", "val_loss"))
    if loss is None or validated is None or loss <= validated:
        return ""
    causes: dict[str, list[str]] = {}
    for name, value in values.items():
        cause = next((words for part, words in _CAUSES.items() if part in name.lower()), None)
        if cause and _is_on(value):
            causes.setdefault(cause, []).append(f"{name} {value:.3g}" if _is_number(value) else f"{name} {value}")
    found = [f"{cause} ({', '.join(names)})" for cause, names in causes.items()]
    said = f"Its training loss in epoch {epoch}, {loss:.3f}, is above its validation loss, {validated:.3f}"
    always = "it is also the mean over an epoch in which the model still learned"
    if not found:
        return (
            f"{said}. No hyperparameter of it explains that by its name: layers of the model that drop, augment or "
            f"penalise would; {always}."
        )
    floor = _floor(values, classes)
    lowest = "" if floor is None else f", so that not even a perfect model would come below {floor:.3f}"
    return f"{said}, which is the cross-entropy of unchanged images. In training {'; '.join(found)}{lowest}; {always}."


def _at(column: Sequence[float | None], epoch: int) -> float | None:
    return column[epoch - 1] if 0 < epoch <= len(column) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_on(value: Any) -> bool:
    return value not in (None, False, 0, "", "none", "off")


def _floor(values: Mapping[str, Any], classes: int) -> float | None:
    """Returns the entropy of smoothed labels, which no model's cross-entropy can undercut; None without smoothing."""
    share = next((value for name, value in values.items() if "smooth" in name.lower() and _is_number(value)), 0)
    if not 0 < share < 1:
        return None
    other = share / classes
    own = 1 - share + other
    return -(own * math.log(own) + (classes - 1) * other * math.log(other))

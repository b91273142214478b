"""What `metrics.json` holds, checked field by field. Pure: no files, no arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

METRICS_SCHEMA = 1

KINDS = ("finalist", "baseline", "train")

#: How pixels (0…255 as decoded) reach the model, by the word that `input.scaling` holds.
SCALINGS = {
    "0-1": "float32 pixels divided by 255",
    "0-255": "float32 pixels as decoded; the model rescales them itself",
}
#: Channels of an image, by the word that `input.color` holds.
CHANNELS = {"gray": 1, "rgb": 3}

OUTPUTS = ("probabilities", "logits")

Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_classes(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 2 and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_share, value)) and value[0] <= value[1]


def _is_input(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_count(value.get("image_size"))
        and value["image_size"] > 0
        and value.get("color") in CHANNELS
        and value.get("scaling") in SCALINGS
    )


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _is_class_table(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(row, dict)
        and all(_is_share(row.get(name)) for name in ("precision", "recall", "f1"))
        and _is_count(row.get("support"))
        for row in value.values()
    )


def _is_count_matrix(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, list) and len(row) == len(value) and all(map(_is_count, row)) for row in value
    )


#: What the worker knows and nobody can compute from the staged files, in the order that metrics.json keeps.
ABOUT: dict[str, Check] = {
    "kind": lambda value: value in KINDS,
    "search": _optional(_is_text),
    "trial": _optional(_is_text),
    "rank": _optional(_is_count),
    "space": _is_text,
    "strategy": _optional(_is_text),
    "seed": _is_integer,
    "parameters": _is_count,
    "test_openings": _is_count,
    "classes": _is_classes,
    "data_digest": _is_text,
    "config_digest": _is_text,
    "weights_sha256": _is_text,
    "dtype_policy": _is_text,
    "input": _is_input,
    "started": _is_text,
    "finished": _is_text,
    "train_seconds": _is_number,
}

_VAL: dict[str, Check] = {
    "f1_macro": _is_share,
    "accuracy": _optional(_is_share),
    "loss": _optional(_is_number),
}

#: What the worker may know better than the staged files: the epoch (from 1) whose weights the model has, that very
#: model's figures on validation, and what the model itself puts out.
ABOUT_OPTIONAL: dict[str, Check] = {
    "best_epoch": lambda value: _is_count(value) and value > 0,
    "val": lambda value: isinstance(value, dict) and not problems(value, _VAL),
    "output": lambda value: value in OUTPUTS,
}

_COMPUTED: dict[str, Check] = {
    **ABOUT_OPTIONAL,
    "run_id": _is_text,
    "epochs": _is_count,
    "test": lambda value: isinstance(value, dict),
    "model_sha256": _is_sha256,
}

_TEST: dict[str, Check] = {
    "accuracy": _is_share,
    "precision_macro": _is_share,
    "recall_macro": _is_share,
    "f1_macro": _is_share,
    "loss": _is_number,
    "per_class": _is_class_table,
    "confusion_matrix": _is_count_matrix,
    "f1_macro_interval": _is_interval,
}


def problems(value: Mapping[str, Any], checks: Mapping[str, Check], prefix: str = "") -> list[str]:
    """One short phrase for each field of `checks` that `value` lacks or holds in a form that cannot be meant."""
    found = []
    for name, check in checks.items():
        if name not in value:
            found.append(f"{prefix}{name} is missing")
        elif not check(value[name]):
            found.append(f"{prefix}{name} is {_brief(value[name])}")
    return found


def metrics_problems(metrics: Any) -> list[str]:
    """What is wrong with the content of a metrics.json; empty when nothing is."""
    if not isinstance(metrics, dict):
        return ["it does not hold an object"]
    if metrics.get("schema") != METRICS_SCHEMA:
        return [f"schema is {_brief(metrics.get('schema'))}, this version reads {METRICS_SCHEMA}"]
    found = problems(metrics, ABOUT | _COMPUTED)
    if isinstance(metrics.get("test"), dict):
        found += problems(metrics["test"], _TEST, "test.")
    if not found and (
        list(metrics["test"]["per_class"]) != metrics["classes"]
        or len(metrics["test"]["confusion_matrix"]) != len(metrics["classes"])
    ):
        found.append("test.per_class or test.confusion_matrix does not agree with classes")
    return found


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

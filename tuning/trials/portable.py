"""Checks whether a model will load in plain Keras, without the code that built it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def custom_objects(config: Any) -> list[str]:
    """Names of everything in a model's configuration that only its builder's code can bring back.

    Custom layers, activations, initializers and the like, registered ones too (a registration is code), and
    Lambda layers, whose code Keras refuses to run with `safe_mode=True`.

    Args:
        config: `model.get_config()`, or any part of it.
    """
    if isinstance(config, dict):
        found = [_name(config)] if "class_name" in config and _is_custom(config) else []
        if any(_is_code(value) for name, value in config.items() if name.endswith("activation")):
            found.append("a lambda as activation")
        return found or _of_all(config.values())
    return _of_all(config) if isinstance(config, (list, tuple)) else []


def _of_all(parts: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in custom_objects(part)))


def _is_custom(entry: dict[str, Any]) -> bool:
    if entry["class_name"].startswith("__"):
        return entry["class_name"] == "__lambda__"  # the others are plain values: tuples, arrays
    return (entry.get("module") or "").partition(".")[0] != "keras"


def _is_code(activation: Any) -> bool:
    """Whether it is what Keras makes of a lambda: code in base64, without the name of a class around it."""
    return isinstance(activation, dict) and "class_name" not in activation


def _name(entry: dict[str, Any]) -> str:
    if entry["class_name"] == "function":
        return f"function {entry.get('config')}"
    return "Lambda" if entry["class_name"] == "__lambda__" else entry["class_name"]

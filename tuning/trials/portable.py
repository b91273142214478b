"""Checks whether plain Keras can load a model without the code that built it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def custom_objects(config: Any) -> list[str]:
    """Returns the names of all objects in a model's configuration that need code outside Keras.

    These are custom layers, activations, initializers and the like, even registered ones (registration needs code), and
    Lambda layers, whose code Keras refuses to run with `safe_mode=True`.

    Args:
        config: `model.get_config()`, or any part of it.
    """
    if isinstance(config, dict):
        found = [_name(config)] if "class_name" in config and _is_custom(config) else []
        return found or _of_all(config.values())
    return _of_all(config) if isinstance(config, (list, tuple)) else []


def _of_all(parts: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in custom_objects(part)))


def _is_custom(entry: dict[str, Any]) -> bool:
    if entry["class_name"].startswith("__"):
        return entry["class_name"] == "__lambda__"  # others are plain values: tuples, arrays
    return (entry.get("module") or "").partition(".")[0] != "keras"


def _name(entry: dict[str, Any]) -> str:
    if entry["class_name"] == "function":
        return f"function {entry.get('config')}"
    return "Lambda" if entry["class_name"] == "__lambda__" else entry["class_name"]

"""The line that runs a search again. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

#: Settings that are no options: they follow from the data, the code, the strategy or the machine.
_DERIVED = ("space_digest", "data_digest", "backend", "threads", "slices", "dtype_policy", "learned", "tries")


def repeat_command(settings: Mapping[str, Any]) -> str:
    """The command that begins a search with these settings, in full: what a default is today may change.

    Args:
        settings: as frozen in search.json; each is the option of its name.
    """
    words = ["python", "-m", "tuning.search"]
    for name, value in settings.items():
        if name not in _DERIVED and value is not None:
            option = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words += [f"--{option}", str(value)]
    for values in settings.get("tries") or ():
        words += ["--try", ",".join(f"{name}={value}" for name, value in values.items())]
    if settings.get("slices", 1) > 1:
        words += ["--min-epochs", f"1/{settings['slices']}"]
    policy = settings.get("dtype_policy")
    if policy:
        words += ["--dtype", {"mixed_bfloat16": "bfloat16"}.get(policy, policy)]
    backend = settings.get("backend", "tensorflow")
    prefix = "" if backend == "tensorflow" else f"KERAS_BACKEND={backend} "
    return prefix + shlex.join(words)

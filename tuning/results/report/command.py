"""The command that repeats a search. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from tuning.core.acceptance import OVERLAP
from tuning.core.options import options_of
from tuning.core.plan import Plan
from tuning.core.settings import SearchSettings
from tuning.engine.budget import as_given


def repeat_command(settings: Mapping[str, Any], plan: Plan | None = None) -> str:
    """Returns the command that begins a search with these settings; it states every option, as defaults may change.

    Args:
        settings: the settings in search.json; each has the name of its option.
        plan: the plan of the search's budget, if it has one.
    """
    words = ["python", "-m", "tuning.search"]
    for option in options_of(SearchSettings):
        value = _as_given(option.field, settings)
        if isinstance(value, bool):
            words.append(option.flag if value else f"--no-{option.flag.removeprefix('--')}")
        elif isinstance(value, list):
            words += [word for one in value for word in (option.flag, one)]
        elif value is not None:
            words += [option.flag, str(value)]
    if settings.get("base_overlap"):
        words += ["--accept", OVERLAP]
    if plan is not None:
        words += ["--budget", as_given(plan.budget)]
    backend = settings.get("backend", "tensorflow")
    prefix = "" if backend == "tensorflow" else f"KERAS_BACKEND={backend} "
    return prefix + shlex.join(words)


def _as_given(field: str, settings: Mapping[str, Any]) -> Any:
    """Returns a setting as it is given on the command line, which differs from the stored form for some."""
    value = settings.get(field)
    if field == "dtype_policy":
        return {"mixed_bfloat16": "bfloat16"}.get(str(value), value)
    if field == "min_epochs" and settings.get("parts", 1) > 1:
        return f"1/{settings['parts']}"
    if field == "max_memory":
        return 0 if value is None else value
    if field == "tries":
        return [",".join(f"{name}={given}" for name, given in values.items()) for values in value or ()]
    return value

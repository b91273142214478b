"""Turns given options into the frozen settings of a search or a run, completed and checked."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from tuning.core import machine, options, packages
from tuning.core.errors import UsageError
from tuning.core.plan import Plan
from tuning.core.quiet import without_greeting
from tuning.core.settings import FILE_NAME, SearchSettings, TrainSettings, load, read_settings
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import read_info
from tuning.oracles import BEST, Strategy, find_strategy
from tuning.pipeline import bases
from tuning.pipeline.planning import MOST_EPOCHS_FROM_BASE, full_training, least_rung, steps_per_epoch
from tuning.pipeline.prices import MOST_EPOCHS
from tuning.pipeline.values import as_text
from tuning.pipeline.warm_start import learned, own_configuration
from tuning.trials.spaces import keras_home, space_digest

BACKENDS = ("tensorflow", "jax", "torch")
#: Default space of a search from scratch, and of one that starts from a base.
BASELINE, FINE_TUNE = "baseline_cnn", "fine_tune"
#: Arguments of `run_search` and `plan_search` beside the settings, for messages; `resources` says where trials run.
_MORE = ("accept", "base_license", "base_weights", "budget", "fresh", "progress", "resources")
#: A search's name, and that of its folder; report.html beside the folders is the page about all searches.
_NAME = re.compile(r"(?!report\.html$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def search_settings(
    workspace: Workspace, strategy: str = "hyperband", *, fresh: bool = False, plan: Plan | None = None, **given: Any
) -> SearchSettings:
    """Completes and checks the settings of a search; reads the workspace and writes nothing.

    Args:
        strategy: a name of `STRATEGIES`.
        fresh: the search starts over; what an existing one of that name began with does not count.
        plan: of a budget; decides what is not given. None: the plan of the existing search of this name, if it has one.
        given: the options of `SearchSettings` by their names. As values in Python, `min_epochs` is a whole number, or a
            part of an epoch as "1/3" or `1 / 3`; `tries` holds configurations as text or as mappings; `max_memory` is
            bytes, or text as "8G", and 0 for no limit.

    Raises:
        TypeError: an argument that is no option.
        UsageError: an option is invalid, or contradicts another.
        DataError: the workspace holds no prepared data.
    """
    row = find_strategy(strategy)
    values = options.given(SearchSettings, {**given, "strategy": strategy}, more=_MORE)
    values["space"] = space_of(values)
    values["min_epochs"], parts = first_rung(values["min_epochs"])
    name = values["name"] = _name_of(values)
    plan = plan or (None if fresh else began_with(workspace, name))
    if plan is not None:
        values["max_epochs"] = values["max_epochs"] or plan.max_epochs
        values["window"] = values["window"] or plan.window
    images = read_info(workspace).counts["train"]
    steps = steps_per_epoch(images)
    most = MOST_EPOCHS if values["base"] is None else MOST_EPOCHS_FROM_BASE
    values["max_epochs"] = values["max_epochs"] or min(most, full_training(steps))
    if values["min_epochs"] is None and parts == 1 and "min_epochs" in row.options:
        values["min_epochs"] = least_rung(values["max_epochs"], steps, values["factor"])
    values["retrain_epochs"] = values["retrain_epochs"] or values["max_epochs"]
    _check_together(values, parts, row)
    run = _run_values(workspace, values)
    if parts > images:
        raise UsageError(f"--min-epochs is 1/{parts}, but there are {images} training images", "give a larger part")
    tries = [own_configuration(one) if isinstance(one, str) else as_text(one) for one in values["tries"] or ()]
    earlier = values["from_search"]
    return _complete(
        SearchSettings,
        {
            **values,
            **run,
            "base_overlap": run["base_overlap"] if fresh else _overlap_it_began_with(workspace, name, run),
            "strategy": BEST if strategy == "auto" else strategy,
            "window": values["window"] or row.window,
            "parts": parts,
            "plan": plan,
            "tries": tries or None,
            "learned": None if earlier is None else learned(workspace, earlier, name, fresh),
            "max_memory": _memory_limit(workspace, name, values["max_memory"], fresh),
        },
    )


def began_with(workspace: Workspace, name: str) -> Plan | None:
    """Returns the plan that the existing search of this name began with; None if there is none."""
    directory = workspace.search(name)
    return load(directory, SearchSettings).plan if (directory / FILE_NAME).exists() else None


def _overlap_it_began_with(workspace: Workspace, name: str, run: Mapping[str, Any]) -> int | None:
    """Returns the overlap that a search from this base began with: what is learned about a base later must not count as
    a changed setting."""
    if run["base"] is None or not (workspace.search(name) / FILE_NAME).exists():
        return run["base_overlap"]
    began = read_settings(workspace.search(name))
    return began.get("base_overlap") if began.get("base") == run["base"] else run["base_overlap"]


def train_settings(workspace: Workspace, values: Mapping[str, Any] | None = None, **given: Any) -> TrainSettings:
    """Completes and checks the settings of a single run; raises as `search_settings`.

    Args:
        values: hyperparameters by name, or a row of `trials_frame`.
        given: the options of `TrainSettings` by their names.
    """
    known = options.given(TrainSettings, given, more=("values",))
    known["space"] = space_of(known)
    given_values = {} if values is None else as_text(values)
    return _complete(TrainSettings, {**known, **_run_values(workspace, known), "values": given_values})


def space_of(values: Mapping[str, Any]) -> str:
    """Returns the search space: the given one, or the default of a search from scratch or from a base.

    Raises:
        UsageError: the space needs a base, and none is given.
    """
    space, base = values["space"], values["base"]
    if space == FINE_TUNE and base is None:
        raise UsageError(f"--space {FINE_TUNE} starts from a model, but none is given", "give --base MODEL")
    return (BASELINE if base is None else FINE_TUNE) if space is None else space


def _complete(kind: type[Any], values: dict[str, Any]) -> Any:
    """Returns the settings, each value converted to its field's type."""
    values = {name: value for name, value in values.items() if name != "dtype"}
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"a setting has a value of the wrong type: {error}", "see the command's --help") from None


def _run_values(workspace: Workspace, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of `RunSettings` that follow from the options, the data and the machine."""
    backend = training_backend()
    # The module of a builder imports Keras.
    with without_greeting():
        digest = space_digest(values["space"])
    data, base = read_info(workspace).digest, values["base"]
    found = None if base is None else bases.find(workspace, base).sha256
    return {
        "base": found,
        "base_overlap": None if found is None else bases.overlap_of(workspace, base, found, data),
        "space_digest": digest,
        "data_digest": data,
        "backend": backend,
        "versions": packages.versions(backend),
        "threads": 1,
        "dtype_policy": dtype_policy(values["dtype"], backend),
    }


def _name_of(values: Mapping[str, Any]) -> str:
    name = values["name"]
    if name is None:
        # A module may have characters that a name cannot have, and many levels: its end says more than its beginning.
        plain = re.sub(r"[^A-Za-z0-9._-]", "-", f"{values['space']}-{values['strategy']}")
        name = plain[-64:].lstrip("._-")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name is {name!r}",
            "use up to 64 letters, digits, dots, dashes and underscores, a letter or a digit first",
        )
    return name


def _check_together(values: Mapping[str, Any], parts: int, row: Strategy) -> None:
    """Refuses options that contradict each other or the strategy."""
    strategy, min_epochs, max_epochs = values["strategy"], values["min_epochs"], values["max_epochs"]
    if min_epochs is not None and not min_epochs >= 1:
        raise UsageError(f"--min-epochs is {min_epochs}", "give 1 or more")
    if (min_epochs is not None or parts > 1) and "min_epochs" not in row.options:
        raise UsageError(
            f"--min-epochs is given, but --strategy {strategy} trains every configuration in full", "leave it out"
        )
    usual = {option.name: option.default for option in options.options_of(SearchSettings)}
    for name in ("iterations", "sampler", "factor"):
        if values[name] != usual[name] and "iterations" not in row.options:
            raise UsageError(
                f"--{name} is {values[name]}, but --strategy {strategy} has no brackets",
                "leave it out",
            )
    if min_epochs is not None and min_epochs > max_epochs:
        raise UsageError(f"--min-epochs is {min_epochs}, --max-epochs {max_epochs}", "give no more than --max-epochs")
    if values["reuse_trials"] and values["retrain_epochs"] != max_epochs:
        raise UsageError(
            f"--reuse-trials is given, but --retrain-epochs is {values['retrain_epochs']} and --max-epochs "
            f"{max_epochs}",
            "leave one of them out: learning rates are laid out for one length of training",
        )
    if values["reuse_trials"] and parts > 1:
        raise UsageError(
            "--reuse-trials is given, but --min-epochs is a part of an epoch", "leave one of them out: runs are whole"
        )


def _memory_limit(workspace: Workspace, name: str, given: str | int | None, fresh: bool) -> int | None:
    if given is not None:
        return size(given) or None
    if not fresh and (workspace.search(name) / FILE_NAME).exists():
        # A search keeps the limit that it began with, whatever machine it resumes on.
        return read_settings(workspace.search(name)).get("max_memory")
    # The larger memory: whether the backend can use an existing GPU is unknown here.
    return max((*(gpu.memory for gpu in machine.gpus()), machine.memory().total or 0)) or None


def size(text: str | int) -> int:
    """Returns the bytes of a size such as "8G", "1.5GB" or "512MiB", or of a plain number; all units are binary.

    Raises:
        UsageError: it is no size.
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)(?:i?B)?", str(text).strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"--max-memory is {text!r}", "give a size such as 8G or 512M, or 0 for no limit")
    return math.ceil(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def first_rung(given: float | str | None) -> tuple[int | None, int]:
    """Parses `--min-epochs`: returns (whole epochs, or None; number of parts that the first epoch is trained in).

    Raises:
        UsageError: it is neither a whole number nor 1/N.
    """
    if given is None or isinstance(given, int):
        return given, 1
    text = _as_typed(given) if isinstance(given, float) else str(given).strip()
    match = re.fullmatch(r"(\d{1,6})(?:/(\d{1,6}))?", text)
    if match and match[2] is None:
        return int(match[1]), 1
    if match is None or int(match[1]) != 1 or int(match[2]) < 2:
        raise UsageError(f"--min-epochs is {given!r}", "give whole epochs, or a part of one such as 1/3")
    return None, int(match[2])


def _as_typed(number: float) -> str:
    """Returns a number as it is typed on the command line: "2" for 2.0, "1/3" for 1 / 3."""
    if number.is_integer():
        return str(int(number))
    parts = round(1 / number) if 1e-6 <= number < 1 else 0
    return f"1/{parts}" if parts and 1 / parts == number else str(number)


def training_backend() -> str:
    """Returns the Keras backend that trials run on: the one that Keras itself would choose in a new process.

    That is KERAS_BACKEND; without it, the backend of Keras if this process has imported it, else the one in Keras's own
    configuration file, else TensorFlow.

    Raises:
        UsageError: that backend cannot train.
    """
    named = os.environ.get("KERAS_BACKEND")
    name = named or _configured_backend()
    if name not in BACKENDS:
        source = "KERAS_BACKEND" if named else "the Keras backend"
        raise UsageError(f"{source} is {name!r}", f"set KERAS_BACKEND to one of {', '.join(BACKENDS)}")
    return name


def _configured_backend() -> str:
    if "keras" in sys.modules:
        return str(sys.modules["keras"].config.backend())
    try:
        found = json.loads((keras_home() / "keras.json").read_text(encoding="utf-8"))
        return str(found.get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return "tensorflow"


def dtype_policy(choice: str, backend: str) -> str:
    """Returns the Keras dtype policy of a --dtype: "auto" is bfloat16 if the processor or GPU computes in it.

    On any processor, JAX computes bfloat16 in float32, with conversions that make it slower.
    """
    if choice == "auto":
        faster = machine.has_bfloat16() and (backend != "jax" or bool(machine.gpus()))
        return "mixed_bfloat16" if faster else "float32"
    return {"bfloat16": "mixed_bfloat16", "float32": "float32"}[choice]

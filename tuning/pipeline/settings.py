"""From what a person asked for to the frozen settings of a search or a run, completed and checked."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tuning.core import machine
from tuning.core.errors import UsageError
from tuning.core.settings import FILE_NAME, SearchSettings, TrainSettings, check_positive, read_settings
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import read_info
from tuning.oracles import BEST, find_strategy
from tuning.pipeline.warm_start import learned, own_configuration
from tuning.trials.spaces import space_digest

BACKENDS = ("tensorflow", "jax", "torch")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def search_settings(
    workspace: Workspace,
    strategy: str = "hyperband",
    space: str = "baseline_cnn",
    name: str | None = None,
    max_epochs: int = 27,
    min_epochs: float | str | None = None,
    factor: int = 3,
    max_trials: int | None = None,
    iterations: int | None = None,
    window: int | None = None,
    seed: int = 0,
    top_k: int = 3,
    retrain_epochs: int | None = None,
    executions: int = 1,
    early_stopping: int | None = None,
    reduce_lr: int | None = None,
    dtype: str = "auto",
    stop_curves: bool = True,
    reuse_trials: bool = False,
    tries: Sequence[str | Mapping[str, Any]] | None = None,
    from_search: str | None = None,
    max_memory: str | int | None = None,
    fresh: bool = False,
) -> SearchSettings:
    """Completes and checks the settings of a search.

    Args:
        min_epochs: whole epochs, or a part of one as "1/3" or `1 / 3`.
        tries: configurations to try first: values by name, or text as "learning_rate=3e-4,filters=48".
        from_search: an earlier search of the workspace, whose best configurations are tried after those.
        max_memory: bytes, or text as "8G", that a training may take; 0: no limit; None: what this machine has, or
            the largest of its GPUs if that is more, or had when the search began.
        fresh: the search starts over; what one of that name began with does not count.

    Raises:
        UsageError: an option that cannot be meant.
        DataError: the workspace holds no prepared data.
    """
    row = find_strategy(strategy)
    min_epochs, slices = first_rung(min_epochs)
    check_positive(max_epochs=max_epochs, max_trials=max_trials, top_k=top_k, retrain_epochs=retrain_epochs)
    check_positive(min_epochs=min_epochs, executions=executions, iterations=iterations, window=window)
    if (min_epochs is not None or slices > 1) and "min_epochs" not in row.options:
        raise UsageError(
            f"--min-epochs is given, but --strategy {strategy} trains every configuration in full", "leave it out"
        )
    if iterations is not None and "iterations" not in row.options:
        raise UsageError(f"--iterations is given, but --strategy {strategy} has no brackets to pass", "leave it out")
    if min_epochs is not None and min_epochs > max_epochs:
        raise UsageError(f"--min-epochs is {min_epochs}, --max-epochs {max_epochs}", "give no more than --max-epochs")
    if factor < 2:
        raise UsageError(f"--factor is {factor}", "give 2 or more")
    if reuse_trials and (retrain_epochs or max_epochs) != max_epochs:
        raise UsageError(
            f"--reuse-trials is given, but --retrain-epochs is {retrain_epochs} and --max-epochs {max_epochs}",
            "leave one of them out: learning rates are laid out for one length of training",
        )
    if reuse_trials and slices > 1:
        raise UsageError(
            "--reuse-trials is given, but --min-epochs is a part of an epoch", "leave one of them out: runs are whole"
        )
    images = read_info(workspace).counts["train"]
    if slices > images:
        raise UsageError(f"--min-epochs is 1/{slices}, but there are {images} training images", "give a larger part")
    name = name if name is not None else f"{space.replace(':', '-')}-{strategy}"
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name is {name!r}", "use up to 64 letters, digits, dots, dashes and underscores")
    return SearchSettings(
        **_run_fields(workspace, space, seed, early_stopping, reduce_lr, dtype),
        name=name,
        strategy=BEST if strategy == "auto" else strategy,
        max_epochs=max_epochs,
        min_epochs=min_epochs,
        factor=factor,
        max_trials=max_trials,
        window=window or row.window,
        top_k=top_k,
        retrain_epochs=retrain_epochs or max_epochs,
        executions=executions,
        iterations=iterations,
        slices=slices,
        stop_curves=stop_curves,
        reuse_trials=reuse_trials,
        tries=[_as_text(given) for given in tries or ()] or None,
        from_search=from_search,
        learned=None if from_search is None else learned(workspace, from_search, name, fresh),
        max_memory=_memory_limit(workspace, name, max_memory, fresh),
    )


def _memory_limit(workspace: Workspace, name: str, given: str | int | None, fresh: bool) -> int | None:
    if given is not None:
        return size(given) or None
    if not fresh and (workspace.search(name) / FILE_NAME).exists():
        # One that began without goes on without.
        return read_settings(workspace.search(name)).get("max_memory")
    # The larger: whether the backend can use a GPU that is there, nobody knows here.
    return max((*(gpu.memory for gpu in machine.gpus()), machine.memory().total or 0)) or None


def size(text: str | int) -> int:
    """The bytes that "8G", "1.5GB", "512MiB" or a whole number mean; decimal and binary units are the same here.

    Raises:
        UsageError: they mean none.
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)(?:i?B)?", str(text).strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"--max-memory is {text!r}", "give a size such as 8G or 512M, or 0 for no limit")
    return math.ceil(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def _as_text(given: str | Mapping[str, Any]) -> dict[str, str]:
    if isinstance(given, str):
        return own_configuration(given)
    return {name: str(value) for name, value in given.items()}


def first_rung(given: float | str | None) -> tuple[int | None, int]:
    """(whole epochs, or None; parts that the first epoch is trained in) of what `--min-epochs` says.

    Raises:
        UsageError: neither a whole number nor 1/N.
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
    """What stands for a number on the command line: "2" for 2.0, "1/3" for 1 / 3."""
    if number.is_integer():
        return str(int(number))
    parts = round(1 / number) if 1e-6 <= number < 1 else 0
    return f"1/{parts}" if parts and 1 / parts == number else str(number)


def train_settings(
    workspace: Workspace,
    space: str,
    values: Mapping[str, Any],
    epochs: int,
    seed: int,
    early_stopping: int | None,
    reduce_lr: int | None,
    dtype: str,
) -> TrainSettings:
    """Completes and checks the settings of a single run; raises as `search_settings`."""
    check_positive(epochs=epochs)
    return TrainSettings(
        **_run_fields(workspace, space, seed, early_stopping, reduce_lr, dtype),
        values={name: str(value) for name, value in values.items()},
        epochs=epochs,
    )


def _run_fields(
    workspace: Workspace, space: str, seed: int, early_stopping: int | None, reduce_lr: int | None, dtype: str
) -> dict[str, Any]:
    """The fields of `RunSettings`."""
    check_positive(early_stopping=early_stopping, reduce_lr=reduce_lr)
    backend = training_backend()
    return {
        "space": space,
        "space_digest": space_digest(space),
        "data_digest": read_info(workspace).digest,
        "seed": seed,
        "backend": backend,
        "threads": 1,
        "dtype_policy": dtype_policy(dtype, backend),
        "early_stopping": early_stopping,
        "reduce_lr": reduce_lr,
    }


def training_backend() -> str:
    """The Keras backend that trials run on: KERAS_BACKEND, else TensorFlow.

    Raises:
        UsageError: KERAS_BACKEND names one that cannot train.
    """
    name = os.environ.get("TUNING_BACKEND") or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise UsageError(f"KERAS_BACKEND is {name!r}", f"set it to one of {', '.join(BACKENDS)}, or unset it")
    return name


def dtype_policy(choice: str, backend: str) -> str:
    """The Keras dtype policy of a choice: "auto" is bfloat16 where the processor or GPU computes in it.

    JAX computes bfloat16 in float32 on any processor, with conversions that make it the slower one.
    """
    if choice == "auto":
        faster = machine.has_bfloat16() and (backend != "jax" or bool(machine.gpus()))
        return "mixed_bfloat16" if faster else "float32"
    return {"bfloat16": "mixed_bfloat16", "float32": "float32"}[choice]

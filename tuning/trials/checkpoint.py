"""Epoch checkpoints: weights, optimizer, epoch and curve as one file that is there whole or not at all.

Each attempt writes under its own fencing number, so a process that was given up but still runs cannot overwrite what
its successor wrote; whichever file is newest and whole is as good as any other, because training is deterministic.
"""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuning.files import announce, replacing

_NAME = re.compile(r"epoch-(\d{5})-attempt-(\d{7})\.npz")


@dataclass(frozen=True)
class TrainingState:
    """Everything a trial needs to go on after `epoch` epochs as if nothing had happened.

    Attributes:
        epoch: epochs done.
        curve: one dict per epoch, from epoch 1; nothing in it depends on the clock.
        seconds: wall-clock seconds of each epoch.
        weights: `model.weights` as float arrays, in their order.
        optimizer: `model.optimizer.variables`, in their order.
        best: `model.weights` after the best epoch so far; empty where only the last state matters.
    """

    epoch: int
    curve: tuple[dict[str, Any], ...]
    seconds: tuple[float, ...]
    weights: tuple[np.ndarray, ...]
    optimizer: tuple[np.ndarray, ...]
    best: tuple[np.ndarray, ...] = ()


def save_state(directory: Path, attempt: int, state: TrainingState) -> None:
    """Writes the state atomically, then removes the ones before it."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"epoch-{state.epoch:05d}-attempt-{attempt:07d}.npz"
    groups = {"weights": state.weights, "optimizer": state.optimizer, "best": state.best}
    about = {
        "epoch": state.epoch,
        "curve": state.curve,
        "seconds": state.seconds,
        "counts": {name: len(arrays) for name, arrays in groups.items()},
    }
    arrays = {f"{name}-{i}": array for name, group in groups.items() for i, array in enumerate(group)}
    with replacing(path) as temporary:
        np.savez(temporary, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
    for epoch, _, older in _states(directory):
        if epoch < state.epoch:
            announce("remove", older)
            with contextlib.suppress(FileNotFoundError):
                older.unlink()


def load_state(directory: Path) -> TrainingState | None:
    """The newest whole state of a trial; None where there is none.

    A file that does not read back (its checksum fails) is passed over: an older one costs epochs, not truth.
    """
    for _, _, path in reversed(_states(directory)):
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue
    return None


def _read(path: Path) -> TrainingState:
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes())
        groups = {name: tuple(file[f"{name}-{i}"] for i in range(count)) for name, count in about["counts"].items()}
    return TrainingState(epoch=about["epoch"], curve=tuple(about["curve"]), seconds=tuple(about["seconds"]), **groups)


def _states(directory: Path) -> list[tuple[int, int, Path]]:
    """(epoch, attempt, path) of each checkpoint file."""
    if not directory.is_dir():
        return []
    found = []
    for path in directory.iterdir():
        if match := _NAME.fullmatch(path.name):
            found.append((int(match[1]), int(match[2]), path))
    return sorted(found)

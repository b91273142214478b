"""Epoch checkpoints: weights, optimizer, epoch and curve in one file, written atomically.

Each attempt writes under its own fencing number, so that a process that was given up but is still running cannot
overwrite the files of its successor. Any complete file of an epoch is as good as another: training is deterministic.
"""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np

from tuning.core.files import announce, replacing
from tuning.core.jobs import Entry

#: Errors that reading a damaged file raises; the last two come from a damaged zip directory.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
_NAME = re.compile(r"epoch-(\d{5,})-attempt-(\d{7,})\.npz")


@dataclass(frozen=True)
class TrainingState:
    """Everything a trial needs to resume after `epoch` epochs as if it had not been interrupted.

    Attributes:
        epoch: epochs done; parts of an epoch if it has several, see `plan.next_part`.
        curve: one dict per epoch, from epoch 1; nothing in it depends on the clock.
        seconds: wall-clock seconds of each epoch.
        weights: `model.weights` as arrays, in their order.
        optimizer: `model.optimizer.variables`, in their order.
        chosen: `model.weights` after the epoch that would be published now; empty if only the last state is needed.
        chosen_epoch: that epoch; 0 if there is none.
    """

    epoch: int
    curve: tuple[Entry, ...]
    seconds: tuple[float, ...]
    weights: tuple[np.ndarray, ...]
    optimizer: tuple[np.ndarray, ...]
    chosen: tuple[np.ndarray, ...] = ()
    chosen_epoch: int = 0


def save_state(directory: Path, attempt: int, state: TrainingState) -> None:
    """Writes the state atomically, then removes those of earlier epochs."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"epoch-{state.epoch:05d}-attempt-{attempt:07d}.npz"
    groups = {"weights": state.weights, "optimizer": state.optimizer, "chosen": state.chosen}
    about = {
        "epoch": state.epoch,
        "curve": state.curve,
        "seconds": state.seconds,
        "chosen_epoch": state.chosen_epoch,
        "dtypes": {name: [np.asarray(array).dtype.name for array in arrays] for name, arrays in groups.items()},
    }
    arrays = {f"{name}-{i}": array for name, group in groups.items() for i, array in enumerate(group)}
    with replacing(path) as temporary:
        np.savez(temporary, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **cast(Any, arrays))
    for epoch, _, older in _states(directory):
        if epoch < state.epoch:
            announce("remove", older)
            with contextlib.suppress(FileNotFoundError):
                older.unlink()


class Saver:
    """Saves states in a background thread while training goes on; at the end of the `with` block all are on disk.

    A state is saved completely before the next one is begun, so that a crash loses at most the current epoch and the
    one before.

    Raises:
        OSError: saving failed; raised by the next `save` or at the end of the block.
    """

    def __init__(self, directory: Path, attempt: int) -> None:
        self._directory, self._attempt = directory, attempt
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._saving: Future[None] | None = None

    def save(self, state: TrainingState) -> None:
        self._finish()
        self._saving = self._thread.submit(save_state, self._directory, self._attempt, state)

    def _finish(self) -> None:
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        # Also after a failed training: its result is read from the checkpoint, and would lack epochs without it.
        self._finish()


def load_state(directory: Path, changes: Iterable[tuple[int, int]] = ()) -> TrainingState | None:
    """Returns the newest readable state of a trial; None if there is none.

    A damaged file is skipped: an older one only costs epochs.

    Args:
        changes: (epochs, attempt) of each change of the training: states after that many epochs are valid only from
            that attempt on. An earlier attempt that was given up may still finish an epoch with the old settings.
    """
    changes = tuple(changes)
    for epoch, attempt, path in reversed(_states(directory)):
        if any(epoch > after and attempt < since for after, since in changes):
            continue
        try:
            return _read(path)
        except _DAMAGE:
            continue
    return None


def epochs_done(directory: Path) -> int:
    """Returns the epochs done according to a trial's newest checkpoint; 0 if there is none."""
    states = _states(directory)
    return states[-1][0] if states else 0


def _read(path: Path) -> TrainingState:
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes())
        # A view restores types that NumPy lacks, such as bfloat16: its files hold their bytes, but not their names.
        groups = {
            name: tuple(file[f"{name}-{i}"].view(getattr(ml_dtypes, dtype, dtype)) for i, dtype in enumerate(dtypes))
            for name, dtypes in about["dtypes"].items()
        }
    return TrainingState(
        epoch=about["epoch"],
        curve=tuple(about["curve"]),
        seconds=tuple(about["seconds"]),
        chosen_epoch=about["chosen_epoch"],
        **groups,
    )


def _states(directory: Path) -> list[tuple[int, int, Path]]:
    """Returns (epoch, attempt, path) of each checkpoint file, in ascending order."""
    if not directory.is_dir():
        return []
    found = []
    for path in directory.iterdir():
        if match := _NAME.fullmatch(path.name):
            found.append((int(match[1]), int(match[2]), path))
    return sorted(found)

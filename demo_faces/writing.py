"""Writes a labelled data set of synthetic faces, for a first run and for tests.

Every image is a pure function of (seed, label, index, size), so drawing more images changes none of the earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from demo_faces.drawing import render
from demo_faces.expressions import EMOTIONS
from demo_faces.traits import sample_face
from tuning.core import files
from tuning.core.errors import DataError, UsageError
from tuning.core.progress import SILENT, Progress
from tuning.core.records import keyed_seed
from tuning.core.workspace import Workspace

#: Increased whenever the drawings change, so that old and new faces are never mixed in one folder.
VERSION = 1
#: Name of the file with the settings of the demo faces in a workspace.
RECORD = "demo.json"
DEFAULT_PER_CLASS = 200
DEFAULT_SIZE = 64
MINIMUM_SIZE, MAXIMUM_SIZE = 48, 512
#: With fewer images, the rarest class might not be in all three splits.
MINIMUM_PER_CLASS = 10
#: Images of a class relative to the largest class: mildly imbalanced, as collected faces are.
SHARES = {"angry": 0.85, "disgust": 0.6, "fear": 0.8, "happy": 1.0, "neutral": 0.95, "sad": 0.9, "surprise": 0.8}

_ELSEWHERE = "give a --root of its own, for example --root demo-workspace: demo faces are never mixed with other data"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that determine the faces: arguments of `write_demo_faces`, and the version of the drawings."""

    version: int = VERSION
    seed: int
    image_size: int
    per_class: int
    classes: list[str]


@dataclass(frozen=True)
class DemoFaces:
    """The result of `write_demo_faces`.

    Attributes:
        folder: the raw folder, one sub-folder per class.
        counts: label -> number of images.
        image_size: width and height in pixels.
        seed: of the drawings.
        written: number of images drawn by this call; 0 if all existed already.
    """

    folder: Path
    counts: dict[str, int]
    image_size: int
    seed: int
    written: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"folder": str(self.folder), "images": sum(self.counts.values())}


def encode_face(label: str, seed: int, index: int, size: int) -> bytes:
    """Return face number `index` of class `label` as the bytes of a JPEG file; the compression quality varies.

    Raises:
        UsageError: an unknown label, or a size out of range.
    """
    if label not in EMOTIONS:
        raise UsageError(f"{label!r} is not an emotion that can be drawn", f"choose from {', '.join(EMOTIONS)}")
    _check_size(size)
    face = sample_face(label, np.random.default_rng(keyed_seed(seed, label, index)))
    _, encoded = cv2.imencode(".jpg", render(face, size), [cv2.IMWRITE_JPEG_QUALITY, face.scene.jpeg_quality])
    return encoded.tobytes()


def choose_classes(text: str) -> tuple[str, ...]:
    """Parse `--classes`: "4" means the first four emotions, "happy,sad" these two, always in the order of `EMOTIONS`.

    Raises:
        UsageError: fewer than two classes, more than exist, unknown or repeated names.
    """
    remedy = f"give a number from 2 to {len(EMOTIONS)}, or names from {', '.join(EMOTIONS)}"
    if text.strip().isdecimal():
        if not 2 <= int(text) <= len(EMOTIONS):
            raise UsageError(f"--classes is {text}", remedy)
        return EMOTIONS[: int(text)]
    names = tuple(name.strip().lower() for name in text.split(","))
    if len(set(names)) < max(2, len(names)) or not set(names) <= set(EMOTIONS):
        raise UsageError(f"--classes is {text!r}", remedy)
    return tuple(name for name in EMOTIONS if name in names)


def class_counts(classes: Sequence[str], per_class: int) -> dict[str, int]:
    """Return the images per class: `per_class` × `SHARES`, at least `MINIMUM_PER_CLASS`."""
    return {label: max(MINIMUM_PER_CLASS, round(per_class * SHARES[label])) for label in classes}


def write_demo_faces(
    workspace: Workspace,
    per_class: int = DEFAULT_PER_CLASS,
    classes: Sequence[str] | int = EMOTIONS,
    seed: int = 0,
    image_size: int = DEFAULT_SIZE,
    progress: Progress = SILENT,
) -> DemoFaces:
    """Draw the data set into the workspace's raw folder, as `<class>/<class>_00000.jpg` and so on.

    The folder appears completely or not at all; `demo.json` beside it holds the settings. Another call with the same
    arguments draws only images that were deleted meanwhile.

    Args:
        workspace: an empty workspace, or one with the same demo faces.
        per_class: images of the largest of all seven classes; see `SHARES`.
        classes: at least two of `EMOTIONS`, or the number of classes.
        seed: of the drawings.
        image_size: width and height in pixels, from 48 to 512.
        progress: receives the progress.

    Raises:
        UsageError: an argument out of range.
        DataError: the workspace holds other data, other demo faces, or results of other data.
    """
    if per_class < MINIMUM_PER_CLASS:
        raise UsageError(f"--per-class is {per_class}", f"give at least {MINIMUM_PER_CLASS}, so that it can be split")
    _check_size(image_size)
    classes = choose_classes(str(classes) if isinstance(classes, int | str) else ",".join(classes))
    counts = class_counts(classes, per_class)
    settings = Settings(seed=seed, image_size=image_size, per_class=per_class, classes=list(classes))
    names = [f"{label}/{label}_{index:05}.jpg" for label, count in counts.items() for index in range(count)]
    folder, record = workspace.raw, workspace.data / RECORD
    if record.exists():
        _refuse_other_demo(workspace, settings, set(names))
    else:
        _refuse_other_data(workspace)
        workspace.create()
        # The record is written first, so that the next call after an interruption finds a demo to complete rather than
        # unknown data.
        about = "synthetic faces in raw_yolo, drawn by `python -m tuning.demo`"
        files.write_json(record, {"about": about, **msgspec.to_builtins(settings), "counts": counts})
    missing = [name for name in names if not (folder / name).exists()]
    if len(missing) < len(names):
        _draw(folder, missing, settings, files.write_bytes, progress)
    else:
        with files.replacing_directory(folder) as aside:
            _draw(aside, names, settings, Path.write_bytes, progress)
    return DemoFaces(folder, counts, image_size, seed, len(missing))


def _draw(
    folder: Path,
    names: Sequence[str],
    settings: Settings,
    write: Callable[[Path, bytes], object],
    progress: Progress,
) -> None:
    if not names:
        return
    with progress.bar(len(names), "drawing faces", "face") as bar:
        for name in names:
            label, _, index = Path(name).stem.rpartition("_")
            (folder / label).mkdir(exist_ok=True)
            write(folder / name, encode_face(label, settings.seed, int(index), settings.image_size))
            bar.update()


def _check_size(size: int) -> None:
    if not MINIMUM_SIZE <= size <= MAXIMUM_SIZE:
        raise UsageError(f"--image-size is {size}", f"give a number from {MINIMUM_SIZE} to {MAXIMUM_SIZE}")


def _refuse_other_demo(workspace: Workspace, settings: Settings, names: set[str]) -> None:
    record = files.read_json(workspace.data / RECORD, f"delete {workspace.data} and {workspace.art}, and run it again")
    before = record if isinstance(record, dict) else {}
    wanted: dict[str, Any] = msgspec.to_builtins(settings)
    changes = [f"{key} is {before.get(key)} there, not {new}" for key, new in wanted.items() if before.get(key) != new]
    if changes:
        raise DataError(
            f"{workspace.raw} holds demo faces with other settings: {'; '.join(changes)}",
            f"give another --root, or delete {workspace.data} and {workspace.art} first, which belong to those faces",
        )
    present = {path.relative_to(workspace.raw).as_posix() for path in workspace.raw.rglob("[!.]*") if path.is_file()}
    foreign = sorted(present - names)
    if foreign:
        raise DataError(
            f"{workspace.raw} holds {len(foreign)} file(s) that are not the demo's, first {foreign[0]}", _ELSEWHERE
        )


def _refuse_other_data(workspace: Workspace) -> None:
    """Refuse a workspace without a record of a demo that holds any data or results: they belong to the user."""
    occupied = (
        workspace.raw,
        workspace.pool,
        workspace.split,
        workspace.pool_manifest,
        workspace.split_manifest,
        workspace.leaderboard,
        workspace.best_model,
        workspace.trials,
        workspace.searches,
    )
    for path in occupied:
        if path.is_dir() and not any(path.iterdir()):
            continue
        if path.exists() or path.is_symlink():
            raise DataError(f"{path} is there already, and is not this demo's own", _ELSEWHERE)

"""Signatures of the images that a model has seen, to check whether validation or test images are among them.

Each image has two: the first 64 bits of the sha256 of its decoded pixels, which finds exact copies and, computed of the
mirror image, mirrored ones; and a perceptual hash (`rough_hash`), which finds copies of different size, quality or
brightness. The signatures reveal to anyone who has a picture whether it was used; from the perceptual hash, a blurred
sketch of the picture could be reconstructed.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.dataset import decode
from tuning.dataset.rough_hash import WORDS, is_near, rough_hash
from tuning.dataset.store.manifests import Place, SplitManifest, read_split_manifest

#: The splits that a model sees in training, and those that it is evaluated on.
SEEN, JUDGES = ("train", "val"), ("val", "test")
_DIGITS = 16


@dataclass(frozen=True)
class Seen:
    """Signatures of the images that a model, its ensemble members and its base model saw.

    Attributes:
        signatures: uint64 (n,), sorted and unique.
        rough: uint64 (m, 3), their perceptual hashes, sorted and unique.
        complete: whether these are all images; False if a base model's training images are unknown.
    """

    signatures: np.ndarray
    rough: np.ndarray
    complete: bool = True

    def __or__(self, other: Seen) -> Seen:
        rough = np.unique(np.concatenate([self.rough, other.rough]), axis=0)
        return Seen(np.union1d(self.signatures, other.signatures), rough, self.complete and other.complete)


@dataclass(frozen=True)
class Overlap:
    """Images of the validation and the test split that a model has seen.

    Attributes:
        exact, mirrored, near: how many it has seen unchanged; else mirrored; else at another size, quality or
            brightness, mirrored or not.
        files: the source of each in the raw data.
    """

    exact: int
    mirrored: int
    near: int
    files: tuple[str, ...]

    @property
    def images(self) -> int:
        return self.exact + self.mirrored + self.near


def signature(sha256: str) -> int:
    return int(sha256[:_DIGITS], 16)


def seen_here(workspace: Workspace) -> Seen:
    """Returns the signatures of the images that a model trained on the prepared split sees.

    Raises:
        DataError: nothing is prepared.
    """
    places = [place for place in _split(workspace).places if place.split in SEEN]
    found = {signature(place.sha256) for place in places}
    rough = []
    for place in places:
        # Runs train on the packed arrays, so an image may be missing from the pool; it then has no perceptual hash.
        with contextlib.suppress(DataError):
            rough.append(rough_hash(_pixels(workspace, place)))
    return Seen(np.array(sorted(found), np.uint64), np.unique(np.array(rough, np.uint64).reshape(-1, WORDS), axis=0))


def overlap(workspace: Workspace, seen: Seen) -> Overlap:
    """Finds the validation and test images that are exact, mirrored or near copies of images in `seen`.

    Raises:
        DataError: nothing is prepared, or an image of the split cannot be read.
    """
    known = set(seen.signatures.tolist())
    found: dict[str, list[Place]] = {"exact": [], "mirrored": [], "near": []}
    others, hashes = [], []
    for place in (place for place in _split(workspace).places if place.split in JUDGES):
        if signature(place.sha256) in known:
            found["exact"].append(place)
            continue
        pixels = _pixels(workspace, place)
        mirror = np.ascontiguousarray(pixels[:, ::-1])
        if signature(decode.pixel_sha256(mirror)) in known:
            found["mirrored"].append(place)
            continue
        others.append(place)
        hashes.append((rough_hash(pixels), rough_hash(mirror)))
    if others:
        near = is_near(np.array(hashes).reshape(-1, WORDS), seen.rough).reshape(-1, 2).any(axis=1)
        found["near"] = [place for place, close in zip(others, near, strict=True) if close]
    files_found = tuple(place.source for places in found.values() for place in places)
    return Overlap(len(found["exact"]), len(found["mirrored"]), len(found["near"]), files_found)


def _pixels(workspace: Workspace, place: Place) -> np.ndarray:
    path = workspace.pool / place.file
    try:
        return decode.read_image(path)
    except (OSError, decode.UnreadableImage) as error:
        raise DataError(f"{path} cannot be read: {error}", "run `python -m tuning.prepare` again") from None


def _split(workspace: Workspace) -> SplitManifest:
    manifest = read_split_manifest(workspace.split_manifest)
    if manifest is None:
        raise DataError(f"{workspace.split_manifest} does not exist", "run `python -m tuning.prepare` first")
    return manifest


def write(path: Path, seen: Seen, models: Iterable[str] = ()) -> None:
    """Writes signatures atomically.

    Args:
        models: sha256 of the `.keras` files that saw the images; `read` can require one of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    complete, names = np.array(seen.complete), np.array(sorted(models), "U64")
    with files.replacing(path) as temporary:
        np.savez(temporary, signatures=seen.signatures, rough=seen.rough, complete=complete, models=names)


def read(path: Path, model: str | None = None) -> Seen | None:
    """Reads signatures; None if the file does not exist or is not about `model`.

    Args:
        model: sha256 of the `.keras` file that must be listed in the file; None accepts any.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            rough = content["rough"].astype(np.uint64).reshape(-1, WORDS)
            found = Seen(content["signatures"].astype(np.uint64), rough, bool(content["complete"]))
            models = [str(sha256) for sha256 in content["models"]]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} does not hold signatures: {error}", "restore it from a copy, or delete it") from None
    return found if model is None or model in models else None

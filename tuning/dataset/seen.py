"""Signatures of the images that a model has seen, and whether it has seen those that are to judge another one.

A signature is the first half of the hash of an image's decoded pixels, eight bytes: from it no picture can be made, but
whoever has a picture can tell whether it was used. A mirrored copy is found by asking for the hash of the mirror image.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.workspace import Workspace
from tuning.dataset import decode
from tuning.dataset.store.manifests import Place, SplitManifest, read_split_manifest

#: What models see in training, and what judges them.
SEEN, JUDGES = ("train", "val"), ("val", "test")
_DIGITS = 16


@dataclass(frozen=True)
class Seen:
    """Images that a model, its members and its own base saw.

    Attributes:
        signatures: uint64 (n,), sorted, each once.
        complete: whether these are all; not where a base of it is of unknown origin.
    """

    signatures: np.ndarray
    complete: bool = True

    def __or__(self, other: Seen) -> Seen:
        return Seen(np.union1d(self.signatures, other.signatures), self.complete and other.complete)


@dataclass(frozen=True)
class Overlap:
    """Images of the validation and the test split that a model has seen.

    Attributes:
        exact, mirrored: how many are there as they are, or only in a mirror.
        files: of all of them, in the raw data's words.
    """

    exact: int
    mirrored: int
    files: tuple[str, ...]

    @property
    def images(self) -> int:
        return self.exact + self.mirrored


def signature(sha256: str) -> int:
    return int(sha256[:_DIGITS], 16)


def seen_here(workspace: Workspace) -> Seen:
    """What a model sees that is trained on the prepared split.

    Raises:
        DataError: nothing is prepared.
    """
    places = _split(workspace).places
    found = {signature(place.sha256) for place in places if place.split in SEEN}
    return Seen(np.array(sorted(found), np.uint64))


def overlap(workspace: Workspace, seen: Seen) -> Overlap:
    """Which images of the validation and the test split are among those seen, as they are or mirrored.

    Raises:
        DataError: nothing is prepared, or an image of the split cannot be read.
    """
    places = [place for place in _split(workspace).places if place.split in JUDGES]
    known = set(seen.signatures.tolist())
    exact = [place for place in places if signature(place.sha256) in known]
    others = [place for place in places if signature(place.sha256) not in known]
    mirrored = [place for place in others if _mirrored(workspace, place) in known]
    return Overlap(len(exact), len(mirrored), tuple(place.source for place in (*exact, *mirrored)))


def _mirrored(workspace: Workspace, place: Place) -> int:
    path = workspace.pool / place.file
    try:
        pixels = decode.read_image(path)
    except (OSError, decode.UnreadableImage) as error:
        raise DataError(f"{path} cannot be read: {error}", "run `python -m tuning.prepare` again") from None
    return signature(decode.pixel_sha256(np.ascontiguousarray(pixels[:, ::-1])))


def _split(workspace: Workspace) -> SplitManifest:
    manifest = read_split_manifest(workspace.split_manifest)
    if manifest is None:
        raise DataError(f"{workspace.split_manifest} does not exist", "run `python -m tuning.prepare` first")
    return manifest


def write(path: Path, seen: Seen, models: Iterable[str] = ()) -> None:
    """Writes signatures, all or nothing.

    Args:
        models: sha256 of the `.keras` files that saw them, where the file goes along with these.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.savez(
        content, signatures=seen.signatures, complete=np.array(seen.complete), models=np.array(sorted(models), "U64")
    )
    files.write_bytes(path, content.getvalue())


def read(path: Path, model: str | None = None) -> Seen | None:
    """The signatures in a file; None where it is not there, or is not about `model`.

    Args:
        model: sha256 of the `.keras` file that they must be of; None: any.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            found = Seen(content["signatures"].astype(np.uint64), bool(content["complete"]))
            models = [str(one) for one in content["models"]]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} does not hold signatures: {error}", "restore it from a copy, or delete it") from None
    return found if model is None or model in models else None

"""Writes a split manifest as files: packed arrays for training, and folders of images for people."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tuning.core.progress import Progress
from tuning.dataset.settings import Settings
from tuning.dataset.store import packing
from tuning.dataset.store.description import (
    COLORS,
    DECODER_VERSION,
    SPLITS,
    DatasetInfo,
    dataset_digest,
    write_description,
)
from tuning.dataset.store.manifests import Place, SplitManifest
from tuning.dataset.store.rows import RowFile


def pack(
    folder: Path,
    pixels_path: Path,
    rows: Mapping[str, int],
    manifest: SplitManifest,
    settings: Settings,
    progress: Progress,
) -> DatasetInfo:
    """Writes the packed arrays and `arrays.json`.

    Args:
        folder: the folder to write to.
        pixels_path: a `RowFile` of the model's input pixels.
        rows: file in the pool -> its row in `pixels_path`.
    """
    classes = sorted({place.label for place in manifest.places})
    channels = COLORS[settings.color]
    indices = {label: index for index, label in enumerate(classes)}
    members = {name: manifest.of(name) for name in SPLITS}
    hashes: dict[str, str] = {}
    shape = (settings.image_size, settings.image_size, channels)
    with RowFile(pixels_path, shape) as pixels, progress.bar(len(manifest.places), "packing", "image") as bar:
        for name, places in members.items():
            order = np.array([rows[place.file] for place in places], np.int64)
            labels = np.array([indices[place.label] for place in places], np.int64)
            hashes |= packing.write_split(folder, name, pixels, order, labels)
            bar.update(len(places))
    content = {name: [(place.sha256, place.label) for place in places] for name, places in members.items()}
    info = DatasetInfo(
        digest=dataset_digest(classes, settings.image_size, settings.color, DECODER_VERSION, content),
        classes=tuple(classes),
        image_size=settings.image_size,
        channels=channels,
        counts={name: len(places) for name, places in members.items()},
    )
    write_description(folder, info, manifest.digest, hashes)
    return info


def link_images(pool_folder: Path, split_folder: Path, places: Sequence[Place], progress: Progress) -> None:
    """Puts every image's file into the folder of its split and class, as a hard link to the pool's file or a copy."""
    for name in SPLITS:
        for label in {place.label for place in places}:
            (split_folder / name / label).mkdir(parents=True)
    with progress.bar(len(places), "linking", "image") as bar:
        for place in places:
            link_or_copy(f"{pool_folder}/{place.file}", f"{split_folder}/{place.split}/{place.file}")
            bar.update()


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Makes `target` a hard link to `source`, or a copy if the file system or system policy forbids links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)

"""The data of the benchmarks: a sample of FER2013 if it is available, otherwise synthetic faces."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import REPOSITORY, run
from tuning.core.records import keyed_seed
from tuning.core.workspace import Workspace

#: Width and height, in pixels, of the images that `photos` writes.
PHOTO = (640, 480)
_IMAGES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Sample:
    """A prepared workspace.

    Attributes:
        source: "fer2013", or "synthetic faces".
        counts: number of training and validation images.
    """

    workspace: Workspace
    source: str
    counts: dict[str, int]

    def to_json(self) -> dict[str, object]:
        return {"source": self.source, "images": self.counts}


def fer2013() -> Path | None:
    """Return FER2013's folder, in TUNING_DATASETS or in shared/datasets beside the repository; None if it is absent."""
    given = os.environ.get("TUNING_DATASETS")
    folder = (Path(given) if given else REPOSITORY.parent / "shared" / "datasets") / "fer2013"
    return folder if folder.is_dir() else None


def raw(target: Path, images: int | None, log: Path, size: int = 48) -> str:
    """Fill the folder `target` with class folders of about `images` images (None: all); return their source.

    Each class keeps its share, but has at least ten images. `size` applies to synthetic faces only, in pixels.
    """
    source = fer2013()
    if source is None:
        # The smaller classes have 60 to 95 % of the images of the largest; the mean over all seven is 84 %.
        per_class = max(10, round((images or 10_000) / 7 / 0.84))
        root = target.parent / f"{target.name}-drawn"
        run(["-m", "tuning.demo", "--root", root, "--per-class", per_class, "--image-size", max(size, 48)], log)
        Workspace(root).raw.rename(target)
        (target / "demo.json").unlink(missing_ok=True)
        return "synthetic faces"
    files = {
        folder.name: sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGES)
        for folder in sorted(source.iterdir())
        if folder.is_dir()
    }
    total = sum(map(len, files.values()))
    for label, paths in files.items():
        chosen = paths
        if images is not None and images < total:
            share = max(10, round(images * len(paths) / total))
            chosen = random.Random(keyed_seed(0, "benchmark", label)).sample(paths, min(share, len(paths)))
        (target / label).mkdir(parents=True)
        for path in chosen:
            shutil.copyfile(path, target / label / path.name)
    return "fer2013"


def photos(target: Path, source: Path, images: int) -> None:
    """Fill the folder `target` with `images` images from `source`'s class folders, enlarged to JPEGs of size PHOTO."""
    import cv2

    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in _IMAGES)
    for path in random.Random(0).sample(paths, images):
        (target / path.parent.name).mkdir(parents=True, exist_ok=True)
        photo = cv2.resize(cv2.imread(str(path)), PHOTO, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(target / path.parent.name / f"{path.stem}.jpg"), photo)


def sample(folder: Path, images: int | None, split: str = "70/15/15") -> Sample:
    """Prepare a workspace of about `images` gray images of 48×48 pixels (None: all), split in the ratios `split`."""
    folder.mkdir(parents=True)
    source = raw(folder / "raw", images, folder / "raw.log")
    root = folder / "workspace"
    command = ["-m", "tuning.prepare", "--root", root, "--raw", folder / "raw", "--split", split, "--quiet"]
    run(command, folder / "prepare.log")
    return opened(root, source)


def opened(root: Path, source: str) -> Sample:
    """Return the sample in a workspace that is already prepared."""
    from tuning.dataset.store.arrays import open_dataset

    dataset = open_dataset(Workspace(root))
    return Sample(Workspace(root), source, {"train": len(dataset.train), "val": len(dataset.val)})

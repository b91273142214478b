"""Finds file names that seem to identify the person shown: `Name_0001`, `S010_004`, `KA.AN1.39`. Pure functions.

Only the user knows whether they do, so images are not grouped by them; the user is told which `--group-by` would do so.
Only Roboflow's names of versions, `photo_jpg.rf.<hash>.jpg`, are unambiguous.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tuning.dataset.sources.samples import PooledImage

#: Expressions for `--group-by` that capture a prefix, the narrowest first.
_FORMS = (
    # Rafd090_01_Caucasian_female_angry_frontal of RaFD: the camera's angle comes first.
    r"Rafd[0-9]+_([0-9]+)_[^/]*$",
    # KA.AN1.39.tiff of JAFFE
    r"([A-Z]{2})\.[A-Z]{2}[0-9]\.[0-9]+\.[^/]*$",
    # AF01ANS.JPG of KDEF, in two sessions, A and B
    r"[AB]([FM][0-9]{2})[A-Z]{2,4}\.[^/]*$",
    # S010_004_00000017, subject12-03, p3_happy
    r"([A-Za-z]{1,8}[0-9]{1,5})[_-][^/]*$",
    # Aaron_Eckhart_0001, anna-12
    r"([A-Za-z][A-Za-z.]*(?:[_-][A-Za-z][A-Za-z.]*)*)[_-][0-9]+\.[^./]*$",
    # 12-frame3, 0007_15
    r"([0-9]{1,6})[_-][^/]*$",
    # S010/003/0001.png, folders of a person's sessions
    r"([A-Za-z]{0,8}[0-9]{1,5})/[A-Za-z]{0,8}[0-9]{1,5}/[^/]+$",
    # S010/0001.png, a folder for each person
    r"([A-Za-z]{0,8}[0-9]{1,5})/[^/]+$",
)
#: Minimum shares of the images that have a prefix, and that share theirs with another image.
_MOST = 0.8
_SHARED = 0.25
#: Fewer prefixes are kinds or parts of a data set rather than persons.
_MIN_PREFIXES = 5
#: Shorter class names may occur in names of persons by chance.
_MIN_CLASS_NAME = 3

_VERSION = re.compile(r"([^/]+)\.rf\.[0-9A-Za-z]{16,}\.[^./]+$")
#: Nobody makes so many versions of one image: these are different images of the same name.
_TOO_MANY_VERSIONS = 50


@dataclass(frozen=True)
class Named:
    """What file names suggest.

    Attributes:
        group_by: the expression that captures the prefix of a path.
        prefixes: number of different prefixes.
        test: test images that have a prefix.
        shared: those of them whose prefix is also that of a training image.
        example: a prefix.
    """

    group_by: str
    prefixes: int
    test: int
    shared: int
    example: str

    @property
    def words(self) -> str:
        return f"{self.shared:,} of {self.test:,} test images share a name's prefix with training"


def look(images: Sequence[PooledImage], splits: Mapping[str, str]) -> Named | None:
    """Returns the first form of name that most images have and whose prefixes are not just names of classes.

    Args:
        splits: file -> split, of every image.
    """
    labels = {image.label.casefold() for image in images}
    for form in _FORMS:
        pattern = re.compile(rf"(?:^|/){form}")
        found = {image.file: match[1] for image in images if (match := pattern.search(image.path))}
        counts = Counter(found.values())
        persons = {name for name in counts if not _names_a_class(name, labels)}
        repeated = sum(count for name, count in counts.items() if name in persons and count > 1)
        if (
            len(found) < _MOST * len(images)
            or len(persons) < max(_MIN_PREFIXES, 0.5 * len(counts))
            or repeated < _SHARED * len(images)
            or max(counts.values()) > 0.5 * len(images)
        ):
            continue
        train = {name for file, name in found.items() if splits[file] == "train"}
        test = [name for file, name in found.items() if splits[file] == "test"]
        return Named(f"(?:^|/){form}", len(counts), len(test), sum(name in train for name in test), min(persons))
    return None


def versions(images: Sequence[PooledImage]) -> dict[str, tuple[str, str]]:
    """Maps paths of Roboflow's versions (an image exported several times, rotated, cropped or blurred) to the original.

    Only originals with several versions are included. With class folders, images of different classes are never
    versions of one original.
    """
    originals = {
        image.path: ("" if image.photo else image.label, match[1])
        for image in images
        if ".rf." in image.source and (match := _VERSION.search(image.path))
    }
    counts = Counter(originals.values())
    return {path: original for path, original in originals.items() if 1 < counts[original] < _TOO_MANY_VERSIONS}


def _names_a_class(name: str, labels: Collection[str]) -> bool:
    """Whether a prefix names a class, as `happy`, `train_happy` and `happy1` do."""
    letters = re.sub(r"[0-9]", "", name).casefold()
    return name.casefold() in labels or any(len(label) >= _MIN_CLASS_NAME and label in letters for label in labels)

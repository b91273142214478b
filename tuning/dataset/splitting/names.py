"""File names that look as if they said who is shown: `Name_0001`, `S010_004`, `KA.AN1.39`. Pure functions.

Whether they do, only a person knows; so nothing is grouped by them. They are told, with the `--group-by` that would.
Only Roboflow's names of versions, `photo_jpg.rf.<hash>.jpg`, cannot be meant otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tuning.dataset.sources.samples import PooledImage

#: What a prefix may look like, as an expression for `--group-by`: the narrowest first.
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
#: Of the images, so many must have such a name, and so many share theirs with another one.
_MOST = 0.8
_SHARED = 0.25
#: Fewer prefixes are kinds or parts of a data set rather than persons.
_LEAST = 5
#: Shorter names of classes are found in persons' names.
_TELLING = 3

_VERSION = re.compile(r"([^/]+)\.rf\.[0-9A-Za-z]{16,}\.[^./]+$")
#: So many versions of one image are not made: these are different images of one name.
_TOO_MANY_VERSIONS = 50


@dataclass(frozen=True)
class Named:
    """What file names suggest.

    Attributes:
        group_by: the expression that takes the prefix from a path.
        prefixes: different ones.
        test: test images with such a prefix.
        shared: those whose prefix is also that of a training image.
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
    """The first form of name that most images have, with prefixes that say more than class or split.

    Args:
        splits: file -> split, of every image.
    """
    labels = {image.label.casefold() for image in images}
    for form in _FORMS:
        pattern = re.compile(rf"(?:^|/){form}")
        found = {image.file: match[1] for image in images if (match := pattern.search(image.path))}
        counts = Counter(found.values())
        said = {name for name in counts if not _names_a_class(name, labels)}
        repeated = sum(count for name, count in counts.items() if name in said and count > 1)
        if (
            len(found) < _MOST * len(images)
            or len(said) < max(_LEAST, 0.5 * len(counts))
            or repeated < _SHARED * len(images)
            or max(counts.values()) > 0.5 * len(images)
        ):
            continue
        seen = {name for file, name in found.items() if splits[file] == "train"}
        test = [name for file, name in found.items() if splits[file] == "test"]
        return Named(f"(?:^|/){form}", len(counts), len(test), sum(name in seen for name in test), min(said))
    return None


def versions(images: Sequence[PooledImage]) -> dict[str, tuple[str, str]]:
    """Path -> of which image it is a version: Roboflow turns, crops and blurs images, and exports each several times.

    Only paths of which there are several versions. In folders of classes, equal names are those of one class.
    """
    found = {
        image.path: ("" if image.photo else image.label, match[1])
        for image in images
        if ".rf." in image.source and (match := _VERSION.search(image.path))
    }
    counts = Counter(found.values())
    return {path: original for path, original in found.items() if 1 < counts[original] < _TOO_MANY_VERSIONS}


def _names_a_class(name: str, labels: Collection[str]) -> bool:
    """As `happy`, `train_happy` and `happy1` do."""
    letters = re.sub(r"[0-9]", "", name).casefold()
    return name.casefold() in labels or any(len(label) >= _TELLING and label in letters for label in labels)

"""Parses one line of a YOLO label file, in every form that tools write, with numbers in any notation.

A line is a box, possibly followed by a confidence, a tracker's number or keypoints, or it is a polygon, of which the
bounding box is used.
"""

from __future__ import annotations

import math
import re
from typing import Literal

from tuning.dataset.sources.samples import Box

Form = Literal["box", "polygon", "keypoints"]
CENTRE = "centre x, centre y, width, height"

#: A box that reaches farther out of the image than this is a mistake, not a rounding error.
_TOLERANCE = 0.01
_MAX_INDEX = 1_000_000
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,4})?$|[-+]?(nan|inf|infinity)$", re.IGNORECASE | re.ASCII)
_FEWEST_LANDMARKS = 3
#: The centre of a box lies in this middle share of its landmarks' ranges; an ellipse has no point in the middle 0.7.
_AMONG = 0.6


def parse(line: str, keypoints: tuple[int, int] | None = None) -> tuple[int, Box, Form]:
    """Parses a line as (class index, box, form).

    Args:
        keypoints: (number of keypoints after each box, values of each) if the export declares it, else None.

    Raises:
        ValueError: the reason, without file and line.
    """
    fields = _fields(line)
    if len(fields) < 5:
        raise ValueError(f"{len(fields)} columns; a face box has 5: class, {CENTRE}")
    index = _index(fields[0])
    try:
        values = [_number(field) for field in fields[1:]]
    except ValueError:
        raise ValueError(f"not all of {' '.join(fields[1:])[:80]!r} are numbers") from None
    if keypoints is not None:
        return index, *_pose(values, keypoints[0] * keypoints[1], len(fields))
    return index, *_by_shape(values, len(fields))


def index_of(line: str) -> int | None:
    """Returns the class index of a line that may be invalid otherwise; None if it has none."""
    try:
        return _index(_fields(line)[0])
    except (ValueError, IndexError):
        return None


def readings(line: str) -> tuple[str, ...]:
    """Returns "box" and the readings of its numbers that lie within the image; () if the line is no box."""
    fields = _fields(line)[1:]
    if not 4 <= len(fields) <= 5 or not all(map(_NUMBER.match, fields)):
        return ()
    one, two, three, four = map(float, fields[:4])
    low, high = -_TOLERANCE, 1 + _TOLERANCE
    starts_within = low <= one and low <= two
    fitting = {
        CENTRE: _is_box([one, two, three, four]),
        "left, top, right, bottom": starts_within and one < three <= high and two < four <= high,
        "left, top, width, height": starts_within and min(three, four) > 0 and one + three <= high >= two + four,
    }
    return ("box", *(reading for reading, fits in fitting.items() if fits))


def is_label(line: str) -> bool:
    """Whether a line looks like a label: a class and at least four numbers."""
    fields = _fields(line)
    return len(fields) >= 5 and index_of(line) is not None and all(map(_NUMBER.match, fields))


def _fields(line: str) -> list[str]:
    """Splits a line at blanks, else at semicolons or commas. A comma within a field is a decimal comma."""
    fields = line.split()
    if len(fields) < 5 and ";" in line:
        fields = [field.strip() for field in line.split(";")]
    if len(fields) < 5 and line.count(",") >= 4:
        fields = [field.strip() for field in line.split(",")]
    fields = [field.rstrip(",;") for field in fields]
    return [field.replace(",", ".") if field.count(",") == 1 and "." not in field else field for field in fields]


def _number(text: str) -> float:
    if not _NUMBER.match(text):
        raise ValueError
    return float(text)


def _index(text: str) -> int:
    problem = ValueError(f"class index {text[:40]!r} is not a whole number")
    try:
        value = _number(text)
    except ValueError:
        raise problem from None
    if not (math.isfinite(value) and value >= 0 and value == int(value) and value < _MAX_INDEX):
        raise problem
    return int(value)


def _pose(values: list[float], points: int, columns: int) -> tuple[Box, Form]:
    if len(values) not in (4, 5, 4 + points, 5 + points):
        raise ValueError(f"{columns} columns; data.yaml's kpt_shape says {5 + points} (class, box, keypoints), or 5")
    return _box(values[:4]), "keypoints" if len(values) > 5 else "box"


def _by_shape(values: list[float], columns: int) -> tuple[Box, Form]:
    """Decides by the values: 5 or 6 columns are a box; more are one with tracker number or keypoints, or a polygon."""
    box, rest = values[:4], values[4:]
    if columns <= 6 or (columns == 7 and _is_tracked(box, rest)):
        return _box(box), "box"
    if _keypoints_within(box, rest):
        return _box(box), "keypoints"
    if columns % 2 == 0 and len(rest) % 3 == 0 and all(value in (0, 1, 2) for value in rest[2::3]):
        return _box(box), "keypoints"
    # One value too many for a polygon is a confidence.
    if columns % 2 == 0 and not 0 <= rest.pop() <= 1:
        raise ValueError(f"{columns} columns; a box has 5, a polygon one more than twice its points")
    if len(rest) >= 2 * _FEWEST_LANDMARKS and _landmarks_within(box, rest):
        return _box(box), "keypoints"
    return _polygon([*box, *rest]), "polygon"


def _is_tracked(box: list[float], rest: list[float]) -> bool:
    """Whether `rest` is a confidence and a tracker's number, rather than the third point of a triangle.

    A number above 1 cannot be a coordinate; 0 and 1 count if the first four values are a valid box.
    """
    confidence, number = rest
    return 0 <= confidence <= 1 and number.is_integer() and (number > 1 or (number >= 0 and _is_box(box)))


def _keypoints_within(box: list[float], rest: list[float]) -> bool:
    """Whether `rest` is keypoints (x, y, visibility), of which the visible ones lie within the box."""
    if len(rest) % 3 or not all(value in (0, 1, 2) for value in rest[2::3]):
        return False
    points = [(x, y) for x, y, visible in zip(rest[::3], rest[1::3], rest[2::3], strict=True) if visible]
    return bool(points) and all(_within(box, x, y) for x, y in points)


def _landmarks_within(box: list[float], rest: list[float]) -> bool:
    """Whether `rest` is landmarks (x, y) within the box and around its centre; -1 marks one that is not visible.

    The same numbers can be a polygon, whose first two points would then be the box's centre and size. But the first
    point of a polygon lies on the rim of the others, not among them, and its second point lies close to the first.
    """
    if not _is_box(box):
        return False
    if min(rest) <= -1:
        return True
    points = list(zip(rest[::2], rest[1::2], strict=True))
    if not all(_within(box, x, y) for x, y in points):
        return False
    share = 1.0 if not _within(box, box[2], box[3]) or _is_face(points) else _AMONG
    return all(_is_among(box[axis], [point[axis] for point in points], share) for axis in (0, 1))


def _is_face(points: list[tuple[float, float]]) -> bool:
    """Whether the points are eyes, then mouth, each from left to right; points along a polygon's rim are not."""
    (left_eye, right_eye), (mouth_left, mouth_right) = points[:2], points[-2:]
    return (
        len(points) in (4, 5)
        and left_eye[0] < right_eye[0]
        and mouth_left[0] < mouth_right[0]
        and max(left_eye[1], right_eye[1]) < min(mouth_left[1], mouth_right[1])
    )


def _is_among(value: float, others: list[float], share: float) -> bool:
    """Whether a value lies in the middle `share` of the range of `others`."""
    low, high = min(others), max(others)
    return abs(value - (low + high) / 2) < share * (high - low) / 2


def _within(box: list[float], x: float, y: float) -> bool:
    centre_x, centre_y, width, height = box
    return abs(x - centre_x) <= width / 2 + _TOLERANCE and abs(y - centre_y) <= height / 2 + _TOLERANCE


def _polygon(values: list[float]) -> Box:
    if not all(map(math.isfinite, values)):
        raise ValueError("a coordinate is not finite")
    left, right = min(values[::2]), max(values[::2])
    top, bottom = min(values[1::2]), max(values[1::2])
    return _box([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])


def _is_box(values: list[float]) -> bool:
    try:
        _box(values)
    except ValueError:
        return False
    return True


def _box(values: list[float]) -> Box:
    x, y, w, h = values
    if not all(map(math.isfinite, (x, y, w, h))):
        raise ValueError("a coordinate is not finite")
    if w <= 0 or h <= 0:
        raise ValueError(f"the box has no size (width {w:g}, height {h:g})")
    low, high = -_TOLERANCE, 1 + _TOLERANCE
    if not (x - w / 2 >= low and y - h / 2 >= low and x + w / 2 <= high and y + h / 2 <= high):
        raise ValueError(f"the box (centre {x:g} {y:g}, size {w:g} × {h:g}) reaches out of the image (0 to 1)")
    return x, y, w, h

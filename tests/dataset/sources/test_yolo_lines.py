"""Lines of more columns than a box has: what a tool wrote after the box is no point of a polygon, nor the reverse."""

from __future__ import annotations

import math

import pytest

from tuning.dataset.sources import yolo_lines

BOX = (0.7, 0.7, 0.2, 0.3)
FACE = "0.65 0.65 0.75 0.65 0.7 0.7 0.66 0.8 0.74 0.8"
#: A face that fills its image: every number is within the box.
LARGE = (0.5, 0.5, 0.8, 0.8)
LARGE_FACE = "0.26 0.42 0.58 0.42 0.42 0.58 0.3 0.72 0.54 0.72"


def parsed(box, rest):
    return yolo_lines.parse(" ".join(map(str, (3, *box, rest))))


@pytest.mark.parametrize("number", ["0", "1", "1.0", "2", "17"])
def test_a_trackers_number_is_no_point(number):
    assert parsed(BOX, f"0.91 {number}") == (3, BOX, "box")


@pytest.mark.parametrize(
    "points",
    [
        ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9)),
        # The lower edge, where the first two points are no box: it would reach out of the image, or has no size.
        ((0.1, 0.1), (0.9, 0.1), (0.5, 1)),
        ((0.5, 0.5), (0.9, 0), (0.7, 1)),
    ],
)
def test_a_triangle_is_one(points):
    line = " ".join(f"{x} {y}" for x, y in points)
    (left, *_, right), (top, *_, bottom) = (sorted(axis) for axis in zip(*points, strict=True))
    _, box, form = yolo_lines.parse(f"0 {line}")
    assert form == "polygon"
    assert box == pytest.approx(((left + right) / 2, (top + bottom) / 2, right - left, bottom - top))


@pytest.mark.parametrize("number", ["nan", "inf", "-1"])
def test_a_trackers_number_that_is_none_is_refused(number):
    with pytest.raises(ValueError, match=r"not finite|reaches out of the image"):
        parsed(BOX, f"0.91 {number}")


@pytest.mark.parametrize(
    ("box", "rest"),
    [
        (BOX, FACE),
        (BOX, f"{FACE} 0.9"),
        (LARGE, LARGE_FACE),
        (LARGE, f"{LARGE_FACE} 0.9"),
        (BOX, "0.65 0.65 0.75 0.65 0.66 0.8 0.74 0.8"),
        (BOX, "0.65 0.65 0.75 0.65 -1 -1 0.66 0.8 0.74 0.8"),
        (BOX, " ".join(["-1"] * 10)),
        (BOX, " ".join(f"{0.7 + 0.09 * math.cos(n)} {0.7 + 0.14 * math.sin(n)}" for n in range(68))),
    ],
)
def test_landmarks_after_a_box_are_no_points_of_a_polygon(box, rest):
    assert parsed(box, rest) == (3, box, "keypoints")


@pytest.mark.parametrize("count", [6, 7, 12, 40])
@pytest.mark.parametrize("confidence", ["", " 0.9"])
def test_a_polygon_is_one_wherever_it_begins(count, confidence):
    """Also where all of its points lie within what its first two would be as a box."""
    for start in range(24):
        around = [2 * math.pi * (start / 24 + n / count) for n in range(count)]
        line = " ".join(f"{0.5 + 0.1 * math.cos(angle)} {0.5 + 0.1 * math.sin(angle)}" for angle in around)
        assert yolo_lines.parse(f"0 {line}{confidence}")[2] == "polygon", start

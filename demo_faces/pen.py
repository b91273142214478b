"""Draws shapes that are given in the coordinates of a head.

Head coordinates: x to the right, y down, origin in the middle of the face, 1 = half the head's height. Features lie on
an ellipsoid that is turned by the pose and projected, so that a turned head shows its features off-centre.
"""

from __future__ import annotations

import cv2
import numpy as np

from demo_faces.traits import Person, Pose

Colour = tuple[float, float, float]

WHITE: Colour = (236, 240, 244)
DARK: Colour = (34, 26, 30)
_SUBPIXEL_BITS = 4


class Pen:
    """Draws shapes given in head coordinates, arrays of shape (n, 2), on a square BGR canvas."""

    def __init__(self, canvas: np.ndarray, pose: Pose, half_width: float) -> None:
        self.canvas = canvas
        self.side = canvas.shape[0]
        self.unit = pose.scale * self.side
        self._width = 1.05 * half_width
        self._turn = (np.cos(pose.yaw), np.sin(pose.yaw))
        self._nod = (np.cos(pose.pitch), np.sin(pose.pitch))
        self._centre = self.side * (0.5 + np.array(pose.shift))
        cos, sin = np.cos(pose.roll), np.sin(pose.roll)
        self._roll = np.array([[cos, sin], [-sin, cos]])

    def project(self, points: np.ndarray, relief: float = 0.0, flat: bool = False) -> np.ndarray:
        """Return the canvas pixels of `points`; `relief` lifts them off the face, `flat` keeps them in a plane."""
        points = np.asarray(points, float)
        if not flat:
            x, y = points[:, 0], points[:, 1]
            z = 0.72 * np.sqrt(np.maximum(0, 1 - (x / self._width) ** 2 - (y / 1.12) ** 2)) + relief
            turned = x * self._turn[0] + z * self._turn[1]
            depth = z * self._turn[0] - x * self._turn[1]
            points = np.stack([turned, y * self._nod[0] - depth * self._nod[1]], axis=1)
        return points @ self._roll * self.unit + self._centre

    def fill(self, points: np.ndarray, colour: Colour, relief: float = 0.0, flat: bool = False) -> None:
        self.fill_pixels(self.project(points, relief, flat), colour)

    def fill_pixels(self, pixels: np.ndarray, colour: Colour) -> None:
        cv2.fillPoly(self.canvas, [_fixed_point(pixels)], colour, cv2.LINE_AA, _SUBPIXEL_BITS)

    def stroke(
        self,
        points: np.ndarray,
        colour: Colour,
        width: float,
        relief: float = 0.0,
        flat: bool = False,
        closed: bool = False,
    ) -> None:
        pixels = _fixed_point(self.project(points, relief, flat))
        thickness = max(1, round(width * self.unit))
        cv2.polylines(self.canvas, [pixels], closed, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _fixed_point(pixels: np.ndarray) -> np.ndarray:
    return np.round(pixels * 2**_SUBPIXEL_BITS).astype(np.int32)


def oval(x: float, y: float, width: float, height: float, points: int = 24) -> np.ndarray:
    """Return an ellipse around (x, y); `width` and `height` are its half axes."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], axis=1)


def curve(start: tuple[float, float], control: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """Return a quadratic Bézier curve of 12 points."""
    t = np.linspace(0, 1, 12)[:, None]
    return (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(control) + t**2 * np.array(end)


def path(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x, y], axis=1)


def ribbon(x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Return the area between two curves over the same `x`."""
    return np.concatenate([path(x, top), path(x, bottom)[::-1]])


def shaded(colour: Colour, factor: float) -> Colour:
    blue, green, red = (min(255.0, channel * factor) for channel in colour)
    return blue, green, red


def blend(first: Colour, second: Colour, share: float) -> Colour:
    blue, green, red = (a * (1 - share) + b * share for a, b in zip(first, second, strict=True))
    return blue, green, red


def outline(person: Person, grow: float = 1.0) -> np.ndarray:
    """Return the outline of the head seen from the front: an egg that narrows towards the chin."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x, y = person.half_width * np.sin(angles), -np.cos(angles)
    x = np.where(y > 0, x * (1 - person.jaw * y**2), x)
    return grow * np.stack([np.sign(x) * person.half_width * np.abs(x / person.half_width) ** 0.92, y], axis=1)

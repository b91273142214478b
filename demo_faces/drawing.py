"""Draws a `Face` with OpenCV: enlarged, shrunk with area averaging, then with light, blur and noise added."""

from __future__ import annotations

import cv2
import numpy as np

from demo_faces import features
from demo_faces.pen import WHITE, Pen, blend, curve, outline, oval, path, shaded
from demo_faces.traits import Face, Person, Pose, Scene

_MINIMUM_CANVAS = 176
_MID_GREY = 118


def render(face: Face, size: int) -> np.ndarray:
    """Return the face as an image, uint8 (size, size, 3), BGR; the same `face` and `size` give the same pixels."""
    factor = max(2, -(-_MINIMUM_CANVAS // size))
    canvas = np.empty((size * factor, size * factor, 3), np.uint8)
    pen = Pen(canvas, face.pose, face.person.half_width)
    _background(pen, face.scene)
    _head(pen, face.person, face.scene, face.pose)
    features.skin_lines(pen, face.person, face.expression)
    features.eyes(pen, face.person, face.expression, face.pose)
    features.nose(pen, face.person, face.expression)
    features.beard(pen, face.person)
    features.mouth(pen, face.person, face.expression)
    features.brows(pen, face.person, face.expression)
    _hair_in_front(pen, face.person)
    features.glasses(pen, face.person)
    _occlusion(pen, face.person, face.scene)
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return _photograph(small, face.scene, face.noise_seed)


def _background(pen: Pen, scene: Scene) -> None:
    side = pen.side
    ramp = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    top, bottom = (np.array(colour, np.float32) for colour in scene.background)
    pen.canvas[:] = (top * (1 - ramp) + bottom * ramp).astype(np.uint8)
    edge = 0.5 + 0.45 * scene.occlusion_side
    colour = blend(scene.background[1], scene.clothes, 0.4)
    cv2.rectangle(pen.canvas, (int(edge * side), -1), (int((edge + 0.22) * side), side), colour, -1)


def _head(pen: Pen, person: Person, scene: Scene, pose: Pose) -> None:
    w = person.half_width
    if person.hair_style == "long":
        x = np.array([-1.12, -1.22, -1.2, -0.6, 0.6, 1.2, 1.22, 1.12]) * w
        y = np.array([-0.4, 0.3, 1.2, 1.3, 1.3, 1.2, 0.3, -0.4])
        pen.fill(path(x, y), shaded(person.hair, 0.75), flat=True)
    elif person.hair_style == "bun":
        pen.fill(oval(0.25 * person.parting, -1.08, 0.3, 0.26), shaded(person.hair, 0.85), flat=True)
    neck = np.array([[-0.6 * w, 0.5], [0.6 * w, 0.5], [0.66 * w, 1.5], [-0.66 * w, 1.5]])
    pen.fill(neck, shaded(person.skin, 0.78), flat=True)
    pen.fill(oval(0, 1.85, 1.35, 0.62), scene.clothes, flat=True)
    for side in (-1, 1):
        ear = side * (w * 0.99) - 0.25 * pose.yaw
        pen.fill(oval(ear, 0.05, 0.11, 0.2), shaded(person.skin, 0.86), flat=True)
    egg = outline(person)
    pen.fill(egg, shaded(person.skin, 0.86), flat=True)
    pen.fill(egg * 0.955, shaded(person.skin, 0.95), flat=True)
    pen.fill(egg * 0.9, person.skin, flat=True)


def _hair_in_front(pen: Pen, person: Person) -> None:
    if person.hair_style == "bald":
        return
    w, hairline = person.half_width, person.hairline
    reach = {"short": -0.1, "long": 0.15, "curly": 0.0, "bun": -0.2}[person.hair_style]
    outer = outline(person, 1.07)
    outer = outer[outer[:, 1] < reach]
    outer = outer[np.argsort(np.arctan2(outer[:, 0], -outer[:, 1]))]
    x = np.linspace(0.93, -0.93, 21) * w
    parting = 0.6 * person.parting * w
    fringe = hairline - 0.12 * np.exp(-(((x - parting) / (0.25 * w)) ** 2))
    y = fringe + (reach - hairline) * np.abs(x / w) ** 5
    # The hairline lies on the head and turns with it; the outer edge follows the head's outline.
    edge = pen.project(path(x, y))
    pixels = np.concatenate([pen.project(outer, flat=True), edge])
    pen.fill_pixels(pixels, person.hair)
    if person.hair_style == "curly":
        for bx, by in outline(person, 1.04)[::3]:
            if by < 0.05:
                pen.fill(oval(bx, by, 0.17, 0.17, 14), shaded(person.hair, 0.8 + 0.35 * (bx * 7 % 1)), flat=True)
    else:
        shine = curve((-0.5 * w, -0.82), (0, -1.02), (0.5 * w, -0.82))
        pen.stroke(shine, blend(person.hair, WHITE, 0.18), 0.05, flat=True)


def _occlusion(pen: Pen, person: Person, scene: Scene) -> None:
    """Cover part of the face; enough of it stays visible to read the expression."""
    side = 1 if scene.occlusion_side > 0 else -1
    if scene.occlusion == "hand":
        skin = shaded(person.skin, 0.93)
        for finger in range(4):
            base = np.array([side * 0.95, 0.62 + 0.17 * finger])
            tip = np.array([side * (0.3 + 0.06 * abs(finger - 1)), 0.46 + 0.13 * finger])
            pen.stroke(np.stack([base, tip]), shaded(skin, 0.7), 0.19, flat=True)
            pen.stroke(np.stack([base, tip]), skin, 0.16, flat=True)
        pen.fill(oval(side * 1.05, 0.95, 0.3, 0.42), skin, flat=True)
    elif scene.occlusion == "scarf":
        scarf = np.array([[-1.1, 0.72], [0, 0.82], [1.1, 0.72], [1.2, 1.6], [-1.2, 1.6]])
        pen.fill(scarf, scene.clothes, flat=True)
        for drop in (0.12, 0.26):
            pen.stroke(scarf[:3] + np.array([0, drop]), shaded(scene.clothes, 0.7), 0.04, flat=True)
    elif scene.occlusion == "bar":
        x = (0.5 + 0.38 * scene.occlusion_side) * pen.side
        half = 0.035 * pen.side
        cv2.rectangle(pen.canvas, (int(x - half), -1), (int(x + half), pen.side), scene.clothes, -1)


def _photograph(image: np.ndarray, scene: Scene, noise_seed: int) -> np.ndarray:
    """Add light from one side, contrast, lens blur and sensor noise."""
    size = image.shape[0]
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light = np.cos(scene.light_angle) * ramp[None, :] + np.sin(scene.light_angle) * ramp[:, None]
    lit = (image.astype(np.float32) - _MID_GREY) * scene.contrast + _MID_GREY
    lit = lit * (1 + scene.light_strength * light)[:, :, None] + scene.brightness
    sigma = scene.blur * size
    if sigma > 0.2:
        lit = cv2.GaussianBlur(lit, (0, 0), sigma)
    noise = np.random.default_rng(noise_seed).standard_normal((size, size, 1), dtype=np.float32)
    return np.clip(lit + scene.noise * noise, 0, 255).astype(np.uint8)

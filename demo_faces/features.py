"""Draws the features of a face that show its expression, and beard and glasses."""

from __future__ import annotations

import numpy as np

from demo_faces.expressions import Expression
from demo_faces.pen import DARK, WHITE, Colour, Pen, blend, curve, outline, oval, path, ribbon, shaded
from demo_faces.traits import Person, Pose

_LIP_RELIEF = 0.04


def skin_lines(pen: Pen, person: Person, expression: Expression) -> None:
    """Draw cheeks, eye sockets, folds, furrows and forehead lines; age deepens folds and forehead lines."""
    mouth, eye = person.mouth_height, person.eye_height
    brow = eye - person.brow_gap - 0.1 * expression.brows

    def crease(depth: float) -> Colour:
        return shaded(person.skin, 1 - 0.36 * min(1.0, depth))

    cheek = blend(person.skin, (110, 120, 225), 0.16 + 0.12 * min(1.0, expression.folds))
    for side in (-1, 1):
        pen.fill(oval(side * 0.4, 0.3 - 0.05 * expression.folds, 0.15, 0.12), cheek)
        socket = oval(side * person.eye_distance, eye - 0.02, 1.25 * person.eye_size, 0.75 * person.eye_size)
        pen.fill(socket, shaded(person.skin, 0.9))
    folds = max(expression.folds + 0.3 * expression.sneer, 0.7 * person.age)
    if folds > 0.15:
        for side in (-1, 1):
            start = (side * (person.nose_width + 0.04), mouth - 0.27)
            end = (side * (0.33 + 0.06 * expression.width), mouth - 0.02)
            pen.stroke(curve(start, (side * 0.3, mouth - 0.24), end), crease(folds), 0.028)
    if expression.furrow > 0.15:
        for side in (-1, 1):
            line = curve((side * 0.05, brow + 0.12), (side * 0.035, brow + 0.02), (side * 0.06, brow - 0.07))
            pen.stroke(line, crease(1.1 * expression.furrow), 0.028)
    lines = max(expression.forehead, 0.6 * person.age)
    if lines > 0.15:
        for height in (-0.12, -0.21):
            line = curve((-0.26, brow + height), (0, brow + height - 0.07), (0.26, brow + height))
            pen.stroke(line, crease(0.9 * lines), 0.022)


def eyes(pen: Pen, person: Person, expression: Expression, pose: Pose) -> None:
    t = np.linspace(-1, 1, 13)
    dome = 1 - t**2
    upper = person.eye_size * float(np.clip(0.5 + 0.42 * expression.eyes, 0.06, 1.05))
    lower = person.eye_size * float(np.clip(0.34 + 0.2 * expression.eyes - 0.28 * expression.lower_lid, 0.02, 0.7))
    for side in (-1, 1):
        x = side * person.eye_distance + person.eye_size * t
        outer = (side * t + 1) / 2
        base = person.eye_height + 0.1 * expression.droop * outer**2 * person.eye_size * 4
        top, bottom = base - upper * dome, base + lower * dome
        top = np.minimum(top + 0.35 * expression.droop * upper * outer * dome, bottom)
        pen.fill(ribbon(x, top, bottom), WHITE)
        gaze_x = side * person.eye_distance + person.eye_size * 0.45 * pose.gaze[0]
        gaze_y = person.eye_height + person.eye_size * (0.3 * pose.gaze[1] - 0.1)
        for radius, colour in ((0.44, person.iris), (0.22, DARK)):
            iris = oval(gaze_x, gaze_y, radius * person.eye_size, radius * person.eye_size, 18)
            # The lids cover the iris above and below the eye's opening.
            iris[:, 1] = np.clip(iris[:, 1], np.interp(iris[:, 0], x, top), np.interp(iris[:, 0], x, bottom))
            pen.fill(iris, colour)
        pen.stroke(path(x, top), blend(DARK, person.skin, 0.1), 0.036)
        pen.stroke(path(x, bottom), shaded(person.skin, 0.62), 0.018)
        if expression.lower_lid > 0.3:
            pouch = path(x, bottom + 0.05 + 0.02 * dome)[2:-2]
            pen.stroke(pouch, shaded(person.skin, 1 - 0.3 * min(1.0, expression.lower_lid)), 0.02)


def brows(pen: Pen, person: Person, expression: Expression) -> None:
    t = np.linspace(0, 1, 10)
    colour = blend(shaded(person.hair, 0.7), shaded(person.skin, 0.35), 0.5)
    for side in (-1, 1):
        inner_x = person.eye_distance - 0.22 + 0.05 * min(0.0, expression.inner)
        x = side * (inner_x + 0.42 * t)
        rest = person.eye_height - person.brow_gap - 0.035 * np.sin(np.pi * t**1.3)
        lift = -0.13 * expression.brows * (0.8 + 0.2 * t) - 0.09 * expression.arch * np.sin(np.pi * t)
        slope = -0.15 * expression.inner * (1 - t) ** 1.4 + 0.05 * expression.inner * t
        y = rest + lift + slope
        half = 0.5 * person.brow_thickness * (1.1 - 0.8 * t)
        pen.fill(ribbon(x, y - half, y + half), colour)


def nose(pen: Pen, person: Person, expression: Expression) -> None:
    top = person.eye_height + 0.05
    tip = person.eye_height + person.nose_length - 0.05 * expression.sneer - 0.03 * expression.wrinkle
    width = person.nose_width * (1 + 0.25 * expression.wrinkle)
    shadow = shaded(person.skin, 0.8)
    dark_side = np.array([[0.0, top], [0.07, tip - 0.1], [width, tip], [0.0, tip + 0.03]])
    ridge = np.array([[-0.025, top + 0.05], [0.025, top + 0.05], [0.03, tip - 0.05], [-0.03, tip - 0.05]])
    pen.fill(dark_side, shaded(person.skin, 0.9), 0.1)
    pen.fill(ridge, shaded(person.skin, 1.07), 0.12)
    pen.stroke(curve((-width, tip - 0.04), (0, tip + 0.07), (width, tip - 0.04)), shadow, 0.03, 0.1)
    for side in (-1, 1):
        pen.fill(oval(side * 0.5 * width, tip, 0.028, 0.018, 10), shaded(person.skin, 0.4), 0.1)
        top_of_wing, end_of_wing = (side * (width + 0.01), tip - 0.08), (side * width * 0.8, tip + 0.01)
        pen.stroke(curve(top_of_wing, (side * (width + 0.04), tip - 0.02), end_of_wing), shadow, 0.022, 0.08)
    if expression.wrinkle > 0.2:
        crease = shaded(person.skin, 1 - 0.45 * min(1.0, expression.wrinkle))
        for height in (0.0, 0.07, 0.14):
            line = curve((-0.09, top + height + 0.03), (0, top + height - 0.04), (0.09, top + height + 0.03))
            pen.stroke(line, crease, 0.022, 0.08)


def mouth(pen: Pen, person: Person, expression: Expression) -> None:
    t = np.linspace(-1, 1, 25)
    half = person.mouth_width * (1 + 0.4 * float(np.clip(expression.width, -1.2, 1.2)))
    opening = 0.2 * min(1.2, expression.opening)
    square = min(1.0, expression.square)
    dome = (1 - t**2) * (1 - square) + (1 - t**6) * square
    corners = float(np.clip(expression.corners, -1.3, 1.3))
    x = half * t
    # The middle moves the other way, half as far as the corners, so that the mouth as a whole stays in place.
    line = person.mouth_height + corners * (0.05 - 0.16 * np.abs(t) ** 1.8) + 0.04 * expression.tilt * t
    sneer = 0.09 * expression.sneer * (1 - t**2) * (1 + 0.9 * expression.tilt * t)
    upper_in = line - 0.5 * opening * dome - 0.75 * sneer
    lower_in = line + (0.7 + 0.3 * max(0.0, corners)) * opening * dome
    lip = person.lip_thickness * max(0.25, 1 - 0.75 * expression.press)
    bow = (1 - np.abs(t) ** 1.7) - 0.35 * np.exp(-((t / 0.16) ** 2))
    upper_out = upper_in - lip * bow - 0.25 * sneer
    lower_out = lower_in + 1.25 * lip * (1 - np.abs(t) ** 2.2)

    pen.fill(ribbon(x, upper_out, lower_out), person.lips, _LIP_RELIEF)
    if opening > 0.03 or expression.sneer > 0.3:
        _inside_of_mouth(pen, expression, x, upper_in, lower_in)
        if expression.tongue > 0.3:
            reach = float(np.max(lower_out)) + 0.07 * expression.tongue
            pen.fill(oval(0, reach - 0.1, 0.5 * half, 0.11), (112, 100, 205), 0.05)
            pen.stroke(np.array([[0, reach - 0.15], [0, reach - 0.04]]), (80, 70, 160), 0.018, 0.05)
    else:
        pen.stroke(path(x, line), shaded(person.lips, 0.5), 0.03, _LIP_RELIEF)
    for end in (0, -1):
        corner = np.array([[x[end], line[end]], [x[end] * 1.04, line[end] - 0.02 * corners]])
        pen.stroke(corner, shaded(person.skin, 0.55), 0.03, _LIP_RELIEF)
    if opening < 0.1:
        chin = person.mouth_height + 0.23
        pen.stroke(curve((-0.13, chin), (0, chin - 0.03), (0.13, chin)), shaded(person.skin, 0.87), 0.025)


def _inside_of_mouth(pen: Pen, expression: Expression, x: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> None:
    """Draw the dark between the lips, and the teeth that a smile or a grimace bares."""
    gap = lower - upper
    square = min(1.0, expression.square)
    bared = 0.12 + 0.3 * float(np.clip(expression.corners, 0, 1.3)) + 0.6 * square
    pen.fill(ribbon(x, upper, lower), (30, 22, 52), _LIP_RELIEF)
    teeth = upper + np.minimum(bared * gap, 0.06 + 0.14 * square)
    pen.fill(ribbon(x[2:-2], upper[2:-2], teeth[2:-2]), WHITE, _LIP_RELIEF)
    if square > 0.4:
        pen.fill(ribbon(x[4:-4], (lower - 0.16 * gap)[4:-4], lower[4:-4]), shaded(WHITE, 0.88), _LIP_RELIEF)
        pen.stroke(path(x, upper + 0.55 * gap)[3:-3], (70, 70, 90), 0.016, _LIP_RELIEF)


def beard(pen: Pen, person: Person) -> None:
    mouth, w = person.mouth_height, person.half_width
    colour = blend(person.hair, person.skin, 0.55 if person.beard == "stubble" else 0.15)
    if person.beard in ("stubble", "full"):
        lower = outline(person, 0.985)
        lower = lower[lower[:, 1] > 0.22]
        inner = curve((-0.8 * w, 0.3), (0, mouth + 0.12), (0.8 * w, 0.3))
        pen.fill(np.concatenate([lower, inner]), colour, flat=True)
        pen.fill(oval(0, mouth + 0.03, person.mouth_width + 0.07, 0.16), person.skin)
    if person.beard in ("moustache", "full"):
        top = curve((-person.mouth_width, mouth - 0.06), (0, mouth - 0.24), (person.mouth_width, mouth - 0.06))
        bottom = curve((person.mouth_width, mouth - 0.05), (0, mouth - 0.13), (-person.mouth_width, mouth - 0.05))
        pen.fill(np.concatenate([top, bottom]), colour, 0.05)


def glasses(pen: Pen, person: Person) -> None:
    if person.glasses == "none":
        return
    width = 0.02 if person.glasses == "thin" else 0.04
    radius = 1.28 * person.eye_size
    for side in (-1, 1):
        rim = oval(side * person.eye_distance, person.eye_height + 0.01, radius, 0.92 * radius)
        pen.stroke(rim, DARK, width, 0.08, closed=True)
        hinge = side * (person.eye_distance + radius)
        pen.stroke(np.array([[hinge, person.eye_height], [side * person.half_width, -0.06]]), DARK, width)
    bridge = person.eye_distance - radius
    pen.stroke(np.array([[-bridge, person.eye_height], [bridge, person.eye_height]]), DARK, width, 0.1)

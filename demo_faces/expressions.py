"""Expressions: points in a small space of facial movements, after the action units of the Facial Action Coding System
(Ekman & Friesen 1978): brows, lids, nose and mouth.

Every emotion has typical points; each face takes a weakened one, with a trace of another emotion and jitter, so that
neighbouring classes overlap as they do in real faces.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

#: Emotion labels in the order in which `--classes N` takes them: the classes of FER2013.
EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


@dataclass(frozen=True)
class Expression:
    """Facial movements; 0 is at rest and 1 a full movement unless said otherwise.

    Attributes:
        corners: mouth corners, 1 pulled up, -1 pulled down.
        width: mouth, 1 stretched, -1 narrowed.
        opening: how far the lips part.
        square: shape of the opening, 0 round, 1 square with bared teeth.
        sneer: upper lip raised towards the nose.
        press: lips pressed thin.
        tongue: tongue out.
        brows: 1 raised, -1 lowered.
        inner: inner ends of the brows, 1 up, -1 down and together.
        arch: curvature of the brows.
        eyes: 1 wide open, -1 narrow.
        lower_lid: lower lids raised.
        droop: outer ends of the upper lids falling.
        wrinkle: wrinkled bridge of the nose.
        furrow: vertical lines between the brows.
        forehead: horizontal lines on the forehead.
        folds: lines from the nose to the mouth corners, with raised cheeks.
        tilt: mouth and sneer drawn to one side, -1 to 1.
    """

    corners: float = 0.0
    width: float = 0.0
    opening: float = 0.0
    square: float = 0.0
    sneer: float = 0.0
    press: float = 0.0
    tongue: float = 0.0
    brows: float = 0.0
    inner: float = 0.0
    arch: float = 0.0
    eyes: float = 0.0
    lower_lid: float = 0.0
    droop: float = 0.0
    wrinkle: float = 0.0
    furrow: float = 0.0
    forehead: float = 0.0
    folds: float = 0.0
    tilt: float = 0.0


#: One or two typical full-strength expressions of each emotion; a face takes a point on the line between them.
TYPICAL: dict[str, tuple[Expression, ...]] = {
    "angry": (
        Expression(corners=-0.35, width=-0.1, press=1.0, brows=-0.9, inner=-1.0, eyes=-0.25, furrow=1.0),
        Expression(
            corners=-0.3, width=0.3, opening=0.5, square=1.0, brows=-0.9, inner=-1.0, eyes=0.2, furrow=1.0, folds=0.4
        ),
    ),
    "disgust": (
        Expression(
            corners=-0.45,
            sneer=1.0,
            brows=-0.45,
            inner=-0.35,
            eyes=-0.8,
            lower_lid=0.7,
            wrinkle=1.0,
            folds=0.8,
            tilt=0.5,
        ),
        Expression(
            corners=-0.55,
            opening=0.4,
            sneer=0.8,
            tongue=1.0,
            brows=-0.4,
            inner=-0.3,
            eyes=-0.9,
            lower_lid=0.8,
            wrinkle=1.0,
            folds=0.7,
        ),
    ),
    "fear": (
        Expression(
            corners=-0.45,
            width=0.75,
            opening=0.45,
            square=0.9,
            brows=0.75,
            inner=0.9,
            eyes=1.0,
            forehead=0.7,
            furrow=0.2,
        ),
        Expression(corners=-0.35, width=0.55, opening=0.25, square=0.8, brows=0.8, inner=1.0, eyes=0.9, forehead=0.9),
    ),
    "happy": (
        Expression(corners=1.0, width=0.6, opening=0.6, square=0.3, arch=0.3, eyes=-0.3, lower_lid=0.8, folds=0.9),
        Expression(corners=0.95, width=0.5, brows=0.1, arch=0.3, eyes=-0.1, lower_lid=0.5, folds=0.6),
    ),
    "neutral": (Expression(),),
    "sad": (
        Expression(corners=-1.0, width=-0.25, brows=0.05, inner=1.0, eyes=-0.35, droop=1.0, furrow=0.3, folds=0.2),
        Expression(
            corners=-0.9, width=-0.1, opening=0.2, inner=1.0, eyes=-0.6, droop=0.9, forehead=0.3, furrow=0.4, folds=0.3
        ),
    ),
    "surprise": (
        Expression(width=-0.6, opening=1.0, brows=1.0, arch=1.0, eyes=0.9, forehead=0.8),
        Expression(width=-0.45, opening=0.6, brows=1.0, arch=0.9, eyes=0.8, forehead=0.6),
    ),
}


def sample_expression(label: str, rng: np.random.Generator) -> Expression:
    """Draw a typical expression of `label` at a random strength, with a trace of another emotion and some jitter."""
    points = [_vector(expression) for expression in TYPICAL[label]]
    along = rng.beta(0.5, 0.5)
    typical = points[0] * (1 - along) + points[-1] * along
    strength = 0.62 + 0.38 * rng.beta(1.6, 1.0)
    other = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
    trace = 0.18 * rng.random() * _vector(TYPICAL[other][0])
    side = 1.0 if rng.random() < 0.5 else -1.0
    vector = strength * typical + trace + rng.normal(0, 0.07, typical.shape)
    names = [field.name for field in fields(Expression)]
    values = dict(zip(names, map(float, vector), strict=True))
    values["tilt"] = side * values["tilt"]
    two_sided = {"corners", "width", "brows", "inner", "arch", "eyes", "tilt"}
    return Expression(**{name: value if name in two_sided else max(0.0, value) for name, value in values.items()})


def _vector(expression: Expression) -> np.ndarray:
    return np.array([getattr(expression, field.name) for field in fields(Expression)])

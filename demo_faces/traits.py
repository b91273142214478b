"""The properties in which synthetic faces differ: expression, person, pose and scene, drawn from a seeded generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_faces.expressions import Expression, sample_expression


@dataclass(frozen=True)
class Person:
    """The person. Lengths are in units of half the head's height; colours are BGR, 0 to 255."""

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    iris: tuple[float, float, float]
    lips: tuple[float, float, float]
    half_width: float
    jaw: float
    eye_distance: float
    eye_size: float
    eye_height: float
    brow_gap: float
    brow_thickness: float
    nose_length: float
    nose_width: float
    mouth_height: float
    mouth_width: float
    lip_thickness: float
    hair_style: str
    hairline: float
    parting: float
    beard: str
    age: float
    glasses: str


@dataclass(frozen=True)
class Pose:
    """Angles in radians; `scale` is half the head's height and `shift` an offset, both as fractions of the image."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    gaze: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """Surroundings and camera, independent of the image size: blur is a fraction of the image's width."""

    background: tuple[tuple[float, float, float], tuple[float, float, float]]
    clothes: tuple[float, float, float]
    light_angle: float
    light_strength: float
    contrast: float
    brightness: float
    blur: float
    noise: float
    jpeg_quality: int
    occlusion: str
    occlusion_side: float


@dataclass(frozen=True)
class Face:
    """Everything that a drawing needs; `noise_seed` is the seed of the pixel noise."""

    expression: Expression
    person: Person
    pose: Pose
    scene: Scene
    noise_seed: int


#: From the lightest to the darkest, BGR.
_SKIN = (
    (176, 205, 240),
    (150, 188, 228),
    (132, 172, 216),
    (105, 145, 195),
    (80, 118, 168),
    (62, 92, 138),
    (48, 70, 108),
)
#: From the darkest to the lightest, BGR.
_HAIR = ((28, 26, 30), (35, 45, 62), (40, 66, 100), (40, 70, 150), (70, 120, 165), (175, 178, 182), (120, 185, 220))
_IRIS = ((50, 70, 95), (35, 45, 60), (150, 120, 80), (90, 120, 90), (120, 115, 110))


def sample_face(label: str, rng: np.random.Generator) -> Face:
    """Draw a random face that shows the emotion `label` (one of `EMOTIONS`)."""
    person = _sample_person(rng)
    return Face(
        expression=sample_expression(label, rng),
        person=person,
        pose=_sample_pose(rng),
        scene=_sample_scene(rng),
        noise_seed=int(rng.integers(2**31)),
    )


def _around(rng: np.random.Generator, colour: tuple[int, int, int], spread: float) -> tuple[float, float, float]:
    """Return `colour` at random brighter or darker as a whole, and with a slightly different hue."""
    shifted = np.array(colour) * (1 + rng.uniform(-spread, spread)) + rng.uniform(-6, 6, 3)
    blue, green, red = np.clip(shifted, 8, 250)
    return float(blue), float(green), float(red)


def _pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    names = list(shares)
    weights = np.array([shares[name] for name in names])
    return names[int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(), side="right"))]


def _sample_person(rng: np.random.Generator) -> Person:
    tone = int(rng.integers(len(_SKIN)))
    skin = _around(rng, _SKIN[tone], 0.08)
    # Light hair on dark skin would make the brows, which carry half of the expression, hard to see.
    hair = _HAIR[int(rng.integers(len(_HAIR) - max(0, tone - 1)))]
    redness = rng.uniform(0.0, 1.0)
    lips = (skin[0] * (0.72 - 0.12 * redness), skin[1] * (0.68 - 0.14 * redness), skin[2] * (0.86 + 0.02 * redness))
    return Person(
        skin=skin,
        hair=_around(rng, hair, 0.2),
        iris=_around(rng, _IRIS[int(rng.integers(len(_IRIS)))], 0.2),
        lips=lips,
        half_width=rng.uniform(0.7, 0.86),
        jaw=rng.uniform(0.02, 0.24),
        eye_distance=rng.uniform(0.32, 0.38),
        eye_size=rng.uniform(0.18, 0.215),
        eye_height=rng.uniform(-0.12, -0.04),
        brow_gap=rng.uniform(0.22, 0.29),
        brow_thickness=rng.uniform(0.05, 0.09),
        nose_length=rng.uniform(0.32, 0.42),
        nose_width=rng.uniform(0.09, 0.15),
        mouth_height=rng.uniform(0.5, 0.57),
        mouth_width=rng.uniform(0.28, 0.35),
        lip_thickness=rng.uniform(0.045, 0.08),
        hair_style=_pick(rng, {"short": 4, "long": 3, "curly": 1.5, "bun": 1, "bald": 1}),
        hairline=rng.uniform(-0.68, -0.5),
        parting=rng.uniform(-1.0, 1.0),
        beard=_pick(rng, {"none": 7, "stubble": 1.5, "moustache": 0.7, "full": 0.8}),
        age=rng.uniform(0.0, 1.0) ** 2,
        glasses=_pick(rng, {"none": 8, "thin": 1.2, "thick": 0.4}),
    )


def _sample_pose(rng: np.random.Generator) -> Pose:
    return Pose(
        yaw=float(np.clip(rng.normal(0, 0.11), -0.35, 0.35)),
        pitch=float(np.clip(rng.normal(0, 0.06), -0.2, 0.2)),
        roll=float(np.clip(rng.normal(0, 0.07), -0.25, 0.25)),
        scale=rng.uniform(0.45, 0.52),
        shift=(rng.uniform(-0.025, 0.025), rng.uniform(-0.025, 0.025)),
        gaze=(rng.normal(0, 0.25), rng.normal(0, 0.12)),
    )


def _sample_scene(rng: np.random.Generator) -> Scene:
    def any_colour() -> tuple[float, float, float]:
        grey = rng.uniform(30, 225)
        blue, green, red = np.clip(grey + rng.uniform(-35, 35, 3), 0, 255)
        return float(blue), float(green), float(red)

    return Scene(
        background=(any_colour(), any_colour()),
        clothes=any_colour(),
        light_angle=rng.uniform(0, 2 * np.pi),
        light_strength=rng.uniform(0.05, 0.35),
        contrast=rng.uniform(0.8, 1.2),
        brightness=rng.uniform(-20, 20),
        blur=0.009 * rng.random() ** 2,
        noise=1.5 + 6.0 * rng.random() ** 2,
        jpeg_quality=int(rng.integers(60, 96)),
        occlusion=_pick(rng, {"none": 91, "hand": 3, "scarf": 3, "bar": 3}),
        occlusion_side=rng.uniform(-1.0, 1.0),
    )

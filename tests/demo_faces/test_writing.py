from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from demo_faces import writing as synthetic
from demo_faces.drawing import render
from demo_faces.expressions import EMOTIONS, TYPICAL, Expression, sample_expression
from demo_faces.traits import sample_face
from tuning.core import files
from tuning.core.errors import DataError, UsageError
from tuning.core.workspace import Workspace


def listing(workspace: Workspace) -> dict[str, bytes]:
    return {p.relative_to(workspace.raw).as_posix(): p.read_bytes() for p in workspace.raw.rglob("*") if p.is_file()}


def draw_face(label: str, index: int, size: int, seed: int = 0) -> np.ndarray:
    """What the file of a face shows: uint8, shape (size, size, 3), BGR."""
    encoded = synthetic.encode_face(label, seed, index, size)
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


def grey_faces(per_class: int, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    faces = [
        cv2.cvtColor(draw_face(label, index, size), cv2.COLOR_BGR2GRAY)
        for index in range(per_class)
        for label in EMOTIONS
    ]
    return np.array(faces, float), np.arange(len(faces)) % len(EMOTIONS)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "demo")


@pytest.mark.parametrize("size", [48, 64, 100, 224])
@pytest.mark.parametrize("label", EMOTIONS)
def test_a_face_is_a_picture_of_the_size_asked_for(label: str, size: int) -> None:
    face = draw_face(label, 0, size)
    assert face.shape == (size, size, 3)
    assert face.dtype == np.uint8
    assert face.std() > 10


def test_a_face_depends_on_its_key_alone() -> None:
    face = synthetic.encode_face("happy", 0, 5, 48)
    synthetic.encode_face("sad", 1, 6, 64)
    assert synthetic.encode_face("happy", 0, 5, 48) == face
    others = [("sad", 0, 5, 48), ("happy", 1, 5, 48), ("happy", 0, 6, 48), ("happy", 0, 5, 49)]
    assert all(synthetic.encode_face(*key) != face for key in others)


def test_all_faces_differ() -> None:
    faces = [synthetic.encode_face(label, 0, index, 48) for label in EMOTIONS for index in range(25)]
    assert len(set(faces)) == len(faces)


def test_the_same_person_is_drawn_at_every_size() -> None:
    small = draw_face("fear", 3, 48).astype(float)
    large = cv2.resize(draw_face("fear", 3, 192), (48, 48), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("name", [field.name for field in fields(Expression)])
def test_every_facial_movement_shows(name: str) -> None:
    face = sample_face("neutral", np.random.default_rng(3))
    still = replace(
        face,
        expression=Expression(opening=0.5, sneer=0.6),
        person=replace(
            face.person, age=0.0, glasses="none", beard="none", hair_style="bald", skin=(176.0, 205.0, 240.0)
        ),
        pose=replace(face.pose, yaw=0.0, pitch=0.0, roll=0.0),
        scene=replace(face.scene, occlusion="none", blur=0.0),
    )
    before = getattr(still.expression, name)
    moved = replace(still, expression=replace(still.expression, **{name: before + 0.5}))
    difference = np.abs(render(still, 96).astype(int) - render(moved, 96).astype(int))
    assert difference.max() > 15


@pytest.mark.parametrize("label", EMOTIONS)
def test_expressions_scatter_around_the_typical_ones(label: str) -> None:
    def vector(expression: Expression) -> np.ndarray:
        return np.array([abs(getattr(expression, field.name)) for field in fields(Expression)])

    rng = np.random.default_rng(0)
    drawn = np.array([vector(sample_expression(label, rng)) for _ in range(200)])
    typical = {name: np.mean([vector(point) for point in points], axis=0) for name, points in TYPICAL.items()}
    nearest = min(EMOTIONS, key=lambda name: np.linalg.norm(drawn.mean(axis=0) - 0.85 * typical[name]))
    assert nearest == label
    assert drawn.std(axis=0).max() > 0.05


def test_classes_can_be_told_apart_but_not_by_pixels_alone() -> None:
    """A linear model on pixels learns something and is far from the 0.9 that a good CNN reaches."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.metrics import f1_score

    faces, labels = grey_faces(per_class=60)
    faces = np.array([cv2.resize(face, (24, 24), interpolation=cv2.INTER_AREA) for face in faces])
    flat = faces.reshape(len(faces), -1)
    flat = (flat - flat.mean(axis=1, keepdims=True)) / flat.std(axis=1, keepdims=True)
    train = np.arange(len(flat)) < len(flat) * 2 // 3
    model = RidgeClassifier(alpha=300.0).fit(flat[train], labels[train])
    score = f1_score(labels[~train], model.predict(flat[~train]), average="macro")
    assert 0.3 < score < 0.8


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("7", EMOTIONS), ("2", ("angry", "disgust")), ("sad,happy", ("happy", "sad")), (" Fear , sad ", ("fear", "sad"))],
)
def test_classes_are_a_number_or_names(text: str, chosen: tuple[str, ...]) -> None:
    assert synthetic.choose_classes(text) == chosen


@pytest.mark.parametrize("text", ["1", "0", "8", "", "happy", "happy,happy", "happy,bored", "-2", "2.5", "happy,,sad"])
def test_impossible_classes_are_refused_with_the_valid_ones(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        synthetic.choose_classes(text)
    assert repr(text)[1:-1] in caught.value.problem
    assert "surprise" in caught.value.remedy


@pytest.mark.parametrize("size", [47, 513, 0, -1])
def test_impossible_sizes_are_refused(size: int, workspace: Workspace) -> None:
    with pytest.raises(UsageError, match=str(size)):
        synthetic.encode_face("happy", 0, 0, size)
    with pytest.raises(UsageError, match=str(size)):
        synthetic.write_demo_faces(workspace, image_size=size)
    assert not workspace.root.exists()


def test_unknown_emotions_are_refused() -> None:
    with pytest.raises(UsageError, match="bored"):
        synthetic.encode_face("bored", 0, 0, 48)


def test_classes_are_mildly_imbalanced() -> None:
    counts = synthetic.class_counts(EMOTIONS, 100)
    assert max(counts.values()) == counts["happy"] == 100
    assert min(counts.values()) == counts["disgust"] == 60


def test_writes_class_folders_of_the_faces_that_it_draws(workspace: Workspace) -> None:
    faces = synthetic.write_demo_faces(workspace, per_class=12, classes=("happy", "sad"), seed=4, image_size=48)
    assert faces.counts == {"happy": 12, "sad": 11}
    assert faces.written == 23
    found = listing(workspace)
    assert len(found) == 23
    assert found["sad/sad_00010.jpg"] == synthetic.encode_face("sad", 4, 10, 48)
    image = cv2.imread(str(workspace.raw / "happy" / "happy_00000.jpg"))
    assert np.array_equal(image, draw_face("happy", 0, 48, seed=4))
    mark = json.loads((workspace.data / "demo.json").read_text())
    assert (mark["seed"], mark["counts"], mark["version"]) == (4, {"happy": 12, "sad": 11}, synthetic.VERSION)


def test_more_images_and_more_classes_change_none_that_were_there(tmp_path: Path) -> None:
    few, many = Workspace(tmp_path / "few"), Workspace(tmp_path / "many")
    synthetic.write_demo_faces(few, per_class=10, classes=("happy", "sad"), image_size=48)
    synthetic.write_demo_faces(many, per_class=15, classes=("fear", "happy", "sad"), image_size=48)
    assert listing(few).items() <= listing(many).items()


def test_the_same_call_again_touches_nothing(workspace: Workspace) -> None:
    synthetic.write_demo_faces(workspace, per_class=10, classes=("happy", "sad"))
    times = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*")}
    assert synthetic.write_demo_faces(workspace, per_class=10, classes=("sad", "happy")).written == 0
    assert {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*")} == times


def test_deleted_faces_are_drawn_again(workspace: Workspace) -> None:
    synthetic.write_demo_faces(workspace, per_class=10, classes=("happy", "sad"))
    before = listing(workspace)
    for path in workspace.raw.glob("happy/*"):
        path.unlink()
    (workspace.raw / "happy").rmdir()
    (workspace.raw / "sad" / "sad_00002.jpg").unlink()
    assert synthetic.write_demo_faces(workspace, per_class=10, classes=("happy", "sad")).written == 11
    assert listing(workspace) == before


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"per_class": 11}, "per_class is 10 there, not 11"),
        ({"seed": 1}, "seed is 0 there, not 1"),
        ({"image_size": 48}, "image_size is 64 there, not 48"),
        ({"classes": ("fear", "sad")}, "'fear', 'sad'"),
    ],
)
def test_other_settings_are_refused_with_the_difference(workspace: Workspace, change: dict, shown: str) -> None:
    settings = {"per_class": 10, "classes": ("happy", "sad")}
    synthetic.write_demo_faces(workspace, **settings)
    before = listing(workspace)
    with pytest.raises(DataError) as caught:
        synthetic.write_demo_faces(workspace, **settings | change)
    assert shown in caught.value.problem
    assert listing(workspace) == before


@pytest.mark.parametrize(
    "theirs",
    [
        "data/raw_yolo/happy/me.jpg",
        "data/raw_yolo/data.yaml",
        "data/cls_pool/happy/me.jpg",
        "data/cls_data/train/happy/me.jpg",
        "artifacts/outputs/leaderboard.csv",
        "artifacts/outputs/split_manifest.json",
        "artifacts/models/best_model.keras",
        "artifacts/trials/run/params.json",
        "artifacts/searches/mine/search.json",
    ],
)
def test_a_workspace_with_other_data_or_results_is_refused(workspace: Workspace, theirs: str) -> None:
    path = workspace.root / theirs
    path.parent.mkdir(parents=True)
    path.write_bytes(b"theirs")
    with pytest.raises(DataError) as caught:
        synthetic.write_demo_faces(workspace, per_class=10)
    assert caught.value.exit_code == 3
    assert "--root demo-workspace" in caught.value.remedy
    assert [found for found in workspace.root.rglob("*") if found.is_file()] == [path]


def test_an_empty_workspace_is_welcome(workspace: Workspace) -> None:
    workspace.create().raw.mkdir()
    assert synthetic.write_demo_faces(workspace, per_class=10, classes=("happy", "sad")).written == 20


def test_own_images_among_the_demo_faces_are_refused(workspace: Workspace) -> None:
    synthetic.write_demo_faces(workspace, per_class=10, classes=("happy", "sad"))
    (workspace.raw / "happy" / "me.jpg").write_bytes(b"mine")
    (workspace.raw / "happy" / ".hidden").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 file.*happy/me\.jpg"):
        synthetic.write_demo_faces(workspace, per_class=10, classes=("happy", "sad"))


def test_a_damaged_mark_is_refused(workspace: Workspace) -> None:
    synthetic.write_demo_faces(workspace, per_class=10, classes=("happy", "sad"))
    for damage in ("{", "[]"):
        (workspace.data / "demo.json").write_text(damage)
        with pytest.raises(DataError):
            synthetic.write_demo_faces(workspace, per_class=10, classes=("happy", "sad"))


@pytest.mark.parametrize("fatal", range(9))
def test_a_failure_anywhere_leaves_no_half_and_the_next_call_completes(workspace: Workspace, fatal: int) -> None:
    operations = []

    def fail(operation: str, path: Path) -> None:
        operations.append(operation)
        if len(operations) == fatal + 1:
            raise OSError(28, "No space left on device", str(path))

    files.fault_hook = fail
    with pytest.raises(OSError, match="No space"):
        synthetic.write_demo_faces(workspace, per_class=10, classes=("happy", "sad"))
    files.fault_hook = None
    assert not workspace.raw.exists() or len(listing(workspace)) == 20
    synthetic.write_demo_faces(workspace, per_class=10, classes=("happy", "sad"))
    assert len(listing(workspace)) == 20

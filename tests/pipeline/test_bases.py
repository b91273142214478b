"""`--base`: found, refused, copied, gone on with when the original is gone."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from keras import layers

from tests.pipeline.conftest import results
from tuning.core import files
from tuning.core import settings as config
from tuning.core.errors import DataError, UsageError
from tuning.core.progress import Silent
from tuning.core.workspace import Workspace
from tuning.dataset import decode, seen
from tuning.dataset.rough_hash import is_near, rough_hash
from tuning.dataset.store.arrays import read_info
from tuning.pipeline import bases
from tuning.pipeline.settings import search_settings
from tuning.results import lineage
from tuning.results.runs import read_runs

TRAIN = ("--epochs", "1", "--dtype", "float32")


@pytest.fixture
def base(tmp_path) -> Path:
    """A small network for images of 20 pixels."""
    keras.utils.set_random_seed(0)
    image = keras.Input((20, 20, 1))
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.BatchNormalization()(x)
    x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
    path = tmp_path / "faces.keras"
    keras.Model(image, layers.Dense(5, activation="softmax")(x)).save(path)
    return path


def known(workspace: Workspace, base: Path, features: tuple[int | None, ...] = (8,)) -> str:
    """The sha256 of the base, which the workspace has now, with nothing known of where it comes from."""
    digest = files.sha256_file(base)
    workspace.bases.mkdir(parents=True)
    shutil.copy(base, lineage.copy_of(workspace, digest))
    record = {"sha256": digest, "given": [str(base)], "name": base.name, "scaling": "0-255", "input": [20, 20, 1]}
    files.write_json(lineage.record_path(workspace, digest), {**record, "features": features, "parameters": 1})
    return digest


def edited(path: Path, change) -> None:
    """Changes the configuration inside a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    change(config)
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def test_what_is_no_model_is_refused_before_anything_is_written(workspace, here, tmp_path, base):
    nothing = here(workspace, "train", "--base", str(tmp_path / "none.keras"), *TRAIN)
    assert nothing.code == 2
    assert "MobileNetV3Small" in nothing.stderr
    old = tmp_path / "old.keras"
    old.write_bytes(b"\x89HDF\r\n\x1a\n and so on")
    refused = here(workspace, "train", "--base", str(old), *TRAIN)
    assert refused.code == 2
    assert "no zipped .keras file" in refused.stderr
    assert here(workspace, "train", "--space", "fine_tune", *TRAIN).code == 2
    assert here(workspace, "train", "--base-weights", str(old), *TRAIN).code == 2
    assert here(workspace, "train", "--base", str(base), "--accept", "all", *TRAIN).code == 2
    assert not workspace.bases.exists()
    assert not (workspace.art / "work").exists()


@pytest.mark.tensorflow
def test_code_in_a_base_is_refused_by_the_name_of_its_layer(workspace, here, base):
    def lambda_instead(config):
        layer = config["config"]["layers"][3]
        layer["class_name"], layer["module"], layer["config"]["name"] = "Lambda", "builtins", "evil"

    edited(base, lambda_instead)
    refused = here(workspace, "train", "--base", str(base), *TRAIN)
    assert refused.code == 2
    assert "layer 'evil'" in refused.stderr
    assert not workspace.bases.exists()


@pytest.mark.long
@pytest.mark.tensorflow
def test_a_search_from_a_base_goes_on_without_the_original_however_it_is_run(prepared, copied, start, base, here):
    arguments = ("--base", str(base), "--name", "s", "--strategy", "random", "--max-epochs", "1", "--max-trials", "2")
    arguments += ("--top-k", "1", "--no-ensemble", "--base-license", "CC0")
    one, two = copied(prepared), copied(prepared)
    first = start(one, "search", *arguments, "--executor", "inline", "--search-only").wait(600)
    assert first.code == 0, first.stderr
    assert "not checked" in first.stderr
    settings = json.loads((one.search("s") / "search.json").read_text())["settings"]
    assert settings["space"] == "fine_tune"
    assert settings["base"] == files.sha256_file(base)
    done = start(two, "search", *arguments, "--workers", "2").wait(600)
    assert done.code == 0, done.stderr
    kept = base.read_bytes()
    base.unlink()
    again = start(one, "search", *arguments, "--executor", "inline").wait(600)
    assert again.code == 0, again.stderr
    assert results(one) == results(two)
    runs = {metrics.kind: metrics for metrics in read_runs(one)}
    assert runs["baseline"].space == "baseline_cnn"
    assert runs["baseline"].base is None
    assert runs["finalist"].base == lineage.used(one, settings["base"], None)
    assert runs["finalist"].base.licence == "CC0"
    base.write_bytes(kept)
    edited(base, lambda config: config["config"].update(name="other"))
    changed = here(one, "search", *arguments)
    assert changed.code == 3
    assert "the model of --base was" in changed.stderr


def test_of_a_base_that_changed_the_copy_is_named(workspace, base, here):
    digest = known(workspace, base)
    arguments = ("--name", "s", "--strategy", "random", "--dtype", "float32")
    given = {"name": "s", "dtype": "float32"}
    here(workspace, "search", "--base", "none", *arguments)  # sets the backend
    config.freeze(workspace.search("s"), search_settings(workspace, "random", base=str(base), **given))
    edited(base, lambda config: config["config"].update(name="other"))
    refused = here(workspace, "search", "--base", str(base), *arguments)
    assert refused.code == 3
    assert "the model of --base was" in refused.stderr
    assert f"the base that it began with is kept: --base {digest}\n" in refused.stderr
    config.check(workspace.search("s"), search_settings(workspace, "random", base=digest, **given))
    lineage.copy_of(workspace, digest).unlink()
    assert "is kept" not in here(workspace, "search", "--base", str(base), *arguments).stderr


# What the base has seen ----------------------------------------------------------------------------------------------


class Heard(Silent):
    """Keeps what a person is told, and warned of."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warnings: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def run_of(workspace: Workspace, model: Path, make_run, **more) -> Path:
    """A published run of the workspace whose model is `model`."""
    lineage.keep(workspace)
    digest = json.loads((workspace.split / "arrays.json").read_text())["digest"]
    make_run(workspace, "run-1", model=model.read_bytes(), data_digest=digest, **more)
    return workspace.run("run-1")


def test_what_a_base_has_seen_is_counted_and_refused(prepared, copied, base, make_run, here):
    other, own = copied(prepared), copied(prepared)
    folder = run_of(other, base, make_run)
    # The same split: it has seen the whole validation split, and nothing of the test split.
    images = sum(place.split == "val" for place in seen.read_split_manifest(own.split_manifest).places)
    refused = here(own, "train", "--base", str(folder), *TRAIN)
    assert refused.code == 3
    words = f"{images} images of the validation and test split ({images} as they are, 0 mirrored, 0 at another"
    assert words in refused.stderr
    assert "--accept base-overlap" in refused.stderr
    assert not own.bases.exists()
    assert f"all of them in {own.base_overlap}" in refused.stderr
    places = seen.read_split_manifest(own.split_manifest).places
    listed = own.base_overlap.read_text().splitlines()
    assert sorted(listed) == sorted(place.source for place in places if place.split == "val")


def test_what_stands_beside_a_base_is_learned_when_first_its_file_came_alone(prepared, copied, base, make_run, here):
    other, own = copied(prepared), copied(prepared)
    folder = run_of(other, base, make_run)
    digest = known(own, base, (None, 8))
    assert "1 parameters, from 20 × 20 gray pixels 0-255 to any × 8 features;" in lineage.words(
        lineage.record_of(own, digest), None
    )

    def asked(given, **more):
        return search_settings(own, "random", name="s", base=str(given), dtype="float32", **more)

    began = asked(base)
    assert began.base_overlap is None
    config.freeze(own.search("s"), began)
    refused = here(own, "train", "--base", str(folder), *TRAIN)
    assert refused.code == 3
    assert "images of the validation and test split" in refused.stderr
    # What began before goes on, and a person is told.
    goes_on = asked(folder)
    config.check(own.search("s"), goes_on)
    heard = Heard()
    bases.adopt(own, goes_on, str(folder), None, None, heard)
    images = sum(place.split == "val" for place in seen.read_split_manifest(own.split_manifest).places)
    assert any(f"has seen {images} images" in text for text in heard.warnings)
    learned = lineage.record_of(own, digest)
    assert learned.name == "run-1"
    assert learned.trained_on.startswith("data ")
    assert learned.scaling == "0-255"
    # From now on, whatever it is called by.
    assert asked(digest).base_overlap is None
    assert asked(digest, fresh=True).base_overlap == asked(base, fresh=True).base_overlap == images


@pytest.mark.parametrize(
    ("known", "wanted", "outputs"),
    [
        (["angry", "happy", "sad"], ["anger", "contempt", "happiness", "sadness"], [0, None, 1, 2]),
        (["b", "a"], ["a", "b"], [1, 0]),
        (["a", "b", "c"], ["a", "b"], [0, 1]),
        (["a", "b"], ["a", "x"], None),
        (["a", "b"], ["a", "b", "x", "y", "z"], None),
        (["a", "b"], ["x", "y"], None),
    ],
)
def test_classes_are_matched_by_name_if_enough_of_them_have_one(known, wanted, outputs):
    assert bases.same_classes(known, wanted) == outputs


def test_of_a_base_from_a_run_its_classes_are_known(prepared, copied, base, make_run):
    other, own = copied(prepared), copied(prepared)
    names = ["fear", "angry", "disgusted", "happy", "sad"]
    folder = run_of(other, base, make_run, classes=names)
    assert read_info(own).classes == ("angry", "disgust", "fear")
    settings = search_settings(own, "random", name="s", base=str(folder), dtype="float32")
    heard = Heard()
    used = bases.adopt(own, settings, str(folder), None, None, heard)
    assert lineage.record_of(own, settings.base).classes == names
    assert used.outputs == [1, 2, 0]
    assert "base: begins with what it knows of angry, disgust, fear" in heard.said
    # Names of another number of classes than the file has are of another model.
    odd = run_of(copied(prepared), base, make_run, classes=names[:3])
    new = copied(prepared)
    assert bases.adopt(new, settings, str(odd), None, None, Heard()).outputs is None
    # Of the file alone, nothing is known; and what is recorded stays.
    alone = copied(prepared)
    known(alone, base)
    settings = search_settings(alone, "random", name="s", base=str(base), dtype="float32")
    assert bases.adopt(alone, settings, str(base), None, None, Heard()).outputs is None
    assert bases.adopt(alone, settings, str(folder), None, None, Heard()).outputs is None


def test_mirrored_images_are_found(prepared):
    place = next(p for p in seen.read_split_manifest(prepared.split_manifest).places if p.split == "test")
    pixels = decode.read_image(prepared.pool / place.file)
    mirror = seen.signature(decode.pixel_sha256(np.ascontiguousarray(pixels[:, ::-1])))
    known = seen.Seen(np.array([mirror], np.uint64), np.empty((0, 3), np.uint64))
    found = seen.overlap(prepared, known)
    assert (found.exact, found.mirrored, found.near, found.files) == (0, 1, 0, (place.source,))


def test_images_of_another_size_or_quality_are_found_and_others_are_not(prepared):
    places = seen.read_split_manifest(prepared.split_manifest).places
    tests = [p for p in places if p.split == "test"]
    pixels = [decode.read_image(prepared.pool / p.file) for p in tests]
    large = cv2.resize(pixels[0], (96, 96), interpolation=cv2.INTER_CUBIC)
    poor = cv2.imdecode(cv2.imencode(".jpg", pixels[1][:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1)
    known = seen.Seen(np.empty(0, np.uint64), np.array([rough_hash(large), rough_hash(poor[:, :, ::-1])]))
    found = seen.overlap(prepared, known)
    assert (found.exact, found.mirrored, found.near) == (0, 0, 2)
    assert found.files == (tests[0].source, tests[1].source)


def test_flat_images_are_no_copies_of_each_other():
    flat = [np.full((32, 32, 3), level, np.uint8) for level in (10, 20, 30)]
    hashes = np.array([rough_hash(image) for image in flat])
    assert is_near(hashes, hashes).all()
    assert not is_near(hashes[:1], hashes[1:]).any()


def test_signatures_are_bound_to_the_file_that_they_are_of(prepared, copied, base, make_run, tmp_path):
    folder = run_of(copied(prepared), base, make_run)
    digest = files.sha256_file(base)
    known = lineage.seen_by(folder / "model.keras", digest)
    assert known is not None and known.complete
    export = tmp_path / "export"
    export.mkdir()
    shutil.copy(base, export / "model.keras")
    assert lineage.seen_by(export / "model.keras", digest) is None
    seen.write(export / lineage.SIGNATURES, known, [digest])
    assert lineage.seen_by(export / "model.keras", digest) is not None
    assert lineage.seen_by(export / "model.keras", "0" * 64) is None
    (export / lineage.SIGNATURES).write_bytes(b"no signatures")
    with pytest.raises(DataError, match="does not hold signatures"):
        lineage.seen_by(export / "model.keras", digest)


def test_a_base_whose_own_base_is_unknown_is_not_called_checked(prepared, copied, base, make_run):
    workspace = copied(prepared)
    used = {"name": "x", "sha256": "a" * 64}
    folder = run_of(workspace, base, make_run, base=used)
    known = lineage.seen_by(folder / "model.keras", files.sha256_file(base))
    assert known is not None and not known.complete


def test_what_a_base_has_seen_is_listed_in_the_place_of_an_earlier_list(prepared, copied, base, make_run, here):
    other, own = copied(prepared), copied(prepared)
    folder = run_of(other, base, make_run)
    place = next(p for p in seen.read_split_manifest(own.split_manifest).places if p.split == "test")
    one = seen.Seen(np.array([seen.signature(place.sha256)], np.uint64), np.empty((0, 3), np.uint64))
    seen.write(folder / lineage.SIGNATURES, one, [files.sha256_file(base)])
    files.write_text(own.base_overlap, "of/another/base.png\n")
    refused = here(own, "train", "--base", str(folder), *TRAIN)
    assert refused.code == 3
    assert "has seen 1 images" in refused.stderr and place.source in refused.stderr
    assert own.base_overlap.read_text() == f"{place.source}\n"


def test_the_record_of_a_base_that_is_gone_is_named(workspace, base, here):
    digest = known(workspace, base)
    lineage.record_path(workspace, digest).unlink()
    refused = here(workspace, "train", "--base", digest, *TRAIN)
    assert refused.code == 3
    assert f"{lineage.record_path(workspace, digest)} is gone" in refused.stderr


def test_a_name_stands_for_the_copy_when_the_file_is_gone(workspace, base):
    with pytest.raises(UsageError, match="no such file"):
        bases.find(workspace, "gone.keras")
    workspace.bases.mkdir(parents=True)
    digest = files.sha256_file(base)
    record = {"sha256": digest, "given": ["gone.keras"], "name": "x", "scaling": "0-1", "input": [4, 4, 1]}
    files.write_json(lineage.record_path(workspace, digest), {**record, "features": [8], "parameters": 1})
    assert bases.find(workspace, "gone.keras") == bases.Found(digest, None)
    shutil.copy(base, lineage.copy_of(workspace, digest))
    assert bases.find(workspace, digest) == bases.Found(digest, None)

"""What becomes of places when images are replaced, relabelled, or turn out to belong together."""

from __future__ import annotations

import json
import shutil

import pytest

from tuning.core.errors import DataError
from tuning.dataset.preparation import prepare_dataset


def split_of(workspace):
    return {entry["source"]: entry["split"] for entry in json.loads(workspace.split_manifest.read_text())["images"]}


def test_images_that_replace_others_keep_their_places(workspace, faces, save):
    raw = faces({"a": 20, "b": 20})
    prepare_dataset(workspace, raw)
    before = split_of(workspace)
    for number in range(20):
        save(raw / "a" / f"{number:03}.png", 900 + number)
    with pytest.raises(DataError, match="20 of 40 images") as caught:
        prepare_dataset(workspace, raw)
    assert caught.value.remedy.startswith("put back the images that they were; or run again with --accept-removed")
    accepted = prepare_dataset(workspace, raw, accept_removed=True)
    assert (accepted.added, accepted.removed) == (20, 20)
    assert split_of(workspace) == before


def test_an_image_in_the_place_of_another_stays_with_its_copies(workspace, faces):
    raw = faces({"a": 20, "b": 20})
    prepare_dataset(workspace, raw)
    before = split_of(workspace)
    first = next(source for source, split in before.items() if split == "test" and source.startswith("a/"))
    other = next(source for source, split in before.items() if split == "train" and source.startswith("a/"))
    shutil.copy(raw / first, raw / other)
    prepare_dataset(workspace, raw, accept_removed=True)
    assert split_of(workspace) == before | {other: "test"}


def test_a_copy_under_another_label_is_told_with_its_remedy(workspace, faces):
    raw = faces({"a": 10, "b": 10})
    prepare_dataset(workspace, raw)
    before = split_of(workspace)
    shutil.copy(raw / "a" / "003.png", raw / "b" / "again.png")
    with pytest.raises(DataError, match=r"a/003\.png \(equal pixels carry another label\)") as caught:
        prepare_dataset(workspace, raw)
    assert caught.value.remedy.startswith("remove the images of the wrong label")
    (raw / "b" / "again.png").unlink()
    prepare_dataset(workspace, raw)
    assert split_of(workspace) == before


def test_another_data_set_is_sent_to_another_root(workspace, faces, save, tmp_path):
    prepare_dataset(workspace, faces({"a": 10, "b": 10}))
    for key in range(20):
        save(tmp_path / "other" / "ab"[key % 2] / f"x{key}.png", 500 + key)
    with pytest.raises(DataError, match="20 of 20 images") as caught:
        prepare_dataset(workspace, tmp_path / "other")
    assert caught.value.remedy.startswith("prepare another data set in another --root")


@pytest.fixture
def table(tmp_path):
    """`table({"p1": "p2"})` says who is shown on each of 120 images, three a person, and that p1 is p2."""
    path = tmp_path / "people.csv"

    def write(same):
        people = {f"{label}/{n:03}.png": f"{label}{n // 3}" for label in "ab" for n in range(60)}
        rows = [f"{file},{same.get(person, person)}" for file, person in people.items()]
        path.write_text("\n".join(["file,group", *rows]))
        return str(path)

    return write


def test_persons_who_turn_out_to_be_one_lose_no_place_without_a_word(workspace, faces, table):
    raw = faces({"a": 60, "b": 60})
    prepare_dataset(workspace, raw, group_by=table({}))
    before = split_of(workspace)
    person = {split: f"a{int(source[2:5]) // 3}" for source, split in before.items() if source.startswith("a")}
    one = table({person["test"]: person["train"]})
    with pytest.raises(DataError, match=r"3 of 120 .*\(belongs together with images of different splits\)") as caught:
        prepare_dataset(workspace, raw, group_by=one)
    assert caught.value.remedy.startswith("prepare another --root, in which they share a split; or run again with")
    assert split_of(workspace) == before
    accepted = prepare_dataset(workspace, raw, group_by=one, accept_removed=True)
    assert (accepted.added, accepted.removed, accepted.summary.leakage.subject) == (0, 3, 0)
    prepare_dataset(workspace, raw, group_by=table({}))
    assert split_of(workspace) == before

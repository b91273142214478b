"""One name for one class, when asked for; advice when it looks needed."""

from __future__ import annotations

import pytest

from tuning.core.errors import UsageError
from tuning.core.workspace import Workspace
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.sources import aliases
from tuning.dataset.sources.samples import clean_label


def test_pairs_are_read_and_cleaned():
    assert aliases.parse(" Anger = angry, No Emotion=neutral ,") == {"anger": "angry", "no_emotion": "neutral"}
    assert aliases.parse(None) == aliases.parse("") == {}


def test_the_built_in_table_can_be_extended_and_overruled():
    found = aliases.parse("emotions,joy=delight,pain=hurt")
    assert (found["anger"], found["joy"], found["pain"]) == ("angry", "delight", "hurt")


def test_the_built_in_table_is_clean_and_ends_after_one_step():
    for name, label in aliases.EMOTIONS.items():
        assert clean_label(name, "") == name
        assert clean_label(label, "") == label
        assert label not in aliases.EMOTIONS


@pytest.mark.parametrize("text", ["emotions,joy=happy,sadness=blue", "sadness=blue,emotions"])
def test_a_pair_overrules_the_built_in_table_in_either_order(text):
    found = aliases.parse(text)
    assert (found["joy"], found["sadness"], found["anger"]) == ("happy", "blue", "angry")


@pytest.mark.parametrize(
    "text", ["anger", "anger=", "=angry", "a=b,a=c", "anger=angry,anger=rage", "a=b,b=c", "a=../x", "a=con"]
)
def test_what_cannot_be_meant_is_refused(text):
    with pytest.raises(UsageError) as caught:
        aliases.parse(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("labels", "advice"),
    [
        (["angry", "happy"], None),
        (["anger", "happiness"], None),
        (["anger", "angry", "happy"], "anger=angry"),
        (["joy", "happiness", "sad", "sadness"], "happiness=happy,joy=happy,sadness=sad"),
        (["0_angry", "1_happy"], None),
        (["0_angry", "angry", "1-joy", "happy"], "0_angry=angry,1-joy=happy"),
        (["happy", "happy_(1)", "sad", "sad_-_copy"], "'happy_(1)=happy,sad_-_copy=sad'"),
        (["cat", "cat_copy_2", "copycat", "dog_(1)"], "cat_copy_2=cat"),
        (["test_a", "train_a", "test-b", "training-b"], "test-b=b,training-b=b,test_a=a,train_a=a"),
        (["training_fake", "training_real", "test", "val"], None),
    ],
)
def test_two_names_for_one_emotion_are_pointed_out(labels, advice):
    found = aliases.suggestion(labels, {})
    assert (found is None) == (advice is None)
    assert found is None or found.endswith(f"--aliases {advice}")


def test_classes_become_one(workspace, faces):
    raw = faces({"anger": 8, "Angry": 8, "happy": 8})
    plain = prepare_dataset(workspace, raw)
    assert list(plain.summary.counts) == ["anger", "angry", "happy"]
    assert any("--aliases anger=angry" in note for note in plain.summary.notes)
    renamed = prepare_dataset(workspace, raw, aliases="anger=angry")
    assert list(renamed.summary.counts) == ["angry", "happy"]
    assert "Renamed: anger → angry." in renamed.summary.notes
    assert not any("changes nothing" in note for note in renamed.summary.notes)
    mistyped = prepare_dataset(workspace, raw, aliases="anger=angry,hapy=glad,emotions")
    (note,) = [note for note in mistyped.summary.notes if "changes nothing" in note]
    assert note == "No class is called hapy: --aliases hapy=glad changes nothing."
    assert not any("look like the same class" in note for note in renamed.summary.notes)
    assert renamed.removed == 0


def test_images_that_are_given_twice_are_refused(workspace, faces, tmp_path):
    raw = faces({"train/a": 5, "train/b": 5, "test/a": 3, "test/b": 3})
    (tmp_path / "link").symlink_to(raw)
    for given in ([raw, raw / "train"], [raw / "test", raw], [raw, tmp_path / "link"]):
        with pytest.raises(UsageError, match="would count twice"):
            prepare_dataset(workspace, given)
    assert prepare_dataset(workspace, [raw / "train", raw / "test"]).summary.images == 16


@pytest.mark.parametrize("name", ["faces.zip", "faces.csv"])
def test_a_file_that_is_given_twice_is_refused(name, workspace, tmp_path):
    (tmp_path / name).write_bytes(b"")
    (tmp_path / f"link-{name}").symlink_to(tmp_path / name)
    with pytest.raises(UsageError, match="would count twice"):
        prepare_dataset(workspace, [tmp_path / name, tmp_path / f"link-{name}"])


def test_several_sources_become_one_data_set(workspace, faces, tmp_path, save):
    one = faces({"anger": 8, "happy": 8}, tmp_path / "one" / "set")
    for key in range(16):
        save(tmp_path / "two" / "set" / ("happy" if key % 2 else "angry") / f"{key}.png", 500 + key)
    raws = [one, tmp_path / "two" / "set"]
    prepared = prepare_dataset(workspace, raws, aliases="emotions")
    assert {label: sum(splits.values()) for label, splits in prepared.summary.counts.items()} == {
        "angry": 16,
        "happy": 16,
    }
    assert not prepare_dataset(workspace, raws, aliases="emotions").changed
    assert any("anger and angry" in note for note in prepare_dataset(Workspace(tmp_path / "w2"), raws).summary.notes)

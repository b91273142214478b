"""Persons: from paths, from a table, and what cannot be meant."""

from __future__ import annotations

import json
import unicodedata

import pytest

from tuning.core.errors import DataError, TuningError, UsageError
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.splitting import groups as grouping
from tuning.dataset.store.units import read_units


@pytest.mark.parametrize(
    ("expression", "source", "subject"),
    [
        (r"S\d+", "anger/S010_004.png", "S010"),
        (r"(S\d+)_", "anger/S010_004.png", "S010"),
        (r"(\w)/(?P<group>S\d+)", "anger/S010_004.png", "S010"),
        (r"(S\d+)_", "anger/x.png", None),
        (r"x*", "anger/y.png", None),
    ],
)
def test_an_expression_finds_the_person(expression, source, subject):
    assert grouping.parse(expression).subject(source) == subject


def test_a_table_is_looked_up_by_path_then_by_its_end(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("\ufefffile,person\nraw/happy/1.png,ann\nsad/1.png,bob\n1.png,cy\n\n a\\2.png ,dan\n", "utf-8")
    subject = grouping.parse(str(path)).subject
    found = [subject(source) for source in ("raw/happy/1.png", "raw/sad/1.png", "x/1.png", "a/2.png", "none.png")]
    assert found == ["ann", "bob", "cy", "dan", None]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("before", ["", "sep=;\n"])
def test_a_table_is_read_as_spreadsheets_write_it(tmp_path, encoding, before):
    path = tmp_path / "people.csv"
    path.write_text(f'{before}file;person\n1,5.png;Müller\n"2;1.png";Möller\n3.png\n', encoding)
    with pytest.raises(DataError, match=f":{len(before.splitlines()) + 4}: 1 columns"):
        grouping.parse(str(path))
    path.write_text(path.read_text(encoding).removesuffix("3.png\n"), encoding)
    subject = grouping.parse(str(path)).subject
    assert [subject(source) for source in ("1,5.png", "2;1.png")] == ["Müller", "Möller"]


def test_a_table_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("file,person\n1.png,Müller\n2.png,Möller\n", "latin-1")
    with pytest.raises(DataError, match=r"people\.csv is not in UTF-8"):
        grouping.parse(str(path))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", ":1: no column file"),
        ("file,label\na.png,x\n", ":1: no column group"),
        ("file,group\n", "lists no file"),
        ("file,group\na.png\n", ":2: 1 columns"),
        ("file,group\na.png,\n", ":2: the file or the group is empty"),
        ("file,group\na.png,x\na.png,y\n", ":3: a.png is in group 'x' and in group 'y'"),
        ("file,group\n" + "a" * 200_000 + ",x\n", ":2: field larger"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_with_its_line(tmp_path, content, problem):
    path = tmp_path / "people.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=problem) as caught:
        grouping.parse(str(path))
    assert str(path) in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["(S", "*", "missing.csv", "(?P<group>a)(?P<group>b)"])
def test_an_expression_that_cannot_be_meant_is_refused(text):
    with pytest.raises(UsageError) as caught:
        grouping.parse(text)
    assert caught.value.remedy


@pytest.fixture
def people(save, tmp_path):
    """Three images of each of twelve persons, in two classes."""
    raw = tmp_path / "people"
    for person in range(12):
        for shot in range(3):
            save(raw / "ab"[shot % 2] / f"P{person:02}_{shot}.png", 3 * person + shot)
    return raw


def test_a_person_is_in_one_split_only(workspace, people):
    summary = prepare_dataset(workspace, people, group_by=r"(P\d+)_").summary
    homes = {}
    for entry in json.loads(workspace.split_manifest.read_text())["images"]:
        homes.setdefault(entry["source"][2:5], set()).add(entry["split"])
    assert len(homes) == 12
    assert all(len(splits) == 1 for splits in homes.values())
    assert (summary.subjects, summary.leakage.subject) == (12, 0)
    assert summary.naive.subject > 0
    assert "12 persons by --group-by" in summary.text()
    assert {entry["subject"] for entry in json.loads(workspace.pool_manifest.read_text())["images"]} == set(homes)


def test_a_hash_in_a_name_is_part_of_it(workspace, people):
    for path in list(people.rglob("*_1.png")):
        path.rename(path.with_name(path.name.replace("P", "take#1_P")))
    summary = prepare_dataset(workspace, people, group_by=r"(P\d+)_").summary
    assert (summary.subjects, summary.leakage.subject, summary.notes) == (12, 0, ())


def test_a_new_image_of_a_person_joins_the_others(workspace, people, save):
    prepare_dataset(workspace, people, group_by=r"(P\d+)_")
    for person in range(12):
        save(people / "a" / f"P{person:02}_9.png", 500 + person)
    prepared = prepare_dataset(workspace, people, group_by=r"(P\d+)_")
    assert (prepared.added, prepared.summary.leakage.subject) == (12, 0)


def test_the_same_again_does_nothing_and_another_grouping_is_refused(workspace, people, tmp_path):
    table = tmp_path / "people.csv"
    rows = [f"{path.name},{path.name[:3]}" for path in people.rglob("*.png")]
    table.write_text("file,group\n" + "\n".join(rows))
    prepare_dataset(workspace, people, group_by=str(table))
    assert not prepare_dataset(workspace, people, group_by=str(table)).changed
    for other in (None, r"(P\d+)_"):
        with pytest.raises(DataError, match=r"was made with --group-by people\.csv") as caught:
            prepare_dataset(workspace, people, group_by=other)
        assert "--group-by people.csv" in caught.value.remedy


def test_an_expression_that_fits_no_image_is_refused(workspace, people):
    with pytest.raises(TuningError, match=r"fits none of 36 images, such as a/P00_0\.png"):
        prepare_dataset(workspace, people, group_by="Q")


def test_images_without_a_person_are_told(workspace, people, save):
    save(people / "a" / "stranger.png", 900)
    summary = prepare_dataset(workspace, people, group_by=r"(P\d+)_").summary
    assert any("no person for 1 image" in note for note in summary.notes)
    assert summary.leakage.verdict == (
        "open",
        "Copies: none. Persons: not checked where --group-by finds none (1 images).",
    )


@pytest.mark.parametrize(("expression", "divided"), [("([^_]+)_", True), ("([^/_]+)_", False), ("/(.*)_", False)])
def test_persons_that_are_divided_by_class_are_told(workspace, people, expression, divided):
    (people / "a").rename(people / "A")
    summary = prepare_dataset(workspace, people, group_by=expression).summary
    assert (summary.subjects == 24) == divided
    assert [note for note in summary.notes if "A/P00 and b/P00 count as two" in note] == list(summary.notes)
    assert bool(summary.notes) == divided


@pytest.mark.parametrize("by", ["table", "expression"])
def test_an_accent_that_is_written_in_two_ways_makes_no_two_persons(by, workspace, save, tmp_path):
    files = {f"{label}/{name}_{n}.png": name for label in "ab" for name in ("René", "Zoë", "Uwe") for n in range(8)}
    for key, name in enumerate(files):
        save(tmp_path / "raw" / unicodedata.normalize(("NFC", "NFD")[key % 2], name), key)
    rows = [
        f"{name},{unicodedata.normalize(('NFD', 'NFC')[key % 3 > 0], files[name])}" for key, name in enumerate(files)
    ]
    (tmp_path / "people.csv").write_text("\n".join(["file,group", *rows]))
    group_by = {"table": str(tmp_path / "people.csv"), "expression": r"/([^/]+)_\d"}[by]
    summary = prepare_dataset(workspace, tmp_path / "raw", group_by=group_by).summary
    assert (summary.subjects, summary.leakage.unknown) == (3, 0)


def test_persons_that_are_asked_for_later_need_a_split_of_their_own(workspace, people):
    summary = prepare_dataset(workspace, people).summary
    assert summary.leakage.named.group_by in summary.who[0]
    assert "Persons: not checked (" in summary.text() and "--group-by" in summary.text()
    with pytest.raises(DataError, match="made with no --group-by") as caught:
        prepare_dataset(workspace, people, group_by=r"(P\d+)_")
    assert r"prepare another --root with --group-by '(P\d+)_'" in caught.value.remedy


def test_the_units_of_a_split_are_its_groups_in_the_order_of_its_arrays(workspace, people):
    prepare_dataset(workspace, people, group_by=r"(P\d+)_")
    images = json.loads(workspace.split_manifest.read_text())["images"]
    for split in ("val", "test"):
        units = read_units(workspace, split)
        ordered = sorted((entry for entry in images if entry["split"] == split), key=lambda entry: entry["sha256"])
        assert len(units) == len(ordered) > len(set(units))
        pairs = {(unit, entry["group"]) for unit, entry in zip(units.tolist(), ordered, strict=True)}
        assert len(pairs) == len(set(units)) == len({entry["group"] for entry in ordered})

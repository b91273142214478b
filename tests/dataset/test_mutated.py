"""Ten thousand mutated manifests, labels, data.yaml and tables: each is read, or refused with a remedy."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tuning.core.errors import TuningError
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.sources import aliases, fer_csv, inventory, samples, yolo, yolo_names
from tuning.dataset.sources.yolo_names import Names
from tuning.dataset.splitting import groups as grouping
from tuning.dataset.splitting.split import parse_ratios
from tuning.dataset.store import arrays, file_state
from tuning.dataset.store.manifests import Place, SplitManifest, read_split_manifest, write_split_manifest
from tuning.dataset.summary import read_summary

ROUNDS = 10_000
#: What breaks parsers: numbers at the edge, other types, structure, bytes that are no text.
TOKENS = [
    *(b"0 -1 1e999 nan inf 99999999999999999999 0x10 null true [] {} [[[ }}} !!python/object:x &a *a \\u0000".split()),
    *(
        b'"',
        b"'",
        b":",
        b",",
        b"\n",
        b"\r\n",
        b"\t",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"../..",
        b"\\",
    ),
    *(b"# ", b"- ", b"|", b">", b"train", b"test", b"[" * 200, b"9" * 4400, b"\xf0\x9f\x98\x80", "٣".encode(), b"="),
]


def mutated(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 1:
            data[at : at + rng.randrange(1, 9)] = rng.choice(TOKENS)
        elif kind == 2:
            del data[at : at + rng.randrange(1, 60)]
        elif kind == 3 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 4:
            start = rng.randrange(len(data) + 1)
            data[at:at] = data[start : start + rng.randrange(80)]
        else:
            lines = bytes(data).split(b"\n")
            rng.shuffle(lines)
            data = bytearray(b"\n".join(lines))
    return bytes(data)


@pytest.fixture
def prepared(workspace, faces):
    raw = faces({"a": 6, "b": 6})
    prepare_dataset(workspace, raw, image_size=8)
    return workspace


def label_lines(folder):
    tree = inventory.take(folder)
    reading = yolo.Reading(tree, "", Names("data.yaml", {0: "a", 1: "b"}), "box")
    return list(reading.faces("images/x.png", "labels/x.txt"))


def text_of(path):
    return path.read_bytes().decode("utf-8", "replace")


@pytest.fixture
def readers(prepared, tmp_path):
    """name -> (file, its sound content, what reads it)."""
    folder = tmp_path / "mutated"
    (folder / "labels").mkdir(parents=True)
    places = tuple(
        Place(f"{label}/{n}.png", f"{label}/{n}", f"{label}{n}" * 32, label, f"{label}{n}", name)
        for label in "ab"
        for n, name in enumerate(("train", "val", "test"))
    )
    write_split_manifest(folder / "split.json", SplitManifest((70.0, 15.0, 15.0), 0, "box", places, {"c": "val"}))
    pixels = " ".join(map(str, range(64)))
    table = folder / "faces.csv"

    def rows():
        tree = inventory.take(table)
        if fer_csv.detect(tree, ""):
            for item in fer_csv.list_samples(tree, "", "box").items:
                if isinstance(item, samples.Sample):
                    fer_csv.parse_pixels(item.pixels)

    sound = {
        "split manifest": (folder / "split.json", None, lambda: read_split_manifest(folder / "split.json")),
        "arrays.json": (prepared.split / "arrays.json", None, lambda: arrays.read_info(prepared)),
        "pool summary": (prepared.pool_summary, None, lambda: read_summary(prepared.pool_summary)),
        "data state": (prepared.data_state, None, lambda: file_state.verify_data(prepared)),
        "labels": (folder / "labels" / "x.txt", b"0 0.5 0.5 0.8 0.8\n1 0.2 0.2 0.1 0.1\n", lambda: label_lines(folder)),
        "data.yaml": (
            folder / "data.yaml",
            b"train: ../train\nnc: 2\nnames:\n  0: happy\n  1: 'sad'\n",
            lambda: yolo_names.read(inventory.take(folder), "data.yaml"),
        ),
        "FER2013 CSV": (table, f"emotion,pixels,Usage\n0,{pixels},T\n3,{pixels},T\n".encode(), rows),
        "groups": (
            folder / "groups.csv",
            b"file,group\na.png,ann\nb/c.png,bob\n",
            lambda: grouping.read_table(folder / "groups.csv"),
        ),
        "aliases": (
            folder / "aliases",
            b"anger=angry,happiness=happy",
            lambda: aliases.parse(text_of(folder / "aliases")),
        ),
        "ratios": (folder / "ratios", b"70/15/15", lambda: parse_ratios(text_of(folder / "ratios"))),
        "expression": (
            folder / "regex",
            rb"(S\d+)_x*",
            lambda: grouping.parse(text_of(folder / "regex")).subject("a/S1_"),
        ),
    }
    return {name: (path, content or path.read_bytes(), read) for name, (path, content, read) in sound.items()}


def replace(path, content):
    # Some file systems flush a file that is written over, and take their time.
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def test_ten_thousand_mutations_are_read_or_refused(readers, workspace):
    seen: Counter[tuple[str, str]] = Counter()
    for number in range(ROUNDS):
        name = list(readers)[number % len(readers)]
        path, content, read = readers[name]
        data = mutated(content, random.Random(number))
        replace(path, data)
        try:
            read()
            seen[name, "read"] += 1
        except TuningError as error:
            assert error.problem, (name, data)
            assert error.remedy or isinstance(error, samples.DataError), (name, data)
            seen[name, "refused"] += 1
        except Exception as error:
            raise AssertionError(
                f"mutation {number} of {name}: {type(error).__name__}: {error}\n{data[:400]!r}"
            ) from error
        if number + len(readers) >= ROUNDS or path.is_relative_to(workspace.root):
            replace(path, content)
    # The mutations reach both outcomes, wherever there are two.
    assert {name for name, kind in seen if kind == "refused"} >= readers.keys() - {"labels"}
    assert {name for name, kind in seen if kind == "read"} == readers.keys()

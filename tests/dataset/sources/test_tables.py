"""Tables of faces as other programs write them: delimiters, columns, labels, notations of pixels, encodings."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from tuning.core.errors import DataError
from tuning.dataset.decode import UnreadableImage
from tuning.dataset.sources import fer_csv, inventory, table_columns
from tuning.dataset.sources.samples import Sample

WORDS = ["angry", "happy", "sad"]


def values(number, side=8):
    return np.random.default_rng(number).integers(0, 256, side * side).tolist()


def plain(number, side=8):
    return " ".join(map(str, values(number, side)))


def written(rows, header=("emotion", "pixels", "Usage"), delimiter=",", **options):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, **options)
    if header:
        writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def rows(label=lambda n: n % 3, pixels=plain, count=12):
    return [(label(n), pixels(n), "Training") for n in range(count)]


WIDE = [[n % 3, *values(n)] for n in range(12)]
FER = {"angry", "disgust", "fear"}
#: name -> (content of the table, its classes; or a pattern of the refusal).
TABLES = {
    "FER2013": (written(rows()), FER),
    "decimals": (written(rows(lambda n: f"{n % 3}.0")), FER),
    "blanks and plus signs": (written(rows(lambda n: f" +{n % 3} ")), FER),
    "words": (written(rows(lambda n: WORDS[n % 3])), set(WORDS)),
    "words in capitals": (written(rows(lambda n: WORDS[n % 3].title())), set(WORDS)),
    "a few numbers among words": (written(rows(lambda n: "3" if n == 0 else WORDS[n % 3])), set(WORDS)),
    "semicolons": (written(rows(), delimiter=";"), FER),
    "tabs": (written(rows(), delimiter="\t"), FER),
    "bars": (written(rows(), delimiter="|"), FER),
    "Excel's first line": ("sep=;\r\n" + written(rows(), delimiter=";"), FER),
    "a byte order mark": ("\ufeff" + written(rows()), FER),
    "UTF-16": (written(rows(lambda n: WORDS[n % 3]), delimiter="\t").encode("utf-16"), set(WORDS)),
    "quotes everywhere": (written(rows(), quoting=csv.QUOTE_ALL), FER),
    "other columns between": (
        written([(n, u, p, e) for n, (e, p, u) in enumerate(rows())], ("id", "Usage", "pixels", "emotion")),
        FER,
    ),
    "label and pixels": (written(rows(), ("label", "pixels", "split")), {"0", "1", "2"}),
    "class and image": (written(rows(lambda n: WORDS[n % 3]), ("Class", "Image", "x")), set(WORDS)),
    "no header": (written(rows(), header=None), FER),
    "a column for each pixel": (written(WIDE, ("label", *[f"pixel{n}" for n in range(64)])), {"0", "1", "2"}),
    "columns that are numbers": (written(WIDE, ("emotion", *map(str, range(64)))), FER),
    "an index as pandas writes it": (
        written([(n, *row) for n, row in enumerate(rows())], ("", "emotion", "pixels", "Usage")),
        FER,
    ),
    "floats": (written(rows(pixels=lambda n: " ".join(map(str, map(float, values(n)))))), FER),
    "brackets and commas": (written(rows(pixels=lambda n: str(values(n)))), FER),
    "fractions": (written(rows(pixels=lambda n: " ".join(str(v / 255) for v in values(n)))), FER),
    "200 × 200 pixels": (written(rows(pixels=lambda n: plain(n, 200))), FER),
    "files beside the pixels": (
        written(
            [(e, p, u, f"fer{n:07}.png") for n, (e, p, u) in enumerate(rows())], ("emotion", "pixels", "Usage", "image")
        ),
        FER,
    ),
    "files beside pixels in brackets": (
        written([(f"{n}.png", e, str(values(n))) for n, (e, _, _) in enumerate(rows())], ("path", "emotion", "pixels")),
        FER,
    ),
    "a column for each of many pixels": (
        written([[n % 3, *values(n, 96)] for n in range(12)], ("label", *[f"pixel{n}" for n in range(96 * 96)])),
        {"0", "1", "2"},
    ),
    "a column for each of many pixels, the label last": (
        written([[*values(n, 96), n % 3] for n in range(12)], (*[f"pixel{n}" for n in range(96 * 96)], "label")),
        {"0", "1", "2"},
    ),
    "no header, the usage first": (written([(u, e, p) for e, p, u in rows()], header=None), FER),
    "no header, words": (written(rows(lambda n: WORDS[n % 3]), header=None), set(WORDS)),
    "no columns of faces": (written(rows(), ("id", "name", "size")), r"has the columns id, name, size"),
    "no pixels": (written(rows(), ("emotion", "path", "Usage")), r"has the columns emotion, path, Usage"),
    "an eighth class": (written(rows(lambda n: n % 4 + 4)), r"3 rows: emotion must be a number from 0 to 6, got '7'"),
    "no label in many rows": (written(rows(lambda n: "" if n % 3 == 2 else n % 3)), "4 rows: the label is empty"),
    "NaN in many rows": (written(rows(lambda n: "nan" if n % 3 == 2 else WORDS[n % 3])), "4 rows: .* got 'nan'"),
    "words of another code page": (
        written(rows(lambda n: ["fröhlich", "wütend"][n % 2])).encode("cp1252"),
        "6 rows: the label .* is not UTF-8",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_or_refused(name, tmp_path, outcome_of):
    content, expected = TABLES[name]
    path = tmp_path / "given" / "faces.csv"
    path.parent.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    outcome = outcome_of(path.parent)
    if isinstance(expected, str):
        import re

        assert outcome.code == 3
        assert re.search(expected, outcome.error), outcome.error
        return
    assert outcome.code == 0, outcome.error
    counts = outcome.result["summary"]["classes"]
    assert set(counts) == expected
    assert outcome.result["summary"]["images"] == (11 if "few numbers" in name else 12)


@pytest.mark.parametrize("name", ["floats", "brackets and commas", "fractions", "FER2013", "a column for each pixel"])
def test_whatever_the_notation_the_pixels_are_the_same(name, tmp_path):
    path = tmp_path / "faces.csv"
    path.write_bytes(TABLES[name][0].encode())
    items = list(fer_csv.list_samples(inventory.take(tmp_path), "", "box").items)
    assert len(items) == 12
    for number, item in enumerate(items):
        assert isinstance(item, Sample)
        assert fer_csv.parse_pixels(item.pixels)[..., 0].flatten().tolist() == values(number)


@pytest.mark.parametrize(("first", "told"), [(1, True), (0, False)])
def test_emotions_that_seem_to_be_numbered_from_one_are_told(first, told, tmp_path):
    rows = [f"{first + n % 6},{' '.join(['9'] * 64)}" for n in range(6)]
    (tmp_path / "train.csv").write_text("emotion,pixels\n" + "\n".join(rows))
    (tmp_path / "test.csv").write_text("emotion,pixels\n" + rows[3])
    notes = fer_csv.list_samples(inventory.take(tmp_path), "", "box").notes
    assert ["No row of test.csv, train.csv has the emotion 0 (angry)" in note for note in notes] == [True] * told


@pytest.mark.parametrize("row", ['3,"{}', '"3,{}', '3,{},"Training'])
def test_a_quotation_mark_that_nothing_closes_loses_no_rows(row, tmp_path):
    pixels = " ".join(["9"] * 64)
    rows = [f"{n % 3},{pixels},Training" for n in range(30)]
    rows[4] = row.format(pixels)
    (tmp_path / "fer.csv").write_text("emotion,pixels,Usage\n" + "\n".join(rows))
    with pytest.raises(DataError, match=r"fer\.csv:6: a quotation mark .*: the 25 lines after it"):
        fer_csv.list_samples(inventory.take(tmp_path), "", "box")


def test_pixels_may_go_over_several_lines(tmp_path):
    pixels = "[" + "\n ".join(["[" + ", ".join(["9"] * 8) + "]"] * 8) + "]"
    (tmp_path / "fer.csv").write_text("emotion,pixels\n" + f'3,"{pixels}"\n' * 3)
    found = [*fer_csv.list_samples(inventory.take(tmp_path), "", "box").items]
    assert [fer_csv.parse_pixels(sample.pixels).shape for sample in found] == [(8, 8, 3)] * 3


def test_words_without_a_header_need_no_note(tmp_path):
    (tmp_path / "faces.csv").write_text(TABLES["no header, words"][0])
    assert fer_csv.list_samples(inventory.take(tmp_path), "", "box").notes == ()


def test_a_list_of_files_with_a_column_called_image_is_no_table_of_pixels(tmp_path):
    path = tmp_path / "faces.csv"
    for row in ("3,17,a/17.png", "3,a/17.png,17"):
        path.write_text(f"label,image,path\n{row}\n")
        assert table_columns.read(path) is None, row


def test_a_tab_separated_file_is_a_table(tmp_path, outcome_of):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "faces.tsv").write_text(written(rows(), delimiter="\t"))
    assert outcome_of(tmp_path / "given").result["summary"]["images"] == 12


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[ 12  13 ...  14  15]", "shortened"),
        ("1 2 x", "numbers from 0 to 255"),
        ("256.0 " * 64, "numbers from 0 to 255"),
        ("-0.5 " * 64, "numbers from 0 to 255"),
        ("inf " * 64, "numbers from 0 to 255"),
        ("nan " * 64, "numbers from 0 to 255"),
        ("1 " * 65, "65 pixels are not a square"),
        ("1_0 " * 64, "numbers from 0 to 255"),
        ("1 " * (3 * 48 * 48), "48 × 48 in colour is not read"),
    ],
)
def test_pixels_that_are_none_have_a_reason(text, reason):
    with pytest.raises(UnreadableImage, match=reason):
        fer_csv.parse_pixels(text)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("faces.xlsx", "PK", "faces.xlsx is a table"),
        ("faces.jsonl", '{"emotion": 3, "pixels": "1 2 3"}\n', "faces.jsonl is a table"),
        ("faces.txt", written(rows()), "faces.txt is a table of faces, but only those called .csv or .tsv are read"),
        ("faces.csv", "emotion,pixels,Usage\n", "1 × a table without a row (such as faces.csv)"),
    ],
)
def test_a_table_of_another_kind_is_named(name, content, said, tmp_path, outcome_of):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / name).write_text(content)
    assert said in outcome_of(tmp_path / "given").error


def test_images_beside_a_table_are_told(tmp_path, save, outcome_of):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "faces.csv").write_text(written(rows()))
    (tmp_path / "given" / "test.csv").write_text("pixels\n1 2 3\n")
    save(tmp_path / "given" / "happy" / "1.png", 1)
    entries = outcome_of(tmp_path / "given").result["summary"]["account"]
    told = {entry["example"]: (entry["reason"], entry["remedy"]) for entry in entries}
    assert told["happy/1.png"][0] == "an image beside a table of faces, which is read instead"
    assert "move the table out" in told["happy/1.png"][1]
    assert "columns" in told["test.csv"][1]


def test_the_limit_of_a_field_is_put_back(tmp_path):
    before = csv.field_size_limit()
    path = tmp_path / "faces.csv"
    path.write_text(written(rows(pixels=lambda n: plain(n, 200))))
    assert len(list(fer_csv.list_samples(inventory.take(tmp_path), "", "box").items)) == 12
    assert csv.field_size_limit() == before
    assert table_columns.read(path).label == 0

"""The forms in which labels are written, piece by piece."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from tuning.results.prediction.classifier import Classifier
from tuning.results.prediction.labelling import Prediction
from tuning.results.prediction.writers import CsvWriter, JsonLinesWriter, JsonWriter, TableWriter

FOUND = Classifier(Path("model.keras"), "run-1", ("happy", "=sad"), 8, "gray", "0-1", "probabilities")
FIRST = [Prediction("a.png", (("happy", 0.75), ("=sad", 0.25)))]
SECOND = [Prediction("longer.png", (("=sad", 1.0),)), Prediction("b.png", (), "the file is empty")]
#: Paints the terminal; ends the line; is no text; is a formula.
ODD = ["\x1b[31mred.png", "two\nlines.png", os.fsdecode(b"\xff.png"), "=1+1.png"]


def written(writer, *batches) -> str:
    stream = io.StringIO()
    made = writer(stream)
    made.begin(FOUND)
    for batch in batches:
        made.write(batch)
    made.end({"images": sum(map(len, batches))})
    stream.getvalue().encode()
    return stream.getvalue()


def test_a_table_is_aligned_as_far_as_paths_are_known():
    lines = [
        "a.png       happy 0.750  =sad 0.250",
        "longer.png  =sad 1.000",
        "b.png       unreadable: the file is empty",
    ]
    known = written(lambda stream: TableWriter(stream, ["a.png", "longer.png", "b.png"]), FIRST, SECOND)
    assert known.splitlines() == lines
    assert written(TableWriter, FIRST, SECOND).splitlines() == [lines[0].replace("       ", "  "), *lines[1:]]


def test_a_table_fits_its_terminal():
    long = Prediction("faces/" + "x" * 20 + ".png", (("surprise", 0.5), ("neutral", 0.25)))
    unread = Prediction("c.png", (), "the file is empty, or as good as empty")
    table = written(lambda stream: TableWriter(stream, room=40), [*FIRST, long, unread])
    assert table.splitlines() == [
        "a.png  happy 0.750  =sad 0.250",
        "faces/xxxxxxxxxxxxxxxxxxxx.png",
        "       surprise 0.500  neutral 0.250",
        "c.png  unreadable: the file is empty, or",
        "       as good as empty",
    ]
    assert (
        written(lambda stream: TableWriter(stream, room=40), [Prediction("-", (("happy", 1.0),))]) == "-  happy 1.000\n"
    )
    narrow = written(lambda stream: TableWriter(stream, room=18), [long])
    assert narrow.splitlines() == [long.path, "    surprise 0.500", "    neutral 0.250"]


def test_wide_letters_take_two_places():
    batch = [Prediction("面.png", FIRST[0].labels), *FIRST]
    assert written(TableWriter, batch).splitlines()[:2] == [
        "面.png  happy 0.750  =sad 0.250",
        "a.png   happy 0.750  =sad 0.250",
    ]


def test_csv_has_a_row_for_each_label():
    assert written(CsvWriter, FIRST, SECOND).splitlines() == [
        "path,rank,label,probability,error",
        "a.png,1,happy,0.750000,",
        "a.png,2,'=sad,0.250000,",
        "longer.png,1,'=sad,1.000000,",
        "b.png,,,,the file is empty",
    ]


def test_json_is_one_object_however_it_came():
    whole = written(JsonWriter, FIRST, SECOND)
    assert whole == written(JsonWriter, FIRST + SECOND) and whole.count("\n") == 1
    result = json.loads(whole)
    assert list(result) == ["model", "run_id", "predictions", "images"]
    assert (result["model"], result["run_id"], result["images"]) == ("model.keras", "run-1", 3)
    assert result["predictions"][2] == {"path": "b.png", "label": None, "labels": [], "error": "the file is empty"}
    lines = written(JsonLinesWriter, FIRST, SECOND).splitlines()
    assert [json.loads(line) for line in lines] == result["predictions"]


def test_json_without_a_prediction_is_whole():
    assert json.loads(written(JsonWriter, []))["predictions"] == []


@pytest.mark.parametrize("writer", [TableWriter, CsvWriter, JsonLinesWriter, JsonWriter])
def test_odd_names_are_valid_text_and_stay_on_their_line(writer):
    text = written(writer, [Prediction(name, (("happy", 1.0),)) for name in ODD])
    assert "\x1b" not in text
    assert len(text.splitlines()) == {TableWriter: 4, CsvWriter: 5, JsonLinesWriter: 4, JsonWriter: 1}[writer]


def test_odd_names_are_spelled_out():
    predictions = [Prediction(name, (("happy", 1.0),)) for name in ODD]
    table = [line.split("  ")[0] for line in written(TableWriter, predictions).splitlines()]
    assert table == ["\\x1b[31mred.png", "two\\nlines.png", "\\xff.png", "=1+1.png"]
    cells = [row["path"] for row in csv.DictReader(io.StringIO(written(CsvWriter, predictions)))]
    assert cells == ["[31mred.png", "twolines.png", "\\xff.png", "'=1+1.png"]
    paths = [json.loads(line)["path"] for line in written(JsonLinesWriter, predictions).splitlines()]
    assert paths == [ODD[0], ODD[1], "\\xff.png", ODD[3]]

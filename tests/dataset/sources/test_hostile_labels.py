"""YOLO labels, data.yaml and FER2013 tables as strangers write them: file and line of every fault."""

from __future__ import annotations

import pytest

YAML = "names: [happy, sad]\n"
BOX = "0 0.5 0.5 0.8 0.8\n"


@pytest.fixture
def yolo(tmp_path, save):
    """Eight labelled photos and one more, x.png, that the case is about."""
    raw = tmp_path / "raw"
    for number in range(8):
        save(raw / "train" / "images" / f"{number}.png", number, 40, 40)
        label = raw / "train" / "labels" / f"{number}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text(f"{number % 2} 0.5 0.5 0.8 0.8\n")
    save(raw / "train" / "images" / "x.png", 99, 40, 40)
    (raw / "data.yaml").write_text(YAML)
    return raw


#: name -> (content of x.png's label file, outcome).
LABELS = {
    "a face": (BOX, "9: "),
    "two faces": ("0 0.3 0.5 0.4 0.8\n1 0.7 0.5 0.4 0.8\n", "10: "),
    "Windows line ends": (BOX.replace("\n", "\r\n"), "9: "),
    "no line end": (BOX.strip(), "9: "),
    "a byte order mark": ("\ufeff" + BOX, "9: "),
    "tabs": (BOX.replace(" ", "\t"), "9: "),
    "blank lines": ("\n\n" + BOX + "\n", "9: "),
    "scientific notation": ("0 5e-1 0.5 8e-1 0.8", "9: "),
    "the whole image": ("0 0.5 0.5 1 1", "9: "),
    "a little beyond the edge": ("0 0.5 0.5 1.005 1", "9: "),
    "in the corner": ("0 0.1 0.1 0.2 0.2", "9: "),
    "empty": ("", "8: background: empty label file"),
    "only blanks": (" \n\t\n", "8: background: empty label file"),
    "missing": (None, "8: background: no label file"),
    "NaN": ("0 nan 0.5 0.8 0.8", r"8: x\.txt:1: a coordinate is not finite"),
    "infinity": ("0 0.5 inf 0.8 0.8", r"8: x\.txt:1: a coordinate is not finite"),
    "1e999": ("0 0.5 0.5 1e999 0.8", r"8: x\.txt:1: a coordinate is not finite"),
    "zero width": ("0 0.5 0.5 0 0.8", r"8: x\.txt:1: the box has no size"),
    "negative height": ("0 0.5 0.5 0.8 -0.8", r"8: x\.txt:1: the box has no size"),
    "out of the image": ("0 1.5 0.5 0.8 0.8", r"8: x\.txt:1: .*reaches out of the image"),
    "pixels instead of fractions": ("0 20 20 32 32", r"8: x\.txt:1: .*reaches out of the image"),
    "a box too small": ("0 0.5 0.5 0.05 0.05", r"8: x\.png#1: the face box is 2 × 2"),
    "a class out of range": ("2 0.5 0.5 0.8 0.8", r"8: x\.txt:1: class 2 is not one of the 2"),
    "a negative class": ("-1 0.5 0.5 0.8 0.8", r"8: x\.txt:1: class index '-1'"),
    "a class with a fraction": ("0.5 0.5 0.5 0.8 0.8", r"8: x\.txt:1: class index '0.5'"),
    "a class in words": ("happy 0.5 0.5 0.8 0.8", r"8: x\.txt:1: class index 'happy'"),
    "an enormous class": ("9" * 5000 + " 0.5 0.5 0.8 0.8", r"8: x\.txt:1: class index '9999"),
    "an Arabic digit": ("٠ 0.5 0.5 0.8 0.8", r"8: x\.txt:1: class index"),
    "4 columns": ("0 0.5 0.5 0.8", r"8: x\.txt:1: 4 columns"),
    "8 columns": ("0 0.5 0.5 0.8 0.8 0.1 0.1 5", r"8: x\.txt:1: 8 columns"),
    "a triangle": ("0 0.1 0.1 0.9 0.1 0.5 0.9", "9: 1 labels are polygons"),
    "a polygon without a size": ("0 " + "0.1 " * 40, r"8: x\.txt:1: the box has no size"),
    "a box with a confidence": ("0 0.5 0.5 0.8 0.8 0.93", "9: "),
    "a box with a confidence and a tracker's number": ("0 0.5 0.5 0.8 0.8 0.93 17", "9: "),
    "an oriented box": ("0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5", "9: 1 labels are polygons"),
    "a polygon with a confidence": ("0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9 0.93", "9: 1 labels are polygons"),
    "a polygon that leaves the image": ("0 0.1 0.1 1.9 0.1 0.5 0.9", r"8: x\.txt:1: .*reaches out of the image"),
    "five landmarks": (BOX.strip() + " 0.4 0.4 0.6 0.4 0.5 0.5 0.4 0.6 0.6 0.6", "9: 1 labels have keypoints"),
    "five landmarks, seen or not": (BOX.strip() + " 0.4 0.4 2" * 4 + " 0 0 0", "9: 1 labels have keypoints"),
    "a class with a point": ("0.0 0.5 0.5 0.8 0.8", "9: "),
    "plus signs and bare points": ("+1. +.5 .5 8e-1 +0.8", "9: "),
    "commas": ("0,0.5,0.5,0.8,0.8", "9: "),
    "commas and blanks": ("0, 0.5, 0.5, 0.8, 0.8", "9: "),
    "semicolons": ("0;0.5;0.5;0.8;0.8", "9: "),
    "semicolons and decimal commas": ("0;0,5;0,5;0,8;0,8", "9: "),
    "decimal commas": ("0 0,5 0,5 0,8 0,8", "9: "),
    "underscores": ("0 0_5 0.5 0.8 0.8", r"8: x\.txt:1: not all of"),
    "hexadecimal": ("0 0x1p-1 0.5 0.8 0.8", r"8: x\.txt:1: not all of"),
    # The same face twice is two samples with the same pixels.
    "a fault in the third line": (BOX + BOX + "0 nan 0 0 0", r"10: x\.txt:3: a coordinate is not finite"),
    "binary": ("\x00\x01\x02\x03", r"8: x\.txt:1: 1 columns"),
    "a very long line": ("0 " * 400_000, r"8: x\.txt:1: the box has no size"),
    "over a megabyte": ("\n" * 1_000_001, r"8: x\.txt: more than 1,000,000 bytes"),
    "UTF-16": (BOX.encode("utf-16"), "9: "),
    "UTF-16 without a mark": (BOX.encode("utf-16-le"), r"8: x\.txt:1: "),
    "XML": ("<annotation><object/></annotation>", r"8: x\.txt:1: 1 columns"),
}


@pytest.mark.parametrize("name", LABELS)
def test_a_label_file_is_read_or_its_line_named(name, yolo, expect):
    content, expected = LABELS[name]
    if isinstance(content, bytes):
        (yolo / "train" / "labels" / "x.txt").write_bytes(content)
    elif content is not None:
        (yolo / "train" / "labels" / "x.txt").write_bytes(content.encode())
    expect(expected, yolo)


DEEP = "names: " + "[" * 2000
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{one}: &{one} [{','.join([f'*{other}'] * 9)}]\n" for other, one in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
LONG = f"0x1{'0' * 5000}"
#: name -> (content of data.yaml, outcome).
NAMES = {
    "a list": ("names: [happy, sad]", "8: "),
    "a mapping": ("names: {0: happy, 1: sad}", "8: "),
    "a mapping with text keys": ("names: {'0': happy, '1': sad}", "8: "),
    "a block list with nc": ("nc: 2\nnames:\n- happy\n- sad\n", "8: "),
    "capitals and blanks": ("names: [' Happy ', SAD]", "8: "),
    "one class for two indices": ("names: [happy, Happy, sad]", "refused: all images are of one class"),
    "unused names": ("names: [happy, sad, fear]", "8: Left out, because no image carries them: fear"),
    "no names": ("nc: 2", "refused: no class names"),
    "names of nothing": ("names: []", "refused: no class names"),
    "names in one text": ("names: happy sad", "refused: no class names"),
    "a list alone": ("[happy, sad]", "refused: no class names"),
    "a name that stands for nothing": ("a: &a [x]\nnames: *b", "refused: not valid YAML"),
    "names as numbers": ("names: [1, 2]", "8: "),
    "names as truth values": ("names: [no, yes]", "refused: class name 'False' is not text"),
    "a null name": ("names: [happy, null]", "refused: class name 'None' is not text"),
    "nested names": ("names: [[happy], sad]", "refused: is not text"),
    "nc that contradicts": ("nc: 3\nnames: [happy, sad]", "refused: nc is 3 but names has 2"),
    "an index in words": ("names: {zero: happy, 1: sad}", "refused: class index 'zero'"),
    "a negative index": ("names: {-1: happy, 1: sad}", "refused: class index '-1'"),
    "a path as a name": ("names: [../../etc, sad]", "refused: the class name '../../etc'"),
    "a name with a null character": ('names: ["a\\0b", sad]', "refused: cannot be in a folder name"),
    "an empty file": ("", "refused: no class names"),
    "broken YAML": ("names: [happy, sad", r"refused: data\.yaml:\d: not valid YAML"),
    "tabs": ("names:\n\t- happy", r"refused: data\.yaml:2: not valid YAML"),
    "a Python object": ("names: !!python/object/apply:os.system ['true']", r"refused: data\.yaml:1: not valid YAML"),
    "a class with two names": (
        "names:\n  0: happy\n  1: sad\n  1: fear\n",
        r"refused: data\.yaml:4: .*'1' is given twice",
    ),
    "names given twice": (
        "names: [happy, sad]\nnames: [sad, happy]",
        r"refused: data\.yaml:2: .*'names' is given twice",
    ),
    "a deep nest": (DEEP, "refused: not valid YAML"),
    "a bomb of aliases": (BOMB + "names: *l", "refused: .*is not text"),
    "a bomb as nc": (BOMB + "names: [happy, sad]\nnc: *l", "refused: nc is .* but names has 2"),
    "a bomb as an index": (
        BOMB + "names: {? *l : happy}",
        r"refused: data\.yaml:\d+: not valid YAML: found unhashable",
    ),
    "an endless index": (f"names: {{? {LONG} : happy}}", "refused: a number has too many digits"),
    "an endless name": (f"names: [happy, {LONG}]", "refused: a number has too many digits"),
    "an endless nc": (f"names: [happy, sad]\nnc: {LONG}", "refused: a number has too many digits"),
    "binary": ("\x00\x01", "refused: not valid YAML"),
    "JSON": ('{"names": ["happy", "sad"]}', "8: "),
    "two documents": ("names: [happy, sad]\n---\nnames: [a, b]", "refused: not valid YAML"),
    "over 200 kB": ("#" * 200_001, "refused: more than 200,000 bytes"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_data_yaml_is_read_or_refused(name, yolo, expect):
    content, expected = NAMES[name]
    (yolo / "data.yaml").write_text(content)
    expect(expected, yolo)


def row(emotion, value, side=8):
    return f'{emotion},"{" ".join(str((value * 31 + n * n) % 256) for n in range(side * side))}",Training'


ROWS = [row(emotion, 10 * number + emotion) for number in range(4) for emotion in (3, 4)]
#: name -> (lines after the header and eight sound rows, outcome).
TABLES = {
    "a row": ([row(3, 99)], "9: "),
    "a blank line": (["", row(3, 99)], "9: "),
    "another size": ([row(3, 99, side=10)], "9: "),
    "no pixels": (["3,,Training"], r"8: faces\.csv#10: 0 pixels"),
    "too few pixels": (["3,1 2 3,Training"], r"8: faces\.csv#10: 3 pixels are not a square"),
    "a pixel of 256": (["3," + "256 " * 64 + ",T"], r"8: faces\.csv#10: .*numbers from 0 to 255"),
    "a negative pixel": (["3," + "-1 " * 64 + ",T"], r"8: faces\.csv#10: .*numbers"),
    "a pixel in words": (["3," + "x " * 64 + ",T"], r"8: faces\.csv#10: .*numbers"),
    "an enormous pixel": (["3," + "9" * 6000 + " 1" * 63 + ",T"], r"8: faces\.csv#10: .*numbers"),
    "emotion 7": ([row(7, 99)], r"8: faces\.csv:10: emotion must be a number from 0 to 6, got '7'"),
    "emotion 00009": ([row("00009", 99)], r"8: faces\.csv:10: emotion must be"),
    "emotion -1": ([row(-1, 99)], r"8: faces\.csv:10: emotion must be"),
    "emotion in words": ([row("happy", 99)], r"8: faces\.csv:10: emotion must be"),
    "one column": (["3"], r"8: faces\.csv:10: 1 columns; the header has 3"),
    "a formula": ([row("=1+1", 99)], r"8: faces\.csv:10: emotion must be"),
    "a null character": (["\0"], r"8: faces\.csv:10: 1 columns"),
    "a field of 200 kB": (["3," + "1" * 200_000 + ",T"], r"8: faces\.csv#10: .*numbers from 0 to 255"),
    "an open quotation mark": (['3,"1 2 3'], r"8: faces\.csv#1\d: 3 pixels"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_or_its_line_named(name, tmp_path, expect):
    lines, expected = TABLES[name]
    (tmp_path / "faces.csv").write_text("\n".join(["emotion,pixels,Usage", *ROWS, *lines]))
    expect(expected, tmp_path / "faces.csv")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("emotion,pixels", "8: "),
        ("\ufeffemotion,pixels,Usage", "8: "),
        ('"Emotion"," pixels ",Usage', "8: "),
        ("label,pixels,Usage", "8: numbers in the column label are the class names"),
        ("", r"8: faces\.csv has no header: the numbers in its column 1 .* \(0 = angry, .* 6 = neutral\)"),
        ("votes,pixels,Usage", "refused: has the columns votes, pixels, Usage"),
        ("emotion,file,Usage", "refused: has the columns emotion, file, Usage"),
    ],
)
def test_a_table_is_known_by_its_header(header, expected, tmp_path, expect):
    (tmp_path / "faces.csv").write_text("\n".join([header, *ROWS]))
    expect(expected, tmp_path / "faces.csv")

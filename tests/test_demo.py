from __future__ import annotations

import json
from pathlib import Path

import pytest

from demo_faces import writing as synthetic
from tuning import demo

SMALL = ["--per-class", "10", "--classes", "happy,sad", "--image-size", "48"]


def test_the_defaults_of_the_command_are_those_of_the_function() -> None:
    args = demo.options().parse_args([])
    assert args.per_class == synthetic.DEFAULT_PER_CLASS
    assert args.image_size == synthetic.DEFAULT_SIZE
    assert synthetic.choose_classes(args.classes) == synthetic.EMOTIONS
    assert args.seed == 0


@pytest.mark.parametrize(
    ("argv", "counts", "size", "seed"),
    [
        (SMALL, {"happy": 10, "sad": 10}, 48, 0),
        (["--per-class", "20", "--classes", "2", "--seed", "9"], {"angry": 17, "disgust": 12}, 64, 9),
        ([*SMALL, "--classes", "SAD, fear"], {"fear": 10, "sad": 10}, 48, 0),
    ],
)
def test_options_reach_the_drawings(argv, counts, size, seed, tmp_path: Path, capsys) -> None:
    assert demo.main(["--root", str(tmp_path), "--json", *argv]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["counts"] == counts
    assert (result["image_size"], result["seed"]) == (size, seed)
    assert result["images"] == result["written"] == sum(counts.values())
    label, count = next(iter(counts.items()))
    drawn = sorted((tmp_path / "data" / "raw_yolo" / label).iterdir())
    assert len(drawn) == count
    assert drawn[0].read_bytes() == synthetic.encode_face(label, seed, 0, size)


def test_says_what_was_drawn_and_what_comes_next(tmp_path: Path, capsys) -> None:
    root = tmp_path / "a folder"
    assert demo.main(["--root", str(root), "--quiet", *SMALL]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert f"20 synthetic faces of 48 × 48 pixels in {root / 'data' / 'raw_yolo'}\n" in shown.out
    assert shown.out.endswith(f"next: python -m tuning.prepare --root '{root}'\n")
    assert demo.main(["--root", str(root), "--quiet", *SMALL]) == 0
    assert "nothing drawn" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "code", "problem"),
    [
        (["--classes", "1"], 2, "--classes is 1"),
        (["--classes", "happy,bored"], 2, "bored"),
        (["--per-class", "9"], 2, "--per-class is 9"),
        (["--image-size", "32"], 2, "--image-size is 32"),
    ],
)
def test_bad_options_get_one_line_and_a_remedy(argv, code, problem, tmp_path: Path, capsys) -> None:
    assert demo.main(["--root", str(tmp_path), *argv]) == code
    first, second = capsys.readouterr().err.splitlines()
    assert problem in first
    assert second.startswith("  → ")
    assert list(tmp_path.iterdir()) == []


def test_other_data_is_refused(tmp_path: Path, capsys) -> None:
    (tmp_path / "data" / "raw_yolo" / "me").mkdir(parents=True)
    assert demo.main(["--root", str(tmp_path), *SMALL]) == 3
    assert "raw_yolo" in capsys.readouterr().err


def test_a_root_that_is_a_file_is_refused(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    assert demo.main(["--root", str(tmp_path / "file"), *SMALL]) == 2
    assert "not a folder" in capsys.readouterr().err

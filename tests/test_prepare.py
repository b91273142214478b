"""The command `prepare`: options, output, exit codes."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from tuning import prepare


@pytest.fixture
def raw(tmp_path):
    rng = np.random.default_rng(0)
    for label, count in (("happy", 12), ("sad", 6)):
        (tmp_path / "raw" / label).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(
                str(tmp_path / "raw" / label / f"{number}.png"), rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
            )
    return tmp_path / "raw"


@pytest.fixture
def call(tmp_path, capsys):
    def run(*arguments):
        code = prepare.main([*map(str, arguments), "--root", str(tmp_path / "workspace")])
        return code, *capsys.readouterr()

    return run


def test_the_result_is_a_page_for_a_person(call, raw):
    code, out, err = call("--raw", raw)
    assert code == 0
    assert "18 images in 2 classes, from class folders" in out
    assert out.splitlines()[2].split() == ["class", "train", "val", "test", "all"]
    assert "happy" in out
    assert "2.0 times as many images" in out
    assert "macro-F1" in out
    assert "class folders found" in err
    assert "pool_report.html" in out


def test_again_says_that_nothing_was_done(call, raw):
    call("--raw", raw)
    assert "nothing was done" in call("--raw", raw)[1]


def test_json_is_one_object_and_nothing_else(call, raw):
    code, out, err = call("--raw", raw, "--json", "--image-size", 10, "--color", "rgb", "--seed", 3)
    result = json.loads(out)
    assert code == 0
    assert err == ""
    assert (result["dataset"]["image_size"], result["dataset"]["channels"]) == (10, 3)
    assert result["dataset"]["counts"] == {"train": 12, "val": 3, "test": 3}
    assert result["summary"]["images"] == result["added"] == 18


def test_another_size_is_told(call, raw):
    call("--raw", raw)
    assert "rebuilding the arrays (image size 48 → 10)" in call("--raw", raw, "--image-size", 10)[2]


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["--split", "70/30"], 2, "2 parts instead of three"),
        (["--split", "x"], 2, "not three numbers"),
        (["--image-size", "0"], 2, "--image-size 0"),
        (["--raw", "nowhere"], 3, "nowhere does not exist"),
        (["--raw", "caf\udce9"], 3, "--raw caf\\udce9: its path is not valid text"),
    ],
)
def test_bad_input_is_one_line_and_a_remedy(call, raw, arguments, code, problem):
    got, out, err = call("--raw", raw, *arguments)
    assert got == code
    assert out == ""
    lines = err.splitlines()
    assert lines[-2].startswith("error: ")
    assert problem in lines[-2]
    assert lines[-1].startswith("  → ")


def test_an_empty_workspace_names_the_demo(call):
    code, _, err = call()
    assert code == 3
    assert "python -m tuning.demo" in err


def test_another_split_and_vanished_images_are_refused(call, raw):
    call("--raw", raw)
    code, _, err = call("--raw", raw, "--split", "80/10/10")
    assert code == 3
    assert "--split 70/15/15, now 80/10/10" in err
    (raw / "happy" / "0.png").unlink()
    code, _, err = call("--raw", raw)
    assert code == 3
    assert "--accept-removed" in err
    code, out, _ = call("--raw", raw, "--accept-removed")
    assert code == 0
    assert "1 removed from it" in out


def test_on_request_the_first_unusable_image_stops(call, raw):
    (raw / "happy" / "bad.png").write_text("text")
    code, out, _ = call("--raw", raw)
    assert code == 0
    assert "1 × the content is not an image in a known format (such as happy/bad.png)" in out
    code, _, err = call("--raw", raw, "--on-bad", "stop")
    assert code == 3
    assert "bad.png" in err

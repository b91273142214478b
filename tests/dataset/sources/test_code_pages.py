"""Names in archives that are not UTF-8 come out as they were meant, and are told."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
import zlib

import cv2
import numpy as np
import pytest

from tuning.dataset.sources import code_pages

NAMES = [
    ("gbk", ("生气", "高兴")),
    ("gbk", ("愤怒", "厌恶", "恐惧", "快乐", "悲伤", "惊讶", "中性")),
    ("gbk", ("男", "女")),
    ("big5", ("生氣", "高興", "悲傷")),
    ("cp932", ("喜び", "怒り", "悲しみ")),
    ("cp932", ("笑顔", "無表情", "ハッピー")),
    ("cp949", ("행복", "슬픔", "분노")),
    ("cp866", ("радость", "грусть")),
    ("cp866", ("Злость", "Счастье", "страх")),
    ("cp1251", ("радость", "грусть")),
    ("cp437", ("fröhlich", "wütend")),
    ("cp850", ("tristeza", "alegría", "sorpresa")),
    ("cp1252", ("colère", "dégoût")),
    ("cp852", ("szczęśliwy", "smutny")),
    ("cp737", ("χαρά", "λύπη")),
    ("utf-8", ("生气", "fröhlich")),
]


@pytest.mark.parametrize(("codec", "names"), NAMES)
def test_the_code_page_is_guessed_from_all_names(codec, names):
    raw = [f"faces/{name}/1.png".encode(codec) for name in names]
    found = code_pages.guess(raw)
    assert [one.decode(found.page.codec).split("/")[1] for one in raw] == list(names)
    assert next(name for name in names if not name.isascii()) in found.words(raw)


def test_what_fits_two_is_told_with_both():
    raw = [f"{name}/1.png".encode("cp949") for name in ("행복", "슬픔", "분노")]
    assert "it may as well be gbk" in code_pages.guess(raw).words(raw)


@pytest.mark.parametrize("raw", [b"\x95\xdb\xb1.png", b"faces/\x95\xdb\xb1/\xdb.png"])
def test_what_fits_none_is_not_guessed(raw):
    assert code_pages.guess([raw]) is None


def png(key):
    pixels = np.random.default_rng(key).integers(0, 256, (20, 16, 3), dtype=np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def zipped(path, codec, names, extra=False):
    class Old(zipfile.ZipInfo):
        def _encodeFilenameFlags(self):
            return self.filename.encode(codec), self.flag_bits & ~0x800

    with zipfile.ZipFile(path, "w") as package:
        for at, name in enumerate(names):
            for number in range(4):
                entry = Old(f"faces/{name}/{number}.png")
                if extra:
                    unicode_name = entry.filename.encode()
                    checksum = zlib.crc32(entry.filename.encode(codec))
                    content = struct.pack("<BI", 1, checksum) + unicode_name
                    entry.extra = struct.pack("<HH", 0x7075, len(content)) + content
                package.writestr(entry, png(10 * at + number))
    return path


@pytest.mark.parametrize(("codec", "names"), [NAMES[0], NAMES[7], NAMES[4], NAMES[10]])
def test_classes_of_a_zip_have_their_names_and_a_note(codec, names, tmp_path, outcome_of, workspace):
    path = zipped(tmp_path / "faces.zip", codec, names)
    assert outcome_of(path).code == 0
    for _ in range(2):
        summary = json.loads(workspace.pool_summary.read_text())
        assert set(summary["classes"]) == set(names)
        assert any("not UTF-8; they are read as" in note for note in summary["notes"])
        # From the folder that was unpacked before.
        workspace.data_state.unlink()
        assert outcome_of(path).code == 0


def test_names_that_are_utf8_without_saying_so_need_no_note(tmp_path, outcome_of):
    outcome = outcome_of(zipped(tmp_path / "faces.zip", "utf-8", ("生气", "高兴")))
    assert set(outcome.result["summary"]["classes"]) == {"生气", "高兴"}
    assert outcome.result["summary"]["notes"] == []


def test_the_name_in_utf8_beside_the_old_one_counts(tmp_path, outcome_of):
    outcome = outcome_of(zipped(tmp_path / "faces.zip", "cp850", ("glücklich", "ärger"), extra=True))
    assert set(outcome.result["summary"]["classes"]) == {"glücklich", "ärger"}
    assert outcome.result["summary"]["notes"] == []


def test_a_tar_of_another_code_page(tmp_path, outcome_of):
    path = tmp_path / "faces.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="cp866") as package:
        for at, name in enumerate(("радость", "грусть")):
            for number in range(4):
                data = png(10 * at + number)
                entry = tarfile.TarInfo(f"{name}/{number}.png")
                entry.size = len(data)
                package.addfile(entry, io.BytesIO(data))
    assert set(outcome_of(path).result["summary"]["classes"]) == {"радость", "грусть"}


def test_names_of_no_code_page_are_warned_of(tmp_path, outcome_of):
    path = tmp_path / "faces.zip"
    zipped(path, "utf-8", ("happy", "sad"))
    with zipfile.ZipFile(path, "a") as package:

        class Odd(zipfile.ZipInfo):
            def _encodeFilenameFlags(self):
                return b"faces/happy/\x95\xdb\xb1.png", 0

        package.writestr(Odd("faces/happy/odd.png"), png(99))
    outcome = outcome_of(path)
    assert outcome.result["summary"]["images"] == 9
    assert any("fit no code page" in note for note in outcome.result["summary"]["notes"])


def test_an_archive_in_an_archive_is_refused_by_name(tmp_path, outcome_of):
    inner = zipped(tmp_path / "inner.zip", "utf-8", ("happy", "sad"))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as package:
        package.write(inner, "data/inner.zip")
    outcome = outcome_of(tmp_path / "outer.zip")
    assert outcome.code == 3
    assert "holds another archive, data/inner.zip" in outcome.error


@pytest.mark.parametrize("name", ["faces.rar", "faces.7z", "faces.tar.zst"])
def test_archives_that_are_not_unpacked_are_named(name, tmp_path, outcome_of):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / name).write_bytes(b"x")
    for given in (tmp_path / "given", tmp_path / "given" / name):
        outcome = outcome_of(given)
        assert outcome.code == 3
        assert "is an archive of a kind that is not unpacked" in outcome.error

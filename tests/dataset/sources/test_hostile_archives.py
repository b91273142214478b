"""Archives as strangers pack them: what is safe is unpacked, anything else is refused with the member's name."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import struct
import tarfile
import zipfile

import cv2
import numpy as np
import pytest

from tuning.core import files
from tuning.core.errors import EnvironmentProblem
from tuning.dataset.preparation import prepare_dataset
from tuning.dataset.sources import archives


def image(key):
    return cv2.imencode(".png", np.random.default_rng(key).integers(0, 256, (20, 16, 3), dtype=np.uint8))[1].tobytes()


SOUND = {f"{label}/{n}.png": image(10 * k + n) for k, label in enumerate(("happy", "sad")) for n in range(4)}


def zipped(members, kind=zipfile.ZIP_DEFLATED):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", kind) as package:
        for name, content in members.items():
            package.writestr(name, content)
    return data.getvalue()


def zip_with(name, content=b"x", **changes):
    """The sound archive and one more member with such fields."""
    data = io.BytesIO(zipped(SOUND))
    entry = zipfile.ZipInfo(name)
    entry.filename = entry.orig_filename = name
    for key, value in changes.items():
        setattr(entry, key, value)
    with zipfile.ZipFile(data, "a") as package:
        package.writestr(entry, content)
    return data.getvalue()


def zip_with_flag(bits):
    """The sound archive, every member with such flag bits in both of its headers."""
    data = bytearray(zipped(SOUND))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(mark)
        while start >= 0:
            flags = struct.unpack_from("<H", data, start + at)[0]
            struct.pack_into("<H", data, start + at, flags | bits)
            start = data.find(mark, start + 4)
    return bytes(data)


def zip_declaring(size):
    """The sound archive, its first member declared as `size` bytes in both of its headers."""
    data = bytearray(zipped(SOUND))
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.find(mark) + at, size)
    return bytes(data)


def tarred(members, mode="w", **entries):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as package:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))
        for name, (kind, target) in entries.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            package.addfile(entry)
    return data.getvalue()


def damaged(data, at=0.5):
    changed = bytearray(data)
    middle = int(len(data) * at)
    changed[middle : middle + 40] = bytes(40)
    return bytes(changed)


def tar_with_a_broken_header():
    """One bit of the fifth member's name is another one: for `tarfile`, the archive ends there."""
    data = bytearray(tarred(SOUND))
    data[data.find(b"sad/1.png")] ^= 1
    return bytes(data)


def tar_without_its_end():
    data = tarred(SOUND)
    return data[: data.rindex(b"IEND") + 512 & -512]


def gzipped(data, checksum_off=0):
    packed = bytearray(gzip.compress(data))
    packed[-8] ^= checksum_off
    return bytes(packed)


#: name -> (file name, content, outcome).
ARCHIVES = {
    "a zip": ("a.zip", zipped(SOUND), "8: "),
    "a stored zip": ("a.zip", zipped(SOUND, zipfile.ZIP_STORED), "8: "),
    "an LZMA zip": ("a.zip", zipped(SOUND, zipfile.ZIP_LZMA), "8: "),
    "a zip in capitals": ("A.ZIP", zipped(SOUND), "8: "),
    "a tar": ("a.tar", tarred(SOUND), "8: "),
    "a tar.gz": ("a.tar.gz", tarred(SOUND, "w:gz"), "8: "),
    "a tgz": ("a.tgz", tarred(SOUND, "w:gz"), "8: "),
    "a tar.bz2": ("a.tar.bz2", tarred(SOUND, "w:bz2"), "8: "),
    "a tar.xz": ("a.tar.xz", tarred(SOUND, "w:xz"), "8: "),
    "a nested folder": ("a.zip", zipped({f"export/set/{k}": v for k, v in SOUND.items()}), "8: "),
    "backslashes between folders": ("a.zip", zipped({k.replace("/", "\\"): v for k, v in SOUND.items()}), "8: "),
    "backslashes after folders": ("a.zip", zip_with("happy\\", b""), "8: "),
    "full stops in paths": ("a.zip", zipped({f"./{k}": v for k, v in SOUND.items()}), "8: "),
    "hidden members": ("a.zip", zip_with("__MACOSX/happy/._0.png"), "8: "),
    "a broken image": ("a.zip", zip_with("happy/x.png"), "8: x.png: the content is not an image"),
    "a text file": ("a.zip", zip_with("README.txt"), "8: not an image file"),
    "an archive in it": ("a.zip", zip_with("more.zip", zipped(SOUND)), "8: an archive beside images, not unpacked"),
    "a way out": ("a.zip", zip_with("../evil.png"), r"refused: member '\.\./evil\.png' is a path that leaves"),
    "a way out, deep": ("a.zip", zip_with("happy/../../evil.png"), "refused: a path that leaves"),
    "a way out with backslashes": ("a.zip", zip_with("..\\evil.png"), "refused: a path that leaves"),
    "an absolute path": ("a.zip", zip_with("/etc/evil.png"), "refused: member '/etc/evil.png' is an absolute path"),
    "a network path": ("a.zip", zip_with("\\\\host\\evil.png"), "refused: an absolute path"),
    "a drive letter": ("a.zip", zip_with("C:\\evil.png"), "refused: an absolute path"),
    "a drive letter without a slash": ("a.zip", zip_with("C:evil.png"), "refused: an absolute path"),
    "a control character": ("a.zip", zip_with("happy/\x1b[2J.png"), r"refused: '.*x1b\[2J.png' is a name with control"),
    "a line break": ("a.zip", zip_with("happy/a\nb.png"), "refused: a name with control"),
    "a very long name": ("a.zip", zip_with(f"happy/{'x' * 300}.png"), "refused: a name too long"),
    "very long paths": ("a.zip", zip_with("x/" * 800 + "a.png"), "refused: a name too long"),
    "a name twice": (
        "a.tar",
        tarred({**SOUND, "./happy/0.png": b"x"}),
        "refused: member 'happy/0.png' is in it twice",
    ),
    "names that differ in case": ("a.zip", zip_with("happy/0.PNG"), "refused: the same as 'happy/0.png' on many"),
    "names that differ in Unicode form": (
        "a.zip",
        zipped({**SOUND, "happy/\u00fc.png": b"x", "happy/u\u0308.png": b"x"}),
        "refused: the same as",
    ),
    "a file that is a folder too": (
        "a.zip",
        zip_with("happy", b"x"),
        "refused: member 'happy' is a file, and a folder",
    ),
    "a link in a zip": ("a.zip", zip_with("x.png", b"/etc/passwd", external_attr=0o120777 << 16), "refused: a link"),
    "a device in a zip": ("a.zip", zip_with("x.png", b"", external_attr=0o060666 << 16), "refused: a special file"),
    "encrypted": ("a.zip", zip_with_flag(1), "refused: 'happy/0.png' is encrypted"),
    "patched data": ("a.zip", zip_with_flag(0x20), "refused: cannot be unpacked|damaged"),
    "strong encryption": ("a.zip", zip_with_flag(0x41), "refused: encrypted"),
    "a bomb": ("a.zip", zipped({**SOUND, "bomb.png": bytes(30_000_000)}), "refused: times its size"),
    "a tar bomb": ("a.tar.gz", tarred({**SOUND, "bomb.png": bytes(30_000_000)}, "w:gz"), "refused: times its size"),
    "a size that lies low": ("a.zip", zip_declaring(5), "refused: damaged|larger than the archive declares"),
    "a size that lies high": ("a.zip", zip_declaring(5_000_000), "refused: shorter than|damaged"),
    "a size beyond all disks": ("a.zip", zip_declaring(0xFFFFFFFE), "refused: times its size"),
    "a link in a tar": ("a.tar", tarred(SOUND, x=(tarfile.SYMTYPE, "/etc")), "refused: member 'x' is a link"),
    "a hard link in a tar": ("a.tar", tarred(SOUND, x=(tarfile.LNKTYPE, "happy/0.png")), "refused: a link"),
    "a device in a tar": ("a.tar", tarred(SOUND, x=(tarfile.CHRTYPE, "")), "refused: a special file"),
    "a pipe in a tar": ("a.tar", tarred(SOUND, x=(tarfile.FIFOTYPE, "")), "refused: a special file"),
    "a way out of a tar": ("a.tar", tarred({**SOUND, "../x": b"x"}), "refused: a path that leaves"),
    "an absolute path in a tar": ("a.tar", tarred({**SOUND, "/x": b"x"}), "refused: an absolute path"),
    "a truncated zip": ("a.zip", zipped(SOUND)[:-30], "refused: damaged"),
    "a zip with broken data": ("a.zip", damaged(zipped(SOUND)), "refused: damaged"),
    "a truncated tar": ("a.tar", tarred(SOUND)[:3000], "refused: damaged"),
    "a truncated tar.gz": ("a.tar.gz", tarred(SOUND, "w:gz")[:-100], "refused: damaged"),
    "a tar.gz with broken data": ("a.tar.gz", damaged(tarred(SOUND, "w:gz")), "refused: damaged"),
    "a truncated tar.xz": ("a.tar.xz", tarred(SOUND, "w:xz")[:-100], "refused: damaged"),
    "a truncated tar.bz2": ("a.tar.bz2", tarred(SOUND, "w:bz2")[:-100], "refused: damaged"),
    "an LZMA zip with broken data": ("a.zip", damaged(zipped(SOUND, zipfile.ZIP_LZMA), 0.3), "refused: damaged"),
    "a tar.xz with broken data": ("a.tar.xz", damaged(tarred(SOUND, "w:xz")), "refused: damaged"),
    "a tar with a broken header": ("a.tar", tar_with_a_broken_header(), "refused: damaged: after 5 members comes"),
    "the same, packed": ("a.tar.gz", gzipped(tar_with_a_broken_header()), "refused: damaged"),
    "a tar without its end": ("a.tar", tarred(SOUND).rstrip(b"\0"), "refused: damaged"),
    "a tar.gz without its end": ("a.tar.gz", gzipped(tar_without_its_end()), "8: "),
    "a tar.gz with another checksum": ("a.tar.gz", gzipped(tarred(SOUND), 1), "refused: damaged"),
    "text called zip": ("a.zip", b"hello", "refused: damaged"),
    "text called tar": ("a.tar", b"hello" * 1000, "refused: damaged"),
    "an empty zip": ("a.zip", zipped({}), "refused: no images"),
    "an empty tar": ("a.tar", tarred({}), "refused: no images|damaged"),
    "0 bytes": ("a.zip", b"", "refused: damaged"),
    "a zip called tar": ("a.tar", zipped(SOUND), "8: "),
    "a 7z": ("a.7z", b"7z\xbc\xaf'\x1c", "refused: none of the 1 files|no images"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_unpacked_or_refused(name, tmp_path, workspace, expect):
    file, content, expected = ARCHIVES[name]
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / file).write_bytes(content)
    expect(expected, tmp_path / "given" / file)
    assert [path.name for path in tmp_path.iterdir() if "evil" in path.name] == []
    unpacked = list(workspace.unpacked.iterdir()) if workspace.unpacked.is_dir() else []
    assert len(unpacked) == expected.startswith("8") or "no images" in expected
    assert files.leftovers(workspace.data) == []


def test_the_same_archive_is_unpacked_once_and_a_new_one_in_its_place(tmp_path, workspace):
    archive = tmp_path / "faces.zip"
    archive.write_bytes(zipped(SOUND))
    prepare_dataset(workspace, archive)
    (folder,) = workspace.unpacked.iterdir()
    assert not prepare_dataset(workspace, archive).changed
    archive.write_bytes(zipped({**SOUND, "sad/new.png": image(99)}))
    again = prepare_dataset(workspace, archive)
    assert (again.added, again.removed) == (1, 0)
    assert [path != folder for path in workspace.unpacked.iterdir()] == [True]


def test_two_archives_of_the_same_name_are_both_kept(tmp_path, workspace):
    given = [tmp_path / folder / "faces.zip" for folder in ("one", "other")]
    for number, archive in enumerate(given):
        archive.parent.mkdir()
        archive.write_bytes(zipped({name: image(100 * number + at) for at, name in enumerate(SOUND)}))
    for changed in (True, False):
        prepared = prepare_dataset(workspace, given)
        assert (prepared.changed, prepared.summary.images, prepared.summary.rejected) == (changed, 16, ())
    assert len(list(workspace.unpacked.iterdir())) == 2


def test_another_archive_with_the_same_names_sizes_and_times_is_decoded_anew(tmp_path, workspace):
    def bitmaps(first):
        pixels = [np.random.default_rng(first + n).integers(0, 256, (20, 16, 3), dtype=np.uint8) for n in range(8)]
        return {f"{'ab'[n % 2]}/{n}.bmp": cv2.imencode(".bmp", pixels[n])[1].tobytes() for n in range(8)}

    archive = tmp_path / "faces.tar"
    digests = []
    for first in (0, 100):
        archive.write_bytes(tarred(bitmaps(first)))  # every member is from 1970
        os.utime(archive, (first, first))
        prepared = prepare_dataset(workspace, archive, accept_removed=True)
        assert prepared.changed
        digests.append(prepared.info.digest)
    assert digests[0] != digests[1]


def test_an_archive_in_the_raw_folder_is_found(workspace):
    workspace.raw.mkdir(parents=True)
    (workspace.raw / "faces.zip").write_bytes(zipped(SOUND))
    assert prepare_dataset(workspace).summary.images == 8


def test_several_archives_and_folders_make_one_data_set(tmp_path, workspace, save):
    (tmp_path / "a.zip").write_bytes(zipped(SOUND))
    (tmp_path / "b.tar.gz").write_bytes(
        tarred({f"x/fear/{n}.png": image(300 + n) for n in range(4)} | {"x/sad/1.png": image(400)}, "w:gz")
    )
    raw = tmp_path / "raw"
    for key in range(500, 508):
        save(raw / ("happy" if key < 503 else "neutral") / f"{key}.png", key)
    summary = prepare_dataset(workspace, [tmp_path / "a.zip", tmp_path / "b.tar.gz", raw]).summary
    assert {label: sum(splits.values()) for label, splits in summary.counts.items()} == {
        "fear": 4,
        "happy": 7,
        "neutral": 5,
        "sad": 5,
    }


def test_two_archives_in_one_folder_are_not_guessed_at(tmp_path, expect):
    for name in ("a.zip", "b.zip"):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(zipped(SOUND))
    expect("refused: 2 archives and no image", tmp_path / "raw")


def test_a_full_disk_is_seen_before_anything_is_unpacked(tmp_path, workspace, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zipped(SOUND))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(EnvironmentProblem, match="has 1 free"):
        prepare_dataset(workspace, tmp_path / "a.zip")


@pytest.mark.parametrize("limit", ["MAX_ENTRIES", "MAX_BYTES"])
def test_caps_hold(tmp_path, expect, monkeypatch, limit):
    monkeypatch.setattr(archives, limit, 7)
    for name, content in (("a.zip", zipped(SOUND)), ("a.tar", tarred(SOUND))):
        (tmp_path / name).write_bytes(content)
        expect("refused: more than 7 members|at most 7 are", tmp_path / name)

"""Writes are all or nothing, whichever step fails or is the last one before the power goes."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.core import files
from tuning.core.errors import DataError

REPOSITORY = Path(__file__).resolve().parents[2]


def save_json(path: Path, value: str) -> None:
    files.write_json(path, {"value": value})


def save_through_a_library(path: Path, value: str) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text(value)


def save_folder(path: Path, value: str) -> None:
    with files.replacing_directory(path) as folder:
        files.write_text(folder / "a.txt", value)
        files.write_text(folder / "b.txt", value)


SAVERS: dict[str, Callable[[Path, str], None]] = {
    "json": save_json,
    "library": save_through_a_library,
    "folder": save_folder,
}


def content(path: Path) -> object:
    """What a reader sees at `path`: None, a text, or the texts of a folder by name."""
    if path.is_dir():
        return {entry.name: entry.read_text() for entry in sorted(path.iterdir())}
    return path.read_text() if path.exists() else None


def steps(save: Callable[[Path, str], None], path: Path) -> list[str]:
    seen: list[str] = []
    files.fault_hook = lambda operation, where: seen.append(operation)
    save(path, "counted")
    files.fault_hook = None
    return seen


def states(save: Callable[[Path, str], None], folder: Path) -> tuple[object, object]:
    """The content of a target that holds "old", and of one that holds "new"."""
    folder.mkdir()
    save(folder / "old", "old")
    save(folder / "new", "new")
    return content(folder / "old"), content(folder / "new")


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be opened")
@pytest.mark.parametrize("refused", [errno.EINVAL, errno.EIO])
def test_a_network_disk_may_not_know_how_to_sync_a_folder(tmp_path, monkeypatch, refused):
    """As one of Windows, mounted on Linux; a disk that fails is another matter."""
    sync = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(refused, os.strerror(refused))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if refused == errno.EINVAL:
        save_json(tmp_path / "x.json", "new")
        assert files.read_json(tmp_path / "x.json", "") == {"value": "new"}
    else:
        with pytest.raises(OSError, match="Input/output error") as caught:
            save_json(tmp_path / "x.json", "new")
        assert caught.value.filename == str(tmp_path)


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_step_leaves_the_old_or_the_new_state(name, existing, number, tmp_path):
    save = SAVERS[name]
    old, new = states(save, tmp_path / "states")
    count = len(steps(save, tmp_path / "counted"))
    assert count >= 4
    for failing in range(count):
        target = tmp_path / f"{failing}" / "target"
        target.parent.mkdir()
        if existing:
            save(target, "old")
        left = failing

        def fail(operation: str, path: Path) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                raise OSError(number, os.strerror(number), str(path))

        files.fault_hook = fail
        with pytest.raises(OSError) as caught:
            save(target, "new")
        files.fault_hook = None
        assert caught.value.errno == number
        assert content(target) in ((old, new) if existing else (None, new)), failing
        # What an error leaves is never more than a retired folder that could not be removed.
        assert all(path.name.startswith(files.RETIRED_MARK) for path in files.leftovers(target.parent)), failing
        save(target, "new")
        assert content(target) == new


DYING = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import test_files
from tuning.core import files
left = int(sys.argv[5])
def die(operation, path):
    global left
    left -= 1
    if left == -1:
        os.kill(os.getpid(), signal.SIGKILL)
files.fault_hook = die
test_files.SAVERS[sys.argv[3]](Path(sys.argv[4]), "new")
"""


@pytest.mark.parametrize("name", SAVERS)
def test_a_kill_at_any_step_leaves_the_old_or_the_new_state(name, tmp_path):
    save = SAVERS[name]
    old, new = states(save, tmp_path / "states")
    seen = set()
    for last in range(len(steps(save, tmp_path / "counted"))):
        target = tmp_path / f"{last}" / "target"
        target.parent.mkdir()
        save(target, "old")
        command = [sys.executable, "-c", DYING, REPOSITORY, REPOSITORY / "tests" / "core", name, target, str(last)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        if name != "folder":
            assert content(target) in (old, new)
        for leftover in files.leftovers(target.parent):
            files.put_back(leftover)
        assert content(target) in (old, new), last
        assert [path.name for path in target.parent.iterdir()] == ["target"]
        seen.add(content(target) == new)
        save(target, "new")
        assert content(target) == new
    assert seen == {True, False}


def test_a_failing_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("old")
    with pytest.raises(ValueError, match="cannot save"), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise ValueError("cannot save")
    assert content(tmp_path) == {"model.keras": "old"}


def test_a_full_disk_is_reported_with_the_path(tmp_path):
    path = tmp_path / "leaderboard.csv"
    with pytest.raises(OSError) as caught, files.replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_a_really_full_device_is_reported_with_the_path(tmp_path):
    path = tmp_path / "leaderboard.csv"
    with pytest.raises(OSError) as caught, files.replacing(path) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"x" * 10_000)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert content(tmp_path) == {}


def test_a_retired_folder_of_an_earlier_process_with_our_number_is_no_obstacle(tmp_path):
    retired = tmp_path / f"{files.RETIRED_MARK}{os.getpid()}-run"
    retired.mkdir()
    (retired / "a.txt").write_text("older")
    save_folder(tmp_path / "run", "new")
    assert content(tmp_path / "run") == {"a.txt": "new", "b.txt": "new"}
    assert files.leftovers(tmp_path) == []


def test_leftovers_are_the_outermost_ones(tmp_path):
    outer = tmp_path / "trials" / ".partial-7-run-1"
    outer.mkdir(parents=True)
    (outer / ".partial-7-metrics.json").write_text("{")
    (tmp_path / "data.partial-1").write_text("a person's own file")
    assert files.leftovers(tmp_path) == [outer]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "does not exist"),
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff", "JSON"),
        (b"[1e999]", "JSON: the number 1e999"),
        (b"[NaN]", "JSON: the number NaN"),
        (b"[-Infinity]", "JSON: the number -Infinity"),
    ],
)
def test_json_that_cannot_be_read_is_a_data_error_with_the_remedy(text, says, tmp_path):
    path = tmp_path / "split_manifest.json"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(DataError, match=says) as caught:
        files.read_json(path, "run prepare")
    assert str(path) in caught.value.problem
    assert caught.value.remedy == "run prepare"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON_VALUES))
def test_a_digest_depends_on_the_value_alone(value):
    reordered = dict(reversed(value.items()))
    assert files.digest(value) == files.digest(reordered)
    assert files.digest(value) != files.digest({**value, "one more": 1, "another": 2})


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "metrics.json", {"loss": float("nan")})
    assert content(tmp_path) == {}


def test_what_moves_to_another_file_system_is_copied(tmp_path, monkeypatch):
    source, rename = tmp_path / "run", os.rename
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "metrics.json").write_text("{}")

    def refuse(old, new):
        if Path(old) == source:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(old))
        rename(old, new)

    monkeypatch.setattr(os, "rename", refuse)
    (tmp_path / "runs").mkdir()
    files.move(source, tmp_path / "runs" / "run")
    assert (tmp_path / "runs" / "run" / "inner" / "metrics.json").read_text() == "{}"
    assert not source.exists()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_copy_to_another_file_system_that_fails_leaves_no_part_of_it(kind, tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "other" / "target"
    target.parent.mkdir()
    inner = source if kind == "file" else source / "inner"
    inner.parent.mkdir(exist_ok=True)
    inner.write_text("whole")

    def refuse(old, new):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(old))

    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(os, "rename", refuse)
    monkeypatch.setattr(files, "_fsync", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.move(source, target)
    assert inner.read_text() == "whole"
    assert not list(target.parent.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_a_link_to_a_folder_on_another_disk_stays_a_link(tmp_path):
    there, link = tmp_path / "disk" / "pool", tmp_path / "pool"
    there.mkdir(parents=True)
    (there / "old.png").touch()
    link.symlink_to(there)
    with files.replacing_directory(link) as folder:
        (folder / "new.png").touch()
    assert link.is_symlink() and [path.name for path in link.iterdir()] == ["new.png"]
    # A crash between the two steps.
    there.rename(there.with_name(f"{files.RETIRED_MARK}1-pool"))
    with files.replacing_directory(link) as folder:
        (folder / "newer.png").touch()
    assert [path.name for path in link.iterdir()] == ["newer.png"]
    assert [path.name for path in there.parent.iterdir()] == ["pool"]

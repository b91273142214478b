"""The digest of this package's own code: what changes it, and that what is kept of it is never believed too long."""

from __future__ import annotations

import os

import pytest

from tuning.core import packages
from tuning.core.own_code import digest_of, own_digest

SOURCE = '"""What it does."""\n\n\ndef double(n):\n    """Twice."""\n    return 2 * n\n'


@pytest.fixture
def digest(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    package = tmp_path / "package"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").write_text("")

    def after(text, name="room/module.py"):
        (package / name).write_bytes(text.encode())
        found = digest_of(package, tmp_path / "kept" / "digests.json")
        assert found == digest_of(package, tmp_path / "kept" / "digests.json")
        return found

    return after


def test_comments_docstrings_blanks_and_line_ends_are_not_code(digest):
    first = digest(SOURCE)
    assert digest(SOURCE.replace("Twice.", "Two times.").replace("What it does.", "Says another thing.")) == first
    assert digest("# a comment\n" + SOURCE.replace("\n\n\n", "\n")) == first
    assert digest(SOURCE.replace("\n", "\r\n")) == first


def test_a_changed_line_and_another_module_change_it(digest):
    first = digest(SOURCE)
    assert digest(SOURCE.replace("2 * n", "n * 2")) != first
    assert digest(SOURCE) == first
    assert digest("", "room/other.py") != first


def test_what_is_kept_is_no_more_than_an_aid(digest, tmp_path):
    first, kept = digest(SOURCE), tmp_path / "kept" / "digests.json"
    for damaged in ("", "[]", '{"room/module.py": 3}'):
        kept.write_text(damaged)
        assert digest(SOURCE) == first
    kept.unlink()
    os.rmdir(kept.parent)
    kept.parent.write_text("no folder")
    assert digest(SOURCE) == first


def test_it_stands_among_the_versions_of_a_search():
    assert packages.versions("tensorflow")["package code"] == own_digest()
    assert len(own_digest()) == 12

from __future__ import annotations

import os

from tuning.dataset.store.materialize import link_or_copy


def test_a_link_falls_back_to_a_copy(tmp_path, monkeypatch):
    source = tmp_path / "a"
    source.write_text("content")
    link_or_copy(source, tmp_path / "linked")
    assert os.path.samefile(source, tmp_path / "linked")

    def forbidden(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", forbidden)
    link_or_copy(source, tmp_path / "copied")
    assert not os.path.samefile(source, tmp_path / "copied")
    assert (tmp_path / "copied").read_text() == "content"

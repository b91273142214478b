"""What a refusal says about the code of a search space that has changed."""

from __future__ import annotations

import pytest

from tuning.pipeline.kept_code import first_change, keep
from tuning.trials.spaces import space_digest

CODE = "def build(hp):\n    width = 1\n    depth = 2\n    return width, depth\n"


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (CODE.replace("width = 1", "width = 8"), "'width = 1' is 'width = 8' now"),
        (CODE.replace("    depth = 2\n", "    depth = 2\n    depth = 3\n"), "'nothing' is 'depth = 3' now"),
        # A line that is gone has not become the next one that is new.
        (CODE.replace("    width = 1\n", "").replace("width, depth", "1, depth"), "'width = 1' is 'nothing' now"),
    ],
)
def test_the_first_change_is_told_alone(after, says, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "kept_code_space.py"
    module.write_text(CODE)
    space = "kept_code_space:build"
    assert first_change(tmp_path / "s", space) == ""
    keep(tmp_path / "s", space, space_digest(space))
    assert first_change(tmp_path / "s", space) == ""
    module.write_text(after)
    assert f" (in kept_code_space, {says}; " in first_change(tmp_path / "s", space)

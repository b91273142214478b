"""What a search began with, and what may change knowingly: code and versions. The work is a toy."""

from __future__ import annotations

import json

import pytest

from tuning.core import packages
from tuning.core.acceptance import acceptable
from tuning.core.errors import StateError, UsageError
from tuning.pipeline.plan import plan_search

from .conftest import TOY

CODE = """
def width(hp):
    return 8


def unused():
    return 1


def build(hp, input_shape, num_classes):
    return width(hp)
"""


@pytest.fixture
def own_space(tmp_path, monkeypatch):
    """`own_space(text)` writes the module of a space of a person's own."""
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    path = tmp_path / "code" / "kept_space.py"
    path.parent.mkdir()

    def write(text):
        path.write_bytes(text.encode())

    write(CODE)
    return write


SEARCH = {"space": "kept_space:build", "max_trials": 2}


def written(workspace):
    return json.loads((workspace.search("s") / "search.json").read_text())


def test_a_comment_or_another_function_ends_no_search(toy_search, own_space, workspace):
    toy_search("s", **SEARCH)
    for text in (CODE + "# a comment\n", CODE.replace("\n", "\r\n"), CODE.replace("return 1", "return 2")):
        own_space(text)
        toy_search("s", **SEARCH)
    (kept,) = (workspace.search("s") / "code").iterdir()
    assert (kept / "kept_space.py").read_text() == CODE
    assert "accepted" not in written(workspace)


def test_changed_code_is_refused_with_the_line_and_accepted_knowingly(toy_search, own_space, workspace):
    toy_search("s", **SEARCH)
    before = written(workspace)["settings"]["space_digest"]
    own_space(CODE.replace("return 8", "return 16"))
    with pytest.raises(StateError) as refused:
        toy_search("s", **SEARCH)
    assert "in kept_space, 'return 8' is 'return 16' now" in refused.value.problem
    assert "--accept code" in refused.value.remedy
    with pytest.raises(StateError, match="code"):
        toy_search("s", **SEARCH, accept="versions")
    given = {name: value for name, value in {**TOY, **SEARCH}.items() if name != "search_only"}
    assert plan_search(workspace, name="s", **given, accept="code").trials == 2
    toy_search("s", **SEARCH, accept="code")
    (change,) = written(workspace)["accepted"]
    assert change == {"what": "space_digest", "was": before, "now": written(workspace)["settings"]["space_digest"]}
    assert len(list((workspace.search("s") / "code").iterdir())) == 2
    # From now on it is the search's.
    toy_search("s", **SEARCH)
    own_space(CODE)
    with pytest.raises(StateError, match="'return 16' is 'return 8' now"):
        toy_search("s", **SEARCH)


def test_other_versions_are_refused_with_the_difference_and_accepted_knowingly(toy_search, workspace, monkeypatch):
    toy_search("s", max_trials=2)
    began = written(workspace)["settings"]["versions"]
    assert set(began) == {"package", "package code", "python", "keras", "tensorflow"}
    monkeypatch.setattr(packages, "versions", lambda backend: {**began, "keras": "9.1.0", "python": "3.99"})
    with pytest.raises(StateError) as refused:
        toy_search("s", max_trials=2)
    assert f"versions: keras was {began['keras']}, now 9.1.0" in refused.value.problem
    assert "tensorflow" not in refused.value.problem and "--accept versions" in refused.value.remedy
    toy_search("s", max_trials=2, accept="versions,code")
    (change,) = written(workspace)["accepted"]
    assert (change["what"], change["was"], change["now"]["python"]) == ("versions", began, "3.99")
    with pytest.raises(StateError, match="seed"):
        toy_search("s", max_trials=2, accept="versions", seed=7)


def test_what_cannot_be_accepted_is_refused():
    assert acceptable(" code, versions") == {"space_digest", "versions"} and acceptable(None) == frozenset()
    with pytest.raises(UsageError, match="'everything'"):
        acceptable("code,everything")

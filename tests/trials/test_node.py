"""What must hold on another machine before a trial may run there; both sides of the question in one process."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from tuning.core import machine
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import read_info
from tuning.trials import node
from tuning.trials.spaces import space_digest


@pytest.fixture
def asked(prepared, tmp_path, monkeypatch):
    """What a healthy node is asked; `change` makes another question of it."""
    monkeypatch.setattr(node, "VISIBLE_SECONDS", 0.0)
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(2**34, 2**33))
    root = tmp_path / "shared"
    shutil.copytree(prepared.root, root)
    folder = root / "logs"
    folder.mkdir()
    (folder / "mark").write_text("token")
    request = node.Request(
        root=str(root),
        folder=str(folder),
        mark=str(folder / "mark"),
        token="token",
        space="baseline_cnn",
        backend="tensorflow",
        dtype_policy="float32",
        environment={},
        versions=node.versions("tensorflow"),
        space_digest=space_digest("baseline_cnn"),
        data_digest=read_info(Workspace(root)).digest,
    )
    return lambda **change: msgspec.to_builtins(msgspec.structs.replace(request, **change))


def answer(request, judged_by=None):
    return node.refusal(node.inspect(request), judged_by or request)


def test_a_node_that_is_as_it_should_be_is_used_and_leaves_nothing_behind(asked, tmp_path):
    facts = node.inspect(asked())
    assert node.refusal(facts, asked()) is None
    assert facts["computes"]["processor"] and facts["computes"]["type"] == "float32"
    assert [path.name for path in (tmp_path / "shared" / "logs").iterdir()] == ["mark"]


def test_other_code_and_other_versions_are_named_with_both(asked):
    versions = node.versions("tensorflow")
    for name, there in (("package code", "0123456789ab"), ("numpy", "1.0"), ("keras", None)):
        others = {key: text for key, text in {**versions, name: there}.items() if text}
        problem, remedy = node.refusal({**node.inspect(asked()), "versions": others}, asked())
        assert (
            problem
            == f"it has {f'{name} {there}' if there else f'no {name}'}, this machine has {name} {versions[name]}"
        )
        assert "same versions" in remedy


def test_a_workspace_that_is_not_there_or_another_one_is_named(asked, tmp_path):
    logs = tmp_path / "shared" / "logs"
    assert answer(asked(mark=str(logs / "none")))[0] == f"it does not see {logs}"
    (logs / "other").write_text("another token")
    assert answer(asked(mark=str(logs / "other")))[0] == f"it does not see {logs}"
    # It sees the mark, but what it writes arrives elsewhere.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    problem, _ = answer(asked(folder=str(elsewhere)), asked())
    assert problem == f"what it writes into {logs} is not seen here"


def test_data_behind_a_link_to_a_disk_of_another_machine_are_named(asked, tmp_path):
    data = tmp_path / "shared" / "data"
    shutil.move(data, tmp_path / "local")
    data.symlink_to(tmp_path / "gone")
    problem, remedy = answer(asked())
    assert problem.startswith("it cannot read the data: ") and str(data) in problem
    assert "a link out of it leads nowhere" in remedy


def test_other_data_other_spaces_and_no_memory_are_named(asked, monkeypatch):
    assert answer(asked(data_digest="0" * 64))[0] == "its data are not this workspace's"
    assert "other code of the search space 'baseline_cnn'" in answer(asked(space_digest="0" * 64))[0]
    problem, remedy = answer(asked(space="no_such_module:build"))
    assert "no module of the search space 'no_such_module:build'" in problem and "PYTHONPATH" in remedy
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(2**34, 2**28))
    assert answer(asked())[0].startswith("it has 256 MB of free memory")


def test_a_node_that_cannot_write_is_named(asked):
    facts = {**node.inspect(asked()), "written": "", "unwritable": "logs: Permission denied"}
    assert node.refusal(facts, asked())[0] == "it cannot write: logs: Permission denied"


def test_facts_of_another_version_are_no_reason_to_fail(asked):
    assert "another version" in node.refusal({"shared": "perhaps"}, asked())[0]

"""The last lines that the command `search` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuning import search
from tuning.core.workspace import Workspace
from tuning.pipeline.search import SearchResult


@pytest.fixture
def workspace(tmp_path, make_run) -> Workspace:
    workspace = Workspace(tmp_path / "a workspace").create()
    make_run(workspace, "s-01-t0007-aaaaaaaa-s0", search="s", kind="finalist", trial="0007", rank=1)
    return workspace


def ended(workspace, monkeypatch, capsys, **result) -> list[str]:
    found = SearchResult("s", 9, 0, 27, "0007", 0.5, {}, directory=Path(workspace.search("s")), **result)
    monkeypatch.setattr("tuning.pipeline.search.run_search", lambda *_, **__: found)
    assert search.main(["--root", str(workspace.root)]) == 0
    return capsys.readouterr().out.splitlines()


def test_it_ends_with_the_verdict_and_the_next_three_commands(workspace, monkeypatch, capsys):
    run_id = "s-01-t0007-aaaaaaaa-s0"
    lines = ended(workspace, monkeypatch, capsys, runs=(run_id,), promoted=run_id, verdict="It is ahead.")
    root = f"--root '{workspace.root}'"
    assert lines[-6:] == [
        "verdict: It is ahead.",
        "",
        "next:",
        f"  python -m tuning.report {root} s",
        f"  python -m tuning.predict {root} face.jpg --sheet sheet.png",
        f"  python -m tuning.export {root}",
    ]


def test_the_export_it_names_is_of_this_search_where_an_earlier_model_stays_promoted(workspace, make_run):
    make_run(workspace, "earlier", search="t", kind="finalist", trial="0001", rank=1)
    result = SearchResult("s", 9, 0, 27, "0007", 0.5, {}, runs=("s-01-t0007-aaaaaaaa-s0",), promoted="earlier")
    assert search._next(result, None)[-1] == "python -m tuning.export --search s"


def test_without_finals_the_next_commands_need_none(workspace, monkeypatch, capsys):
    monkeypatch.chdir(workspace.root)
    lines = ended(Workspace(Path(".")), monkeypatch, capsys)
    assert lines[-3:] == [
        "  python -m tuning.report s",
        "  python -m tuning.train --from-trial s/0007",
        "  python -m tuning.leaderboard",
    ]


def test_the_commands_are_understood():
    from tuning import export, leaderboard, predict, report, train

    commands = {"export": export, "leaderboard": leaderboard, "predict": predict, "report": report, "train": train}
    for promoted in (None, "run"):
        result = SearchResult("s", 9, 0, 27, "0007", 0.5, {}, promoted=promoted)
        for line in search._next(result, None):
            words = line.split()
            commands[words[2].removeprefix("tuning.")].options().parse_args(words[3:])

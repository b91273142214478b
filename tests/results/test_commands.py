"""The commands that read results, called in this process: what they print, and their exit codes."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from tuning import cli, export, leaderboard, promote, train
from tuning.pipeline.train import TrainResult
from tuning.results import sources
from tuning.results.aliases import alias
from tuning.results.answers import Board
from tuning.results.model_card import model_card
from tuning.results.runs import read_runs


@pytest.fixture
def call(workspace, capsys):
    """call(command, *arguments) -> (exit code, stdout, stderr), in the workspace."""

    def call(command, *arguments):
        capsys.readouterr()
        code = command.main(["--root", str(workspace.root), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.parametrize("command", [leaderboard, promote, export])
def test_an_empty_workspace_exits_3_and_says_what_to_run(call, command):
    code, out, err = call(command)
    assert (code, out) == (3, "")
    assert "python -m tuning.search" in err and "Traceback" not in err


def test_an_empty_folder_stays_empty(tmp_path):
    for command in (leaderboard, promote, export):
        assert command.main(["--root", str(tmp_path)]) == 3
    assert leaderboard.main(["--root", str(tmp_path), "--rebuild"]) == 3
    assert list(tmp_path.iterdir()) == []


def test_leaderboard_prints_an_aligned_table(call, write_run):
    write_run("short", 0.5)
    write_run("a-much-longer-name", 0.6, parameters=12, kind="baseline", strategy=None)
    assert call(leaderboard, "--rebuild")[0] == 0
    code, out, err = call(leaderboard)
    lines = out.splitlines()
    assert (code, err, len(lines)) == (0, "", 3)
    assert lines[1].split()[:3] == ["1", alias("a-much-longer-name"), "a-much-longer-name"]
    assert "0.600  0.580–0.620" in lines[1]
    column = lines[0].index("kind")
    assert lines[1][column:].startswith("baseline") and lines[2][column:].startswith("finalist")
    end = lines[0].index("parameters") + len("parameters")
    assert lines[1][:end].endswith("     12") and lines[2][:end].endswith("684,199")
    assert "data" not in lines[0]


def test_leaderboard_cannot_paint_the_terminal(call, write_run):
    write_run("one", space="\x1b[31mred")
    assert "\x1b" not in call(leaderboard, "--rebuild")[1]


def test_leaderboard_json_holds_all_columns(call, write_run, workspace):
    write_run("one", 0.5)
    call(leaderboard, "--rebuild")
    code, out, _ = call(leaderboard, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["leaderboard"] == str(workspace.leaderboard)
    assert result["rows"][0]["test_f1_macro"] == 0.5


def test_leaderboard_json_says_who_is_tied_and_how_often_the_test_split_was_opened(call, answer):
    labels = np.arange(60) % 3
    for run_id in ("one", "two"):
        answer(run_id, labels, labels)
    call(leaderboard, "--rebuild")
    result = json.loads(call(leaderboard, "--json")[1])
    assert [(row["standing"], row["per_class"]["happy"]) for row in result["rows"]] == [("best", 1.0), ("tied", 1.0)]
    assert result["test_split_openings"] == {"d" * 12: 2}


def test_leaderboard_prints_csv_and_markdown(call, write_run):
    write_run("a|b", 0.5)
    call(leaderboard, "--rebuild")
    code, out, err = call(leaderboard, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, err, len(rows)) == (0, "", 1)
    assert (rows[0]["run_id"], rows[0]["standing"], rows[0]["f1_happy"]) == ("a|b", "best", "0.500000")
    out = call(leaderboard, "--markdown")[1]
    assert out.startswith("| # | name | run |") and "a\\|b" in out and len(out.splitlines()) == 3


@pytest.mark.parametrize("form", ["--csv", "--markdown"])
def test_leaderboard_prints_one_form_at_a_time(call, form):
    code, _, err = call(leaderboard, "--json", form)
    assert code == 2 and "give one of them" in err


def test_leaderboard_fits_a_terminal_unless_told_otherwise(call, write_run, monkeypatch):
    write_run("a-rather-long-search-name-hyperband-01-t0003-cccccccc-s0", 0.5)
    call(leaderboard, "--rebuild")
    monkeypatch.setattr(cli, "terminal_width", lambda: 80)
    out = call(leaderboard)[1]
    assert max(map(len, out.splitlines())) <= 80 and "F1 by class" in out
    assert alias("a-rather-long-search-name-hyperband-01-t0003-cccccccc-s0") in out and "a-rather" not in out
    assert len(call(leaderboard, "--wide")[1].splitlines()) == 2


def test_leaderboard_verify_exits_3_on_a_difference(call, write_run, workspace):
    write_run("one", 0.5)
    code, _, err = call(leaderboard, "--verify")
    assert code == 3 and "does not exist" in err and "--rebuild" in err
    call(leaderboard, "--rebuild")
    assert call(leaderboard, "--verify")[0] == 0
    workspace.leaderboard.write_text(workspace.leaderboard.read_text().replace("0.500000", "0.900000"))
    code, _, err = call(leaderboard, "--verify")
    assert code == 3 and "line 2: test_f1_macro of one is 0.900000, its metrics.json says 0.500000" in err


def test_leaderboard_verify_shows_a_few_of_many_differences(call, write_run, workspace):
    for index in range(30):
        write_run(f"run-{index:02}", 0.5)
    call(leaderboard, "--rebuild")
    workspace.leaderboard.write_text(workspace.leaderboard.read_text().replace("0.500000", "0.900000"))
    err = call(leaderboard, "--verify")[2]
    assert "run-09" in err and "run-10" not in err and "and 20 more" in err


def test_leaderboard_rebuild_after_the_last_run_is_gone_empties_the_file(call, write_run, workspace):
    write_run("one")
    call(leaderboard, "--rebuild")
    workspace.run("one").rename(workspace.root / "one")
    assert call(leaderboard, "--rebuild")[0] == 3
    assert len(workspace.leaderboard.read_text().splitlines()) == 1


def test_leaderboard_rebuild_and_verify_exclude_each_other(call):
    with pytest.raises(SystemExit) as caught:
        call(leaderboard, "--rebuild", "--verify")
    assert caught.value.code == 2


def test_promote_says_what_it_did(call, write_run, workspace):
    write_run("one", 0.5)
    assert call(promote, "--dry-run")[1] == "would promote one: test macro-F1 0.500, best of 1\n"
    assert not workspace.best_model.exists()
    assert call(promote)[1] == "promoted one: test macro-F1 0.500, best of 1\n"
    assert call(promote)[1] == "already promoted one: test macro-F1 0.500, best of 1\n"
    write_run("two", 0.6)
    assert call(promote)[1] == "promoted two: test macro-F1 0.600, best of 2; before: one\n"
    result = json.loads(call(promote, "--json")[1])
    assert (result["run_id"], result["changed"], result["left_out"]) == ("two", False, [])


@pytest.mark.parametrize(("overlap", "words"), [(None, "not checked"), (3, "3 accepted"), (0, None)])
def test_what_a_base_may_have_seen_stands_behind_the_figure(call, write_run, monkeypatch, overlap, words):
    found = write_run("one", 0.5, base={"name": "faces", "sha256": "a" * 64, "overlap": overlap})
    said = f", started from base {'a' * 12}, overlap {words}" if words else ""
    assert call(promote)[1] == f"promoted one: test macro-F1 0.500, best of 1{said}\n"
    monkeypatch.setattr("tuning.pipeline.train.train_one", lambda *_, **__: TrainResult("one", found, "one"))
    assert call(train)[1].startswith(f"one: test_f1_macro 0.5000 (95 % interval 0.4800 to 0.5200){said}\n")


def test_promote_warns_about_runs_on_other_data(call, write_run):
    write_run("old", 0.9, data_digest="old data", finished="2024-01-01")
    write_run("new", 0.5, data_digest="new data", finished="2025-01-01")
    code, out, err = call(promote)
    assert code == 0 and out.startswith("promoted new") and "not comparable, left out: old" in err


def test_export_names_the_valid_runs_searches_and_formats(call, write_run, workspace, capsys):
    write_run("run-a", search="faces")
    write_run("run-b", search="other")
    code, _, err = call(export, "--run", "run-c")
    assert code == 2 and "there is no run 'run-c'" in err and f"run-a ({alias('run-a')}), run-b" in err
    code, _, err = call(export, "--search", "night")
    assert code == 2 and "there is no search 'night'" in err and "faces, other" in err
    workspace.search("night").mkdir()
    (workspace.search("night") / "search.json").write_text("{}")
    code, _, err = call(export, "--search", "night")
    assert code == 3 and "no finished finalist yet" in err and "give the command again that began it" in err
    with pytest.raises(SystemExit) as caught:
        call(export, "--format", "keras,onyx")
    told = capsys.readouterr().err
    assert caught.value.code == 2 and "'onyx' is not one of keras" in told and "litert (model.tflite)" in told


def test_export_takes_the_best_run_that_fits(write_run, workspace):
    for run_id, f1, parameters, milliseconds in (("a", 0.7, 9000, 8.0), ("b", 0.6, 900, 2.0), ("c", 0.5, 90, 0.5)):
        write_run(run_id, f1, parameters=parameters, milliseconds=milliseconds)
    write_run("d", 0.65, parameters=10, milliseconds=9.0)

    def taken(parameters, milliseconds):
        return sources.fitting_source(workspace, parameters, milliseconds).metrics.run_id

    assert [taken(9000, None), taken(8999, None), taken(None, 2.0), taken(500, None)] == ["a", "d", "b", "d"]
    assert [taken(1000, 2.0), taken(100, 1.0)] == ["b", "c"]


def test_an_export_that_the_test_split_chose_says_so(workspace, answer):
    labels = np.arange(90) % 3
    for run_id, wrong, parameters in (("a", 20, 900), ("b", 30, 90), ("c", 31, 80), ("d", 60, 9)):
        predicted = np.where(np.roll(np.arange(90), wrong) < wrong, (labels + 1) % 3, labels)
        answer(run_id, labels, predicted, config_digest=run_id * 64, parameters=parameters)
    metrics = sources.fitting_source(workspace, 100, None).metrics
    origin = metrics.promoted
    assert (metrics.run_id, origin.compared, origin.left_out) == ("b", 3, 0)
    rule = "highest test_f1_macro among the runs tested on the same data that fit 100 parameters; ties by run_id"
    assert origin.rule == rule
    assert origin.corrected == Board(workspace, read_runs(workspace)).chosen_score(["b", "c", "d"])
    assert origin.corrected < metrics.test.f1_macro
    card = model_card(workspace, metrics)
    assert "exported for the highest test macro-F1 of 3 runs that fit the limits given" in card
    assert f"corrected for having been chosen **{origin.corrected:.3f}**" in card
    alone = model_card(workspace, sources.fitting_source(workspace, 10, None).metrics)
    assert "exported as the only run that fits the limits given, when this was written." in alone


def test_export_says_how_near_the_nearest_run_is(call, write_run):
    write_run("a", 0.7, parameters=9000, milliseconds=8.0)
    code, _, err = call(export, "--max-parameters", "10")
    assert code == 3 and "none of the 1 runs fits 10 parameters" in err and "the smallest has 9,000" in err
    code, _, err = call(export, "--max-parameters", "10000", "--max-ms", "0.1")
    assert code == 3 and "10,000 parameters and 0.1 ms an image" in err and "the fastest takes 8 ms" in err
    code, _, err = call(export, "--max-ms", "1", "--run", "a")
    assert code == 2 and "leave one of them out" in err
    with pytest.raises(SystemExit):
        call(export, "--max-ms", "0")


def test_export_without_any_run_says_what_to_run(call):
    code, _, err = call(export, "--run", "one")
    assert code == 2 and "python -m tuning.search" in err

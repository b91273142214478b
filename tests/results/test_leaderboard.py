from __future__ import annotations

import csv
import io
import multiprocessing
import random
import time
from concurrent.futures import ThreadPoolExecutor

import filelock
import msgspec
import pytest

from tuning.core import files
from tuning.core.errors import DataError, EnvironmentProblem
from tuning.core.workspace import Workspace
from tuning.results import leaderboard
from tuning.results.runs import ranked, read_runs


def _add_run(root, run_id, gate):
    """One of several processes that finish a run at the same moment."""
    workspace = Workspace(root)
    gate.wait(30)
    (workspace.trials / f".staged-{run_id}").rename(workspace.run(run_id))
    leaderboard.rebuild(workspace)


def table(workspace) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(workspace.leaderboard.read_text())))


def test_rows_are_sorted_by_test_macro_f1_then_run_id(workspace, write_run):
    for run_id, f1 in (("b", 0.5), ("d", 0.7), ("c", 0.5), ("a", 0.4)):
        write_run(run_id, f1)
    assert [row.run_id for row in leaderboard.rebuild(workspace)] == ["d", "b", "c", "a"]
    assert [row["run_id"] for row in table(workspace)] == ["d", "b", "c", "a"]


def test_a_row_says_what_the_run_says(workspace, write_run):
    write_run("one", 0.512345, seed=12, search=None, trial=None, rank=None, strategy=None, kind="train")
    leaderboard.rebuild(workspace)
    assert workspace.leaderboard.read_bytes().decode() == (
        "run_id,kind,search,trial,rank,space,strategy,seed,epochs,best_epoch,parameters,val_f1_macro,test_f1_macro,"
        "test_f1_macro_low,test_f1_macro_high,test_accuracy,test_precision_macro,test_recall_macro,test_loss,"
        "test_openings,data_digest,config_digest,base\n"
        "one,train,,,,baseline_cnn,,12,9,7,684199,0.600000,0.512345,0.492345,0.532345,0.550000,0.540000,0.530000,"
        "1.200000,1,dddddddddddd,cccccccccccc,\n"
    )


@pytest.mark.parametrize(
    ("overlap", "words"), [(None, "not checked"), (0, "none"), (12, "12 accepted")], ids=["unknown", "none", "some"]
)
def test_a_row_says_what_the_run_started_from_and_what_that_had_seen(workspace, write_run, overlap, words):
    write_run("one", base={"name": "faces", "sha256": "a" * 64, "overlap": overlap})
    leaderboard.rebuild(workspace)
    assert workspace.leaderboard.read_text().endswith(f',"aaaaaaaaaaaa, overlap {words}"\n')


def test_the_file_is_a_function_of_the_set_of_runs(workspace, write_run):
    for index in range(20):
        write_run(f"run-{index}", random.Random(index).random())
    leaderboard.rebuild(workspace)
    expected = workspace.leaderboard.read_text()
    runs = read_runs(workspace)
    random.Random(0).shuffle(runs)
    assert leaderboard.to_csv(ranked(runs)) == expected
    later = [msgspec.structs.replace(run, started="2031", finished="2032", train_seconds=1.0) for run in runs]
    assert leaderboard.to_csv(ranked(later)) == expected


def test_an_unchanged_leaderboard_is_not_written_again(workspace, write_run, monkeypatch):
    write_run("one")
    leaderboard.rebuild(workspace)
    operations = []
    monkeypatch.setattr(files, "fault_hook", lambda operation, path: operations.append(operation))
    leaderboard.rebuild(workspace)
    assert operations == []
    write_run("two")
    leaderboard.rebuild(workspace)
    assert "rename" in operations


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (0.5, "0.500000"),
        (-0.25, "-0.250000"),
        (-3, "-3"),
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1+1", "'=1+1"),
        ("\r=1+1", "'=1+1"),
        ("a\x00b\x1b[31mc\x7f\x85\n", "ab[31mc"),
        ("a=b", "a=b"),
        ("émotion", "émotion"),
    ],
)
def test_no_cell_is_a_formula_or_holds_a_control_character(value, expected):
    assert leaderboard.cell(value) == expected


def test_hostile_names_survive_the_way_through_the_file(workspace, write_run):
    write_run("=cmd|'C calc'!A0", space='say "hi", or not\n', search="@home")
    leaderboard.rebuild(workspace)
    row = table(workspace)[0]
    assert row["run_id"] == "'=cmd|'C calc'!A0"
    assert row["space"] == 'say "hi", or not'
    assert row["search"] == "'@home"
    assert leaderboard.verify(workspace) == []


def test_rows_are_those_of_the_runs_whatever_the_file_says(workspace, write_run):
    write_run("one", 0.5, rank=None)
    write_run("two", 0.6)
    rows = leaderboard.read(workspace)
    assert not workspace.leaderboard.exists()
    assert leaderboard.rebuild(workspace) == rows
    assert rows[1].rank is None and rows[0].seed == 0 and rows[0].trial == "0003"
    workspace.leaderboard.write_text(workspace.leaderboard.read_text().replace("0.500000", "0.990000"))
    assert leaderboard.read(workspace) == rows


def test_whole_numbers_in_metrics_still_have_six_decimals(workspace, write_run):
    metrics = write_run("one")
    write_run("two", test=metrics["test"] | {"accuracy": 1})
    assert "1.000000" in leaderboard.to_csv(leaderboard.read(workspace))


def test_an_empty_workspace_says_what_to_run(workspace):
    with pytest.raises(DataError, match="leaderboard is empty") as caught:
        leaderboard.read(workspace)
    assert "python -m tuning.search" in caught.value.remedy
    leaderboard.rebuild(workspace)
    with pytest.raises(DataError, match="leaderboard is empty"):
        leaderboard.read(workspace)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda text: "", "line 1: the columns are missing, expected run_id,"),
        (lambda text: text.replace("run_id", "run", 1), "line 1: the columns are run,kind,"),
        (lambda text: text + "one,two\n", "line 3: one is there twice"),
        (lambda text: text.replace(",finalist", "", 1), "line 2: 22 cells, expected 23"),
        (
            lambda text: text.replace("0.500000", "nan"),
            "line 2: test_f1_macro of one is nan, its metrics.json says 0.5",
        ),
        (lambda text: text.replace("0.500000", ""), "line 2: test_f1_macro of one is empty, its metrics.json says"),
        (lambda text: text.replace("one", "x" * 200_000), "it is no CSV: field larger"),
        (lambda text: text.replace("one", "\udcff"), "not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_broken_leaderboard_is_said_once(workspace, write_run, edit, says):
    write_run("one", 0.5)
    leaderboard.rebuild(workspace)
    text = edit(workspace.leaderboard.read_text())
    workspace.leaderboard.write_bytes(text.encode("utf-8", "surrogateescape"))
    (difference,) = leaderboard.verify(workspace)
    assert says in difference


def test_verify_finds_nothing_after_a_rebuild(workspace, write_run):
    write_run("one")
    write_run("two")
    assert leaderboard.verify(workspace) == [f"{workspace.leaderboard} does not exist"]
    leaderboard.rebuild(workspace)
    assert leaderboard.verify(workspace) == []


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda lines: lines[:2], ["one is missing"]),
        (
            lambda lines: [*lines, lines[2].replace("one", "ghost")],
            ["line 4: there is no run 'ghost'"],
        ),
        (
            lambda lines: [line.replace("0.500000", "0.990000") for line in lines],
            ["line 3: test_f1_macro of one is 0.990000, its metrics.json says 0.500000"],
        ),
        (
            lambda lines: [line.replace("hyperband", "") for line in lines],
            [
                f"line {line}: strategy of {name} is empty, its metrics.json says hyperband"
                for line, name in ((2, "two"), (3, "one"))
            ],
        ),
        (
            lambda lines: [lines[0], lines[2], lines[1]],
            ["rows are in another order, or lines end otherwise"],
        ),
        (
            lambda lines: [line.replace("\n", "\r\n") for line in lines],
            ["rows are in another order, or lines end otherwise"],
        ),
    ],
)
def test_verify_says_what_differs(workspace, write_run, edit, expected):
    write_run("one", 0.5)
    write_run("two", 0.6)
    leaderboard.rebuild(workspace)
    lines = workspace.leaderboard.read_bytes().decode().splitlines(keepends=True)
    workspace.leaderboard.write_bytes("".join(edit(lines)).encode())
    assert leaderboard.verify(workspace) == expected


def test_a_broken_run_leaves_the_leaderboard_alone(workspace, write_run):
    write_run("one")
    leaderboard.rebuild(workspace)
    before = workspace.leaderboard.read_bytes()
    write_run("two", schema=99)
    with pytest.raises(DataError, match=r"two/metrics\.json: schema is 99"):
        leaderboard.rebuild(workspace)
    assert workspace.leaderboard.read_bytes() == before


def test_eight_writers_at_once_lose_nothing(workspace, write_run):
    context = multiprocessing.get_context("spawn")
    gate = context.Event()
    names = [f"run-{index}" for index in range(8)]
    for index, name in enumerate(names):
        write_run(name, index / 10)
        workspace.run(name).rename(workspace.trials / f".staged-{name}")
    writers = [context.Process(target=_add_run, args=(workspace.root, name, gate)) for name in names]
    for writer in writers:
        writer.start()
    gate.set()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 8
    assert [row["run_id"] for row in table(workspace)] == names[::-1]
    assert leaderboard.verify(workspace) == []


def test_runs_are_read_under_the_lock(workspace, write_run):
    """Reading before waiting for the lock would overwrite, with a stale view, what the other writer added."""
    write_run("one")
    with ThreadPoolExecutor(1) as pool:
        with leaderboard.locked(workspace):
            waiting = pool.submit(leaderboard.rebuild, workspace)
            time.sleep(0.3)
            write_run("two")
            assert not waiting.done()
        assert len(waiting.result(timeout=30)) == 2


def test_a_lock_that_is_never_released_is_an_error(workspace, write_run, monkeypatch):
    monkeypatch.setattr(leaderboard, "LOCK_SECONDS", 0.05)
    write_run("one")
    with (
        filelock.FileLock(workspace.outs / ".leaderboard.lock"),
        pytest.raises(EnvironmentProblem, match="another process"),
    ):
        leaderboard.rebuild(workspace)
    assert not workspace.leaderboard.exists()


def test_a_timeout_inside_the_block_is_not_taken_for_the_lock(workspace):
    with pytest.raises(filelock.Timeout), leaderboard.locked(workspace):
        raise filelock.Timeout("something else")


def test_the_frame_has_the_columns_of_the_file_with_types(workspace, write_run):
    write_run("one", 0.5, rank=None, search=None)
    write_run("two", 0.6)
    frame = leaderboard.leaderboard_frame(workspace)
    assert ",".join(frame.columns) == leaderboard.to_csv([]).strip()
    assert frame["run_id"].tolist() == ["two", "one"]
    assert frame["test_f1_macro"].tolist() == [0.6, 0.5]
    assert frame["rank"].isna().tolist() == [False, True]
    assert str(frame["rank"].dtype) == "Int64" and str(frame["run_id"].dtype) == "string"


def test_runs_published_for_real_enter_the_leaderboard(workspace, stage_run, monkeypatch):
    from tuning.results.runs import publish_run

    monkeypatch.setattr("tuning.results.plots.run_figures", lambda metrics, history: {})
    metrics = publish_run(workspace, stage_run("faces-1"))
    assert leaderboard.rebuild(workspace) == [metrics]

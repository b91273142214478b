from __future__ import annotations

import numpy as np
import pytest

from tuning.core import files
from tuning.engine import journal
from tuning.engine.entries import OpenedTestSplit
from tuning.results import leaderboard
from tuning.results.standings import over_seeds, standings
from tuning.results.standings import test_evaluations as evaluations

LABELS = np.arange(300) % 3


def predicted(wrong: int, first: int = 0) -> np.ndarray:
    """Right but for so many images from `first` on."""
    result = LABELS.copy()
    result[first : first + wrong] = (result[first : first + wrong] + 1) % 3
    return result


def found(workspace) -> dict[str, dict]:
    entries = standings(workspace, leaderboard.rebuild(workspace))
    assert [entry.place for entry in entries] == list(range(1, len(entries) + 1))
    return {entry.row.run_id: entry.to_json() for entry in entries}


def test_who_is_tied_with_the_best_is_decided_image_by_image(workspace, answer):
    answer("best", LABELS, predicted(60))
    answer("twin", LABELS, predicted(70))
    answer("other", LABELS, predicted(70, first=150))
    answer("far", LABELS, predicted(120, first=100))
    rows = found(workspace)
    # The same errors and ten more: always worse. As many elsewhere: the difference is chance.
    assert {name: row["standing"] for name, row in rows.items()} == {
        "best": "best",
        "other": "tied",
        "twin": "worse",
        "far": "worse",
    }
    assert rows["twin"]["test_f1_macro"] == pytest.approx(rows["other"]["test_f1_macro"], abs=0.005)
    # The intervals of the two overlap nevertheless.
    assert rows["twin"]["test_f1_macro_high"] > rows["best"]["test_f1_macro_low"]
    assert rows["twin"]["difference_low"] < rows["twin"]["difference"] < rows["twin"]["difference_high"] < 0
    assert rows["other"]["difference_low"] < 0 < rows["other"]["difference_high"]
    assert rows["best"]["difference"] == 0
    assert found(workspace) == rows


def test_a_run_with_the_same_predictions_is_tied(workspace, answer):
    answer("a", LABELS, predicted(60))
    answer("b", LABELS, predicted(60))
    assert found(workspace)["b"]["standing"] == "tied"


def test_runs_are_compared_with_the_best_on_their_own_data(workspace, answer):
    answer("a", LABELS, predicted(10), data_digest="a" * 64)
    answer("b", LABELS, predicted(60), data_digest="b" * 64)
    answer("c", LABELS, predicted(120), data_digest="b" * 64)
    assert [row["standing"] for row in found(workspace).values()] == ["best", "best", "worse"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b"PK torn"),
        lambda file: np.savez(file, labels=LABELS[:9], probabilities=np.eye(3)[LABELS[:9]]),
        lambda file: np.savez(file, labels=LABELS + 7, probabilities=np.eye(3)[LABELS]),
    ],
)
def test_without_the_run_s_own_predictions_nothing_is_claimed(workspace, answer, spoil):
    answer("a", LABELS, predicted(10))
    answer("b", LABELS, predicted(60))
    spoil(workspace.predictions("b"))
    row = found(workspace)["b"]
    assert (row["standing"], row["difference"], row["difference_low"]) == (None, None, None)
    assert row["per_class"] is not None


def test_other_test_images_are_not_compared(workspace, answer):
    answer("a", LABELS, predicted(10))
    answer("b", LABELS[::-1].copy(), predicted(60)[::-1].copy())
    assert found(workspace)["b"]["standing"] is None


def test_f1_by_class_is_the_run_s_own_also_under_a_name_that_the_csv_changes(workspace, answer):
    metrics = answer("=cmd", LABELS, predicted(30))
    row = found(workspace)["=cmd"]
    assert row["per_class"] == {name: figures["f1"] for name, figures in metrics["test"]["per_class"].items()}
    assert row["standing"] == "best"


def test_a_row_whose_folder_has_gone_or_broken_meanwhile_is_still_shown(workspace, answer):
    for name in ("gone", "broken"):
        answer(name, LABELS, predicted(30))
    rows = leaderboard.rebuild(workspace)
    workspace.run("gone").rename(workspace.root / "gone")
    (workspace.run("broken") / "metrics.json").write_text("{")
    assert [entry.per_class for entry in standings(workspace, rows)] == [None, None]


def test_mean_and_deviation_are_over_runs_that_differ_in_their_seed_alone(workspace, write_run):
    for seed, f1 in enumerate((0.5, 0.6, 0.55)):
        write_run(f"x-s{seed}", f1, seed=seed)
    write_run("other configuration", 0.9, config_digest="f" * 64)
    write_run("other search", 0.9, search="night")
    write_run("other data", 0.9, data_digest="a" * 64)
    for seed in range(2):
        write_run(f"by hand {seed}", 0.3, search=None, seed=seed)
    rows = found(workspace)
    for seed in range(3):
        row = rows[f"x-s{seed}"]
        assert (row["seeds"], row["seeds_mean"], row["seeds_deviation"]) == (3, 0.55, 0.05)
    alone = [row for name, row in rows.items() if not name.startswith("x-s")]
    assert len(alone) == 5
    assert all(row["seeds"] is row["seeds_mean"] is row["seeds_deviation"] is None for row in alone)
    only = leaderboard.rebuild(workspace)[0]
    assert over_seeds(only, [only]) is None


def journaled(workspace, folder, digest, run_ids):
    """The journal of a search on the data of `digest` that evaluated these runs on the test split."""
    folder.mkdir(parents=True)
    files.write_json(folder / "search.json", {"settings": {"data_digest": digest}})
    records = [
        OpenedTestSplit(n=n, key=f"final/{run_id}", run_id=run_id, purpose="finalist")
        for n, run_id in enumerate(run_ids)
    ]
    (folder / "journal.jsonl").write_bytes(b"".join(map(journal.encode, records)))


def test_every_evaluation_counts_also_in_searches_that_were_moved_aside(workspace, write_run):
    write_run("a", test_openings=2)
    write_run("b")
    write_run("journal gone", test_openings=3)
    write_run("elsewhere", data_digest="e" * 64)
    data = "d" * 64
    journaled(workspace, workspace.search("faces"), data, ["a", "b", "a"])
    journaled(workspace, workspace.search("faces~1"), data, ["a", "never published"])
    journaled(workspace, workspace.art / "work" / "train-1", data, ["b"])
    journaled(workspace, workspace.search("old data"), "f" * 64, ["z"])
    (workspace.search("faces~1") / "search.json").with_name("notes.txt").write_text("")
    workspace.search("empty").mkdir()
    (workspace.search("empty") / "journal.jsonl").write_bytes(b"")
    rows = leaderboard.rebuild(workspace)
    # a: three times by the journals; b: twice; one that left no run; three that no journal tells of any more.
    assert evaluations(workspace, rows) == {data[:12]: 3 + 2 + 1 + 3, "e" * 12: 1}

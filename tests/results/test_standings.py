from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tuning.core import files
from tuning.engine import journal
from tuning.engine.entries import OpenedTestSplit
from tuning.results import leaderboard, runs
from tuning.results.answers import Board
from tuning.results.comparison import chosen_score
from tuning.results.standings import over_seeds, standings
from tuning.results.standings import test_evaluations as evaluations
from tuning.trials.bootstrap import resample

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
    # Two seeds that are right about the same images: the luck of a seed is known to be none.
    for seed in range(2):
        answer(f"best-s{seed}", LABELS, predicted(60), seed=seed)
    answer("twin", LABELS, predicted(80), config_digest="a" * 64)
    answer("other", LABELS, predicted(80, first=150), config_digest="b" * 64)
    answer("far", LABELS, predicted(130, first=100), config_digest="e" * 64)
    rows = found(workspace)
    # The same errors and twenty more: always worse. As many elsewhere: the difference is chance.
    assert {name: row["standing"] for name, row in rows.items()} == {
        "best-s0": "best",
        "best-s1": "tied",
        "other": "tied",
        "twin": "worse",
        "far": "worse",
    }
    assert rows["twin"]["test_f1_macro"] == pytest.approx(rows["other"]["test_f1_macro"], abs=0.005)
    # The intervals of the two overlap nevertheless.
    assert rows["twin"]["test_f1_macro_high"] > rows["best-s0"]["test_f1_macro_low"]
    assert rows["twin"]["difference_low"] < rows["twin"]["difference"] < rows["twin"]["difference_high"] < 0
    assert rows["other"]["difference_low"] < 0 < rows["other"]["difference_high"]
    assert rows["best-s0"]["difference"] == rows["best-s1"]["difference"] == 0
    assert found(workspace) == rows


def test_without_a_second_seed_nothing_is_called_worse(workspace, answer):
    answer("best", LABELS, predicted(60))
    answer("far", LABELS, predicted(150, first=100), config_digest="a" * 64)
    answer("near", LABELS, predicted(70, first=150), config_digest="b" * 64)
    rows = found(workspace)
    assert {name: row["standing"] for name, row in rows.items()} == {
        "best": "best",
        "near": "tied",
        "far": "seeds unknown",
    }
    assert rows["far"]["difference_high"] < 0
    assert rows["best"]["seed_deviation"] is None


def test_seeds_that_vary_make_a_difference_a_tie(workspace, answer):
    """The same difference that is one between steady seeds is none between seeds that differ by as much."""
    for seed, wrong in enumerate((60, 130)):
        answer(f"x-s{seed}", LABELS, predicted(wrong), seed=seed)
    answer("far", LABELS, predicted(130, first=100), config_digest="e" * 64)
    rows = found(workspace)
    assert rows["far"]["standing"] == "tied"
    assert rows["far"]["seed_deviation"] > 0.1


def test_a_lucky_seed_is_not_tied_with_what_is_better_in_the_mean(workspace, answer):
    """The highest score stays the best; that the other configuration is better beyond chance is said."""
    for name, scores in (("lucky", (109, *[149] * 5)), ("steady", (112, 113, 114) * 2)):
        for seed, wrong in enumerate(scores):
            answer(f"{name}-s{seed}", LABELS, predicted(wrong), seed=seed, config_digest=name[0] * 64)
    rows = found(workspace)
    assert rows["lucky-s0"]["standing"] == "best"
    assert {rows[f"steady-s{seed}"]["standing"] for seed in range(6)} == {"better in the mean"}
    assert rows["steady-s0"]["difference_low"] > 0
    assert {rows[f"lucky-s{seed}"]["standing"] for seed in range(1, 6)} == {"tied"}


@pytest.mark.parametrize("same", ["early_stopping", "epochs"])
def test_seeds_of_one_configuration_are_those_with_equal_settings(workspace, answer, write_params, same):
    """What differs in its epochs or its early stopping as well is no other seed of the same."""
    for seed, value in enumerate((5, 5, 9)):
        answer(f"x-s{seed}", LABELS, predicted(60 + 10 * seed), seed=seed, epochs=5 + seed)
        write_params(f"x-s{seed}", seed=seed, **{same: value})
    metrics = [runs.read_run(folder) for folder in runs.run_folders(workspace)]
    board = Board(workspace, metrics)
    assert board.noise.degrees == 1
    assert board.difference("x-s0", "x-s1").high == 0 < board.difference("x-s0", "x-s2").high


def test_trainings_that_the_clock_ended_are_no_seeds_of_whole_ones(workspace, answer, write_params):
    for seed, epochs in enumerate((9, 9, 6, 6)):
        answer(f"x-s{seed}", LABELS, predicted(60 + 10 * seed), seed=seed, epochs=epochs, best_epoch=5)
        write_params(f"x-s{seed}", seed=seed, **({"shortened": [[seed, 6]]} if epochs < 9 else {}))
    board = Board(workspace, runs.read_runs(workspace))
    assert board.difference("x-s0", "x-s1").high == 0 < board.difference("x-s0", "x-s2").high
    # Of two that were ended after as many epochs, one had begun to cool down earlier.
    assert board.noise.degrees == 1


def test_the_same_run_twice_is_no_second_seed(workspace, answer, write_params):
    """Two searches that trained the same with the same seed have found nothing about seeds."""
    for search in "ab":
        answer(f"{search}-x-s0", LABELS, predicted(60), search=search)
        write_params(f"{search}-x-s0")
    answer("far", LABELS, predicted(150, first=100), config_digest="a" * 64)
    assert found(workspace)["far"]["standing"] == "seeds unknown"
    # With another seed it is, whatever made it: a search of that name, or `train`.
    answer("train-x-s1", LABELS, predicted(60), search=None, trial=None, rank=None, seed=1)
    write_params("train-x-s1", seed=1)
    rows = found(workspace)
    assert rows["far"]["seed_deviation"] is not None and rows["far"]["standing"] == "worse"


def test_copies_of_runs_are_no_further_seeds(workspace, answer, write_params):
    """Two searches trained the baseline with the same two seeds, and one by another Keras: all have its weights."""
    for seed, wrong in enumerate((60, 66)):
        for search, more in (("a", {}), ("b", {}), ("c", {"versions": {"keras": "3.12"}})):
            answer(f"{search}-x-s{seed}", LABELS, predicted(wrong), search=search, seed=seed, **more)
            write_params(f"{search}-x-s{seed}", seed=seed)
            metrics = json.loads((workspace.run(f"{search}-x-s{seed}") / "metrics.json").read_text())
            metrics["weights_sha256"] = f"{seed}" * 64
            (workspace.run(f"{search}-x-s{seed}") / "metrics.json").write_text(json.dumps(metrics))
    board = Board(workspace, runs.read_runs(workspace))
    assert board.noise.degrees == 1
    # A third seed beside copies is one more where its own configuration has the originals.
    answer("a-x-s2", LABELS, predicted(72), search="a", seed=2)
    write_params("a-x-s2", seed=2)
    assert Board(workspace, runs.read_runs(workspace)).noise.degrees == 2
    answer("c-x-s3", LABELS, predicted(150), search="c", seed=3, versions={"keras": "3.12"})
    write_params("c-x-s3", seed=3)
    found = Board(workspace, runs.read_runs(workspace)).noise
    assert found.degrees == 2 and found.deviation < 0.05


@pytest.mark.parametrize(("differs", "known"), [("package code", True), ("keras", False)])
def test_a_seed_that_was_trained_after_an_edit_of_this_package_is_one(workspace, answer, write_params, differs, known):
    for seed in range(2):
        answer(f"x-s{seed}", LABELS, predicted(60 + seed), seed=seed, versions={"package": "1", differs: f"{seed}"})
        write_params(f"x-s{seed}", seed=seed)
    assert all((row["seed_deviation"] is not None) == known for row in found(workspace).values())


def test_a_space_of_ours_is_the_same_in_every_search(workspace, answer, write_params):
    for seed in range(2):
        answer(f"x-s{seed}", LABELS, predicted(60 + seed), search=f"s{seed}", seed=seed)
        write_params(f"x-s{seed}", seed=seed)
    assert all(row["seed_deviation"] is not None for row in found(workspace).values())


@pytest.mark.parametrize(("codes", "known"), [("aa", True), ("ab", False)])
def test_a_builder_of_one_s_own_is_the_same_where_its_code_is(workspace, answer, write_params, codes, known):
    """A search's run, and what `train` made of the same configuration."""
    for seed, (search, code) in enumerate(zip(("s", None), codes, strict=True)):
        answer(f"x-s{seed}", LABELS, predicted(60 + seed), search=search, seed=seed, space="mine:build")
        write_params(f"x-s{seed}", space="mine:build", seed=seed, space_digest=code * 64)
    assert all((row["seed_deviation"] is not None) == known for row in found(workspace).values())


def test_models_at_chance_tell_nothing_of_seeds(workspace, answer):
    """Seeds of a model that always says the same do not differ; those of one that has learned may."""
    for seed in range(2):
        answer(f"x-s{seed}", LABELS, np.zeros_like(LABELS), seed=seed)
    answer("good", LABELS, predicted(60), config_digest="a" * 64)
    rows = found(workspace)
    assert [rows[name]["standing"] for name in ("good", "x-s0", "x-s1")] == ["best", "seeds unknown", "seeds unknown"]


def test_a_seed_that_collapsed_counts_with_its_configuration(workspace, answer):
    """Neither for more of the deviation than it is of the runs, nor for nothing."""
    for name, seeds in (("a", (predicted(60), predicted(66))), ("b", (predicted(66), np.zeros_like(LABELS)))):
        for seed, guesses in enumerate(seeds):
            answer(f"{name}-s{seed}", LABELS, guesses, seed=seed, config_digest=name * 64)
    noise = Board(workspace, runs.read_runs(workspace)).noise
    assert noise.degrees == 2 and noise.deviation > 0.2
    shutil.rmtree(workspace.run("b-s0"))
    noise = Board(workspace, runs.read_runs(workspace)).noise
    assert noise.degrees == 1 and noise.deviation < 0.05


def test_the_order_of_the_runs_changes_nothing(workspace, answer):
    """The leaderboard has them by score, the card and the report by name."""
    for name, wrong, seeds in (("c", 90, 2), ("a", 60, 2), ("b", 60, 1)):
        for seed in range(seeds):
            answer(f"{name}-s{seed}", LABELS, predicted(wrong + seed, 9 * seed), seed=seed, config_digest=name * 64)
    metrics = runs.read_runs(workspace)
    names = [one.run_id for one in metrics]
    boards = [Board(workspace, order) for order in (metrics, metrics[::-1], metrics[2:] + metrics[:2])]
    for one in names:
        assert len({board.difference(one, names[0]) for board in boards}) == 1
    assert len({board.chosen_score(names) for board in boards}) == 1
    assert len({boards[0].chosen_score(order) for order in (names[:3], names[2::-1])}) == 1


def test_runs_that_are_equal_on_a_resample_share_its_choice():
    """Else that of the first column would stand for them, whatever the other was right about."""
    guesses = [predicted(60), predicted(60, first=150)]
    found = resample(LABELS, guesses, 3, np.arange(300) // 150)
    assert chosen_score(found) == pytest.approx(chosen_score(found.of([1, 0])), abs=1e-12)
    assert (found.inside[:, 0] == found.inside[:, 1]).mean() > 0.3


def test_an_ensemble_s_spread_is_no_luck_of_a_seed(workspace, answer):
    for seed, wrong in enumerate((60, 90)):
        answer(f"x-s{seed}", LABELS, predicted(wrong), seed=seed, kind="ensemble")
    assert all(row["seed_deviation"] is None for row in found(workspace).values())


def test_copies_do_not_make_a_difference_certain(workspace, answer):
    """Ten images in nine copies each: the same figures, and as little evidence as ten images are."""
    labels, units = np.tile(np.arange(30) % 3, 9), np.tile(np.arange(30), 9)
    first, second = labels.copy(), labels.copy()
    first[units < 6], second[(units >= 3) & (units < 17)] = 0, 0
    for kept in (None, units):
        for seed in range(2):
            answer(f"x-s{seed}", labels, first, seed=seed, units=kept)
        answer("y", labels, second, config_digest="a" * 64, units=kept)
        rows = found(workspace)
        assert rows["y"]["standing"] == ("worse" if kept is None else "tied")
        assert rows["y"]["units"] == (270 if kept is None else 30)
        for name in rows:
            shutil.rmtree(workspace.run(name))


def test_the_best_score_is_corrected_for_having_been_chosen(workspace, answer):
    rng = np.random.default_rng(0)
    for number in range(10):
        wrong = rng.random(300) < 0.4
        answer(f"r{number}", LABELS, np.where(wrong, (LABELS + 1) % 3, LABELS), config_digest=f"{number}" * 64)
    first, *others = found(workspace).values()
    assert first["compared"] == 10
    assert 0.55 < first["corrected"] < first["test_f1_macro"] - 0.01
    assert all(row["corrected"] is row["compared"] is None for row in others)


def test_a_run_with_the_same_predictions_is_tied(workspace, answer):
    answer("a", LABELS, predicted(60))
    answer("b", LABELS, predicted(60), config_digest="b" * 64)
    assert found(workspace)["b"]["standing"] == "tied"


def test_runs_are_compared_with_the_best_on_their_own_data(workspace, answer):
    answer("a", LABELS, predicted(10), data_digest="a" * 64)
    answer("b", LABELS, predicted(60), data_digest="b" * 64)
    answer("c", LABELS, predicted(120), data_digest="b" * 64, config_digest="f" * 64)
    assert [row["standing"] for row in found(workspace).values()] == ["best", "best", "seeds unknown"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b"PK torn"),
        lambda file: np.savez(file, labels=LABELS[:9], probabilities=np.eye(3)[LABELS[:9]], units=np.arange(9)),
        lambda file: np.savez(file, labels=LABELS + 7, probabilities=np.eye(3)[LABELS], units=np.arange(300)),
        lambda file: np.savez(file, labels=LABELS, probabilities=np.eye(3)[predicted(60)]),
    ],
)
def test_without_the_run_s_own_predictions_nothing_is_claimed(workspace, answer, spoil):
    answer("a", LABELS, predicted(10))
    answer("b", LABELS, predicted(60))
    spoil(workspace.predictions("b"))
    rows = found(workspace)
    row = rows["b"]
    assert (row["standing"], row["difference"], row["difference_low"]) == (None, None, None)
    # How much of a choice of two the score of one tells nobody knows.
    assert (rows["a"]["compared"], rows["a"]["corrected"]) == (2, None)
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
    # No search made these, and of what is known they differ in their seed.
    for seed in range(2):
        row = rows[f"by hand {seed}"]
        assert (row["seeds"], row["seeds_mean"], row["seeds_deviation"]) == (2, 0.3, 0)
    alone = [row for name, row in rows.items() if not name.startswith(("x-s", "by hand"))]
    assert len(alone) == 3
    assert all(row["seeds"] is row["seeds_mean"] is row["seeds_deviation"] is None for row in alone)
    only = leaderboard.rebuild(workspace)[0]
    assert over_seeds(workspace, [only]) == {}


def test_a_seed_that_train_made_is_one_of_the_search_s(workspace, write_run, write_params):
    write_run("faces-x-s0", 0.5)
    write_run("train-x-s1", 0.6, seed=1, search=None, trial=None, rank=None, kind="train")
    write_run("night-x-s0", 0.9, search="night")
    for name in ("faces-x-s0", "train-x-s1", "night-x-s0"):
        write_params(name, seed=int(name[-1]))
    metrics = runs.read_runs(workspace)
    for order in (metrics, metrics[::-1]):
        seeds = over_seeds(workspace, order)
        assert {(one.count, one.mean) for one in seeds.values()} == {(2, 0.55)} and len(seeds) == 3


def test_seeds_of_other_epochs_and_a_seed_twice_are_not_pooled(workspace, write_run, write_params):
    """As a larger budget may leave them: the same training under another rank, and a longer one."""
    for run_id, f1, seed, epochs in (
        ("a-s0", 0.5, 0, 9),
        ("b-s0", 0.5, 0, 9),
        ("a-s1", 0.6, 1, 9),
        ("a-s2", 0.9, 2, 40),
    ):
        write_run(run_id, f1, seed=seed, epochs=epochs)
        write_params(run_id, seed=seed, epochs=epochs)
    rows = found(workspace)
    for name in ("a-s0", "b-s0", "a-s1"):
        assert (rows[name]["seeds"], rows[name]["seeds_mean"], rows[name]["seeds_deviation"]) == (2, 0.55, 0.070711)
    assert rows["a-s2"]["seeds"] is None
    # A seed that is there twice is none that is known.
    metrics = [metrics for metrics in runs.read_runs(workspace) if metrics.run_id in ("a-s0", "b-s0")]
    assert over_seeds(workspace, metrics) == {}


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
    rows = [leaderboard.row(metrics) for metrics in leaderboard.rebuild(workspace)]
    # a: three times by the journals; b: twice; one that left no run; three that no journal tells of any more.
    assert evaluations(workspace, rows) == {data[:12]: 3 + 2 + 1 + 3, "e" * 12: 1}

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from tests.written_runs import SUMMARY
from tuning.core import files
from tuning.core.errors import DataError
from tuning.results import leaderboard
from tuning.results.promotion import current_digest, promote, promoted
from tuning.results.schema import Metrics


class Heard:
    """A Progress that keeps its warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def pair(workspace):
    return workspace.best_model.read_bytes(), json.loads(workspace.best_model_metrics.read_text())


def everything(workspace):
    return {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}


def test_the_best_run_is_promoted_with_its_metrics(workspace, write_run):
    write_run("low", 0.4)
    metrics = write_run("high", 0.6)
    outcome = promote(workspace)
    assert (outcome.run_id, outcome.changed, outcome.previous, outcome.compared) == ("high", True, None, 2)
    model, content = pair(workspace)
    assert model == b"high"
    assert {name: content[name] for name in metrics} == metrics
    assert content["promoted"]["from"] == "artifacts/trials/high"
    assert content["promoted"]["compared"] == 2
    assert json.loads(msgspec.json.encode(promoted(workspace))) == content
    assert [row.run_id for row in leaderboard.read(workspace)] == ["high", "low"]


def test_validation_figures_and_kind_count_for_nothing(workspace, write_run):
    write_run("baseline", 0.51, kind="baseline", search=None, val={"f1_macro": 0.1, "accuracy": 0.1, "loss": 9.0})
    write_run("finalist", 0.50, val={"f1_macro": 0.9, "accuracy": 0.9, "loss": 0.1})
    assert promote(workspace).run_id == "baseline"


def test_a_better_run_replaces_the_promoted_one(workspace, write_run):
    write_run("first", 0.5)
    promote(workspace)
    write_run("second", 0.6)
    outcome = promote(workspace)
    assert (outcome.run_id, outcome.previous, outcome.changed) == ("second", "first", True)
    assert pair(workspace)[0] == b"second"


def test_a_removed_run_does_not_stay_promoted(workspace, write_run):
    write_run("first", 0.5)
    write_run("second", 0.6)
    promote(workspace)
    workspace.run("second").rename(workspace.root / "second")
    assert promote(workspace).run_id == "first"
    assert pair(workspace)[0] == b"first"


def test_promoting_again_writes_nothing(workspace, write_run, monkeypatch):
    write_run("one")
    promote(workspace)
    operations = []
    monkeypatch.setattr(files, "fault_hook", lambda operation, path: operations.append((operation, path)))
    assert not promote(workspace).changed
    assert operations == []


def test_a_dry_run_decides_and_writes_nothing(workspace, write_run):
    write_run("one")
    before = everything(workspace)
    outcome = promote(workspace, dry_run=True)
    assert (outcome.run_id, outcome.changed) == ("one", True)
    assert everything(workspace) == before


def test_without_runs_it_says_what_to_run(workspace):
    with pytest.raises(DataError, match="leaderboard is empty") as caught:
        promote(workspace)
    assert "python -m tuning.search" in caught.value.remedy
    assert not workspace.best_model.exists()


@pytest.mark.parametrize("damage", [lambda model: model.write_bytes(b"other"), lambda model: model.unlink()])
def test_a_run_whose_model_is_not_its_own_is_refused(workspace, write_run, damage):
    write_run("low", 0.4)
    promote(workspace)
    before = pair(workspace)
    write_run("high", 0.6)
    damage(workspace.run("high") / "model.keras")
    with pytest.raises(DataError, match=r"high/model\.keras") as caught:
        promote(workspace)
    assert "python -m tuning.promote" in caught.value.remedy
    assert pair(workspace) == before


@pytest.mark.parametrize("operation", ["write", "fsync", "rename", "fsync-directory"])
@pytest.mark.parametrize("victim", ["best_model.keras", "README.md", "best_model_metrics.json"])
def test_a_crash_anywhere_is_detected_or_harmless_and_repaired(workspace, write_run, monkeypatch, operation, victim):
    write_run("first", 0.5)
    promote(workspace)
    write_run("second", 0.6)

    def crash(announced, path):
        if (announced, path.name) == (operation, victim):
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "fault_hook", crash)
    with pytest.raises(KeyboardInterrupt):
        promote(workspace)
    monkeypatch.setattr(files, "fault_hook", None)
    model, content = pair(workspace)
    if model.decode() == content["run_id"]:
        assert promoted(workspace).run_id in ("first", "second")
    else:
        assert (model, content["run_id"]) == (b"second", "first")
        with pytest.raises(DataError, match="is not the model") as caught:
            promoted(workspace)
        assert "python -m tuning.promote" in caught.value.remedy
    promote(workspace)
    assert promoted(workspace).run_id == "second"
    assert pair(workspace)[0] == b"second"
    assert content_of_card(workspace).count("second") >= 1 and "first" not in content_of_card(workspace)
    assert len(list(workspace.models.iterdir())) == 3


@pytest.mark.parametrize("victim", ["best_model.keras", "README.md", "best_model_metrics.json"])
def test_a_disk_that_fills_up_leaves_the_old_model_whole(workspace, write_run, monkeypatch, victim):
    write_run("first", 0.5)
    promote(workspace)
    before = {path.name: path.read_bytes() for path in workspace.models.iterdir()}
    write_run("second", 0.6)

    def full(operation, path):
        if (operation, path.name) == ("write", victim):
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "fault_hook", full)
    with pytest.raises(OSError, match="No space left"):
        promote(workspace)
    assert {path.name: path.read_bytes() for path in workspace.models.iterdir()} == before
    assert promoted(workspace).run_id == "first"


def content_of_card(workspace):
    return (workspace.models / "README.md").read_text(encoding="utf-8")


def test_a_card_lies_beside_the_promoted_model(workspace, write_run):
    metrics = write_run("one", 0.5)
    promote(workspace)
    assert metrics["model_sha256"] in content_of_card(workspace)
    assert 'load_model("best_model.keras"' in content_of_card(workspace)
    (workspace.models / "README.md").unlink()
    assert not promote(workspace).changed
    assert metrics["model_sha256"] in content_of_card(workspace)


def test_what_a_person_writes_into_the_card_stays_as_long_as_the_model(workspace, write_run):
    write_run("one", 0.5)
    promote(workspace)
    card = workspace.models / "README.md"
    card.write_text(content_of_card(workspace).replace("library_name", "license: cc-by-4.0\nlibrary_name"))
    write_run("worse", 0.4)
    assert promote(workspace).run_id == "one"
    assert "cc-by-4.0" in content_of_card(workspace)
    write_run("better", 0.6)
    promote(workspace)
    assert "cc-by-4.0" not in content_of_card(workspace)
    assert "better" in content_of_card(workspace)


def test_a_card_that_nobody_edited_says_what_leaderboard_and_metrics_say(workspace, write_run, write_data):
    write_data("d" * 64)
    workspace.pool_summary.write_text(json.dumps(SUMMARY))
    write_run("one", 0.5)
    promote(workspace)
    assert "promoted as the only run on its data, when this was written" in content_of_card(workspace)
    for number in range(2):
        write_run(f"worse-{number}", 0.4)
        assert promote(workspace).run_id == "one"
        assert f"of {number + 2} runs, when this was written" in content_of_card(workspace)
        assert pair(workspace)[1]["promoted"]["compared"] == number + 2
    # Neither what a person wrote goes, nor what is known of data that are no longer there.
    known = content_of_card(workspace)
    edited = known.replace("library_name", "license: cc-by-4.0\nlibrary_name")
    for text, lost in ((edited, None), (known[:-1], None), (known, workspace.pool_summary)):
        (workspace.models / "README.md").write_text(text, encoding="utf-8")
        if lost is not None:
            lost.unlink()
        write_run(f"worse-{len(list(workspace.trials.iterdir()))}", 0.4)
        assert promote(workspace).changed
        assert content_of_card(workspace) == text


def test_a_score_is_corrected_for_the_choice_among_all_that_were_compared_or_not_at_all(workspace, answer):
    labels = np.arange(90) % 3
    for run_id, wrong in (("a", 20), ("b", 21), ("c", 22)):
        predicted = np.where(np.roll(np.arange(90), wrong) < wrong, (labels + 1) % 3, labels)
        answer(run_id, labels, predicted, config_digest=run_id * 64)
    outcome = promote(workspace)
    assert (outcome.run_id, outcome.compared) == ("a", 3) and 0 < outcome.corrected < outcome.test_f1_macro
    workspace.predictions("b").unlink()
    outcome = promote(workspace)
    assert (outcome.compared, outcome.corrected) == (3, None)
    assert pair(workspace)[1]["promoted"]["test_f1_macro_corrected"] is None


def test_a_torn_pair_is_repaired_even_without_a_new_run(workspace, write_run):
    write_run("one")
    promote(workspace)
    workspace.best_model.write_bytes(b"torn")
    outcome = promote(workspace)
    assert (outcome.changed, outcome.previous) == (True, None)
    assert pair(workspace)[0] == b"one"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda workspace: workspace.best_model.unlink(), "best_model.keras does not exist"),
        (lambda workspace: workspace.best_model_metrics.unlink(), "best_model_metrics.json does not exist"),
        (lambda workspace: workspace.best_model_metrics.write_text("{"), "not valid JSON"),
        (lambda workspace: workspace.best_model_metrics.write_text('{"schema": 0}'), "schema is 0"),
    ],
)
def test_half_a_pair_is_refused_with_the_remedy(workspace, write_run, damage, says):
    write_run("one")
    promote(workspace)
    damage(workspace)
    with pytest.raises(DataError, match=says) as caught:
        promoted(workspace)
    assert "python -m tuning.promote" in caught.value.remedy


def test_nothing_promoted_says_what_to_run(workspace):
    with pytest.raises(DataError, match="no model is promoted yet") as caught:
        promoted(workspace)
    assert "python -m tuning.search" in caught.value.remedy


def test_only_runs_on_the_prepared_data_are_compared(workspace, write_run, write_data):
    write_data("new data")
    write_run("old", 0.9, data_digest="old data", finished="2030-01-01")
    write_run("new", 0.5, data_digest="new data", finished="2020-01-01")
    heard = Heard()
    outcome = promote(workspace, progress=heard)
    assert (outcome.run_id, outcome.left_out, outcome.data_digest) == ("new", ("old",), "new data")
    assert len(heard.warnings) == 1
    assert "1 of 2 runs" in heard.warnings[0] and "not comparable" in heard.warnings[0] and "old" in heard.warnings[0]


def test_many_left_out_runs_are_counted_rather_than_listed(workspace, write_run, write_data):
    write_data("new data")
    for index in range(8):
        write_run(f"old-{index}", 0.9, data_digest="old data")
    write_run("new", 0.5, data_digest="new data")
    heard = Heard()
    promote(workspace, progress=heard)
    assert "old-4 and 3 more" in heard.warnings[0] and "old-5" not in heard.warnings[0]


def test_without_prepared_data_the_newest_runs_data_count(workspace, write_run):
    write_run("old", 0.9, data_digest="old data", finished="2025-01-01T00:00:00+00:00")
    write_run("new", 0.5, data_digest="new data", finished="2025-02-01T00:00:00+00:00")
    assert promote(workspace).run_id == "new"


def test_runs_on_other_data_alone_promote_nothing(workspace, write_run, write_data):
    write_data("new data")
    write_run("old", 0.9, data_digest="old data")
    with pytest.raises(DataError, match="none of the 1 runs was tested on the current data"):
        promote(workspace)
    assert not workspace.best_model.exists()


def test_a_broken_data_description_is_named(workspace, write_run, write_data):
    metrics = write_run("one")
    write_data("data")
    (workspace.split / "arrays.json").write_text("[]")
    with pytest.raises(DataError, match=r"arrays\.json"):
        current_digest(workspace, [msgspec.convert(metrics, Metrics)])

"""The verdict says what the numbers say, and no more."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from tuning.history.reading import history_of
from tuning.history.records import FinalRun
from tuning.results.model_card import model_card
from tuning.results.report import collect
from tuning.results.report.data import scored
from tuning.results.report.evidence import compare, in_search, read_evidence
from tuning.results.report.finals_part import finals_part
from tuning.results.report.validation_part import validation_table
from tuning.results.report.verdict import interval_text, verdict
from tuning.results.runs import readable_runs
from tuning.results.standings import standings
from tuning.results.tables import leaderboard_table

pytestmark = pytest.mark.usefixtures("no_importances")


@pytest.fixture
def judged(workspace, hyperband, save, finish):
    def judge(runs, seeds=2):
        search = hyperband()
        finish(search, runs, seeds)
        save(search)
        return collect(workspace, "s").verdict

    return judge


def test_a_clear_winner_beats_the_baseline(judged):
    found = judged([("0013", 1, 0.9), ("0012", 2, 0.4), (None, None, 0.5)])
    assert found.kind == "good"
    assert found.headline.startswith("Trial 0013, seed 0 beats the baseline: test macro-F1 0.9")
    text = " ".join(found.reasons)
    assert "more than the choice of test images and the luck of a training seed explain" in text
    assert "Behind it beyond chance: trial 0012" in text
    assert "beyond the choice of images, they differ by a standard deviation of 0.000, from 3 repeated runs" in text


def test_an_interval_of_everything_is_none():
    texts = [interval_text(-1.0, high, units) for high, units in ((1.0, 60), (1.0, 1), (0.5, 60))]
    assert texts == ["unknown, too few seeds", "unknown, of a single independent unit", "-1.000 to +0.500"]


def test_without_a_second_seed_nothing_beats_anything(judged):
    found = judged([("0013", 1, 0.9), ("0012", 2, 0.4), (None, None, 0.5)], seeds=1)
    assert found.kind == "open"
    assert found.headline.startswith("Trial 0013 is ahead of the baseline, seeds unknown: test macro-F1 0.9")
    text = " ".join(found.reasons)
    assert "more than the choice of test images explains, but no configuration was trained with a second seed" in text
    assert text.startswith("The difference is +0.") and "seeds unknown: trial 0012 with" in text
    assert "beats" not in found.headline + text and "beyond chance" not in text


def test_the_best_of_several_scores_is_corrected(judged):
    found = judged([("0013", 1, 0.62), ("0012", 2, 0.61), (None, None, 0.60)], seeds=1)
    text = " ".join(found.reasons)
    assert f"corrected for having been chosen {found.corrected:.3f}" in text
    assert 0.4 < found.corrected < float(found.headline.split("macro-F1 ")[1].split()[0])


def test_a_difference_that_chance_explains_is_a_tie(judged):
    found = judged([("0013", 1, 0.62), ("0012", 2, 0.61), (None, None, 0.60)])
    assert found.kind == "tie", found
    assert "and the baseline are tied" in found.headline
    assert "the luck of a training seed alone can explain it" in found.reasons[0]
    assert "Tied with the best: trial 0012" in " ".join(found.reasons)


def test_as_long_as_runs_may_follow_the_verdict_is_not_the_last_word(workspace, hyperband, save, finish):
    search = hyperband()
    finish(search, [("0013", 1, 0.9), (None, None, 0.5)])
    save(search)
    assert "further runs" not in " ".join(collect(workspace, "s").verdict.reasons)
    search.ask("0022", search.values(1), 9)
    save(search)
    found = collect(workspace, "s")
    assert found.status == "interrupted"
    assert found.verdict.reasons[0].startswith("The search was interrupted: the same command resumes it")


def test_a_baseline_that_wins_is_said_to(judged):
    found = judged([("0013", 1, 0.4), (None, None, 0.9)])
    assert found.headline.startswith("Nothing beat the baseline")
    assert found.kind == "bad"


@pytest.mark.parametrize("baseline", [True, False])
def test_what_is_better_over_its_seeds_is_not_called_tied(workspace, publish, baseline):
    """Of two configurations one has the highest single score, the other the better mean: whichever is the baseline."""
    steady, lucky = ({"kind": "baseline"}, {"trial": "0013", "rank": 1})[:: 1 if baseline else -1]
    for seed, skills in enumerate([(0.7, 0.68), *[(0.55, 0.67)] * 5]):
        for name, skill, about in zip(("lucky", "steady"), skills, (lucky, steady), strict=True):
            publish(f"{name}-s{seed}", skill, 900, seed=seed, config_digest=name[0] * 64, **about)
    runs, _ = read_evidence(workspace, [f"{name}-s{seed}" for name in ("lucky", "steady") for seed in range(6)])
    claims = compare(workspace, runs)
    assert claims.rivals["steady-s0"].high < 0
    found = verdict(None, "finished", runs, claims)
    first, second = ("Trial 0013, seed 0", "the baseline") if baseline else ("The baseline", "trial 0013")
    said = rf"{first} has the highest single score, test macro-F1 0\.7\d\d, but {second} is better over its seeds: "
    assert re.fullmatch(said + r"\+0\.1\d\d in the mean\.", found.headline), found.headline
    assert found.kind == ("bad" if baseline else "good")
    text = " ".join(found.reasons)
    assert "can explain it" not in text and ("more than the choice" in text) == baseline
    words = "Better over their seeds beyond chance, although none of their scores is as high: trial 0013, seed "
    assert (words in text) == (not baseline) and "Tied with the best" not in text


def test_a_baseline_alone_has_won_nothing(judged):
    found = judged([(None, None, 0.6)], seeds=1)
    assert found.headline.startswith("The baseline is the only run: test macro-F1 0.")
    assert found.kind == "open"


def test_several_seeds_of_the_baseline_alone_are_not_one_run(judged):
    found = judged([(None, None, 0.6)], seeds=2)
    assert found.headline.startswith("Only the baseline was retrained, with 2 seeds; the best has test macro-F1 0.")
    assert found.kind == "open"


@pytest.mark.parametrize(
    ("skill", "kind", "words"), [(0.4, "open", "seeds unknown"), (0.88, "tie", "Tied with the best")]
)
def test_a_finalist_behind_the_baseline_is_tied_with_it_only_where_that_is_known(judged, skill, kind, words):
    found = judged([("0013", 1, skill), (None, None, 0.9)], seeds=1)
    assert found.headline.startswith("Nothing beat the baseline")
    assert f"{words}: trial 0013" in " ".join(found.reasons)
    assert found.kind == kind


@pytest.mark.parametrize(
    ("overlap", "words"),
    [
        (
            None,
            "What the base has seen is unknown, and was not checked: scores of what started from it are too high if",
        ),
        (7, "The base has seen 7 images of the validation and test split, which was accepted: scores of what started"),
        (0, None),
    ],
)
def test_what_a_base_has_seen_is_among_the_first_things_said(workspace, publish, overlap, words):
    base = {"name": "faces", "sha256": "a" * 64, "overlap": overlap}
    publish("best", 0.9, trial="0013", rank=1, base=base)
    publish("base", 0.5, kind="baseline")
    runs, _ = read_evidence(workspace, ["best", "base"])
    reasons = verdict(None, "finished", runs, compare(workspace, runs)).reasons
    assert reasons[0].startswith(words or "The difference is")
    assert len([reason for reason in reasons if "base has seen" in reason]) == (overlap != 0)


@pytest.mark.parametrize(("milliseconds", "shown"), [(0.0834, "0.083"), (99.4, "99"), (1503.2, "1,503")])
def test_the_time_of_an_image_is_a_number_that_people_read(workspace, publish, milliseconds, shown):
    publish("one", 0.6, trial="0013", rank=1, milliseconds=milliseconds)
    runs, _ = read_evidence(workspace, ["one"])
    assert f" · {shown} ms an image · " in finals_part(runs, [FinalRun("one", "finalist", None, True, True)])


def test_a_run_alone_is_neither_the_best_nor_compared(judged):
    found = judged([("0013", 1, 0.6)], seeds=1)
    assert found.headline.startswith("Trial 0013 is the only run: test macro-F1 0.")
    # The search names no line that would train another seed.
    assert "The intervals cover the choice of test images, not the luck of a training seed." in found.reasons
    assert judged([("0012", 2, 0.5)], seeds=2).headline.startswith("Trial 0012, seed 0 is the best: ")


def test_that_all_finals_failed_is_said(workspace, hyperband, save):
    search = hyperband()
    for run_id in ("s-01-t0013-cccccccc-s0", "s-baseline-cccccccc-s0"):
        search.add("test-opened", key=f"final/{run_id}", run_id=run_id, purpose="finalist")
        fence = search.add("attempt", key=f"final/{run_id}", epoch=0)
        error = {"kind": "crash", "message": "out of memory", "traceback": None}
        search.add("result", key=f"final/{run_id}", fence=fence, result={"error": error})
    save(search)
    found = collect(workspace, "s").verdict
    assert found.reasons[-1] == "All 2 final trainings failed: see the finalists below."


def test_of_one_person_nothing_is_corrected_and_no_seed_is_blamed(workspace, answer):
    labels, units = np.arange(60) % 3, np.zeros(60, int)
    answer("one", labels, labels, units, trial="0013", config_digest="a" * 64)
    answer("two", labels, np.where(np.arange(60) < 9, (labels + 1) % 3, labels), units, kind="baseline", trial=None)
    runs, _ = read_evidence(workspace, ["one", "two"])
    found = verdict(None, "finished", runs, compare(workspace, runs))
    assert found.corrected is None and "corrected" not in " ".join(found.reasons)
    assert "95 % interval unknown, of a single independent unit, all runs" in found.reasons[0]
    assert "bootstrap over 60 test images in 1 independent unit)" in found.reasons[0]
    assert "angry (20 images in 1 unit), happy" in " ".join(found.reasons)


def test_a_class_without_a_test_image_is_named(workspace, answer, run_metrics):
    labels = np.arange(60) % 2
    answer("one", labels, labels, trial="0013")
    runs, _ = read_evidence(workspace, ["one"])
    reasons = " ".join(verdict(None, "finished", runs, compare(workspace, runs)).reasons)
    assert "Without a test image, and so with an F1 of 0 in the mean: sad." in reasons
    assert "Too few test images" not in reasons
    words = "Without a test image, and so with an F1 of 0 in the mean: sad."
    table = leaderboard_table(standings(workspace, readable_runs(workspace)), 120)
    assert words in table and "Too few" not in table
    assert words in model_card(workspace, runs[0].metrics).replace("*", "")


def test_runs_have_the_short_names_of_the_leaderboard(workspace, hyperband, publish):
    publish("one", 0.6, trial="0013", rank=1)
    publish("two", 0.5, trial="0012", rank=2)
    runs, _ = read_evidence(workspace, ["one", "two"])
    names = {standing.row.run_id: standing.name for standing in standings(workspace, readable_runs(workspace))}
    assert {run.metrics.run_id: run.short for run in runs} == names


def test_where_predictions_were_not_kept_nothing_is_claimed(workspace, hyperband, save, finish):
    search = hyperband()
    finish(search, [("0013", 1, 0.9), (None, None, 0.5)])
    save(search)
    for path in workspace.predictions("any").parent.iterdir():
        path.unlink()
    report = collect(workspace, "s")
    assert report.verdict.kind == "open"
    assert "is ahead of the baseline, not compared" in report.verdict.headline
    assert "their difference cannot be told from chance" in report.verdict.reasons[0]
    assert report.verdict.corrected is None
    assert all(run.calibration is None and not run.mistakes for run in report.runs)


def test_several_seeds_give_means_and_deviations(workspace, hyperband, publish):
    for seed, skill in enumerate((0.8, 0.85, 0.9)):
        publish(f"one-s{seed}", skill, trial="0013", rank=1, seed=seed, config_digest="a" * 64)
        publish(f"base-s{seed}", skill - 0.3, kind="baseline", seed=seed, config_digest="b" * 64)
    runs, problems = read_evidence(workspace, [f"{name}-s{seed}" for name in ("one", "base") for seed in range(3)])
    assert problems == []
    assert runs[0].name == "trial 0013, seed 2"
    text = " ".join(verdict(None, "finished", runs, compare(workspace, runs)).reasons)
    said = "Mean ± standard deviation over training seeds (number of seeds): "
    one, two = r"trial 0013 0\.8\d\d ± 0\.0\d\d \(3\)", r"the baseline 0\.5\d\d ± 0\.0\d\d \(3\)"
    assert re.search(rf"{re.escape(said)}{one}; {two}\.", text)
    # Also those that are not of this search, as the difference is of them too.
    some = [run for run in runs if run.metrics.run_id not in ("one-s0", "base-s1", "base-s2")]
    of_some = " ".join(verdict(None, "finished", some, compare(workspace, some)).reasons)
    assert re.search(rf"{re.escape(said)}{one}; {two}\.", of_some)
    # What is compared is not the two scores of the headline, whatever runs are shown.
    runs, _ = read_evidence(workspace, ["one-s0", "one-s2", "base-s2"])
    found = verdict(None, "finished", runs, compare(workspace, runs))
    said = found.reasons[0]
    assert said.startswith("The difference between the means over their seeds is +0.3")
    # The two scores are each the highest of their seeds: the headline has both.
    assert re.search(r"against 0\.\d\d\d, over all seeds \+0\.3\d\d in the mean\.$", found.headline)
    # Each with as many as it has.
    for run_id in ("one-s0", "base-s1", "base-s2"):
        shutil.rmtree(workspace.run(run_id))
    text = " ".join(verdict(None, "finished", some, compare(workspace, some)).reasons)
    said = re.escape("Mean ± standard deviation over training seeds (number of seeds): ")
    assert re.search(rf"{said}trial 0013 \S+ ± \S+ \(2\); the baseline 0\.\d\d\d \(1\)\.", text)


def test_means_are_over_seeds_of_one_training(workspace, publish, write_params):
    """A longer one is another, and the same run under another rank is no second seed."""
    for run_id, skill, seed, epochs in (
        ("a-s0", 0.8, 0, 9),
        ("b-s0", 0.8, 0, 9),
        ("a-s1", 0.85, 1, 9),
        ("a-s2", 0.9, 2, 40),
    ):
        trial = "0020" if run_id.startswith("b") else "0013"
        publish(run_id, skill, trial=trial, rank=1, seed=seed, epochs=epochs, config_digest="a" * 64)
        write_params(run_id, seed=seed, epochs=epochs)
    runs, _ = read_evidence(workspace, ["a-s0", "b-s0", "a-s1", "a-s2"])
    reasons = verdict(None, "finished", runs, compare(workspace, runs)).reasons
    (said,) = [reason for reason in reasons if reason.startswith("Mean ± standard deviation")]
    one, two = r"trial 0013 0\.9\d\d \(1\)", r"trial 0013 0\.8\d\d ± 0\.0\d\d \(2\)"
    assert re.fullmatch(rf"Mean ± standard deviation over training seeds \(number of seeds\): {one}; {two}\.", said)
    assert any(reason.startswith("Tied with the best: trial 0013, seed 1") for reason in reasons)


def test_a_training_that_was_gone_on_with_is_no_second_one(workspace, hyperband, save, finish):
    """Another seed of it is, and so is the baseline where the search has not trained it to its end."""
    search = hyperband(reuse_trials=True)
    finish(search, [("0013", 1, 0.9), (None, None, 0.5)], 2)
    save(search)
    report = collect(workspace, "s")
    twice = {(run.metrics.kind, run.metrics.seed) for run in report.runs if run.searched}
    assert twice == {("finalist", 1), ("baseline", 0), ("baseline", 1)}


def test_a_score_that_validation_did_not_foresee_is_doubted(workspace, hyperband, publish):
    publish("one", 0.6, trial="0013", rank=1, val={"f1_macro": 0.8, "accuracy": 0.8, "loss": 1.0}, test_openings=2)
    publish("two", 0.5, trial="0012", rank=2, val={"f1_macro": 0.9, "accuracy": 0.9, "loss": 1.0})
    runs, _ = read_evidence(workspace, ["one", "two"])
    reasons = verdict(None, "finished", runs, compare(workspace, runs)).reasons
    assert any("Validation would have chosen trial 0012" in reason for reason in reasons)
    assert any("above its test score" in reason for reason in reasons)
    assert any("on the test split 2 times" in reason for reason in reasons)


def test_what_a_view_adds_is_not_taken_for_the_luck_of_a_training(workspace, hyperband, publish):
    """The search's scores are of networks, the published model has more in its graph."""
    search = hyperband()
    searched = search.history().configuration_of("0013").score
    view = {"used": True, "f1_macro_before": searched, "f1_macro_after": 0.9, "loss_before": 1.0, "loss_after": 0.9}
    none = {"used": False, "reason": "it does not pay"}
    about = {"trial": "0013", "rank": 1, "val": {"f1_macro": 0.9, "accuracy": 0.9, "loss": 1.0}}
    publish("seen", 0.9, additions={"mirrored_view": view, "prior_correction": none, "temperature": none}, **about)
    publish("plain", 0.8, **about)
    publish("mean", 0.7, kind="ensemble", val=about["val"])
    runs, _ = read_evidence(workspace, ["seen", "plain", "mean"])
    runs = in_search(search.history(), runs)
    assert [run.network_score for run in runs] == [searched, 0.9, None]
    said = [
        reason for reason in verdict(None, "finished", runs, compare(workspace, runs)).reasons if "Retrained" in reason
    ]
    assert said == [
        "Retrained, these configurations have other validation scores in the published epoch than at their best in the "
        f"search: trial 0013 ({searched:.3f} in the search, 0.900 retrained). The best score of a single training can "
        "be that far off."
    ]
    rows = re.findall("<tr>.*?</tr>", validation_table(runs))[1:]
    shown = [re.findall(r"<td>([^ <]+)", row) for row in rows]
    test = [f"{run.score:.3f}" for run in runs]
    found = f"{searched:.3f}"
    assert shown == [
        [found, found, "0.900", test[0]],
        [found, "0.900", "0.900", test[1]],
        ["–", "–", "0.900", test[2]],
    ]


def test_a_class_that_is_never_recognised_and_a_test_without_error_are_said(workspace, hyperband, publish):
    publish("perfect", 1.0, trial="0013", rank=1)
    metrics = publish("blind", 0.5, trial="0012", rank=2)
    metrics["test"]["per_class"]["sad"]["recall"] = 0.0
    (workspace.run("blind") / "metrics.json").write_text(json.dumps(metrics))
    runs, _ = read_evidence(workspace, ["perfect", "blind"])
    assert runs[0].metrics.test.accuracy == 1
    reasons = " ".join(verdict(None, "finished", runs, compare(workspace, runs)).reasons)
    assert "none of 120 test images" in reasons and "up to 3 %" in reasons and "recognised no image" not in reasons
    reasons = " ".join(verdict(None, "finished", runs[1:], compare(workspace, runs[1:])).reasons)
    assert "recognised no image of: sad (40 images)." in reasons and "rule of three" not in reasons


def test_a_run_that_was_removed_is_named(workspace, hyperband, save, finish):
    search = hyperband()
    finish(search, [("0013", 1, 0.9), (None, None, 0.5)])
    save(search)
    shutil.rmtree(next(workspace.trials.glob("*baseline*")))
    report = collect(workspace, "s")
    assert len(report.runs) == 1
    assert "baseline" in report.problems[0]
    assert report.verdict.kind == "open"


@pytest.mark.parametrize(
    ("trials", "headline", "status"),
    [
        (lambda s: None, "No trial has ended yet.", "interrupted"),
        (lambda s: s.fail(s.ask("0000", s.values(0), 1)), "The one trial that has ended failed.", "trials only"),
        (lambda s: s.tell(s.ask("0000", s.values(0), 3), 3), "Of 1 trial, trial 0000 leads", "trials only"),
    ],
)
def test_without_a_test_nothing_is_claimed(workspace, new_search, save, trials, headline, status):
    search = new_search()
    trials(search)
    save(search)
    report = collect(workspace, "s")
    assert report.verdict.headline.startswith(headline)
    assert report.status == status


def test_a_temperature_is_taken_out_again(workspace, hyperband, publish):
    one = {"used": True, "f1_macro_before": 0.5, "f1_macro_after": 0.5, "loss_before": 1.0, "loss_after": 0.9}
    none = {"used": False, "reason": "logits"}
    additions = {"mirrored_view": none, "prior_correction": none, "temperature": {**one, "value": 2.0}}
    publish("one", 0.6, additions=additions)
    publish("two", 0.6)
    (first, second), _ = read_evidence(workspace, ["one", "two"])
    assert second.untempered is None and first.calibration == second.calibration
    assert first.untempered.overconfident > first.calibration.overconfident


def test_from_a_base_the_baseline_was_in_no_trial(workspace, hyperband, save, finish):
    search = hyperband()
    finish(search, [("0013", 1, 0.9), (None, None, 0.5)], 1)
    save(search)
    facts, seen = collect(workspace, "s").search.facts, []
    runs, _ = read_evidence(workspace, [final.run_id for final in facts.finals])
    for from_base in (False, True):
        history = history_of(facts, from_base=from_base)
        searched = {run.is_baseline: run.searched for run in in_search(history, runs)}
        assert searched[False] is not None
        marked = any(entry.baseline for entry in scored(history, runs))
        seen.append((history.baseline is not None, searched[True] is not None, marked))
    assert seen == [(True, True, True), (False, False, False)]

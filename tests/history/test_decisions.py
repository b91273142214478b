"""What a search decided while it ran."""

from __future__ import annotations

from tuning.engine.entries import from_json
from tuning.history.decisions import decisions


def told(*records):
    return decisions(from_json({"n": n, **record}) for n, record in enumerate(records))


def test_decisions_are_told_in_order_and_with_their_time():
    found = told(
        {"type": "spent", "seconds": 600.0},
        {"type": "closing", "asks": 17, "promotions": 1},
        {"type": "spent", "seconds": 300.0},
        {"type": "stopped"},
        {
            "type": "planned-finals",
            "runs": [
                {"key": "s-01-t0011-c1a4c93c", "seed": 0, "epochs": 6},
                {"key": "s-baseline-8b340a37", "seed": 0, "epochs": 6},
                {"key": "s-baseline-8b340a37", "seed": 1, "epochs": 6},
            ],
        },
        {"type": "planned-finals", "runs": [{"key": "s-01-t0011-c1a4c93c", "seed": 1, "epochs": 6}]},
        {"type": "planned-finals", "runs": []},
    )
    assert [decision.seconds for decision in found] == [600, 900, 900, 900, 900]
    words = [decision.words for decision in found]
    assert words[0].startswith("No new configuration after the first 17 proposals")
    assert "train 1 promising one to the end" in words[0]
    assert words[2].startswith("3 final trainings, as many as fit")
    assert words[2].endswith(": trial 0011 for 6 epochs; the baseline for 6 epochs, 2 seeds.")
    assert words[3] == "1 further final training, with the time still left: trial 0011 for 6 epochs."
    assert words[4].startswith("No further final training")


def test_a_larger_budget_and_trials_tried_again_are_told():
    words = [
        decision.words
        for decision in told(
            {"type": "extended", "asks": 5, "budget": 7200.0, "finals": 1800.0},
            {"type": "retry-failed", "trials": ["0001", "0002"], "asks": 5},
            {"type": "extended", "asks": 7, "budget": 3600.0, "finals": 0.0},
        )
    ]
    assert "2 h 00 min in all with 30 min kept for the finals" in words[0]
    assert words[1] == "2 failed trials tried again, as requested by --retry-failed."
    assert words[2] == "A budget was given, 1 h 00 min in all: the search continues after 7 proposals."


def test_a_search_that_decided_nothing_has_none():
    assert told({"type": "spent", "seconds": 30.0}) == ()


def test_what_is_shortened_and_lengthened_again_is_told():
    first, second, baseline = "a-01-t0003-8e3b08b3-s0", "a-01-t0003-8e3b08b3-s1", "a-baseline-52ed6772-s0"
    cut = [
        {"run_id": first, "after": 20, "until": 35},
        {"run_id": second, "after": 0, "until": 0},
        {"run_id": baseline, "after": 20, "until": 35},
    ]
    (found,) = told({"type": "shortened-finals", "runs": cut})
    assert found.words == (
        "Trainings take longer than planned: trial 0003 (seed 0) ends after epoch 35, trial 0003 (seed 1) is left out, "
        "the baseline (seed 0) ends after epoch 35."
    )
    again = [{"run_id": first, "after": 24, "until": 40}]
    _, found = told({"type": "shortened-finals", "runs": cut}, {"type": "shortened-finals", "runs": again})
    assert found.words == "There is time for more epochs: trial 0003 (seed 0) ends after epoch 40."


def test_what_is_trained_longer_than_planned_is_told_as_that():
    key = "a-01-t0003-8e3b08b3"
    plan = {"type": "planned-finals", "runs": [{"key": key, "seed": 0, "epochs": 20}]}
    _, found = told(plan, {"type": "shortened-finals", "runs": [{"run_id": f"{key}-s0", "after": 5, "until": 26}]})
    assert found.words == "There is time for more epochs: trial 0003 (seed 0) ends after epoch 26."

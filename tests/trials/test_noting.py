"""What counts as looking at a value: whatever could make a model depend on it."""

from __future__ import annotations

import copy
import json

import pytest
from keras_tuner import HyperParameters

from tuning.trials.noting import NotingValues

VALUES = {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("look", "read"),
    [
        (lambda hp: None, ""),
        (lambda hp: hp.Int("a", 0, 9), "a"),
        (lambda hp: hp.values["b"], "b"),
        (lambda hp: hp.values.get("b", 0), "b"),
        (lambda hp: hp.get("b"), "b"),
        (lambda hp: hp["b"], "b"),
        (lambda hp: "c" in hp.values, "c"),
        (lambda hp: "c" in hp, "c"),
        (lambda hp: hp.values.get("d"), "d"),
        (lambda hp: hp.values.pop("d", None), "d"),
        (lambda hp: hp.values.__delitem__("c"), "c"),
        (lambda hp: list(hp.values), "all"),
        (lambda hp: bool(hp.values), "all"),
        (lambda hp: len(hp.values), "all"),
        (lambda hp: sorted(hp.values.items()), "all"),
        (lambda hp: sum(hp.values.values()), "all"),
        (lambda hp: dict(hp.values), "all"),
        (lambda hp: {**hp.values}, "all"),
        (lambda hp: hp.values | {}, "all"),
        (lambda hp: hp.values == VALUES, "all"),
        (lambda hp: hp.values.copy(), "all"),
        (lambda hp: copy.deepcopy(hp.values), "all"),
        (lambda hp: json.dumps(hp.values), "all"),
        (lambda hp: str(hp.values), "all"),
        (lambda hp: hp.copy(), "all"),
    ],
)
def test_every_way_to_look_at_a_value_counts(look, read):
    hp = HyperParameters()
    hp.values = NotingValues(VALUES)
    look(hp)
    assert hp.values.incomplete == (read == "all")
    if read != "all":
        assert hp.values.read == set(read)


def test_after_the_end_nobody_s_looking_counts():
    values = NotingValues(VALUES)
    values.close()
    assert dict(values) == VALUES
    assert values.read == set()
    assert not values.incomplete

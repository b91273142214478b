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
        (lambda hp: list(hp.values), "abc"),
        (lambda hp: bool(hp.values), "abc"),
        (lambda hp: len(hp.values), "abc"),
        (lambda hp: sorted(hp.values.items()), "abc"),
        (lambda hp: sum(hp.values.values()), "abc"),
        (lambda hp: dict(hp.values), "abc"),
        (lambda hp: {**hp.values}, "abc"),
        (lambda hp: hp.values | {}, "abc"),
        (lambda hp: hp.values == VALUES, "abc"),
        (lambda hp: hp.values.copy(), "abc"),
        (lambda hp: copy.deepcopy(hp.values), "abc"),
        (lambda hp: json.dumps(hp.values), "abc"),
        (lambda hp: str(hp.values), "abc"),
        (lambda hp: hp.copy(), "abc"),
    ],
)
def test_every_way_to_look_at_a_value_counts(look, read):
    hp = HyperParameters()
    hp.values = NotingValues(VALUES)
    look(hp)
    assert hp.values.read == set(read)
    # Who looks at everything looks at what is missing, too.
    assert hp.values.whole == (read == "abc")


def test_after_the_end_nobody_s_looking_counts():
    values = NotingValues(VALUES)
    values.close()
    assert dict(values) == VALUES
    assert values.read == set()
    assert not values.whole

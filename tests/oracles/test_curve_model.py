"""What strategies with a model of all curves decide beside what a score would tell."""

from __future__ import annotations

import pytest

from tuning.oracles import curve_model

NAMES = ["freeze_thaw", "bohb"]


@pytest.mark.parametrize("name", NAMES)
def test_where_the_leading_chains_are_all_over_others_still_count(name, simulated, monkeypatch):
    monkeypatch.setattr(curve_model, "LEADING", 1)
    search = simulated.build(name, max_trials=40)
    asked = simulated.drive(search, window=1)
    assert asked[-1].epochs == 9

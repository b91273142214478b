"""What the charts of the report draw."""

from __future__ import annotations

import msgspec
import pytest

from tuning.core.records import TrialSpec
from tuning.results.report.comparable import comparable
from tuning.results.report.data import brackets, chart_data


def test_rungs_hold_their_trials_in_each_bracket(hyperband, random_search):
    history = hyperband().history()
    shapes = [[(rung["epochs"], len(rung["trials"])) for rung in entry["rungs"]] for entry in brackets(history)]
    assert shapes == [[(1, 9), (3, 3), (9, 1)], [(3, 5), (9, 1)], [(9, 3)]]
    assert brackets(random_search().history()) == []


@pytest.mark.parametrize(("epochs", "stride"), [(9, 1), (40_000, 2)])
def test_long_curves_are_thinned_and_keep_their_last_epoch(new_search, epochs, stride):
    search = new_search(max_epochs=epochs)
    for number in range(6):
        spec = TrialSpec(f"{number:04d}", search.values(number), None, root=f"{number:04d}")
        search.add("ask", trial=msgspec.to_builtins(spec), completed=0)
        fence = search.add("attempt", key=f"trial/{spec.trial_id}", epoch=0)
        curve = [{"val_f1_macro": n / epochs, "val_loss": 1.0} for n in range(epochs)]
        result = {"trial_id": spec.trial_id, "status": "COMPLETED", "score": 1.0, "curve": curve, "seconds": []}
        result |= {"failure": None, "space": []}
        search.add("result", key=f"trial/{spec.trial_id}", fence=fence, result=result)
    data = chart_data(search.history(), (), (), comparable(search.history(), ()))
    assert data["stride"] == stride
    shown = data["configurations"][0]
    assert shown["epochs"] == epochs
    assert shown["curve"][-1] == round((epochs - 1) / epochs, 4)
    assert sum(len(entry["curve"]) for entry in data["configurations"]) <= 120_006

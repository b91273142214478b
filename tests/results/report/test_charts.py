"""The charts of the report stay within their drawing areas."""

from __future__ import annotations

import re

from tuning.history.records import Configuration, Point, Trial
from tuning.results.report import charts
from tuning.results.report.data import Entry
from tuning.results.report.plot import UNITS


def promoted(number: int, *scores: float) -> tuple[Entry, list[Trial]]:
    """A configuration that was promoted after each of its trials, one epoch each."""
    curve = tuple(Point(epoch, score, 1.0) for epoch, score in enumerate(scores, 1))
    trials = [
        Trial(f"{number}-{place}", f"{number}-0", {}, place + 1, place, None, 0, score, curve[: place + 1], done=place)
        for place, score in enumerate(scores)
    ]
    configuration = Configuration(tuple(trials), curve, max(scores), 1.0)
    return Entry(number, configuration, max(scores), trials[-1].trial_id, None, False, 0), trials


def test_trials_that_scored_less_than_every_configuration_lie_on_the_chart_of_rungs():
    (one, first), (other, second) = promoted(0, 0.1, 0.8), promoted(1, 0.2, 0.7)
    rungs = {epochs: [first[epochs - 1], second[epochs - 1]] for epochs in (1, 2)}
    html = charts.rungs(rungs, [one, other])
    marks = html.partition('class="grid"')[2].partition("/>")[2]
    places = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", marks)
    assert len(places) >= 8
    assert all(0 <= float(value) <= UNITS for place in places for value in place)

"""Charts without scripts: scales, labels, and places of the drawing area."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.results.report.plot import Axis, Drawing, dots, line, padded, plot, short


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.05, "0.05"), (0.0012, "0.0012"), (1.5e-5, "1.5e-5"), (2e6, "2e6"), (-0.25, "-0.25")],
)
def test_numbers_are_short(value, text):
    assert short(value) == text


@given(
    low=st.floats(1e-6, 1e5),
    factor=st.floats(1.01, 1e6),
    count=st.integers(2, 12),
    log=st.booleans(),
    time=st.booleans(),
)
def test_labels_lie_on_their_axis_and_are_no_crowd(low, factor, count, log, time):
    axis = Axis(low, low * factor, log=log and not time, time=time)
    ticks = axis.ticks(count)
    assert all(-1e-6 <= place <= 1 + 1e-6 for place, _ in ticks)
    assert [place for place, _ in ticks] == sorted(place for place, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)
    assert len(ticks) <= 2 * count + 1


def test_a_logarithmic_axis_has_equal_steps_for_equal_factors():
    axis = Axis(1e-4, 1e-2, log=True)
    assert axis.at(1e-3) == pytest.approx(0.5)
    assert [text for _, text in axis.ticks(3)] == ["1e-4", "0.001", "0.01"]


def test_whole_numbers_have_whole_labels():
    assert [text for _, text in Axis(1, 3, whole=True).ticks(12)] == ["1", "2", "3"]


def test_time_is_labelled_in_minutes_and_hours():
    assert [text for _, text in Axis(0, 7200, time=True).ticks(4)] == [
        "0 s",
        "30 min",
        "1 h 00 min",
        "1 h 30 min",
        "2 h 00 min",
    ]


def test_a_choice_has_a_band_for_each_value():
    axis = Axis(names=["dense", "average"])
    assert axis.ticks(9) == [(0.25, "dense"), (0.75, "average")]


def test_a_single_value_has_room_around_it():
    low, high = padded([0.5])
    assert low < 0.5 < high
    assert padded([]) == (0.0, 1.0)


def test_marks_carry_the_numbers_of_their_configurations():
    draw = Drawing(Axis(0, 10), Axis(0, 1))
    places = [draw(0, 0), draw(5, 1)]
    assert dots(places, [3, 7], "s1") == '<path class="dots s1" data-c="3 7" d="M0 1000h0M500 0h0"/>'
    assert line(places, "curve s1", 3) == '<path class="curve s1" data-c="3" d="M0 1000L500 0"/>'
    assert dots([], [], "s1") == ""


def test_a_name_that_a_stranger_chose_stays_text():
    hostile = '"><script>1</script>'
    assert "<script" not in plot("slices", Axis(names=[hostile]), Axis(label=hostile), [], hostile)

"""From which rung brackets start, by what the curves say."""

from __future__ import annotations

import pytest

from tuning.oracles.chance import ChanceLevel
from tuning.oracles.first_rung import first_rung, may_be_lower, usual_rung

LEVELS = (2, 6, 17, 51)


def curves(*left, reached=None, levels=LEVELS):
    """The curves of a search that leave chance in these epochs (None: never); all of them were trained whole."""
    level = ChanceLevel(0.1, levels)
    for number, epoch in enumerate(left):
        scores = {e: 0.1 if epoch is None or e < epoch else 0.5 for e in range(1, levels[-1] + 1)}
        level.record(number, len(levels) - 1 if reached is None or number == 0 else reached, scores)
    return level


def test_while_nothing_is_known_there_is_room_for_two_promotions():
    assert first_rung(LEVELS, curves()) == usual_rung(LEVELS) == 1


@pytest.mark.parametrize(("left", "rung"), [(1, 1), (2, 1), (3, 1), (6, 1), (7, 2), (17, 2), (30, 2), (None, 2)])
def test_it_is_where_the_defaults_have_left_chance(left, rung):
    assert first_rung(LEVELS, curves(left)) == rung


def test_it_rises_where_many_curves_leave_chance_later():
    assert first_rung(LEVELS, curves(6, 5, 5, 5)) == 1
    assert first_rung(LEVELS, curves(5, 5, 10, 12, 14)) == 2


def test_it_is_lower_where_all_that_learn_do_so_at_once():
    """Many short looks find the few that learn."""
    assert first_rung(LEVELS, curves(2, None, None, None, 2, reached=1)) == 0
    assert first_rung(LEVELS, curves(2, 2, 2, 2, 5, reached=1)) == 0
    assert first_rung(LEVELS, curves(2, 2, 2, 2, reached=1)) == 1  # too few to tell
    assert first_rung(LEVELS, curves(2, 5, 5, 2, 2, reached=1)) == 1
    assert first_rung(LEVELS, curves(3, None, None, None, 2, reached=1)) == 1


def test_only_what_could_be_lower_is_probed():
    assert may_be_lower(LEVELS, curves(2)) and not may_be_lower(LEVELS, curves(3))
    assert not may_be_lower(LEVELS, curves(None)) and not may_be_lower((6, 17, 51), curves(1, levels=(6, 17, 51)))


@pytest.mark.parametrize("levels", [(5,), (3, 9)])
def test_short_trainings_have_few_rungs(levels):
    assert first_rung(levels, curves(1, levels=levels)) == 0

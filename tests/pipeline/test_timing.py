"""When the time for trials is over."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tuning.pipeline.timing import Deadline


@pytest.mark.parametrize(("elapsed", "over"), [(69.0, (False, False)), (71.0, (True, False)), (81.0, (True, True))])
def test_a_grace_puts_the_end_off(elapsed, over):
    end = Deadline(100.0, SimpleNamespace(elapsed=lambda: elapsed), lambda: 30.0)
    assert (end.over(), end.over(grace=10.0)) == over


def test_without_a_budget_there_is_no_end():
    end = Deadline(None, SimpleNamespace(elapsed=lambda: 1e9), lambda: 0.0)
    assert end.left() is None and not end.over()

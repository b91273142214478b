"""Time: read, written, kept back, and counted over resumes."""

from __future__ import annotations

import pytest

from tuning.core.errors import UsageError
from tuning.engine.budget import JOURNAL_SECONDS, Stopwatch, as_given, duration, reserve, seconds
from tuning.engine.entries import Spent


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("45m", 2700), ("8h", 28_800), ("2d", 172_800), ("1h30m", 5400), ("0.5h", 1800)],
)
def test_a_time_is_read(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "45", "m", "-5m", "5 m", "5m!", "1w", "0s", "0h0m", "nan"])
def test_what_is_no_time_is_refused_by_its_text(text):
    with pytest.raises(UsageError, match="--budget") as caught:
        seconds(text)
    assert repr(text) in caught.value.problem


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-3, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3_540, "59 min"),
        (3_600, "1 h 00 min"),
        (11_100, "3 h 05 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_time_is_told(value, words):
    assert duration(value) == words


@pytest.mark.parametrize("text", ["45s", "90s", "4m", "90m", "2h", "48h"])
def test_a_budget_is_told_as_it_was_given(text):
    assert as_given(seconds(text)) == text


def test_the_slower_half_of_the_epochs_decides_what_is_kept_back():
    # Two rounds of two at a time, 10 epochs each, 4 seconds an epoch, and a tenth.
    assert reserve([1, 5, 3, 1], epochs=10, runs=4, workers=2, budget=1e6) == pytest.approx(1.1 * 2 * 10 * 4)


def test_while_nothing_is_measured_a_fifth_is_kept_back():
    assert reserve([], epochs=10, runs=4, workers=2, budget=100) == 20


def test_a_stopwatch_goes_on_where_the_last_one_was_noted(monkeypatch):
    now, records = [100.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    first = Stopwatch([], records.append)
    now[0] += JOURNAL_SECONDS - 1
    assert first.elapsed() == JOURNAL_SECONDS - 1
    assert records == []
    now[0] += 1
    assert first.elapsed() == JOURNAL_SECONDS
    now[0] += 2.5
    first.note()
    assert records == [Spent(seconds=JOURNAL_SECONDS), Spent(seconds=2.5)]
    assert Stopwatch(records, records.append).elapsed() == JOURNAL_SECONDS + 2.5

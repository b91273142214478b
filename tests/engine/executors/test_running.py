"""What becomes of an exception."""

from __future__ import annotations

import errno
from pathlib import Path

import keras_tuner
import msgspec
import pytest

from tuning.core.records import OWN
from tuning.engine.entries import AttemptDied, Result
from tuning.engine.executors.running import attempt
from tuning.engine.journal import encode, parse


@pytest.fixture
def error_of(monkeypatch):
    """error_of(exception) is the error of a job that raises it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def run(raised):
        result, error = attempt("sample_work:run", "raise-this", {"error": raised}, lambda entry: None)
        assert result is None
        return error

    return run


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (OSError("Can't load a.h5\nmore"), "OSError: Can't load a.h5"),
        (TimeoutError("no answer in 5 s"), "TimeoutError: no answer in 5 s"),
        (SystemExit(0), "SystemExit: 0"),
    ],
)
def test_what_a_library_says_where_no_system_call_failed_is_an_exception_like_any(raised, message, error_of):
    error = error_of(raised)
    assert (error.kind, error.message, error.errno) == ("exception", message, None)
    assert "sample_work.py" in error.traceback


def test_what_the_operating_system_refused_is_no_fault_of_the_configuration(error_of):
    error = error_of(OSError(errno.EMFILE, "Too many open files"))
    assert (error.kind, error.message, error.errno) == ("environment", "Too many open files", errno.EMFILE)


@pytest.mark.parametrize("kind", [ValueError, MemoryError, OSError])
def test_the_words_of_an_exception_can_be_journaled_whatever_they_hold(kind, error_of):
    """A byte of a file name that is not UTF-8 is half of a surrogate pair."""
    error = error_of(kind("jos\udce9/x.npy"))
    assert error.message.endswith(r"jos\udce9/x.npy")
    entries = (
        Result(key="trial/0001", fence=0, result={"error": msgspec.to_builtins(error)}, node=None, n=0),
        AttemptDied(key="trial/0001", fence=1, failure=error.failure(), node=None, n=1),
    )
    assert parse(b"".join(map(encode, entries))).records == entries


def test_what_a_builder_refuses_by_keras_tuner_s_own_error_is_the_configuration_s_affair(error_of):
    error = error_of(keras_tuner.errors.FailedTrialError("too deep for these images"))
    assert error.kind in OWN
    assert error.message == "FailedTrialError: too deep for these images"

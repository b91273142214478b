"""A signal is not forgotten, wherever the exception that it raises is lost or disguised."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tuning.core import interruption
from tuning.core.errors import Interrupted
from tuning.engine.executors.running import attempt


def interrupt(kind="swallow", payload=None, report=None):
    """Work in the middle of which a signal arrives, whose exception does not get through."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except Interrupted as error:
        if kind == "disguise":
            raise RuntimeError("a library's own error") from error
    return {"score": 1.0}


@pytest.fixture
def work(monkeypatch):
    monkeypatch.setattr("tuning.engine.executors.running.load_work", lambda name: interrupt)
    return "work"


@pytest.mark.parametrize("kind", ["swallow", "disguise"])
def test_work_that_a_signal_met_has_no_result(work, kind):
    with pytest.raises(Interrupted) as caught, interruption.signals_raise():
        attempt(work, kind, {}, lambda entry: None)
    assert caught.value.signal_number == signal.SIGINT


def test_a_disguised_signal_leaves_the_block_as_itself():
    with pytest.raises(Interrupted), interruption.signals_raise():
        interrupt("disguise")


def test_a_swallowed_signal_is_met_at_the_next_look():
    with pytest.raises(Interrupted), interruption.signals_raise():
        interrupt()
        interruption.check()


def test_a_signal_inside_a_destructor_prints_nothing_and_other_errors_there_still_print(capsys):
    class Interrupting:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # the handler runs here, not after the destructor
                pass

    class Failing:
        def __del__(self):
            raise ZeroDivisionError("said in a destructor")

    reached = []
    hook = sys.unraisablehook
    sys.unraisablehook = sys.__unraisablehook__
    try:
        with pytest.raises(Interrupted), interruption.signals_raise():
            Interrupting()
            assert capsys.readouterr().err == ""
            Failing()
            assert "said in a destructor" in capsys.readouterr().err
            reached.append(True)
            interruption.check()
        assert reached
        assert sys.unraisablehook is sys.__unraisablehook__
    finally:
        sys.unraisablehook = hook


def test_an_error_without_a_signal_stays_what_it_is_and_nothing_outlasts_the_block():
    with pytest.raises(ZeroDivisionError), interruption.signals_raise():
        1 / 0  # noqa: B018
    with interruption.signals_raise():
        interrupt()
    interruption.check()


def test_within_an_import_of_native_code_a_signal_waits():
    passed = []
    with pytest.raises(Interrupted) as caught, interruption.signals_raise():
        with interruption.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            passed.append("the rest of the import")
        passed.append("what follows it")
    assert passed == ["the rest of the import"]
    assert caught.value.signal_number == signal.SIGTERM
    with interruption.signals_raise(), interruption.deferred():
        pass
    with pytest.raises(Interrupted), interruption.signals_raise():
        # Afterwards they raise at once again.
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on")

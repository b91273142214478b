"""What a person sees of an error, outside of the commands."""

from __future__ import annotations

import pickle
import signal
import traceback

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tuning.core.errors import DataError, Interrupted, OtherSettings


@pytest.mark.parametrize("error", [DataError("7 is odd", "give 8"), OtherSettings("7 is odd", "give 8", ["number"])])
def test_a_traceback_ends_with_the_remedy(error):
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert str(each) == "7 is odd"
        assert "".join(traceback.format_exception_only(each)).endswith(": 7 is odd\n→ give 8\n")


def test_without_a_remedy_there_is_no_arrow():
    assert "→" not in "".join(traceback.format_exception_only(DataError("7 is odd")))


def test_a_stopped_cell_of_a_notebook_shows_no_traceback(capsys):
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.user_ns["stopped"] = Interrupted(signal.SIGINT)

    result = shell.run_cell("def search():\n    raise stopped\nsearch()")

    assert result.error_in_exec is shell.user_ns["stopped"]
    shown = capsys.readouterr().out
    assert shown.startswith("stopped: Ctrl-C (SIGINT) arrived; everything that was finished is saved; the same cell")
    assert shown.count("\n") == 1

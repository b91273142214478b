from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tuning.core.quiet import without_greeting


@pytest.mark.parametrize("error", [None, ValueError])
def test_all_but_the_greeting_is_written(capfd, monkeypatch, error):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)  # another test may have had it imported
    lines = (b"W0000 00:00:1 2 a.cc:1] a processor", b"what a person should see", b"E0000 00:00:1 2 a.cc:1] an error")
    try:
        with without_greeting():
            os.write(2, b"\n".join(lines) + b"\n")
            if error:
                raise error
    except ValueError:
        assert error
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err.splitlines() == [*(line.decode() for line in lines[1:]), "afterwards"]


@pytest.mark.tensorflow
def test_tensorflow_is_imported_in_silence():
    code = "from tuning.core.quiet import without_greeting\nwith without_greeting():\n    import tensorflow"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, env=dict(os.environ)
    )
    assert done.stderr == ""

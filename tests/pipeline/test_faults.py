"""A whole search, toy work in place of training, with a fault at its operations on the disk; see `stress.faults`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent

CODE = """
import json, sys
from pathlib import Path
from stress import faults
print(json.dumps(faults.main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), tuple(sys.argv[4:]))))
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize(("scenario", "kill_every", "error_every"), [("search", 12, 40), ("fresh", 29, 61)])
def test_a_fault_leaves_the_old_or_the_new_state_and_a_search_that_goes_on(tmp_path, scenario, kill_every, error_every):
    """At some operations: `make stress ARGS=faults` has all. In a process of its own: it forks, and replaces parts."""
    command = [sys.executable, "-c", CODE, str(tmp_path), str(kill_every), str(error_every), scenario]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["problems"] == []
    assert result["operations"][scenario] > 150
    assert set(result["cases"]) == {"crash", "ENOSPC", "EROFS", "EIO"}

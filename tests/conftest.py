"""Settings and fixtures of all tests.

In the test process Keras runs on NumPy, so that no test waits for TensorFlow; tests that need TensorFlow run it in a
separate process (`run_command`, or the marker `tensorflow`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tuning.core.workspace import Workspace

#: Options, and fixtures that several folders of tests share.
pytest_plugins = ("tests.side_by_side", "tests.written_runs", "tests.written_searches")

REPOSITORY = Path(__file__).resolve().parent.parent

# These must be set before anything imports Keras.
os.environ["KERAS_BACKEND"] = "numpy"
os.environ.setdefault("MPLBACKEND", "agg")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

# Hypothesis draws the same examples in every run, so that a failing test fails until the code changes.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


class Finished(NamedTuple):
    code: int
    stdout: str
    stderr: str


def command_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a user's shell, without variables of the test run, but with the package importable."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "SYSTEMROOT") if name in os.environ}
    return {
        **kept,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUTF8": "1",
        **(extra or {}),
    }


@pytest.fixture(autouse=True)
def _signal_handlers_stay() -> Iterator[None]:
    """Fail a test that leaves a signal handler behind, which would break Ctrl-C for the rest of the run."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    after = {number: signal.getsignal(number) for number in before}
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            signal.signal(number, handler)
    assert after == before


@pytest.fixture(autouse=True)
def _no_fault_hook_stays() -> Iterator[None]:
    from tuning.core import files

    yield
    files.fault_hook = None


@pytest.fixture
def run_command(tmp_path: Path) -> Callable[..., Finished]:
    """`run_command("doctor", "--json", env={…})` runs `python -m tuning.doctor --json` in `tmp_path`."""

    def run(
        command: str,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
    ) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", f"tuning.{command}", *map(str, arguments)],
            env=command_environment(env),
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def sample_spaces() -> Path:
    """The folder with `sample_spaces`, a module of model builders as users write them."""
    return REPOSITORY / "tests"


@pytest.fixture(scope="session")
def sample_environment(sample_spaces: Path) -> dict[str, str]:
    """The environment of a process that can import `sample_spaces`."""
    return command_environment({"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(sample_spaces)])})


@pytest.fixture(scope="session")
def prepared(made_once: Callable[..., Path]) -> Workspace:
    """A workspace of about 45 synthetic faces in 3 classes, 24×24 pixels; tests that write to it must copy it first."""
    from demo_faces.writing import choose_classes, write_demo_faces
    from tuning.core.workspace import Workspace
    from tuning.dataset.preparation import prepare_dataset

    def make(folder: Path) -> None:
        write_demo_faces(Workspace(folder), 20, choose_classes("3"))
        prepare_dataset(Workspace(folder), Workspace(folder).raw, image_size=24)

    return Workspace(made_once("prepared", make))


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The folder of real data sets, TUNING_DATASETS or shared/datasets beside the repository; skips if it is absent."""
    given = os.environ.get("TUNING_DATASETS")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "datasets"
    if not folder.is_dir():
        pytest.skip(f"no real data sets in {folder}; TUNING_DATASETS names another folder")
    return folder

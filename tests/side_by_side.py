"""Which tests a run of pytest has. A plugin of `tests/conftest.py`.

`pytest -n auto --dist loadfile` runs some files at a time, without the tests marked `alone` or `long`. `pytest --alone`
runs the former and `pytest --long` the latter, and no others. Plain `pytest` runs all, one after the other.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tuning.core import machine

#: Of test processes. Many tests start two or three processes of some hundred megabytes each.
MOST = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    for marker in ("alone", "long"):
        parser.addoption(
            f"--{marker}", action="store_true", help=f"run the tests marked `{marker}` only; -n leaves them out"
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return min(MOST, machine.usable_cores())


def _is_one_of_several(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Importing all tests takes ten seconds; those that are marked are in a few files."""
    marker = _only(config)
    if marker and collection_path.name.startswith("test_") and collection_path.is_file():
        return f"pytest.mark.{marker}" not in collection_path.read_text(encoding="utf-8") or None
    return None


def _only(config: pytest.Config) -> str | None:
    """The marker of the only tests that are meant; None: all others are, or all."""
    return next((marker for marker in ("alone", "long") if config.getoption(f"--{marker}")), None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    only = _only(config)
    if only is None and not _is_one_of_several(config):
        return
    wanted, left_out = [], []
    for item in items:
        marked = {marker for marker in ("alone", "long") if item.get_closest_marker(marker) is not None}
        (wanted if (only in marked if only else not marked) else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    # Files that take long come first, so that no process is busy with one when the others have nothing left to do.
    slow = {item.path for item in wanted if item.get_closest_marker("slow") is not None}
    items[:] = sorted(wanted, key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[..., Path]:
    """`made_once("name", make)` is a folder that `make(folder)` has filled, once for all processes of this run.

    Who writes there takes a copy.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if _is_one_of_several(request.config) else own

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        path, done = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir()
                make(path)
                done.touch()
        return path

    return folder

"""The searches of a workspace: their names, settings and results.

Every reader of searches starts here. Nothing takes a lock or changes a file, because a search may be running.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from tuning.core import errors, files
from tuning.core import settings as config
from tuning.core.acceptance import ACCEPTABLE
from tuning.core.errors import DataError, UsageError
from tuning.core.plan import Plan
from tuning.core.workspace import Workspace
from tuning.history.reading import history_of
from tuning.history.records import Facts, History
from tuning.history.source import JOURNAL, read_facts, recorded_evaluations

_LISTED = 20


@dataclass(frozen=True)
class Search:
    """A snapshot of a search.

    Attributes:
        name: name of its folder.
        directory: its folder.
        settings: the content of its search.json.
        facts: the content of its journal.
    """

    name: str
    directory: Path
    settings: Mapping[str, Any]
    facts: Facts

    @property
    def settings_digest(self) -> str:
        return files.digest(dict(self.settings))

    @property
    def plan(self) -> Plan | None:
        """The plan of its budget; None: it began without a budget."""
        found = self.settings.get("plan")
        return None if found is None else msgspec.convert(found, Plan)

    @cached_property
    def accepted(self) -> tuple[str, ...]:
        """The values of `--accept` for changes that were accepted since it began."""
        content = files.read_json(self.directory / config.FILE_NAME, errors.RESTORE)
        fields = {change["what"] for change in content.get("accepted", ())}
        return tuple(word for word, name in ACCEPTABLE.items() if name in fields)

    @cached_property
    def history(self) -> History:
        """The facts as trials, configurations and curves."""
        return history_of(self.facts, self.settings.get("parts", 1), self.settings.get("base") is not None)


def names(workspace: Workspace) -> list[str]:
    """The names of all searches, sorted."""
    return sorted(path.parent.name for path in workspace.searches.glob(f"*/{config.FILE_NAME}"))


def find(workspace: Workspace, name: str) -> Path:
    """The folder of a search.

    Raises:
        UsageError: there is no search of that name; the remedy lists the existing ones.
    """
    directory = workspace.search(name)
    if not name or Path(name).name != name or not (directory / config.FILE_NAME).is_file():
        raise UsageError(f"there is no search {name!r} in {workspace.searches}", _choice(workspace))
    return directory


def read(workspace: Workspace, name: str) -> Search:
    """Reads a search by its name.

    Raises:
        UsageError: there is no search of that name; the remedy lists the existing ones.
        DataError: its settings cannot be read.
        StateError: its settings were edited, or its journal is damaged or contradicts itself.
    """
    directory = find(workspace, name)
    return Search(name, directory, config.read_settings(directory), read_facts(directory))


def latest(workspace: Workspace) -> str:
    """The name of the search whose journal was written last.

    Raises:
        UsageError: there is no search.
    """
    paths = [path for path in workspace.searches.glob(f"*/{JOURNAL}") if path.with_name(config.FILE_NAME).is_file()]
    if not paths:
        raise UsageError(f"there is no search in {workspace.searches}", _choice(workspace))
    return max(paths, key=lambda path: (path.stat().st_mtime_ns, path.parent.name)).parent.name


def folders(workspace: Workspace) -> list[Path]:
    """The folders with settings or a journal, damaged or not, sorted."""
    return sorted(
        {path.parent for name in (config.FILE_NAME, JOURNAL) for path in workspace.searches.glob(f"*/{name}")}
    )


def test_evaluations(workspace: Workspace) -> Counter[tuple[str, str]]:
    """(Data digest, run id) -> number of recorded evaluations on the test split.

    Includes single runs and searches that were moved aside. Skips a search that is damaged or only just beginning,
    because the leaderboard can be shown without it.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for path in (*workspace.searches.glob(f"*/{JOURNAL}"), *workspace.art.glob(f"work/*/{JOURNAL}")):
        try:
            data_digest = str(files.read_json(path.with_name(config.FILE_NAME), "")["settings"]["data_digest"])
            counted.update((data_digest, run_id) for run_id in recorded_evaluations(path))
        except (OSError, DataError, KeyError, TypeError):
            continue
    return counted


def listed(choices: Sequence[str]) -> str:
    """Names for a remedy; only the first `_LISTED` if there are more."""
    return errors.listed(choices, _LISTED) if choices else "(there are none yet)"


def _choice(workspace: Workspace) -> str:
    found = names(workspace)
    return f"use one of {listed(found)}" if found else "run one first: python -m tuning.search"

"""Configurations that a search tries first: the user's, the best of an earlier search, the space's starting points.

All are tried right after the defaults, and change nothing else: results from elsewhere do not count here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuning.core import settings as config
from tuning.core.errors import UsageError
from tuning.core.jobs import Description, Values
from tuning.core.records import configuration
from tuning.core.settings import SearchSettings
from tuning.core.workspace import Workspace
from tuning.history import searches
from tuning.pipeline.completed import ranked
from tuning.pipeline.values import completed

#: How many configurations of an earlier search are tried, and how many of its best are kept to find some that fit.
TRIED, KEPT = 3, 6


def own_configuration(text: str) -> dict[str, str]:
    """Parses `--try` into values by name.

    Raises:
        UsageError: not NAME=VALUE,NAME=VALUE, or a name twice.
    """
    values: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not name or not value or name in values:
            raise UsageError(f"--try is {text!r}", "give NAME=VALUE,NAME=VALUE: learning_rate=2e-3,batch_size=32")
        values[name] = value
    return values


def learned(workspace: Workspace, name: str, own: str, fresh: bool) -> list[Values]:
    """Returns the best configurations of search `name`; if search `own` began with some of these, the same ones again.

    Args:
        own: name of the search that starts from them.
        fresh: search `own` starts over.

    Raises:
        UsageError: there is no such search, none of its trials has a score, or it is the search itself.
    """
    path = workspace.search(own) / config.FILE_NAME
    if not fresh and path.exists():
        began = config.read_settings(path.parent)
        if began.get("from_search") == name and began.get("learned"):
            return began["learned"]
    if name == own and not fresh:
        raise UsageError(f"--from-search is {name!r}, the search itself", "give the new search another --name")
    best = ranked(searches.read(workspace, name).facts.completed)[:KEPT]
    if not best:
        raise UsageError(
            f"nothing in search {name!r} has a score yet",
            "leave --from-search out, or wait until one of its trials has a score",
        )
    return [configuration(values) for _, values in best]


def warm_start(settings: SearchSettings, description: Description) -> list[Values]:
    """Returns complete configurations to try after the defaults: the user's own first, those of the space last.

    Args:
        description: of the space.

    Raises:
        UsageError: one of the user's or the space's has an unknown name or a value out of range, with the valid ones;
            or none of the earlier search's fits this space.
    """
    first = [_checked(description, given, "--try") for given in settings.tries or []]
    if settings.learned:
        fitting = [found for values in settings.learned if (found := _fitting(description, values)) is not None]
        if not fitting:
            raise UsageError(
                f"none of the best configurations of search {settings.from_search!r} fits this space",
                "take a search of the same space, or leave --from-search out",
            )
        first += fitting[:TRIED]
    untried = settings.plan.untried if settings.plan else []
    return first + [values for values in space_starting_points(settings, description) if values not in untried]


def space_starting_points(settings: SearchSettings, description: Description) -> list[Values]:
    """Returns the space's starting points as complete configurations; none with `--no-starting-points`.

    Raises:
        UsageError: one has an unknown name or a value out of range, with the valid ones.
    """
    points = description.starting_points if settings.starting_points else []
    given = [{name: str(value) for name, value in point.items()} for point in points]
    return [_checked(description, one, f"search space {settings.space!r}: starting point") for one in given]


def known_text(settings: SearchSettings, description: Description) -> list[str]:
    """Describes what is tried right after the defaults: one line each, with the values that differ from these."""
    lines = []
    for values in warm_start(settings, description):
        different = {name: value for name, value in values.items() if description.defaults.get(name) != value}
        # The spaces after commas let a terminal wrap the line.
        if different and (line := f"  {', '.join(_pairs(different))}") not in lines:
            lines.append(line)
    if not lines:
        return []
    own = settings.starting_points and description.starting_points
    hint = " (--no-starting-points omits those of the space)" if own else ""
    return [f"tried right after the space's defaults{hint}:", *lines]


def _checked(description: Description, given: Mapping[str, str], what: str) -> Values:
    try:
        return completed(description, given)
    except UsageError as error:
        raise UsageError(f"{what} {','.join(_pairs(given))}: {error.problem}", error.remedy) from None


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in values.items()]


def _fitting(description: Description, values: Mapping[str, Any]) -> Values | None:
    """Completes `values`, without names unknown to this space, to a configuration of it; None if they do not fit."""
    names = {entry["config"]["name"] for entry in description.space}
    shared = {name: str(value) for name, value in values.items() if name in names}
    try:
        return completed(description, shared) if shared else None
    except UsageError:
        return None

"""Options, declared once: a frozen dataclass whose fields carry their help, range and default.

Such a class yields the options of a command (`add_options`), the keyword arguments of the Python API (`given`), the
checks of ranges, and the table of the documentation (`table`). Nothing heavy is imported, so that `--help` is fast.
"""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tuning.core.errors import UsageError

#: Titles of the first and the last group of options.
USUAL, RARE = "most used", "rarely needed"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: the arguments of `option`, completed by `options_of` from its field.

    Attributes:
        field: the field that holds its value.
        name: the keyword argument of the Python API.
        flag: the option on the command line, e.g. "--max-epochs".
        help: what it does; may contain placeholders in braces, which `add_options` and `table` fill in.
        kind: the type that its text is converted to; bool for a flag.
        default: the value of an omitted option.
        group: title of the group that it is listed in.
        metavar: placeholder of its value in the help.
        choices: accepted values; None: any.
        least: smallest accepted value; None: any.
        repeated: it may be given several times; its value is a list.
        switch: a flag without a `--no-` counterpart.
        fixed: results depend on it, and it cannot change once a search has begun.
        text: its value in Python is text, too.
    """

    field: str = ""
    name: str = ""
    flag: str = ""
    help: str
    kind: type | None = None
    default: Any
    group: str = ""
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    least: float | None = None
    repeated: bool = False
    switch: bool = False
    fixed: bool = True
    text: bool = False


def option(default: Any, help: str, *, label: str = "", **about: Any) -> Any:
    """Declares a dataclass field that is an option.

    Args:
        label: its name in messages; by default the option's name.
        about: further attributes of `Option`; name, flag and kind are derived from the field unless given.
    """
    return dataclasses.field(
        default=default, metadata={"option": Option(help=help, default=default, **about), "label": label}
    )


def derived(label: str = "", **default: Any) -> Any:
    """Declares a field that is no option but derived from others, the data, the code or the machine.

    Args:
        label: its name in messages.
    """
    return dataclasses.field(metadata={"label": label}, **default)


def options_of(*kinds: type) -> list[Option]:
    """All options of these dataclasses, in order."""
    options = []
    for kind in kinds:
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            declared: Option | None = field.metadata.get("option")
            if declared is None:
                continue
            name = declared.name or field.name
            flag = declared.flag or f"--{name.replace('_', '-')}"
            plain = declared.kind or _plain(hints[field.name])
            text = declared.kind is None and plain is str and not declared.repeated
            options.append(dataclasses.replace(declared, field=field.name, name=name, flag=flag, kind=plain, text=text))
    return options


def _shown(*kinds: type) -> list[Option]:
    """All options of these dataclasses in display order: by group, the most used first, the rarely needed last."""
    options = options_of(*kinds)
    between = [option.group for option in options if option.group not in (USUAL, RARE)]
    order = [USUAL, *dict.fromkeys(between), RARE]
    return sorted(options, key=lambda option: order.index(option.group))


def _plain(hint: Any) -> type:
    """The plain type of an annotation: `int` for `int` and for `int | None`; str if it is no plain type."""
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    return hint if isinstance(hint, type) else str


def labels(kind: type) -> dict[str, str]:
    """Field -> its name in messages: its label, else the name of its option, else its own."""
    names = {option.field: option.name for option in options_of(kind)}
    return {
        field.name: field.metadata.get("label") or names.get(field.name, field.name)
        for field in dataclasses.fields(kind)
    }


def given(kind: type, arguments: Mapping[str, Any], more: Iterable[str] = ()) -> dict[str, Any]:
    """The value of every option by name: as given, else its default; types, ranges and choices are checked.

    Args:
        arguments: the caller's keyword arguments.
        more: further names that the caller accepts, for the message.

    Raises:
        TypeError: an argument is no option; the message lists the options.
        UsageError: a value has the wrong type or is out of range.
    """
    options = {option.name: option for option in options_of(kind)}
    for name in arguments:
        if name not in options:
            raise TypeError(f"there is no setting {name!r}; use one of {', '.join(sorted({*options, *more}))}")
    values = {name: arguments.get(name, option.default) for name, option in options.items()}
    for name, option in options.items():
        check(option, values[name])
        if option.kind is int and isinstance(values[name], float):
            values[name] = int(values[name])
    return values


def check(option: Option, value: Any) -> None:
    """Checks the type and range of an option's value.

    Raises:
        UsageError: the value has the wrong type, is out of range, or is none of the choices.
    """
    problem = f"{option.flag} is {value!r}"
    if value is None:
        if option.default is not None:
            raise UsageError(problem, f"leave it out, which means {option.default!r}")
        return
    if option.kind is bool and not isinstance(value, bool):
        raise UsageError(problem, "give True or False")
    if option.choices and value not in option.choices:
        raise UsageError(problem, f"use one of {', '.join(option.choices)}")
    if option.text and not isinstance(value, str):
        raise UsageError(problem, "give text")
    if option.repeated and isinstance(value, str | Mapping):
        raise UsageError(problem, "give a list of them")
    if option.kind not in (int, float):
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        least = "" if option.least is None else f", {option.least:g} or more"
        raise UsageError(problem, f"give a number{least}")
    if option.least is not None and not value >= option.least:  # `not >=` refuses NaN, too
        raise UsageError(problem, f"give {option.least:g} or more")
    if option.kind is int and isinstance(value, float) and not value.is_integer():
        raise UsageError(problem, "give a whole number")


def check_all(instance: Any) -> None:
    """Checks every option of a dataclass instance.

    Raises:
        UsageError: a value has the wrong type or is out of range.
    """
    for option in options_of(type(instance)):
        check(option, getattr(instance, option.field))


#: Adds shell completion for an option's value: called with the option's argparse action.
Complete = Callable[[argparse.Action], None]


def add_options(
    parser: argparse.ArgumentParser,
    *kinds: type,
    words: Mapping[str, str] | None = None,
    complete: Mapping[str, Complete] | None = None,
) -> None:
    """Adds the options of these dataclasses to a command, group by group.

    Args:
        words: values for the placeholders in help texts.
        complete: option name -> function that adds shell completion to its action.
    """
    groups: dict[str, Any] = {"": parser}
    for option in _shown(*kinds):
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        action = groups[option.group].add_argument(option.flag, dest=option.name, **_arguments(option, words or {}))
        if complete and option.name in complete:
            complete[option.name](action)


class _Pair(argparse.BooleanOptionalAction):
    """A flag and its `--no-` counterpart. Before 3.13 argparse appends the default to the help; this removes it."""

    def __init__(self, *args: Any, help: str, **given: Any) -> None:
        super().__init__(*args, help=help, **given)
        self.help = help


def _arguments(option: Option, words: Mapping[str, str]) -> dict[str, Any]:
    """The keyword arguments of `add_argument`; ranges are checked later, by `check`, whose errors have a remedy."""
    common: dict[str, Any] = {"help": option.help.format(**words), "default": option.default}
    if option.kind is bool:
        return {**common, "action": "store_true" if option.switch else _Pair}
    if option.repeated:
        return {**common, "action": "append", "metavar": option.metavar}
    if option.choices:
        return {**common, "choices": option.choices}
    return {**common, "type": option.kind, "metavar": option.metavar}


def values_of(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The parsed values of a dataclass's options, by name."""
    return {option.name: getattr(args, option.name) for option in options_of(kind)}


def table(*kinds: type, words: Mapping[str, str] | None = None) -> list[str]:
    """The rows of a Markdown table of all options."""
    rows = ["| option | what it does | may change at a resume |", "|---|---|---|"]
    for option in _shown(*kinds):
        shown = option.flag
        if option.kind is bool and not option.switch:
            shown = f"--[no-]{option.flag.removeprefix('--')}"
        elif option.kind is not bool:
            shown += f" {'|'.join(option.choices) if option.choices else option.metavar or option.name.upper()}"
        text = option.help.format(**(words or {})).replace("|", "\\|")
        rows.append(f"| `{shown.replace('|', chr(92) + '|')}` | {text} | {'no' if option.fixed else 'yes'} |")
    return rows

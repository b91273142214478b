"""An option is told once: from one field come the command line, the API, the checks and the documentation."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import pytest

from tuning.core.errors import UsageError
from tuning.core.options import add_options, check_all, derived, given, labels, option, options_of, table, values_of


@dataclass(frozen=True, kw_only=True)
class Brewing:
    """A class of options as another engineer would add one."""

    cups: int = option(2, "cups of {drink} (2)", group="what", metavar="N", least=1)
    kind: str | None = option(None, "one that is known", group="what", name="sort", choices=("green", "black"))
    wishes: list[str] | None = option(
        None, "may be repeated", group="what", flag="--wish", metavar="TEXT", repeated=True
    )
    sugar: bool = option(True, "with sugar (on)", group="what")
    now: bool = option(False, "at once", group="how", switch=True, fixed=False)
    water: str = derived("the water")


@pytest.fixture
def parser():
    made = argparse.ArgumentParser()
    offered = []
    add_options(made, Brewing, words={"drink": "tea"}, complete={"sort": offered.append})
    assert [action.dest for action in offered] == ["sort"]
    return made


def test_a_command_line_has_every_option_with_its_default(parser):
    assert values_of(parser.parse_args([]), Brewing) == {
        "cups": 2, "sort": None, "wishes": None, "sugar": True, "now": False,
    }  # fmt: skip
    line = ["--cups", "3", "--sort", "green", "--wish", "a", "--wish", "b", "--no-sugar", "--now"]
    assert values_of(parser.parse_args(line), Brewing) == {
        "cups": 3, "sort": "green", "wishes": ["a", "b"], "sugar": False, "now": True,
    }  # fmt: skip
    assert "cups of tea (2)" in parser.format_help()
    assert "--no-now" not in parser.format_help()


def test_the_api_takes_the_same_names_and_says_which_there_are():
    assert given(Brewing, {"sort": "green"})["sort"] == "green"
    with pytest.raises(TypeError, match="no setting 'cup'; use one of budget, cups, now, sort, sugar, wishes"):
        given(Brewing, {"cup": 3}, more=("budget",))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"cups": 0}, "--cups is 0"),
        ({"cups": float("nan")}, "--cups is nan"),
        ({"cups": 1.5}, "--cups is 1.5"),
        ({"cups": "3"}, "--cups is '3'"),
        ({"cups": True}, "--cups is True"),
        ({"cups": float("inf")}, "--cups is inf"),
        ({"cups": None}, "--cups is None"),
        ({"wishes": "ab"}, "--wish is 'ab'"),
        ({"wishes": {"a": 1}}, "--wish is {'a': 1}"),
        ({"sort": "white"}, "--sort is 'white'"),
    ],
)
def test_a_value_out_of_range_is_refused(arguments, said):
    with pytest.raises(UsageError) as refused:
        given(Brewing, arguments)
    assert refused.value.problem == said
    assert refused.value.remedy


@dataclass(frozen=True, kw_only=True)
class Pouring:
    """Options without a range."""

    batch: int = option(0, "any whole number (0)")
    pot: str | None = option(None, "any text")
    heat: int | None = option(None, "text that means a number", kind=str)


@pytest.mark.parametrize("arguments", [{"batch": "3"}, {"batch": float("nan")}, {"batch": None}, {"pot": 3}])
def test_a_value_of_another_kind_is_refused(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(UsageError, match=f"--{name} is {value!r}") as refused:
        given(Pouring, arguments)
    assert refused.value.remedy


def test_what_is_text_on_the_command_line_alone_may_be_a_number():
    assert given(Pouring, {"batch": -1, "pot": "blue", "heat": 80}) == {"batch": -1, "pot": "blue", "heat": 80}


def test_a_whole_number_may_be_written_as_a_fraction():
    assert repr(given(Pouring, {"batch": 3.0})["batch"]) == "3"


def test_an_instance_is_checked_by_its_fields():
    check_all(Brewing(water="soft"))
    with pytest.raises(UsageError, match="--sort is 'white'"):
        check_all(Brewing(water="soft", kind="white"))


def test_fields_have_names_for_people():
    assert labels(Brewing)["water"] == "the water"
    assert labels(Brewing)["kind"] == "sort"
    assert [option.name for option in options_of(Brewing) if not option.fixed] == ["now"]


def test_the_documentation_lists_every_option():
    rows = table(Brewing, words={"drink": "tea"})
    assert rows[2] == "| `--cups N` | cups of tea (2) | no |"
    assert "| `--[no-]sugar` | with sugar (on) | no |" in rows
    assert rows[-1] == "| `--now` | at once | yes |"

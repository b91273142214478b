"""What a search is told to try first: a person's own configurations, and the best of an earlier search."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from keras_tuner import HyperParameters

from tuning.core.errors import StateError, UsageError
from tuning.core.jobs import Description
from tuning.core.records import configuration
from tuning.engine.journal import Journal
from tuning.history.source import read_facts
from tuning.pipeline.settings import search_settings
from tuning.pipeline.warm_start import KEPT, TRIED, known_text, own_configuration, warm_start

from .conftest import records


def description(points=()):
    hp = HyperParameters()
    hp.Float("rate", 0.0, 1.0, default=0.1)
    hp.Choice("optimizer", ["adam", "sgd"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.0, 0.99, default=0.9)
    return Description(
        space=hp.get_config()["space"], defaults=dict(hp.values), parameters={}, starting_points=list(points)
    )


@pytest.fixture
def settings(prepared):
    """settings(tries=[…], learned=[…]) of a search."""

    def make(learned=None, **given):
        made = search_settings(prepared, **given)
        return dataclasses.replace(made, learned=learned, from_search="earlier" if learned else None)

    return make


@pytest.mark.parametrize(
    ("text", "values"),
    [("rate=3e-4", {"rate": "3e-4"}), (" rate = 0.1 , norm=True", {"rate": "0.1", "norm": "True"})],
)
def test_a_configuration_as_text(text, values):
    assert own_configuration(text) == values


@pytest.mark.parametrize("text", ["", "rate", "=1", "rate=", "rate=1,", "rate=1,rate=2"])
def test_what_is_none_is_refused(text):
    with pytest.raises(UsageError, match="--try"):
        own_configuration(text)


def test_text_and_values_are_frozen_alike(settings):
    assert settings(tries=["rate=0.5,optimizer=sgd"]) == settings(tries=[{"rate": 0.5, "optimizer": "sgd"}])
    assert settings(tries=[]) == settings()
    json.dumps(dataclasses.asdict(settings(tries=["rate=0.5"])))


def test_own_configurations_are_completed_and_come_first(settings):
    frozen = settings(tries=["rate=0.5", "optimizer=SGD,momentum=0"], learned=[{"rate": 0.25, "gone": 3}])
    assert warm_start(frozen, description()) == [
        {"rate": 0.5, "optimizer": "adam"},
        {"rate": 0.1, "optimizer": "sgd", "momentum": 0.0},
        {"rate": 0.25, "optimizer": "adam"},
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [("width=3", "momentum, optimizer, rate"), ("rate=2", "from 0.0 to 1.0"), ("momentum=0.5", "leave it out")],
)
def test_a_value_that_the_space_does_not_have_is_refused(settings, text, said):
    with pytest.raises(UsageError, match=f"--try {text}: ") as caught:
        warm_start(settings(tries=[text]), description())
    assert said in caught.value.remedy


def test_of_an_earlier_search_the_best_that_fit_are_tried(settings):
    rates = [2.0, 0.1, 0.2, 0.3, 0.4]
    frozen = settings(learned=[{"rate": rate} for rate in rates])
    assert [values["rate"] for values in warm_start(frozen, description())] == [0.1, 0.2, 0.3]
    with pytest.raises(UsageError, match="'earlier' fits this space"):
        warm_start(settings(learned=[{"width": 3}, {"rate": 2.0}]), description())


POINTS = [{"rate": 0.5}, {"optimizer": "sgd", "momentum": 0.5}, {}]


def test_starting_points_of_the_space_come_last_unless_left_out(settings):
    own = {"tries": ["rate=0.25"], "learned": [{"rate": 0.75}]}
    tried = warm_start(settings(**own), description(POINTS))
    assert tried == [
        {"rate": 0.25, "optimizer": "adam"},
        {"rate": 0.75, "optimizer": "adam"},
        {"rate": 0.5, "optimizer": "adam"},
        {"rate": 0.1, "optimizer": "sgd", "momentum": 0.5},
        {"rate": 0.1, "optimizer": "adam"},
    ]
    assert warm_start(settings(**own, starting_points=False), description(POINTS)) == tried[:2]


@pytest.mark.parametrize("point", [{"rate": 2.0}, {"width": 3}])
def test_a_starting_point_that_the_space_does_not_have_is_refused(settings, point):
    with pytest.raises(UsageError, match="search space 'baseline_cnn': starting point "):
        warm_start(settings(), description([point]))
    assert warm_start(settings(starting_points=False), description([point])) == []


def test_what_is_tried_is_told_by_what_differs_from_the_defaults_each_once(settings):
    heading, *lines = known_text(settings(tries=["rate=0.5"]), description(POINTS))
    assert lines == ["  rate=0.5", "  optimizer=sgd, momentum=0.5"]
    assert "--no-starting-points" in heading
    assert own_configuration(lines[1]) == {"optimizer": "sgd", "momentum": "0.5"}
    assert heading.startswith("tried right after the space's defaults")
    [heading, line] = known_text(settings(tries=["rate=0.5"], starting_points=False), description(POINTS))
    assert "--no-starting-points" not in heading and line == "  rate=0.5"
    assert known_text(settings(), description([{}])) == []


@pytest.mark.parametrize("name", ["nothing", "s", "../searches", ""])
def test_an_earlier_search_that_is_not_there_is_refused(prepared, name):
    with pytest.raises(UsageError, match="search"):
        search_settings(prepared, name="s", from_search=name)


class TestRun:
    def test_the_best_of_one_search_start_another_and_stay_what_they_were(self, workspace, toy_search):
        toy_search("one", seed=1)
        best = sorted(read_facts(workspace.search("one")).completed, key=lambda told: -told[1].score)
        best = [configuration(spec.values) for spec, _ in best]
        toy_search("two", seed=2, tries=["rate=0.75"], from_search="one")
        asked = [configuration(record["trial"]["values"]) for record in records(workspace, "ask", "two")]
        assert asked[:2] == [{"rate": 0.1}, {"rate": 0.75}]
        assert asked[2:5] == [values for values in best if values != {"rate": 0.1}][:TRIED]
        began = json.loads((workspace.search("two") / "search.json").read_text())["settings"]["learned"]
        assert began == best[:KEPT]
        # It has gone on, or away, meanwhile.
        shutil.rmtree(workspace.search("one"))
        again = toy_search("two", seed=2, tries=["rate=0.75"], from_search="one")
        assert again.trials == 5
        assert len(records(workspace, "attempt", "two")) == 6  # five trials, and the space
        with pytest.raises(StateError, match=r"the configurations to --try was .*'0.75'.*, now None"):
            toy_search("two", seed=2, from_search="one")
        with pytest.raises(UsageError, match="there is no search 'one'"):
            toy_search("two", seed=2, tries=["rate=0.75"], from_search="one", fresh=True)
        assert len(records(workspace, "ask", "two")) == 5

    def test_a_search_may_start_over_from_itself(self, workspace, toy_search):
        toy_search("one", seed=1)
        with pytest.raises(UsageError, match="the search itself"):
            toy_search("one", seed=2, from_search="one")
        toy_search("one", seed=2, from_search="one", fresh=True)
        assert workspace.search("one~1").is_dir()
        asked = [configuration(record["trial"]["values"])["rate"] for record in records(workspace, "ask", "one")]
        told = read_facts(workspace.search("one~1")).completed
        best = max(told, key=lambda one: one[1].score)[0].values["rate"]
        assert best in asked[:2]

    def test_a_value_out_of_range_leaves_nothing_in_the_way(self, workspace, toy_search):
        with pytest.raises(UsageError, match="--try rate=7"):
            toy_search("one", tries=["rate=7"])
        assert toy_search("one", tries=["rate=0.7"]).trials == 5

    def test_a_search_without_a_score_teaches_nothing(self, workspace, toy_search):
        with Journal(workspace.search("empty") / "journal.jsonl"):
            pass
        toy_search("one")
        shutil.copy(workspace.search("one") / "search.json", workspace.search("empty") / "search.json")
        with pytest.raises(UsageError, match="nothing in search 'empty' has a score yet"):
            toy_search("two", from_search="empty")

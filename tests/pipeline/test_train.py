from __future__ import annotations

import json

import pytest
from keras_tuner import HyperParameters

from tuning.core.errors import UsageError
from tuning.core.jobs import Description
from tuning.pipeline.session import Session
from tuning.pipeline.values import as_text, completed
from tuning.results.runs import RUN_FILES

from .conftest import SPACE, records


def description():
    hp = HyperParameters()
    hp.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-2)
    hp.Int("units", 4, 32, default=8)
    hp.Choice("width", [1.0, 1.5, 2.0], default=1.0)
    hp.Choice("optimizer", ["adam", "sgd"])
    hp.Boolean("norm")
    hp.Fixed("flip", True)
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.0, 0.99, default=0.9)
        hp.Int("shared", 1, 9, default=3)
    with hp.conditional_scope("optimizer", ["adam"]):
        hp.Int("shared", 10, 19, default=12)
    return Description(space=hp.get_config()["space"], defaults=dict(hp.values), parameters={})


DEFAULTS = {
    "rate": 1e-2,
    "units": 8,
    "width": 1.0,
    "optimizer": "adam",
    "norm": False,
    "flip": True,
    "shared": 12,
}


def test_what_is_not_given_takes_its_default():
    assert completed(description(), {}) == DEFAULTS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"rate": "3e-4"}, {"rate": 3e-4}),
        ({"rate": "0.1"}, {"rate": 0.1}),
        ({"units": "32"}, {"units": 32}),
        ({"units": "16.0"}, {"units": 16}),
        ({"width": "2"}, {"width": 2.0}),
        ({"optimizer": "Adam"}, {"optimizer": "adam"}),
        ({"norm": "true"}, {"norm": True}),
        ({"norm": "False"}, {"norm": False}),
        ({"flip": "True"}, {"flip": True}),
        ({"shared": "19"}, {"shared": 19}),
        ({"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0.9, "shared": 3}),
        ({"optimizer": "sgd", "momentum": "0", "shared": "9"}, {"optimizer": "sgd", "momentum": 0.0, "shared": 9}),
    ],
)
def test_text_is_read_as_what_the_hyperparameter_is(given, expected):
    found = completed(description(), given)
    assert found == {**DEFAULTS, **expected}
    assert {name: type(found[name]) for name in expected} == {name: type(value) for name, value in expected.items()}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"depth": "3"}, "flip, momentum, norm, optimizer, rate, shared, units, width"),
        ({"rate": "1"}, "0.0001 to 0.1"),
        ({"rate": "nan"}, "0.0001 to 0.1"),
        ({"rate": "inf"}, "0.0001 to 0.1"),
        ({"rate": "fast"}, "0.0001 to 0.1"),
        ({"rate": ""}, "0.0001 to 0.1"),
        ({"units": "3"}, "4 to 32"),
        ({"units": "8.5"}, "whole number"),
        ({"width": "1.2"}, "1.0, 1.5, 2.0"),
        ({"optimizer": "rmsprop"}, "adam, sgd"),
        ({"norm": "yes"}, "True, False"),
        ({"norm": "1"}, "True, False"),
        ({"flip": "False"}, "True"),
        ({"momentum": "0.5"}, "change its parent"),
        ({"shared": "3"}, "10 to 19"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_the_valid_ones(given, said):
    with pytest.raises(UsageError, match=next(iter(given))) as refused:
        completed(description(), given)
    assert said in refused.value.remedy


def test_what_a_trial_had_goes_back_in_as_it_is():
    """Choices that differ in case alone; a choice of True and False, which Keras Tuner makes 1 and 0; defaults that
    its ranges do not hold."""
    hp = HyperParameters()
    hp.Choice("size", ["S", "s", "M", "m"])
    hp.Choice("bias", [True, False])
    hp.Boolean("norm", default=1)
    hp.Float("decay", 1e-6, 1e-2, sampling="log", default=0)
    hp.Int("width", 16, 64, default=8)
    defaults = dict(hp.values)
    found = Description(space=hp.get_config()["space"], defaults=defaults, parameters={})
    assert completed(found, as_text(defaults)) == defaults
    for given in ({"size": "s"}, {"size": "m"}, {"bias": 0}, {"norm": False}, {"decay": 1e-3}, {"width": 16}):
        assert completed(found, as_text(given)) == {**defaults, **given}
    assert completed(found, as_text({"bias": False, "decay": 0.0})) == {**defaults, "bias": 0}
    for name, value in {"bias": "no", "decay": 1e-7, "width": 7}.items():
        with pytest.raises(UsageError, match=name):
            completed(found, as_text({name: value}))


def test_what_holds_no_values_by_name_is_refused():
    import pandas

    for given in (pandas.DataFrame({"status": ["COMPLETED"], "hp.units": [8]}), HyperParameters(), "a=1"):
        with pytest.raises(UsageError, match=f"values is a {type(given).__name__}") as refused:
            as_text(given)
        assert "one row of trials_frame" in refused.value.remedy


@pytest.mark.tensorflow
@pytest.mark.slow
def test_the_same_configuration_is_the_same_run_wherever_its_values_come_from(finished, copied, workspace, start, here):
    """A trial's values by reference, and the same ones by hand in a workspace that has never seen the search."""
    other = copied(finished)
    [ask] = [record["trial"] for record in records(finished, "ask") if record["trial"]["trial_id"] == "0002"]
    values = {name: value for name, value in ask["values"].items() if not name.startswith("tuner/")}
    more = ("--epochs", "2", "--seed", "7", "--early-stopping", "5", "--json")
    by_reference = start(other, "train", "--from-trial", "s/0002", *more).wait()
    by_hand = start(
        workspace,
        "train",
        *SPACE,
        *(word for name, value in values.items() for word in ("--hp", f"{name}={value}")),
        *more,
    ).wait()
    first, second = (json.loads(done.stdout) for done in (by_reference, by_hand))
    assert first["run_id"] == second["run_id"]
    assert first["metrics"]["weights_sha256"] == second["metrics"]["weights_sha256"]
    assert first["metrics"]["test"] == second["metrics"]["test"]
    assert second["promoted"] == second["run_id"]

    folder = workspace.run(second["run_id"])
    assert sorted(path.name for path in folder.iterdir()) == sorted(RUN_FILES)
    params = json.loads((folder / "params.json").read_text())
    assert {name: params[name] for name in values} == values
    history = json.loads((folder / "history.json").read_text())
    assert history["epoch"] == [1, 2]
    assert len(other.leaderboard.read_text().splitlines()) == len(finished.leaderboard.read_text().splitlines()) + 1

    # Finished, the same command shows it again and touches nothing.
    folder = other.run(first["run_id"])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = here(other, "train", "--from-trial", "s/0002", *more)
    assert json.loads(again.stdout) == first
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_value_out_of_range_is_refused_by_the_command(workspace, here, monkeypatch):
    monkeypatch.setattr(Session, "describe", lambda session: description())
    done = here(workspace, "train", *SPACE, "--hp", "units=1000")
    assert done.code == 2
    assert "units" in done.stderr
    assert "4 to 32" in done.stderr
    assert list(workspace.trials.iterdir()) == []

"""The contract of every strategy: one class, run over every row of `STRATEGIES`."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import keras_tuner
import pytest

from tuning.core.errors import UsageError
from tuning.core.files import canonical_json
from tuning.core.records import COMPLETED, TrialOutcome, configuration
from tuning.oracles import BEST, STRATEGIES, find_strategy, space
from tuning.oracles.adapter import OracleSearch

# Keras Tuner would rather have the scores returned; then it knows the best epoch's alone.
pytestmark = pytest.mark.filterwarnings("ignore:The use case of calling:DeprecationWarning")


def configurations(asked) -> list[str]:
    """The configurations of trials that start one, promotions left out."""
    return [canonical_json(configuration(spec.values)) for spec in asked if spec.continues is None]


def failing(simulated, numbers):
    return lambda spec: (simulated.failed if int(spec.trial_id) in numbers else simulated.completed)(spec)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "auto"])
class TestContract:
    def test_the_first_trial_is_the_defaults(self, name, simulated):
        hyperparameters = simulated.mixed_space()
        first = simulated.build(name, hyperparameters).ask()
        assert configuration(first.values) == space.defaults(hyperparameters.space)
        assert first.trial_id == "0000"

    @pytest.mark.parametrize("window", [1, 4])
    def test_a_persons_own_configurations_follow_the_defaults(self, name, window, simulated):
        """In the order given, completed with defaults; one that was tried already, in other words too, is left out."""
        sgd = {"optimizer": "sgd", "momentum": 0.6}
        own = [{"width": 64}, {"width": 32, "momentum": 0.6}, sgd, {"width": 48}, {"width": 16}, {"norm": True}, sgd]
        asked = simulated.drive(simulated.build(name, first=own, max_trials=20), window)
        started = [configuration(spec.values) for spec in asked if spec.continues is None]
        defaults = space.defaults(simulated.mixed_space().space)
        expected = [{}, {"width": 64}, {**sgd, "decay": 0.0}, {"width": 48}, {"width": 16}, {"norm": True}]
        assert started[:6] == [{**defaults, **given} for given in expected]
        assert len({canonical_json(values) for values in started}) == len(started)

    def test_a_default_outside_of_its_range_is_tried_and_searched_around(self, name, simulated):
        """Keras Tuner takes one, such as 0 on a logarithmic scale, for what is off as a rule."""
        hp = simulated.mixed_space()
        hp.Float("l2", 1e-6, 1e-2, sampling="log", default=0.0)
        hp.Float("dropout", 0.1, 0.5, step=0.1, default=0.0)
        hp.Float("noise", 1e-3, 1e-1, step=10, sampling="log", default=0)
        asked = simulated.drive(simulated.build(name, hp, first=[{"width": 64, "l2": 0.0}], max_trials=12))
        begun = [configuration(spec.values) for spec in asked if spec.continues is None]
        assert [values["l2"] for values in begun[:2]] == [0.0, 0.0]
        assert all(1e-6 <= values["l2"] <= 1e-2 and values["dropout"] >= 0.1 for values in begun[2:])
        assert len(begun) > 2

    def test_own_configurations_survive_a_replay_and_an_unknown_space(self, name, simulated):
        own = [{"point": 3}, {"elsewhere": 1}]
        search = simulated.build(name, simulated.five_points(), first=own)
        asked = simulated.drive(search, window=1)
        assert json.loads(configurations(asked)[1]) == {"point": 3}
        again = simulated.build(name, simulated.five_points(), first=own)
        for spec in asked[:4]:
            assert again.ask(spec) == spec
            again.tell(simulated.completed(spec))
        assert simulated.drive(again, window=1) == asked[4:]

    def test_it_ends_with_trials_of_max_epochs(self, name, simulated):
        asked = simulated.drive(simulated.build(name))
        assert asked[-1].epochs == 9
        assert [spec.trial_id for spec in asked] == [f"{number:04d}" for number in range(len(asked))]
        assert all(0 <= spec.initial_epoch < spec.epochs <= 9 for spec in asked)

    def test_the_same_order_gives_the_same_proposals(self, name, simulated):
        outcome_of = failing(simulated, {2, 3, 11})
        first = simulated.drive(simulated.build(name), outcome_of=outcome_of)
        assert simulated.drive(simulated.build(name), outcome_of=outcome_of) == first

    def test_asking_in_vain_changes_nothing(self, name, simulated):
        simulated.ask_in_vain(lambda: simulated.build(name))
        simulated.ask_in_vain(lambda: simulated.build(name, simulated.five_points()))

    def test_proposals_do_not_touch_the_global_generators(self, name, simulated):
        import random

        import numpy as np

        random.seed(1)
        np.random.seed(1)
        before = random.getstate(), np.random.get_state()[1].tolist()
        simulated.drive(simulated.build(name))
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before

    def test_seeds_differ_and_zero_is_one_of_them(self, name, simulated):
        zero, one, again = (configurations(simulated.drive(simulated.build(name, seed=seed))) for seed in (0, 1, 0))
        assert zero == again
        assert len(set(zero) & set(one)) == 1  # the defaults

    def test_no_configuration_is_proposed_twice(self, name, simulated):
        outcome_of = failing(simulated, range(0, 1000, 4))
        proposed = configurations(simulated.drive(simulated.build(name), outcome_of=outcome_of))
        assert len(proposed) == len(set(proposed))

    def test_every_step_of_a_share_is_tried_once_as_a_person_would_write_it(self, name, simulated):
        hp = keras_tuner.HyperParameters()
        hp.Float("share", 0.0, 0.5, step=0.1, default=0.3)
        asked = simulated.drive(simulated.build(name, hp), window=2)
        shares = sorted(spec.values["share"] for spec in asked if spec.continues is None)
        assert shares == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]

    @pytest.mark.parametrize("sampling", ["log", "reverse_log"])
    def test_the_best_at_an_end_of_a_scale_leaves_no_range(self, name, sampling, simulated):
        hp = keras_tuner.HyperParameters()
        hp.Float("momentum", 0.5, 0.9, sampling=sampling, default=0.8)
        hp.Float("rate", 0.1, 0.7, sampling=sampling)

        def lower_is_better(spec):
            curve = tuple({"epoch": e, "objective": -spec.values["momentum"]} for e in range(1, spec.epochs + 1))
            return TrialOutcome(spec.trial_id, COMPLETED, -spec.values["momentum"], curve)

        asked = simulated.drive(simulated.build(name, hp, max_trials=25), outcome_of=lower_is_better)
        assert all(0.5 <= spec.values["momentum"] <= 0.9 and 0.1 <= spec.values["rate"] <= 0.7 for spec in asked)

    @pytest.mark.parametrize("window", [1, 8])
    def test_a_space_of_five_points_is_exhausted_and_trained_to_the_end(self, name, window, simulated):
        search = simulated.build(name, simulated.five_points())
        asked = simulated.drive(search, window)
        assert sorted(json.loads(values)["point"] for values in configurations(asked)) == [0, 1, 2, 3, 4]
        (best,) = search.oracle.get_best_trials()
        assert best.hyperparameters.values["point"] == 0
        assert best.hyperparameters.values["tuner/epochs"] == 9

    def test_a_space_of_one_point(self, name, simulated):
        hyperparameters = keras_tuner.HyperParameters()
        hyperparameters.Fixed("only", 1)
        asked = simulated.drive(simulated.build(name, hyperparameters))
        assert len(configurations(asked)) == 1
        assert asked[-1].epochs == 9

    def test_a_space_that_the_builder_declares(self, name, simulated):
        """Nothing is known before the first trial; its entries are tuned from then on."""
        declared = simulated.five_points().get_config()["space"]
        search = OracleSearch(STRATEGIES[name](keras_tuner.Objective("objective", "max"), max_epochs=9))

        def outcome_of(spec):
            done = simulated.completed(spec)
            return TrialOutcome(spec.trial_id, COMPLETED, done.score, done.curve, space=tuple(declared))

        asked = simulated.drive(search, outcome_of=outcome_of)
        assert configuration(asked[0].values) == {}
        points = [json.loads(values).get("point", 0) for values in configurations(asked)]
        assert set(points) == {0, 1, 2, 3, 4}
        assert search.oracle.get_trial("0000").hyperparameters.values["point"] == 0

    def test_inactive_entries_are_not_in_a_proposal(self, name, simulated):
        asked = simulated.drive(simulated.build(name))
        optimizers = {spec.values["optimizer"] for spec in asked}
        assert optimizers == {"adam", "sgd"}
        for spec in asked:
            assert ("momentum" in spec.values) == (spec.values["optimizer"] == "sgd")
            assert (spec.values["decay"] <= 0.1) == (spec.values["optimizer"] == "sgd")

    def test_failures_are_survived(self, name, simulated):
        search = simulated.build(name)
        asked = simulated.drive(search, outcome_of=failing(simulated, range(0, 1000, 3)))
        assert any(spec.epochs == 9 for spec in asked)
        best = search.oracle.get_best_trials(1000)
        assert all(trial.status == "COMPLETED" and math.isfinite(trial.score) for trial in best)
        assert len(best) < len(asked)

    def test_a_builder_that_always_fails_ends_the_search(self, name, simulated):
        search = simulated.build(name)
        simulated.drive(search, outcome_of=simulated.failed)
        assert search.oracle.get_best_trials(5) == []

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_score_that_is_not_finite_is_a_failure(self, name, bad, simulated):
        def outcome_of(spec):
            if int(spec.trial_id) % 2:
                return TrialOutcome(spec.trial_id, COMPLETED, bad, ({"epoch": 1, "objective": bad},))
            return simulated.completed(spec)

        search = simulated.build(name)
        simulated.drive(search, outcome_of=outcome_of)
        trial = search.oracle.get_trial("0001")
        assert trial.status == "FAILED"
        assert f"objective was {bad} at step 1" in trial.message
        assert trial.score is None

    def test_smaller_is_better_where_the_objective_says_so(self, name, simulated):
        search = simulated.build(name, direction="min")
        simulated.drive(search)
        best = search.oracle.get_best_trials(100)
        same_budget = [t.score for t in best if t.hyperparameters.values["tuner/epochs"] == 9]
        assert len(same_budget) > 1
        assert same_budget == sorted(same_budget)

    def test_max_trials_caps_the_proposals(self, name, simulated):
        asked = simulated.drive(simulated.build(name, max_trials=7))
        assert len(asked) == 7
        assert any(spec.epochs == 9 for spec in asked)

    @pytest.mark.parametrize("cut", [1, 9, 17])
    def test_the_state_is_complete(self, name, cut, simulated):
        """Stopped with trials outstanding, saved as JSON and loaded into a new oracle: the same search goes on."""
        original = simulated.build(name)
        pending = [original.ask() for _ in range(3)]
        for _ in range(cut):
            spec = pending.pop(0)
            original.tell(failing(simulated, {1, 4})(spec))
            answer = original.ask()
            pending.extend([answer] if hasattr(answer, "trial_id") else [])
            if not pending:
                break
        state = json.loads(json.dumps(original.oracle.get_state()))
        copy = simulated.build(name)
        copy.oracle.set_state(state)
        copy._outstanding = set(original._outstanding)
        assert copy.oracle.get_state() == original.oracle.get_state()

        def finish(search):
            for spec in pending:
                search.tell(simulated.completed(spec))
            return simulated.drive(search)

        rest = finish(original)
        assert finish(copy) == rest

    def test_a_recorded_search_is_replayed_without_computing_its_proposals(self, name, simulated, monkeypatch):
        recorded = simulated.drive(simulated.build(name), window=1)
        search = simulated.build(name)
        with monkeypatch.context() as patch:
            patch.setattr(type(search.oracle), "draw", None)
            for spec in recorded[:10]:
                assert search.ask(spec) == spec
                search.tell(simulated.completed(spec))
        assert simulated.drive(search, window=1) == recorded[10:]

    def test_it_runs_in_keras_tuners_own_tuner(self, name, simulated, tmp_path):
        oracle = simulated.build(name).oracle
        tuner = SimulatedTuner(simulated, oracle, tmp_path)
        tuner.search(verbose=0)
        asked = simulated.drive(simulated.build(name), window=1)
        assert [dict(trial.hyperparameters.values) for trial in oracle.trials.values()] == [s.values for s in asked]
        assert tuner.get_best_hyperparameters()[0].values["tuner/epochs"] == 9
        assert {path.name for path in (tmp_path / "project").iterdir()} >= {"oracle.json", "tuner0.json", "trial_0000"}

    def test_keras_tuners_own_tuner_resumes_it(self, name, simulated, tmp_path):
        class Killed(BaseException):
            pass

        def killed_in_the_fifth(trial_id):
            if trial_id == "0004":
                raise Killed

        with pytest.raises(Killed):
            SimulatedTuner(simulated, simulated.build(name).oracle, tmp_path, killed_in_the_fifth).search(verbose=0)
        oracle = simulated.build(name).oracle
        SimulatedTuner(simulated, oracle, tmp_path).search(verbose=0)
        asked = simulated.drive(simulated.build(name), window=1)
        assert [dict(trial.hyperparameters.values) for trial in oracle.trials.values()] == [s.values for s in asked]
        assert {trial.status for trial in oracle.trials.values()} == {"COMPLETED"}

    def test_keras_tuners_display_works(self, name, simulated, tmp_path, capsys):
        oracle = simulated.build(name, max_trials=3).oracle
        SimulatedTuner(simulated, oracle, tmp_path).search(verbose=1)
        assert "Best objective So Far" in capsys.readouterr().out

    @pytest.mark.parametrize("settings", [{"max_trials": 0}, {"max_epochs": 0}])
    def test_numbers_out_of_range_are_refused(self, name, settings):
        with pytest.raises(UsageError):
            STRATEGIES[name](None, **settings)

    def test_no_seed_means_a_seed_of_its_own(self, name):
        seeds = {STRATEGIES[name](None, seed=None).seed for _ in range(3)}
        assert len(seeds) > 1


class SimulatedTuner(keras_tuner.Tuner):
    def __init__(self, simulated, oracle, directory, before=lambda trial_id: None):
        oracle.verbose = 0
        self.simulated, self.before = simulated, before
        super().__init__(oracle=oracle, directory=str(directory), project_name="project")

    def run_trial(self, trial, *args, **kwargs):
        self.before(trial.trial_id)
        values = trial.hyperparameters.values
        # As our own search does; a plain Keras Tuner trial tells the best epoch alone.
        for epoch in range(1, values["tuner/epochs"] + 1):
            self.oracle.update_trial(trial.trial_id, {"objective": self.simulated.value_of(values, epoch)}, step=epoch)


def test_names_are_listed_without_keras_or_numpy():
    code = (
        "import sys, tuning.oracles as o; print(*o.STRATEGIES, *sorted({'keras', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(STRATEGIES)


def test_an_unknown_strategy_names_the_known_ones():
    assert find_strategy("random") is STRATEGIES["random"]
    with pytest.raises(UsageError) as caught:
        find_strategy("hyperbnd")
    assert all(name in caught.value.remedy for name in STRATEGIES)


def test_auto_is_one_of_them():
    assert STRATEGIES["auto"] is STRATEGIES[BEST]


def test_windows_are_positive():
    assert all(row.window >= 1 for row in STRATEGIES.values())

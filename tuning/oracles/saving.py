"""Atomic saving of an oracle's state and of the files of a Keras Tuner project.

Keras Tuner 1.4.8 spreads the state over `oracle.json` and one file per trial, all rewritten in place: a kill between
two writes leaves a trial running forever, and a kill during one leaves a project that cannot be opened. Here
`oracle.json` holds the whole state and is replaced atomically; the trials' files are for people and other tools.
"""

from __future__ import annotations

import copy
import inspect
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from tuning.core import files
from tuning.core.errors import UsageError
from tuning.oracles import ranking


class SavedOracle(keras_tuner.Oracle):
    """A `keras_tuner.Oracle` that saves its state; it writes nothing until a tuner sets a project directory."""

    #: Whether the oracle sets a trial's epochs and the trial it continues; a plain `keras_tuner.Tuner` ignores both.
    continues_trials = False
    _directory: str | None = None
    ongoing_trials: dict[str, Trial]
    _retry_queue: list[str]

    def _set_project_dir(self, directory: str, project_name: str) -> None:
        """Sets the project directory, after checking that the calling tuner can be used.

        Raises:
            UsageError: the tuner would silently train every trial in full.
        """
        frame = inspect.currentframe()
        if self.continues_trials and _is_plain(frame and frame.f_back):
            raise UsageError(
                "keras_tuner.Tuner would train every trial of this oracle in full: it does not obey tuner/epochs",
                "use tuning.Tuner, with the same arguments; or obey it in a run_trial of your own",
            )
        super()._set_project_dir(directory, project_name)

    def get_state(self) -> dict[str, Any]:
        """Returns a JSON-serialisable snapshot of the whole state, including trials and their metrics."""
        state = copy.deepcopy(super().get_state())
        state["tried_so_far"] = sorted(self._tried_so_far)
        state["trials"] = [trial.get_state() for trial in self.trials.values()]
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        state = copy.deepcopy(dict(state))
        self.trials = {trial["trial_id"]: Trial.from_state(trial) for trial in state["trials"]}
        super().set_state(state)

    def reload(self) -> None:
        """Reads `oracle.json` and queues the interrupted trials to be run again, with fresh metrics.

        Raises:
            RuntimeError: the project was written by another kind of oracle.
        """
        path = self._get_oracle_fname()
        try:
            self.set_state(json.loads(Path(path).read_bytes()))
        except KeyError as error:
            raise RuntimeError(
                f"{path} is another oracle's (it has no {error}); choose another project_name or overwrite=True"
            ) from None
        interrupted = {trial.trial_id for trial in self.ongoing_trials.values()}
        self._retry_queue = sorted(interrupted.union(self._retry_queue), key=ranking.by_number)
        self.ongoing_trials = {}

    def save(self) -> None:
        if self._directory is not None:
            files.write_text(Path(self._get_oracle_fname()), json.dumps(self.get_state()))

    def _save_trial(self, trial: Trial) -> None:
        if self._directory is not None:
            files.write_text(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", json.dumps(trial.get_state()))


def _is_plain(caller: types.FrameType | None) -> bool:
    """Returns whether `caller` runs in a tuner with Keras Tuner's own `run_trial`, whose hypermodel has no own `fit`.

    An oracle has no reference to its tuner: only the frame that sets its directory, the tuner's constructor, has it.
    """
    tuner = None if caller is None else caller.f_locals.get("self")
    if not isinstance(tuner, keras_tuner.Tuner) or type(tuner).run_trial is not keras_tuner.Tuner.run_trial:
        return False
    return type(tuner.hypermodel).fit is keras_tuner.HyperModel.fit

"""An oracle's state and the files of a Keras Tuner project, whole or not at all.

Keras Tuner 1.4.8 spreads the state over one file a trial and `oracle.json`, all rewritten in place: a kill between two
of them leaves a trial running for ever, a kill within one leaves a project that cannot be opened. Here `oracle.json`
holds everything and is replaced atomically; the trials' own files are for people and for other tools.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from tuning.core import files
from tuning.oracles import ranking


class SavedOracle(keras_tuner.Oracle):
    """Writes nothing until a `keras_tuner.Tuner` sets a project directory."""

    _directory: str | None = None
    ongoing_trials: dict[str, Trial]
    _retry_queue: list[str]

    def get_state(self) -> dict[str, Any]:
        """A snapshot of all of it, as JSON: trials and their metrics too."""
        state = copy.deepcopy(super().get_state())
        state["tried_so_far"] = sorted(self._tried_so_far)
        state["trials"] = [trial.get_state() for trial in self.trials.values()]
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        state = copy.deepcopy(dict(state))
        self.trials = {trial["trial_id"]: Trial.from_state(trial) for trial in state["trials"]}
        super().set_state(state)

    def reload(self) -> None:
        """Reads `oracle.json` and queues the trials that were running to be run again, with fresh metrics.

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

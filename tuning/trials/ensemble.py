"""The job that combines several published models into one, and evaluates it once on the test split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tuning.core.jobs import EnsembleJob, Entry, RunResult
from tuning.dataset.store.arrays import open_dataset
from tuning.trials import runtime
from tuning.trials.data import open_verified
from tuning.trials.evaluation import evaluate, now
from tuning.trials.published import ensemble, save_and_open
from tuning.trials.spaces import Interface
from tuning.trials.steps import steps_of


def run_ensemble(job: EnsembleJob, report: Callable[[Entry], None]) -> RunResult:
    """Builds, saves and evaluates the weighted mean of the members; nothing is trained, so nothing is reported.

    Writes `model.keras`, `model_summary.txt` and `predictions.npz` into `staging`.

    Raises:
        NotFinite: an image has no finite probabilities.
    """
    import keras

    started = now()
    dataset = open_verified(job, open_dataset)
    runtime.begin_trial(0, "float32")
    models = [keras.saving.load_model(member.model, safe_mode=True, compile=False) for member in job.members]
    staging = Path(job.staging)
    staging.mkdir(parents=True, exist_ok=True)
    model = save_and_open(ensemble(models, job.members), staging / "model.keras")
    interface = Interface(sparse=True, scaled=job.members[0].scaled, logits=False)
    return evaluate(job, steps_of(model, interface), dataset, 0, started)

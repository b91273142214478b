"""`jobs.run_job` for a process that runs jobs and nothing else: it is ready a second earlier."""

from __future__ import annotations

from tuning.core import light_keras

with light_keras.without_extras():
    import keras_tuner as keras_tuner  # every job needs it

    from tuning.trials.jobs import run_job as run_job

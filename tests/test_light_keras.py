"""Processes that need little of Keras import little, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_LOADED = """
import json, sys
loaded = sorted({"sklearn", "matplotlib", "pandas", "tensorflow", "keras_tuner"} & sys.modules.keys())
import matplotlib.figure, pandas, sklearn.metrics
print(json.dumps([loaded, pandas.DataFrame({"a": [1]}).shape]))
"""


def loaded_after(code: str, environment) -> list:
    done = subprocess.run(
        [sys.executable, "-c", code + _LOADED],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_process_that_trains_nothing_imports_neither_a_backend_nor_extras(sample_environment):
    code = "from tuning.core import light_keras; light_keras.use(); assert light_keras.chosen(); light_keras.use()"
    assert loaded_after(code, sample_environment) == [[], [1, 1]]


def test_what_is_imported_already_stays(sample_environment):
    code = (
        "import pandas; from tuning.core import light_keras; light_keras.use(); assert sys.modules['pandas'] is pandas"
    )
    assert loaded_after("import sys;" + code, sample_environment) == [["pandas"], [1, 1]]


def test_keras_tuners_own_tuners_find_what_they_need_when_they_need_it(sample_environment):
    code = """
from tuning.core import light_keras
light_keras.use()
light_keras.use_keras_tuner()
import sys
before = sorted({"sklearn", "pandas"} & sys.modules.keys())
import keras_tuner
from keras_tuner.src.tuners import bayesian, sklearn_tuner
kernel = bayesian.sklearn.gaussian_process.kernels.Matern(nu=2.5)
folds = sklearn_tuner.sklearn.model_selection.KFold(2)
frame = sklearn_tuner.pd.DataFrame({"a": [1]})
try:
    bayesian.sklearn.nothing
except AttributeError:
    before.append("no nothing")
print(before, kernel.nu, folds.n_splits, frame.shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=sample_environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["['no nothing'] 2.5 2 (1, 1)"], done.stderr


@pytest.mark.tensorflow
def test_a_worker_imports_what_trials_need_and_no_extras(sample_environment):
    code = "import os; os.environ['KERAS_BACKEND'] = 'tensorflow'; from tuning.trials.worker import run_job"
    assert loaded_after(code, sample_environment) == [["keras_tuner", "tensorflow"], [1, 1]]

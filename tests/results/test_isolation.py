"""Processes that cannot import this project do not read what a person has told Keras either."""

from __future__ import annotations

import pytest

from tuning.results.exporters.isolation import Isolated

_ASKED = """
import keras
assert keras.Input((4, 4, 1)).dtype == "float32"
print(keras.config.image_data_format(), keras.config.floatx())
"""


@pytest.mark.tensorflow
def test_a_person_s_keras_json_is_not_read_there(tmp_path, monkeypatch):
    own = '{"image_data_format": "channels_first", "floatx": "float16", "epsilon": 1e-7, "backend": "jax"}'
    (tmp_path / "keras.json").write_text(own)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with Isolated("asked", _ASKED, (), scratch) as process:
        process.finish()
    assert (scratch / "asked.log").read_text().split()[-2:] == ["channels_last", "float32"]

"""Finds the formats in which a model cannot be exported, before it is trained."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tuning.core.errors import DataError
from tuning.core.progress import Progress
from tuning.results.exporters import FORMATS, isolation, writing

_SAVE = """
import keras, pathlib
source, target = sys.argv[1:]
keras.models.model_from_json(pathlib.Path(source).read_text(encoding="utf-8")).save(target)
"""


def cannot_leave(model: str, shape: tuple[int, int, int], progress: Progress, suspects: Sequence[str]) -> list[str]:
    """Tries to export a model; returns a sentence for each format that fails, with the reason.

    Formats whose packages are not installed are not tried.

    Args:
        model: the model as Keras's JSON.
        shape: shape of an image.
        suspects: layers that may not be convertible, named if the converter names none.
    """
    wanted = {
        name: form
        for name, form in FORMATS.items()
        if all(map(importlib.util.find_spec, ("tensorflow", *form.modules)))
    }
    if not wanted:
        return []
    progress.say(f"trying whether the default configuration can be exported ({', '.join(wanted)})")
    with tempfile.TemporaryDirectory(prefix="tuning-export-") as scratch:
        folder, source, saved = Path(scratch) / "products", Path(scratch) / "model.json", Path(scratch) / "given.keras"
        source.write_text(model, encoding="utf-8")
        pixels = np.random.default_rng(0).integers(0, 256, (writing.CHECK_IMAGES, *shape))
        np.save(Path(scratch) / "images.npy", pixels.astype(np.float32) / 255)
        folder.mkdir()
        try:
            with isolation.Isolated("saving", _SAVE, (source, saved), Path(scratch)) as process:
                process.finish()
            failed = writing.write_what_can_be(saved, wanted, folder, Path(scratch))[1]
        except isolation.Failed as failure:
            failed = {"keras": f"the model cannot be saved: {failure}"}
        except DataError as error:
            failed = {", ".join(wanted): error.problem}
    layers = f" (layer{'s' * (len(suspects) > 1)} {', '.join(suspects)})" if suspects else ""
    return [
        f"of the default configuration, export will refuse {name}{'' if 'layer ' in why else layers}: {why}"
        for name, why in failed.items()
    ]

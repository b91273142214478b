"""Exports: a folder with a model, what must be known to use it, and an example that runs without this project.

An export is done when a fresh process that cannot import this project has loaded the written model and predicted what
the original predicts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning import files
from tuning.errors import DataError, TuningError, UsageError
from tuning.progress import SILENT, Progress
from tuning.results import schema
from tuning.results.runs import verify_model
from tuning.results.sources import RESTORE, Source
from tuning.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np

CHECK_IMAGES = 16
#: The largest difference between two runtimes' float32 outputs that rounding explains.
TOLERANCE = 1e-4
CHECK_SECONDS = 300

# Left behind by looking at a folder.
_FILE_MANAGER_FILES = (".DS_Store", "Thumbs.db")


@dataclass(frozen=True)
class Format:
    """One kind of model file.

    Attributes:
        product: the name of the file (or folder) in the export.
        write: makes the product, at its second argument, from the `.keras` file at its first.
        predict: Python code that defines `predict(path, images) -> outputs` in the product's own runtime.
    """

    product: str
    write: Callable[[Path, Path], None]
    predict: str


def _write_keras(model: Path, product: Path) -> None:
    # A published model has no custom objects, so it is already what plain Keras opens.
    shutil.copyfile(model, product)


#: name -> format; a new one is one function and one row.
EXPORTERS: dict[str, Format] = {
    "keras": Format(
        product="model.keras",
        write=_write_keras,
        predict="""
import keras

def predict(path, images):
    return keras.saving.load_model(path, safe_mode=True, compile=False).predict(images, verbose=0)
""",
    ),
}

CLASS_NAMES = "class_names.json"
PREPROCESSING = "preprocessing.json"
METRICS = "metrics.json"
EXAMPLE = "load_example.py"

_EXAMPLE_TEXT = '''\
"""Labels images: python load_example.py FACE.jpg …   (needs keras, tensorflow and opencv-python)"""
import json, pathlib, sys, cv2, keras
here = pathlib.Path(__file__).parent
names = json.loads((here / "class_names.json").read_text(encoding="utf-8"))
model = keras.saving.load_model(here / "model.keras", safe_mode=True, compile=False)
for path in sys.argv[1:]:
    image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2{color})
    method = cv2.INTER_AREA if min(image.shape[:2]) >= {size} else cv2.INTER_LINEAR
    image = cv2.resize(image, ({size}, {size}), interpolation=method).reshape(1, {size}, {size}, {channels})
    print(path, names[int(model.predict(image.astype("float32"){divide}, verbose=0).argmax())], sep="\\t")
'''

# Runs isolated (-I) in an empty folder. An installed copy of this project would still be importable: it is blocked.
_CHECK_TEXT = """
import sys
sys.modules["tuning"] = sys.modules["search_spaces"] = None
import numpy as np
{predict}
product, images, outputs = sys.argv[1:]
np.save(outputs, np.asarray(predict(product, np.load(images)), dtype="float32"))
"""


def export(
    workspace: Workspace,
    source: Source,
    formats: Sequence[str] = ("keras",),
    out: Path | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Writes an export, whole or not at all, and checks each model in a process of its own.

    Args:
        formats: names from `EXPORTERS`.
        out: the folder to write; default `artifacts/exports/<source.name>`. An earlier export there is replaced.

    Returns:
        directory, run_id, files, and under `checked` for each format the number and origin of the compared images
        and the largest difference between the exported model's outputs and the original's.

    Raises:
        UsageError: `out` holds something else than an earlier export, or is not a folder.
        DataError: an exported model does not open outside this project, or predicts something else.
    """
    import numpy as np

    out = (out or workspace.art / "exports" / source.name).resolve()
    _refuse_foreign(out)
    verify_model(source.model, source.metrics, RESTORE)
    images, origin = _check_images(workspace, source.metrics)
    checked = {}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tuning-export-") as scratch, files.replacing_directory(out) as folder:
        np.save(Path(scratch) / "images.npy", images)
        with ThreadPoolExecutor() as pool:
            original = pool.submit(_outputs, EXPORTERS["keras"], source.model, Path(scratch), "original")
            for name in formats:
                product = folder / EXPORTERS[name].product
                with files.replacing(product) as temporary:
                    EXPORTERS[name].write(source.model, temporary)
                progress.say(f"opening {product.name} in a process without this project, {len(images)} {origin}")
                found = _outputs(EXPORTERS[name], product, Path(scratch), name)
                difference = _difference(original.result(), found, name)
                checked[name] = {"images": len(images), "origin": origin, "difference": difference}
        files.write_json(folder / CLASS_NAMES, source.metrics["classes"])
        files.write_json(folder / PREPROCESSING, preprocessing(source.metrics))
        files.write_json(folder / METRICS, source.metrics)
        files.write_text(folder / EXAMPLE, example(source.metrics["input"]))
        written = sorted(path.name for path in folder.iterdir())
    return {"directory": str(out), "run_id": source.metrics["run_id"], "files": written, "checked": checked}


def preprocessing(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """How an image file becomes the model's input, for someone who has only the export."""
    given = metrics["input"]
    size, channels = given["image_size"], schema.CHANNELS[given["color"]]
    return {
        "image_size": [size, size],
        "color": given["color"],
        "channels": channels,
        "layout": "NHWC: (images, height, width, channels)",
        "dtype": "float32",
        "scaling": given["scaling"],
        "scaling_factor": _factor(given["scaling"]),
        "steps": [
            "decode the image with 8 bits per channel, turned upright as its EXIF orientation says; drop alpha",
            "gray: 0.299 R + 0.587 G + 0.114 B (OpenCV COLOR_BGR2GRAY)"
            if channels == 1
            else "rgb: the channels in the order red, green, blue (OpenCV decodes as BGR: COLOR_BGR2RGB)",
            f"stretch to {size} × {size} pixels: area averaging where neither side grows (OpenCV INTER_AREA), "
            "else bilinear (INTER_LINEAR)",
            schema.SCALINGS[given["scaling"]],
        ],
        "expects": "a face crop: the model finds no faces by itself",
        "output": f"{metrics['output']} of {len(metrics['classes'])} classes, in the order of {CLASS_NAMES}",
    }


def example(given: Mapping[str, Any]) -> str:
    """`load_example.py` for a model whose metrics say `input: given`."""
    return _EXAMPLE_TEXT.format(
        color={"gray": "GRAY", "rgb": "RGB"}[given["color"]],
        size=given["image_size"],
        channels=schema.CHANNELS[given["color"]],
        divide=" / 255" if given["scaling"] == "0-1" else "",
    )


def _refuse_foreign(out: Path) -> None:
    """An export replaces its folder, so a folder that holds anything else must never be given to it."""
    known = {
        *_FILE_MANAGER_FILES,
        CLASS_NAMES,
        PREPROCESSING,
        METRICS,
        EXAMPLE,
        *(row.product for row in EXPORTERS.values()),
    }
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is not a folder", "give a folder that is empty or does not exist")
    foreign = sorted(set(os.listdir(out)) - known) if out.is_dir() else []
    if foreign:
        raise UsageError(
            f"--out {out} holds {foreign[0]!r}, which no export writes", "give a folder that is empty or does not exist"
        )


def _check_images(workspace: Workspace, metrics: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    """(n, size, size, channels) float32 as the model wants them, and where they come from, in words."""
    import numpy as np

    given = metrics["input"]
    shape = (given["image_size"], given["image_size"], schema.CHANNELS[given["color"]])
    pixels, origin = _validation_pixels(workspace, shape), "validation images"
    if pixels is None:
        # The data may have been prepared anew for other models, or be on another machine.
        origin = "noise images (this workspace holds no validation images of the model's size)"
        pixels = np.random.default_rng(0).integers(0, 256, (CHECK_IMAGES, *shape), dtype=np.uint8)
    return pixels.astype(np.float32) * np.float32(_factor(given["scaling"])), origin


def _validation_pixels(workspace: Workspace, shape: tuple[int, int, int]) -> np.ndarray | None:
    """Up to CHECK_IMAGES images, uint8 (n, *shape), spread over the validation split; None where there are none."""
    import numpy as np

    from tuning.dataset.arrays import open_split, read_info

    try:
        info = read_info(workspace)
        if info.input_shape != shape:
            return None
        split = open_split(workspace, info, "val")
    except DataError:
        return None
    chosen = np.unique(np.linspace(0, len(split) - 1, CHECK_IMAGES, dtype=int))
    return split.images[chosen]


def _factor(scaling: str) -> float:
    return 1 / 255 if scaling == "0-1" else 1.0


def _outputs(form: Format, product: Path, scratch: Path, name: str) -> np.ndarray:
    """What the model at `product` predicts, (n, k) float32, in a fresh process that cannot import this project.

    The images are `images.npy` in `scratch`; `name` tells apart the processes that work there.
    """
    import numpy as np

    given, outputs = scratch / "images.npy", scratch / f"{name}.npy"
    command = [sys.executable, "-I", "-c", _CHECK_TEXT.format(predict=form.predict), product, given, outputs]
    # The parent may run Keras on another backend; and two processes share a GPU only if neither takes all its memory.
    backend = {"KERAS_BACKEND": "tensorflow", "TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = {**os.environ, **backend}
    try:
        done = subprocess.run(
            command, cwd=scratch, env=environment, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise _unusable(product, f"no prediction within {CHECK_SECONDS} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise _unusable(product, f"exit code {done.returncode}: {last}")
    return np.load(outputs)


def _unusable(product: Path, reason: str) -> TuningError:
    return DataError(
        f"{product.name} does not work in a process without this project: {reason}",
        "a model for export must need no custom objects: build it from Keras's own layers, losses and metrics",
    )


def _difference(expected: np.ndarray, found: np.ndarray, name: str) -> float:
    if found.shape != expected.shape:
        raise DataError(f"the {name} export predicts shape {found.shape}, the original {expected.shape}", RESTORE)
    difference = float(abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise DataError(
            f"the {name} export predicts other values than the original: they differ by up to {difference:.2g}, "
            f"allowed is {TOLERANCE:g}",
            "this is a defect of that format's converter for this model: export another format",
        )
    return difference

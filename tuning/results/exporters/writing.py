"""Writes an export: a folder with models, their description, and examples that run without this project.

Each written model is opened in its own runtime, in a new process that cannot import this project, and must predict what
the original model predicts.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tuning.core import files
from tuning.core.errors import DataError, EnvironmentProblem, TuningError, UsageError
from tuning.core.packages import install_line
from tuning.core.progress import SILENT, Progress
from tuning.core.workspace import Workspace
from tuning.dataset import seen
from tuning.results import lineage
from tuning.results.exporters import FORMATS, description, isolation
from tuning.results.exporters.description import CLASS_NAMES
from tuning.results.exporters.form import Format
from tuning.results.model_card import CARD, keras_version, model_card
from tuning.results.runs import verify_model
from tuning.results.schema import Metrics
from tuning.results.sources import RESTORE, Source

if TYPE_CHECKING:
    import numpy as np

    from tuning.dataset.seen import Seen

CHECK_IMAGES = 16
#: The largest difference between the float32 outputs of two runtimes that counts as rounding.
TOLERANCE = 1e-4

PREPROCESSING = "preprocessing.json"
METRICS = "metrics.json"

_CUSTOM = "a model for export must need no custom objects: build it from Keras's own layers, losses and metrics"
_UNSUPPORTED = "that format's converter cannot handle one of the model's layers: export other formats, or replace it"

# Written by file managers when a folder is opened.
_FILE_MANAGER_FILES = (".DS_Store", "Thumbs.db")


def export(
    workspace: Workspace,
    source: Source,
    formats: Sequence[str] = ("keras",),
    out: Path | None = None,
    progress: Progress = SILENT,
    signatures: bool = True,
) -> dict[str, Any]:
    """Writes an export atomically, and checks each model in a separate process.

    Args:
        formats: names from `FORMATS`.
        out: the folder to write; default `artifacts/exports/<source.name>`. An earlier export there is replaced.
        signatures: whether to include the signatures of the images that the model has seen, by which users of the model
            as a base can tell whether it has seen their images.

    Returns:
        directory, run_id, files, `failed` (format -> why it was left out), and `checked` (format -> its runtime, the
        number and origin of the compared images, and the largest difference between the outputs of the exported and the
        original model).

    Raises:
        UsageError: `out` holds anything but an earlier export, or is not a folder.
        EnvironmentProblem: TensorFlow or a format's extra is not installed.
        DataError: no format could be written that opens outside this project and predicts the same; or an exported
            model's outputs have another shape.
    """
    import numpy as np

    wanted = {name: FORMATS[name] for name in formats}
    out = (out or workspace.art / "exports" / source.name).resolve()
    _refuse_missing(wanted)
    _refuse_foreign(out)
    verify_model(source.model, source.metrics, RESTORE)
    images, origin = _check_images(workspace, source.metrics)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tuning-export-") as scratch, files.replacing_directory(out) as folder:
        np.save(Path(scratch) / "images.npy", images)
        progress.say(f"writing {', '.join(wanted)}, and opening each without this project: {len(images)} {origin}")
        # An absolute path, because the processes that open the model have another working directory.
        differences, failed = write_what_can_be(source.model.resolve(), wanted, folder, Path(scratch), progress)
        files.write_json(folder / CLASS_NAMES, source.metrics.classes)
        files.write_json(folder / PREPROCESSING, description.preprocessing(source.metrics))
        files.write_json(folder / METRICS, msgspec.to_builtins(source.metrics))
        for name, form in wanted.items():
            text = description.example(name, form, source.metrics)
            files.write_text(folder / description.example_name(name), text)
        known = lineage.seen_of(workspace, source.metrics) if signatures else None
        if known is not None:
            seen.write(folder / lineage.SIGNATURES, known, [source.metrics.model_sha256])
        files.write_text(folder / CARD, _card(folder, workspace, source.metrics, wanted, known))
        written = sorted(path.name for path in folder.iterdir())
    checked = {
        name: {"runtime": form.runtime, "images": len(images), "origin": origin, "difference": differences[name]}
        for name, form in wanted.items()
    }
    return {
        "directory": str(out),
        "run_id": source.metrics.run_id,
        "files": written,
        "checked": checked,
        "failed": failed,
    }


class _Unsuitable(DataError):
    """The model cannot be exported in `format`."""

    def __init__(self, problem: str, remedy: str, format: str) -> None:
        super().__init__(problem, remedy)
        self.format = format


def write_what_can_be(
    model: Path, wanted: dict[str, Format], folder: Path, scratch: Path, progress: Progress = SILENT
) -> tuple[dict[str, float], dict[str, str]]:
    """Writes each product into `folder`; returns (format -> largest difference to the original, format -> failure).

    Args:
        wanted: formats by name; those that fail are removed from it.
        scratch: a folder that holds the images to compare as `images.npy`.

    Raises:
        DataError: no format is left, or a product's outputs have another shape than the original's.
    """
    failed: dict[str, str] = {}
    while True:
        try:
            return _write_models(model, wanted, folder, scratch), failed
        except _Unsuitable as error:
            if len(wanted) == 1 or error.format not in wanted:
                raise
            del wanted[error.format]
            failed[error.format] = error.problem
            progress.warn(f"{error.problem}; continuing with {', '.join(wanted)}")
            for path in (*folder.iterdir(), *(scratch / form.product for form in FORMATS.values())):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _write_models(model: Path, wanted: Mapping[str, Format], folder: Path, scratch: Path) -> dict[str, float]:
    """Writes each product into `folder`; returns format -> largest difference between its outputs and the original's.

    The processes of the formats run in parallel, because they spend most of their time importing TensorFlow.
    """
    import numpy as np

    images, begun = scratch / "images.npy", scratch / "begun"
    converted = {
        name: (form.keras_format, scratch / form.product) for name, form in wanted.items() if form.keras_format
    }
    with contextlib.ExitStack() as stack:

        def start(name: str, program: str, opened: Path, blocked: Sequence[str] = ()) -> isolation.Isolated:
            arguments = (opened, images, scratch / f"{name}.npy")
            return stack.enter_context(isolation.Isolated(name, program, arguments, scratch, blocked))

        def check(name: str, made: Path) -> isolation.Isolated:
            form = wanted[name]
            _place(made, folder / form.product)
            return start(name, isolation.loader(form.load), folder / form.product, form.unneeded)

        conversion = start("original", isolation.converter(FORMATS["keras"].load, converted, begun), model)
        checks = {name: check(name, model) for name in wanted if name not in converted}
        try:
            conversion.finish()
        except isolation.Failed as failure:
            raise _unconverted(begun, failure) from None
        checks |= {name: check(name, made) for name, (_, made) in converted.items()}
        original = np.load(scratch / "original.npy")
        differences = {}
        for name in wanted:
            try:
                checks[name].finish()
            except isolation.Failed as failure:
                raise _unusable(name, wanted[name], failure) from None
            differences[name] = _difference(original, np.load(scratch / f"{name}.npy"), name)
    return differences


def _place(made: Path, product: Path) -> None:
    """Copies a file, or a folder of files, durably."""
    if made.is_file():
        with files.replacing(product) as temporary:
            shutil.copyfile(made, temporary)
        return
    product.mkdir()
    for path in sorted(made.iterdir()):
        _place(path, product / path.name)


def _card(
    folder: Path, workspace: Workspace, metrics: Metrics, wanted: Mapping[str, Format], known: Seen | None
) -> str:
    first = "keras" if "keras" in wanted else next(iter(wanted))
    also = {form.product: form.title for name, form in wanted.items() if name != first}
    also |= {description.example_name(name): f"labels images with {form.product}" for name, form in wanted.items()}
    also |= {
        CLASS_NAMES: "the labels, in the order of the outputs",
        PREPROCESSING: "how an image becomes the model's input",
        METRICS: "what was measured",
    }
    if known is not None:
        also[lineage.SIGNATURES] = (
            f"signatures of the {len(known.signatures):,} images that it saw: whoever has an image can tell from them "
            "whether it was used, and they hold about as much as a blurred sketch of each"
        )
    product = wanted[first].product
    loading = None if first == "keras" else description.opening_lines(wanted[first], metrics)
    return model_card(workspace, metrics, product, loading, also, keras_version(folder / product))


def _refuse_missing(wanted: Mapping[str, Format]) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        # Every format is written or compared by TensorFlow, whichever backend trained the model.
        raise EnvironmentProblem("exporting needs TensorFlow, which is not installed", "run: pip install tensorflow")
    for name, form in wanted.items():
        missing = [module for module in form.modules if importlib.util.find_spec(module) is None]
        if missing and form.extra:
            raise EnvironmentProblem(
                f"--format {name} needs packages that are not installed: {', '.join(missing)}",
                f"run: {install_line(form.extra)}",
            )


def _refuse_foreign(out: Path) -> None:
    """Refuses a folder that holds anything but an earlier export, because an export replaces its folder."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is not a folder", "give a folder that is empty or does not exist")
    found = set(os.listdir(out)) - set(_FILE_MANAGER_FILES) if out.is_dir() else set()
    known = {CLASS_NAMES, PREPROCESSING, METRICS, CARD, lineage.SIGNATURES}
    for name, form in FORMATS.items():
        known |= {form.product, description.example_name(name)}
    # A README.md alone proves nothing; a folder is an export only if it has the files that every export has.
    foreign = sorted(found - known) or ([] if {PREPROCESSING, METRICS} <= found else sorted(found))
    if foreign:
        raise UsageError(
            f"--out {out} holds {foreign[0]!r} and is no earlier export",
            "give a folder that is empty or does not exist",
        )


def _check_images(workspace: Workspace, metrics: Metrics) -> tuple[np.ndarray, str]:
    """Returns images as model input, float32 (n, size, size, channels), and their origin in words."""
    import numpy as np

    given = metrics.input
    shape = given.shape
    pixels, origin = _validation_pixels(workspace, shape), "validation images"
    if pixels is None:
        # The data may have been prepared anew with another image size, or be on another machine.
        origin = "noise images (this workspace holds no validation images of the model's size)"
        pixels = np.random.default_rng(0).integers(0, 256, (CHECK_IMAGES, *shape), dtype=np.uint8)
    return pixels.astype(np.float32) * np.float32(description.scaling_factor(given.scaling)), origin


def _validation_pixels(workspace: Workspace, shape: tuple[int, int, int]) -> np.ndarray | None:
    """Returns up to CHECK_IMAGES images, uint8 (n, *shape), spread over the validation split; None if there are none of
    this shape."""
    import numpy as np

    from tuning.dataset.store.arrays import open_split, read_info

    try:
        info = read_info(workspace)
        if info.input_shape != shape:
            return None
        split = open_split(workspace, info, "val")
    except DataError:
        return None
    chosen = np.unique(np.linspace(0, len(split) - 1, CHECK_IMAGES, dtype=int))
    return split.images[chosen]


def _unconverted(begun: Path, failure: isolation.Failed) -> TuningError:
    if not begun.is_file():
        return _unusable("", FORMATS["keras"], failure)
    name = begun.read_text()
    begun.unlink()
    return _Unsuitable(f"the model cannot be converted to {name}: {failure}", _UNSUPPORTED, name)


def _unusable(name: str, form: Format, failure: isolation.Failed) -> TuningError:
    return _Unsuitable(
        f"{form.product} does not work in a process without this project: {failure}",
        _UNSUPPORTED if form.keras_format else _CUSTOM,
        name,
    )


def _difference(expected: np.ndarray, found: np.ndarray, name: str) -> float:
    if found.shape != expected.shape:
        raise DataError(f"the {name} export predicts shape {found.shape}, the original {expected.shape}", RESTORE)
    difference = float(abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise _Unsuitable(
            f"the {name} export predicts other values than the original: they differ by up to {difference:.2g}, "
            f"allowed is {TOLERANCE:g}",
            _UNSUPPORTED,
            name,
        )
    return difference

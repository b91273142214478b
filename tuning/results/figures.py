"""Matplotlib figures for notebooks: for a search, a run, and the faces of a data set."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tuning.core.errors import DataError, UsageError
from tuning.core.workspace import Workspace
from tuning.dataset.decode import decode
from tuning.dataset.store.arrays import open_dataset, read_info
from tuning.dataset.store.description import PREPARE_REMEDY
from tuning.dataset.store.manifests import read_split_manifest
from tuning.history import searches
from tuning.results import plots
from tuning.results.report.importance import importances
from tuning.results.report.pictures import pictures
from tuning.results.runs import read_columns, read_run, run_predictions
from tuning.results.sources import find_run

#: Colours of correct and wrong labels, distinguishable with any colour vision.
RIGHT, WRONG = "#0072B2", "#D55E00"
_ANEW = "train that run anew"


def search_figures(workspace: Workspace, search: str, seed: int = 0) -> dict[str, Figure]:
    """Returns the figures of a search by name: `best_so_far`, `learning_curves`, `importance`.

    Figures without enough data are left out; `importance` needs some twenty trials.

    Args:
        seed: seed of the estimate of importances.

    Raises:
        UsageError: there is no search of that name; the message lists the existing ones.
    """
    found = searches.read(workspace, search).history
    return {
        name.removesuffix(".png"): figure for name, figure in pictures(found, importances(found, seed), search).items()
    }


def run_figures(workspace: Workspace, run_id: str) -> dict[str, Figure]:
    """Returns the figures of a finished run: `accuracy`, `loss`, `confusion_matrix_raw`, `confusion_matrix_norm`.

    Args:
        run_id: the run's id or short name.

    Raises:
        UsageError: there is no run of that name.
        DataError: the run's files are broken.
    """
    folder = workspace.run(find_run(workspace, run_id))
    history, metrics = read_columns(folder / "history.json", _ANEW), read_run(folder)
    if metrics.best_epoch > len(history["epoch"]):
        raise DataError(f"{folder / 'history.json'} ends before epoch {metrics.best_epoch}, which was published", _ANEW)
    return {name.removesuffix(".png"): figure for name, figure in plots.run_figures(metrics, history).items()}


def predictions_figure(workspace: Workspace, run_id: str, images: int = 24) -> Figure:
    """Shows test images with the labels that a run predicted when it was tested; nothing is evaluated anew.

    The images are evenly spaced over the test split. A wrong label is followed by the true one.

    Args:
        run_id: the run's id or short name.
        images: number of images, at most.

    Raises:
        UsageError: there is no run of that name, or `images` is below 1.
        DataError: its predictions were not kept, or it was tested on other data than the current.
    """
    if images < 1:
        raise UsageError(f"images is {images}", "give 1 or more")
    run_id = find_run(workspace, run_id)
    metrics, found = read_run(workspace.run(run_id)), run_predictions(workspace, run_id)
    manifest, info = read_split_manifest(workspace.split_manifest), read_info(workspace)
    if found is None:
        raise DataError(f"the predictions of {run_id} were not kept", _ANEW)
    if manifest is None or info.digest != metrics.data_digest:
        raise DataError(f"{run_id} was tested on other data than there is now", PREPARE_REMEDY)
    places = manifest.of("test")
    rows = np.unique(np.linspace(0, len(places) - 1, min(images, len(places))).astype(int))
    columns = min(8, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(1.25 * columns, 1.62 * lines + 0.4), dpi=plots.DPI, layout="constrained")
    for cell in figure.subplots(lines, columns, squeeze=False).flat:
        cell.set_axis_off()
    labels, probabilities = found
    for cell, row in zip(figure.axes, rows, strict=False):
        _show(cell, decode(workspace.pool / places[row].file, info.image_size, info.color))
        guess = int(probabilities[row].argmax())
        name, right = metrics.classes[guess], guess == labels[row]
        text = f"{name} {probabilities[row, guess]:.2f}" + ("" if right else f"\nis {metrics.classes[labels[row]]}")
        cell.set_title(text, fontsize=8, color=RIGHT if right else WRONG, parse_math=False)
    figure.suptitle(run_id, fontsize=9, parse_math=False)
    return plots.lettered(figure)


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)


def faces_figure(workspace: Workspace, per_class: int = 8) -> Figure:
    """Shows the first images of each class in the training split, as the model sees them, one row per class.

    Raises:
        UsageError: `per_class` is below 1.
        DataError: nothing is prepared.
    """
    if per_class < 1:
        raise UsageError(f"per_class is {per_class}", "give 1 or more")
    dataset = open_dataset(workspace)
    classes, images, labels = dataset.info.classes, dataset.train.images, dataset.train.labels
    figure = Figure(figsize=(1.1 + 0.75 * per_class, 0.75 * len(classes)), dpi=plots.DPI)
    axes = figure.subplots(len(classes), per_class, squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    for row, name in enumerate(classes):
        chosen = np.flatnonzero(labels == row)[:per_class]
        for place, cell in enumerate(axes[row]):
            cell.set(xticks=[], yticks=[])
            cell.spines[:].set_visible(False)
            if place < len(chosen):
                _show(cell, images[chosen[place]])
        label = axes[row][0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        label.set_parse_math(False)
    return plots.lettered(figure)

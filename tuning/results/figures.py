"""What a notebook shows, as matplotlib figures: a search, a run, the faces of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tuning.core.errors import UsageError
from tuning.core.workspace import Workspace
from tuning.dataset.store.arrays import open_dataset
from tuning.history import searches
from tuning.results import plots
from tuning.results.report.importance import importances
from tuning.results.report.pictures import pictures
from tuning.results.runs import read_run
from tuning.results.schema import read_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def search_figures(workspace: Workspace, search: str, seed: int = 0) -> dict[str, Figure]:
    """The pictures of a search, by name: `best_so_far`, `learning_curves`, `importance`.

    Those that there is no data for yet are left out; importance takes some twenty trials to say anything.

    Args:
        seed: of the estimate of the importances.

    Raises:
        UsageError: there is no search of that name; names those there are.
    """
    found = searches.read(workspace, search).history
    return {
        name.removesuffix(".png"): figure for name, figure in pictures(found, importances(found, seed), search).items()
    }


def run_figures(workspace: Workspace, run_id: str) -> dict[str, Figure]:
    """The pictures of a finished run: `accuracy`, `loss`, `confusion_matrix_raw`, `confusion_matrix_norm`.

    Raises:
        UsageError: there is no run of that name.
        DataError: its files are broken.
    """
    folder = workspace.run(run_id)
    if not (folder / "metrics.json").is_file():
        raise UsageError(f"there is no run {run_id!r} in {workspace.trials}", "use a run_id of the leaderboard")
    history = read_columns(folder / "history.json", "train that run anew")
    return {name.removesuffix(".png"): figure for name, figure in plots.run_figures(read_run(folder), history).items()}


def faces_figure(workspace: Workspace, per_class: int = 8) -> Figure:
    """The first images of each class in the training split, as the model sees them, one row a class.

    Raises:
        DataError: nothing is prepared.
    """
    from matplotlib.figure import Figure

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
                image = images[chosen[place]]
                cell.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        label = axes[row][0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        label.set_parse_math(False)
    return figure

"""The paths of a workspace, relative to its root; the names are the baseline project's."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tuning.core.errors import EnvironmentProblem, StateError, UsageError


@dataclass(frozen=True)
class Workspace:
    """The folder that holds `data/` and `artifacts/`. Constructing one touches nothing; `create` does."""

    root: Path

    def __post_init__(self) -> None:
        # Text is accepted, too. Neither a shell (in `--root=~/faces`) nor Python expands this ~.
        object.__setattr__(self, "root", Path(os.path.expanduser(self.root)))

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def raw(self) -> Path:
        return self.data / "raw_yolo"

    @property
    def unpacked(self) -> Path:
        """The unpacked archives that were given as raw data."""
        return self.data / "unpacked"

    @property
    def pool(self) -> Path:
        return self.data / "cls_pool"

    @property
    def split(self) -> Path:
        return self.data / "cls_data"

    @property
    def art(self) -> Path:
        return self.root / "artifacts"

    @property
    def models(self) -> Path:
        return self.art / "models"

    @property
    def trials(self) -> Path:
        return self.art / "trials"

    @property
    def outs(self) -> Path:
        return self.art / "outputs"

    @property
    def searches(self) -> Path:
        return self.art / "searches"

    @property
    def compiled(self) -> Path:
        """JAX's cache of programs compiled for a GPU; may be deleted at any time."""
        return self.art / "compiled"

    @property
    def bases(self) -> Path:
        """Copies of the models that trainings start from: `<sha256>.keras`, each with a file that describes it."""
        return self.art / "bases"

    @property
    def class_names(self) -> Path:
        return self.outs / "class_names.json"

    @property
    def pool_manifest(self) -> Path:
        return self.outs / "pool_manifest.json"

    @property
    def pool_summary(self) -> Path:
        return self.outs / "pool_summary.json"

    @property
    def pool_report(self) -> Path:
        return self.outs / "pool_report.html"

    @property
    def base_overlap(self) -> Path:
        """The raw data's names of the validation and test images that the last refused base has seen, one a line."""
        return self.outs / "base_overlap.txt"

    @property
    def data_state(self) -> Path:
        """Sizes and modification times of all data files when `prepare` finished."""
        return self.data / "data_state.json"

    @property
    def split_manifest(self) -> Path:
        return self.outs / "split_manifest.json"

    @property
    def leaderboard(self) -> Path:
        return self.outs / "leaderboard.csv"

    @property
    def best_model(self) -> Path:
        return self.models / "best_model.keras"

    @property
    def best_model_metrics(self) -> Path:
        return self.models / "best_model_metrics.json"

    def run(self, run_id: str) -> Path:
        """The folder of one run's artifacts."""
        return self.trials / run_id

    def predictions(self, run_id: str) -> Path:
        """The predictions of one run's model on the test split."""
        return self.outs / "predictions" / f"{run_id}.npz"

    def signatures(self, data_digest: str) -> Path:
        """Signatures of the images that models trained on this split have seen."""
        return self.outs / "signatures" / f"{data_digest}.npz"

    def search(self, name: str) -> Path:
        """The folder of one search."""
        return self.searches / name

    def addressed(self, remedy: str) -> str:
        """Adds `--root` to the commands in a remedy, unless the workspace is the current directory."""
        commands = re.compile(r"python -m tuning\.\w+\b(?! --help)")
        if "--root" in remedy or not commands.search(remedy) or self.root.resolve() == Path.cwd():
            return remedy
        root = f" --root {shlex.quote(str(self.root))}"
        return commands.sub(lambda found: found[0] + root, remedy)

    def require(self) -> None:
        """Refuses a root without a workspace, so that a mistyped one is noticed and stays untouched.

        Raises:
            StateError: there is neither `data/` nor `artifacts/`.
        """
        if self.data.is_dir() or self.art.is_dir():
            return
        if self.root.exists() and not self.root.is_dir():
            raise StateError(f"--root {self.root} is no folder", "give the --root of a workspace, which is a folder")
        state = "has neither data/ nor artifacts/" if self.root.is_dir() else "does not exist"
        begin = self.addressed("run python -m tuning.prepare --raw PATH with your face images")
        raise StateError(
            f"there is no workspace in {self.root.absolute()}: that folder {state}",
            f"give the --root of one, or begin one: {begin}",
        )

    def create(self) -> Workspace:
        """Creates missing folders and verifies that every folder is writable.

        Raises:
            UsageError: the root, or one of its folders, exists and is not a folder.
            EnvironmentProblem: a folder cannot be created or written.
        """
        for folder in (self.root, self.data, self.art, self.models, self.trials, self.outs, self.searches):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise UsageError(
                    f"{folder} exists and is not a folder", "give another --root, or move that file away"
                ) from None
            except OSError as error:
                raise EnvironmentProblem(
                    f"cannot create {folder}: {error.strerror}", "give a --root that you may write to"
                ) from None
            if not os.access(folder, os.W_OK | os.X_OK):
                raise EnvironmentProblem(
                    f"cannot write in {folder}", "give a --root that you may write to, or change its permissions"
                )
        return self

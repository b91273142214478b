"""What a search or a run is told at each start, and what no result depends on: options of the commands."""

from __future__ import annotations

from dataclasses import dataclass

from tuning.core.options import RARE, USUAL, option
from tuning.core.settings import HOW


@dataclass(frozen=True, kw_only=True)
class BaseControl:
    """What is said about the model of `--base` when it is given."""

    base_weights: str | None = option(
        None,
        "--base NAME of Keras Applications: its weights (default: ImageNet's, from Keras's cache or fetched into it)",
        group=RARE,
        metavar="FILE",
        fixed=False,
    )
    base_license: str | None = option(
        None, "the licence of --base, for the model card (default: none)", group=RARE, metavar="TEXT", fixed=False
    )


@dataclass(frozen=True, kw_only=True)
class Control(BaseControl):
    """What a search is told at each start; see also `tuning.pipeline.retry` and `tuning.core.acceptance`."""

    budget: float | None = option(
        None,
        "running time over all resumes, final training included: 45m, 8h, 2d, 1h30m "
        "(default: none; the plan then comes from the number of training images)",
        group=USUAL,
        metavar="TIME",
        kind=str,
        fixed=False,
    )
    search_only: bool = option(False, "no finalists: the test split stays sealed", group=HOW, switch=True, fixed=False)
    retry_failed: bool = option(
        False,
        "run the trials again that have failed, once their cause is mended, losses that diverged and models too large "
        "apart; the search goes on as if they had ended so the first time. Refused once its finals have begun (see "
        "--search-only), or its budget has ended it and no larger one is given",
        group=HOW,
        switch=True,
        fixed=False,
    )
    accept: str | None = option(
        None,
        "go on although something has changed that a result depends on: code (of the space), versions (of packages and "
        "Python); or start from a --base that has seen validation or test images: base-overlap; several with commas "
        "(default: nothing)",
        group=RARE,
        metavar="WHAT",
        fixed=False,
    )
    dry_run: bool = option(False, "say what it would take, and start nothing", group=USUAL, switch=True, fixed=False)
    fresh: bool = option(
        False, "move a search of that name aside and start over", group=USUAL, switch=True, fixed=False
    )


@dataclass(frozen=True, kw_only=True)
class TrainControl(BaseControl):
    """What a single run is told at each start."""

    accept: str | None = option(
        None,
        "base-overlap: start from a --base that has seen validation or test images; it is shown with every figure "
        "(default: nothing)",
        group=RARE,
        metavar="WHAT",
        fixed=False,
    )
    fresh: bool = option(
        False,
        "move an earlier training with the same settings, and its run, aside and start over",
        group=USUAL,
        switch=True,
        fixed=False,
    )

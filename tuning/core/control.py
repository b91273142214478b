"""Options given at each start of a search or a run; no result depends on them."""

from __future__ import annotations

from dataclasses import dataclass

from tuning.core.options import RARE, USUAL, option
from tuning.core.settings import HOW


@dataclass(frozen=True, kw_only=True)
class BaseControl:
    """Details of the model given with `--base`."""

    base_weights: str | None = option(
        None,
        "weights for a --base of Keras Applications (default: ImageNet's, downloaded unless Keras has cached them)",
        group=RARE,
        metavar="FILE",
        fixed=False,
    )
    base_license: str | None = option(
        None, "licence of --base, for the model card (default: none)", group=RARE, metavar="TEXT", fixed=False
    )


@dataclass(frozen=True, kw_only=True)
class Control(BaseControl):
    """Options given at each start of a search; see also `tuning.pipeline.retry` and `tuning.core.acceptance`."""

    budget: float | None = option(
        None,
        "total running time over all resumes, final training included: 45m, 8h, 2d, 1h30m "
        "(default: none; the number of training images then decides the plan)",
        group=USUAL,
        metavar="TIME",
        kind=str,
        fixed=False,
    )
    search_only: bool = option(
        False, "train no finalists, so that the test split stays sealed", group=HOW, switch=True, fixed=False
    )
    retry_failed: bool = option(
        False,
        "run failed trials again after their cause has been fixed, except diverged losses and models that are too "
        "large; the search continues as if they had not failed. Refused once a finalist has been tested (see "
        "--search-only), or after the budget has ended the search unless a larger one is given",
        group=HOW,
        switch=True,
        fixed=False,
    )
    accept: str | None = option(
        None,
        "resume despite a change that affects results: code (of the space) or versions (of packages and Python); or, "
        "with base-overlap, start from a --base that has seen validation or test images; separate several with commas "
        "(default: nothing)",
        group=RARE,
        metavar="WHAT",
        fixed=False,
    )
    dry_run: bool = option(
        False, "print the plan, with its time and disk space, and start nothing", group=USUAL, switch=True, fixed=False
    )
    fresh: bool = option(
        False, "move an existing search of that name aside and start over", group=USUAL, switch=True, fixed=False
    )


@dataclass(frozen=True, kw_only=True)
class TrainControl(BaseControl):
    """Options given at each start of a single run."""

    accept: str | None = option(
        None,
        "base-overlap: start from a --base that has seen validation or test images, which is then shown beside every "
        "score (default: nothing)",
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

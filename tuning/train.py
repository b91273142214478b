"""Trains one configuration and evaluates it on the test split.

  python -m tuning.train                                   # the baseline
  python -m tuning.train --epochs 5 --hp learning_rate=2e-3 --hp class_balance=sampler
  python -m tuning.train --from-trial baseline_cnn-hyperband/0007 --epochs 30
  python -m tuning.train --from-trial quiet-otter --seed 1  # a run of the leaderboard, by its short name

The same command resumes an interrupted training after its last finished epoch, retries a failed one, and shows the
result of a finished one.

reads   the prepared data in data/cls_data; with --from-trial, artifacts/searches/SEARCH/
writes  artifacts/trials/RUN_ID/, artifacts/outputs/leaderboard.csv, artifacts/models/best_model.keras
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

from tuning import cli
from tuning.core.options import add_options, values_of
from tuning.core.workspace import Workspace


def options() -> argparse.ArgumentParser:
    from search_spaces import SPACES
    from tuning.core.control import TrainControl
    from tuning.core.settings import TrainSettings

    parser = cli.parser("train", __doc__)
    parser.add_argument(
        "--hp",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a hyperparameter; may be repeated (default: the space's defaults)",
    )
    trial = parser.add_argument(
        "--from-trial",
        metavar="SEARCH/TRIAL|RUN",
        help="use the hyperparameters of a search's trial, or of a run given by its id or short name (default: none)",
    )
    cli.offer(trial, trials)
    add_options(
        parser,
        TrainSettings,
        TrainControl,
        words={"spaces": ", ".join(SPACES)},
        complete={"space": lambda action: cli.offer(action, lambda workspace: SPACES)},
    )
    cli.add_tracking_options(parser.add_argument_group("experiment tracking"))
    return parser


def trials(workspace: Workspace) -> list[str]:
    """Returns every trial of every search, as SEARCH/TRIAL."""
    from tuning.core.errors import StateError
    from tuning.engine import journal, state

    found = []
    for search in cli.searches(workspace):
        with contextlib.suppress(StateError):
            records = journal.read(workspace.search(search) / "journal.jsonl")
            found += [f"{search}/{ask.trial.trial_id}" for ask in state.replay(records).asks]
    return found


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    import msgspec

    from tuning.core.errors import UsageError
    from tuning.core.settings import TrainSettings
    from tuning.pipeline.train import train_one, values_of_trial
    from tuning.results.schema import UsedBase, base_words
    from tuning.tracking import Tracking

    settings = values_of(args, TrainSettings)
    values: dict[str, Any] = {}
    if args.from_trial:
        if args.space:
            raise UsageError("--space and --from-trial are both given", "leave --space out: the trial has its own")
        settings["space"], values, base = values_of_trial(workspace, args.from_trial)
        settings["base"] = settings["base"] or base
    for text in args.hp:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--hp is {text!r}", "give NAME=VALUE, for example learning_rate=2e-3")
        values[name] = value
    result = train_one(
        workspace,
        values=values,
        fresh=args.fresh,
        tracking=Tracking(args.tensorboard, args.mlflow),
        progress=console,
        base_weights=args.base_weights,
        base_license=args.base_license,
        accept=args.accept,
        **settings,
    )
    test, base = result.metrics["test"], result.metrics["base"]
    low, high = test["f1_macro_interval"]
    seen = base_words(base and msgspec.convert(base, UsedBase))
    text = "\n".join(
        [
            f"{result.run_id}: test_f1_macro {test['f1_macro']:.4f} (95 % interval {low:.4f} to {high:.4f}){seen}",
            f"  accuracy {test['accuracy']:.4f}, precision {test['precision_macro']:.4f}, "
            f"recall {test['recall_macro']:.4f}, loss {test['loss']:.4f}",
            f"  files: {workspace.run(result.run_id)}",
            f"  promoted: {result.promoted}",
        ]
    )
    return {"run_id": result.run_id, "metrics": result.metrics, "promoted": result.promoted}, text


def main(argv: list[str] | None = None) -> int:
    return cli.main(options, run, argv)


if __name__ == "__main__":
    sys.exit(main())

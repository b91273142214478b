"""The sections of a model card about data, training and evaluation, in Markdown. Pure: no files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from tuning.core.acceptance import OVERLAP
from tuning.core.jobs import Additions
from tuning.dataset.splitting.leakage import Leakage
from tuning.dataset.store.description import SPLITS
from tuning.dataset.summary import PoolSummary
from tuning.results.markdown import escaped, table
from tuning.results.schema import FEW, FITTING, ClassFigures, Metrics, Origin, Params, Reliability, UsedBase
from tuning.results.standings import Seeds

if TYPE_CHECKING:
    import numpy as np

#: Most confusions that the card names.
_CONFUSIONS = 3

INTENDED_USE = """\
It labels pictures that show one face each, for research, teaching and the comparison of methods. It does not detect
faces: give it face crops, framed like those it was trained on.

- **It reproduces its annotators' judgements.** A label says what people agreed to see in a face, not what the person
  feels. The same expression goes with different feelings, and differs between persons, situations and cultures
  (Barrett et al., *Emotional Expressions Reconsidered*, Psychological Science in the Public Interest 20(1), 2019).
- **It must not decide about people**: not in hiring, at work, in education, policing, migration, insurance, credit or
  health care. In the European Union, systems that infer the emotions of people at work or in education are prohibited,
  medical and safety reasons apart (Regulation (EU) 2024/1689, Article 5(1)(f)).
- **It was not evaluated on groups of people.** How age, sex, skin colour, glasses, masks or head pose affect its
  scores is unknown. Measure that on pictures of the people it is meant for, before it is used.
- **It always answers.** A picture without a face, or with an expression outside its classes, gets one of its labels.
- **Do not rely on its probabilities.** Their calibration, if any (see Training), was fitted on validation pictures.
- **Its scores hold for pictures like those of its test split.** Another camera, other light, or spontaneous instead of
  posed expressions can lower them a lot."""


def data(metrics: Metrics, summary: PoolSummary | None) -> Iterator[str]:
    digest = f"Data digest: `{metrics.data_digest}`."
    if summary is None:
        rows = [[escaped(name), f"{found.support:,}"] for name, found in metrics.test.per_class.items()]
        yield "Test images by class; how the data were made is not known to the workspace that wrote this card."
        yield table(["class", "test"], rows, _numbers(1))
        yield digest
        return
    counts = {escaped(name): found for name, found in summary.counts.items()}
    rows = [
        [name, *(f"{found[split]:,}" for split in SPLITS), f"{sum(found.values()):,}"] for name, found in counts.items()
    ]
    totals = [sum(found[split] for found in counts.values()) for split in SPLITS]
    rows.append(["**all**", *(f"{total:,}" for total in totals), f"{sum(totals):,}"])
    yield f"{summary.images:,} images in {len(counts)} classes, from {escaped(summary.source)}."
    yield table(["class", *SPLITS, "all"], rows, _numbers(4))
    uneven = summary.imbalance
    shares = "all classes have the same number of images."
    if uneven.ratio > 1:
        shares = (
            f"the largest class, {escaped(uneven.largest)}, has {uneven.ratio:.1f} times as many images as the "
            f"smallest, {escaped(uneven.smallest)}."
        )
    yield f"**Imbalance:** {shares} Macro-F1 counts every class alike."
    for words in summary.small_classes:
        yield f"**Small classes:** {escaped(words)}"
    yield f"**Grouping:** {_grouping(summary)}"
    if summary.leakage is not None:
        yield f"**Leakage:** {_leakage(summary.leakage, summary.naive)}"
    left_out = [
        (len(summary.rejected), "files that could not be used"),
        (summary.dropped, "images dropped, because equal ones carry another label"),
        (summary.redundant, "exact copies of other images"),
        (summary.near.images, "images with near copies"),
    ]
    if any(count for count, _ in left_out):
        yield f"**Cleaning:** {'; '.join(f'{what}: {count:,}' for count, what in left_out if count)}."
    yield digest


def _grouping(summary: PoolSummary) -> str:
    # Omit the expression or file that identifies persons, because it may contain a path.
    words = replace(summary, subjects=None, group_by=None).grouping
    if summary.subjects is None:
        return f"{words}. Persons were not identified: the same person may be in training and in test."
    return f"{words}, and so do all images of a person ({summary.subjects:,} persons were told apart)."


def _leakage(found: Leakage, naive: Leakage | None) -> str:
    clean = not (found.exact or found.near or found.subject)
    verdict = "no test image has a copy in training" if clean else "test images have copies in training"
    if found.named:
        verdict += f"; persons: not checked ({found.named.words})"
    otherwise = f"; if every image were placed separately, it would be {naive.words}" if naive else ""
    return f"{verdict}. In shares of the {found.test:,} test images: {found.words}{otherwise}."


def base(used: UsedBase) -> Iterator[str]:
    """Yields the facts about a run's base model, and whether it has seen images of the validation or test split."""
    about = {
        "name": used.name,
        "sha256": used.sha256,
        "trained on": used.trained_on or "unknown",
        "licence": used.licence or "unknown",
    }
    yield table(["base", "value"], [[name, escaped(value)] for name, value in about.items()])
    if used.overlap is None:
        yield (
            "**Not checked:** it is unknown which images the base has seen. If images of the validation or the test "
            "split are among them, the scores below are too high."
        )
    elif used.overlap:
        yield (
            f"**The base has seen {used.overlap:,} images of the validation and test split,** which was accepted. The "
            "scores below are too high."
        )
    else:
        yield (
            "The base has seen no image of the validation or the test split, whether unchanged, mirrored, or at "
            "another size, quality or brightness."
        )


def training(metrics: Metrics, params: Params | None, repeatable: bool = True) -> Iterator[str]:
    """Yields the section about training.

    Args:
        repeatable: whether `train` would draw the same random numbers as the run did.
    """
    about: dict[str, str | int | None] = {
        "search space": metrics.space,
        "strategy": metrics.strategy,
        "search": metrics.search,
    }
    about |= {"trial": metrics.trial, "seed": metrics.seed}
    if metrics.kind == "ensemble":
        about["epochs"] = f"{metrics.epochs} at most; one of each member was chosen on validation"
    else:
        about["epochs"] = f"{metrics.epochs}; the weights are those of epoch {metrics.best_epoch}, chosen on validation"
    about["dtype policy"] = f"{metrics.dtype_policy} in training, float32 in this file"
    if params:
        names = ("backend", "threads", "early_stopping", "reduce_lr")
        about |= {name.replace("_", " "): getattr(params.settings, name) for name in names}
    about["training time"] = f"{metrics.train_seconds:,.0f} s"
    about["configuration digest"] = metrics.config_digest
    yield table(
        ["setting", "value"], [[name, escaped(str(value))] for name, value in about.items() if value is not None]
    )
    if metrics.base is not None:
        yield from base(metrics.base)
    if metrics.additions is not None:
        yield _additions(metrics.additions)
    if params and params.settings.members:
        yield table(
            ["member", "share"],
            [[f"`{name}`", str(share)] for name, share in params.settings.members.items()],
        )
        yield "The model is the mean of its members' outputs. Nothing else was trained for it."
    elif params:
        values = [[f"`{name}`", escaped(_value(value))] for name, value in params.values.items()]
        yield table(["hyperparameter", "value"], values)
        if params.settings.shortened is not UNSET:
            yield (
                "Its budget's clock changed its length while it was trained: it has "
                f"{metrics.epochs} of {params.settings.epochs} epochs, and no command trains the same weights again."
            )
            return
        same = "the same weights" if repeatable else "the same configuration, but with other random numbers"
        place = "its data" if metrics.trial is None else "that search and its data"
        yield f"In a workspace with {place}, this command trains {same}:\n\n```sh\n{again(metrics, params)}\n```"


def _additions(found: Additions) -> str:
    """Lists the additions to the network in the graph, with the reason for each one that was left out."""
    words = {
        "mirrored view: the mean of the network's outputs for an image and its mirror image": found.mirrored_view,
        "prior correction: probabilities times the classes' shares in training, to a power": found.prior_correction,
        "temperature: probabilities to a power": found.temperature,
    }
    lines = []
    for name, one in words.items():
        value = "" if one.value is None or not one.used else f" ({one.value:g})"
        gain = (
            f"validation macro-F1 {one.f1_macro_before:.4f} → {one.f1_macro_after:.4f}, "
            f"cross-entropy {one.loss_before:.4f} → {one.loss_after:.4f}"
            if one.f1_macro_after is not None
            else ""
        )
        state = "in" if one.used else f"left out, because {one.reason}"
        lines.append(f"- {name}{value}: {state}{f'; {gain}' if gain else ''}")
    return "**Added to the network in the graph,** as decided on validation:\n\n" + "\n".join(lines)


def again(metrics: Metrics, params: Params) -> str:
    """Returns the command that trains the run's configuration with its seed again; an overlap that was accepted for the
    run is accepted by the command."""
    words = ["python", "-m", "tuning.train"]
    if metrics.trial is not None:
        words += ["--from-trial", f"{metrics.search}/{metrics.trial}"]
    else:
        words += ["--space", metrics.space]
        if metrics.base is not None:
            words += ["--base", metrics.base.sha256]
        for name, value in params.values.items() if metrics.kind == "train" else ():
            words += ["--hp", f"{name}={value}"]
    for name in ("epochs", "seed", "early_stopping", "reduce_lr"):
        setting = getattr(params.settings, name)
        if setting is not None:
            words += [f"--{name.replace('_', '-')}", str(setting)]
    words += ["--dtype", metrics.dtype_policy.removeprefix("mixed_")]
    if metrics.base is not None and metrics.base.overlap:
        words += ["--accept", OVERLAP]
    backend = params.settings.backend
    return ("" if backend == "tensorflow" else f"KERAS_BACKEND={backend} ") + shlex.join(words)


def evaluation(metrics: Metrics, seeds: Seeds | None) -> Iterator[str]:
    import numpy as np

    test, val = metrics.test, metrics.val
    times = "once" if metrics.test_evaluations == 1 else f"{metrics.test_evaluations} times"
    chosen = {"finalist": "Configuration and epoch were", "ensemble": "Members, and the epoch of each, were"}
    yield (
        f"{chosen.get(metrics.kind, 'The epoch was')} chosen on the validation split. The test split was sealed until "
        f"then, and used {times} for this run. Intervals are 95 % intervals over {test.sample} and do not cover the "
        "effect of another training seed. The validation scores are of this same model, which was chosen by them, so "
        "they are too high."
    )
    rows = [
        ["macro-F1", f"{test.f1_macro:.3f} ({interval(test.f1_macro_interval)})", _figure(val.f1_macro)],
        ["accuracy", f"{test.accuracy:.3f} ({interval(test.accuracy_interval)})", _figure(val.accuracy)],
        ["macro precision", f"{test.precision_macro:.3f}", "–"],
        ["macro recall", f"{test.recall_macro:.3f}", "–"],
        ["cross entropy", f"{test.loss:.3f}", _figure(val.loss)],
    ]
    yield table(["figure", "test", "validation"], rows, _numbers(2))
    yield _calibration(test.calibration, test.untempered)
    if seeds:
        yield (
            f"The same configuration was trained with {seeds.count} seeds: test macro-F1 {seeds.mean:.3f} "
            f"± {seeds.deviation:.3f} (mean ± standard deviation)."
        )
    if metrics.promoted is not UNSET:
        yield _promoted(test.f1_macro, metrics.promoted)
    rows = [
        [
            escaped(name),
            _with_interval(found.precision, found.precision_interval),
            _with_interval(found.recall, found.recall_interval),
            _with_interval(found.f1, found.f1_interval),
            f"{found.support:,}{_units(found)}",
            "too few to tell" if found.few else "",
        ]
        for name, found in test.per_class.items()
    ]
    yield table(["class", "precision", "recall", "F1", "test images", ""], rows, [*_numbers(4), False])
    if few := [escaped(name) for name, found in test.per_class.items() if found.few]:
        yield (
            f"**Too few to tell:** {', '.join(few)}. With fewer than {FEW} independent test images a class that is "
            "recognised well cannot be told from one that is not: read its interval, not its figures."
        )
    if test.missing:
        yield f"**Without a test image,** and so with an F1 of 0 in the mean: {', '.join(map(escaped, test.missing))}."
    confusion = np.array(test.confusion_matrix)
    if errors := _confusions(confusion, metrics.classes):
        yield f"Most frequent confusions: {'; '.join(errors)}."


def _calibration(found: Reliability, before: Reliability | None) -> str:
    words = f"**Calibration:** expected calibration error on test {_error(found)}, in 15 bins (Guo et al., ICML 2017)"
    if before is not None:
        words += f"; without the temperature in its graph, which was fitted on validation, {_error(before)}"
    return (
        f"{words}. Its mean confidence is {abs(found.overconfident):.3f} "
        f"{'above' if found.overconfident > 0 else 'below'} its accuracy. With few images, chance alone produces such "
        "an error: an interval that begins at 0 is compatible with perfect calibration."
    )


def _error(found: Reliability) -> str:
    return f"{found.error:.3f} ({interval(found.interval)})"


def _promoted(score: float, origin: Origin) -> str:
    fitting = origin.rule.startswith(FITTING)
    if origin.compared == 1:
        alone = (
            "exported as the only run that fits the limits given" if fitting else "promoted as the only run on its data"
        )
        return f"It was {alone}, when this was written."
    was, runs = ("exported", "runs that fit the limits given") if fitting else ("promoted", "runs")
    words = (
        f"It was {was} for the highest test macro-F1 of {origin.compared:,} {runs}, when this was written. The "
        f"highest of several scores is optimistic: raw **{score:.3f}**"
    )
    if origin.corrected is None:
        return f"{words}; expect somewhat less on new images."
    return (
        f"{words}, corrected for having been chosen **{origin.corrected:.3f}** (chosen on resampled test images, "
        "scored on those left out)."
    )


def _units(found: ClassFigures) -> str:
    return f" in {found.units:,} units" if found.units < found.support else ""


def _with_interval(value: float, bounds: Sequence[float]) -> str:
    return f"{value:.3f} ({interval(bounds)})"


def _confusions(confusion: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Describes the most frequent confusions, the largest share of the true class first."""
    found = [
        (-confusion[i, j] / confusion[i].sum(), i, j)
        for i in range(len(classes))
        for j in range(len(classes))
        if i != j and confusion[i, j]
    ]
    return [
        f"{escaped(classes[i])} taken for {escaped(classes[j])}, {confusion[i, j]:,} of {confusion[i].sum():,}"
        for _, i, j in sorted(found)[:_CONFUSIONS]
    ]


def _numbers(columns: int) -> list[bool]:
    """Returns, for each column, whether it is right-aligned: one column of words, then `columns` of numbers."""
    return [False] + [True] * columns


def interval(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.3f}–{bounds[1]:.3f}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)

"""The verdict in words: which run won, by how much, which runs are tied, and how reliable that is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuning.core.errors import listed
from tuning.history.decisions import counted
from tuning.history.records import History
from tuning.history.status import INTERRUPTED, RUNNING, TESTING
from tuning.results.answers import BETTER, NARROW, SECOND_SEED, SEEDS_UNKNOWN, TIED, WORSE
from tuning.results.report.evidence import Claims, Evidence

#: From this difference between two scores on, e.g. validation and test, the verdict mentions it.
NOTABLE_DROP = 0.05
#: Most classes that a sentence names.
_NAMED = 10
#: First sentence if there are runs but more may follow.
_NOT_YET = {
    RUNNING: "The search is still running: further runs may follow.",
    TESTING: "Finalists are still being retrained: further runs will follow.",
    INTERRUPTED: "The search was interrupted: the same command resumes it, and further runs may follow.",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a search.

    Attributes:
        kind: "good" (better than the baseline), "tie", "bad" (worse than the baseline, or all failed) or "open".
        headline: one sentence.
        reasons: further sentences, the most important first.
        corrected: the best of several test scores, corrected for selection; None if there is only one, or if unknown.
    """

    kind: str
    headline: str
    reasons: tuple[str, ...] = ()
    corrected: float | None = None


def verdict(history: History, status: str, runs: Sequence[Evidence], claims: Claims) -> Verdict:
    """Returns the verdict on a search.

    Args:
        status: state of the search, a constant of `history.status`.
        runs: the published runs, best test score first.
        claims: the statistical comparison of the runs.
    """
    if not runs:
        return _without_test(history, status)
    best, rest = runs[0], runs[1:]
    baselines = [run for run in rest if run.is_baseline]
    others = [run for run in rest if not run.is_baseline]
    headline, kind = _headline(best, others, baselines, claims)
    reasons = [
        *([_NOT_YET[status]] if status in _NOT_YET else []),
        *_base_warning(runs),
        *_against_baseline(best, baselines, claims),
        # Another seed of the best configuration is not compared with it.
        *_ties([run for run in others if run.configuration != best.configuration], claims),
        *_seeds(runs, claims),
        *_caveats(best, runs, claims),
    ]
    return Verdict(kind, headline, tuple(reasons), claims.corrected if len(runs) > 1 else None)


def _without_test(history: History, status: str) -> Verdict:
    best, done = history.best, len(history.steps)
    trials = counted(done, "trial")
    if not done:
        return Verdict("open", "No trial has ended yet.")
    if best is None:
        all_of_them = "The one trial that has ended" if done == 1 else f"All {trials} that have ended"
        return Verdict("bad", f"{all_of_them} failed.", ("The table of failed trials below says why.",))
    found = (
        f"trial {best.trial_ids[-1]} leads with a validation macro-F1 of {best.score:.3f} after "
        f"{counted(best.epochs, 'epoch')}"
    )
    doing = {
        RUNNING: f"After {trials}, {found}.",
        TESTING: f"The trials are done: {found}. The finalists are being retrained.",
    }.get(status, f"Of {trials}, {found}.")
    reasons = ["It was chosen by its validation score, which is therefore optimistic; the test split decides."]
    if history.finals and all(final.error for final in history.finals):
        reasons.append(f"All {counted(len(history.finals), 'final training')} failed: see the finalists below.")
    baseline = history.baseline
    if baseline is best:
        reasons.insert(0, "It is the baseline itself.")
    elif baseline and baseline.score is not None:
        epochs = min(best.epochs, baseline.epochs)
        own, its = best.score_after(epochs), baseline.score_after(epochs)
        reasons.insert(0, f"After {counted(epochs, 'epoch')} it had {own:.3f}, the baseline {its:.3f}.")
    return Verdict("open", doing, tuple(reasons))


def _headline(
    best: Evidence, others: Sequence[Evidence], baselines: Sequence[Evidence], claims: Claims
) -> tuple[str, str]:
    name = best.name
    score = f"test macro-F1 {best.score:.3f}"
    if best.is_baseline and not others:
        if baselines:
            return f"Only the baseline was retrained, with {1 + len(baselines)} seeds; the best has {score}.", "open"
        return f"The baseline is the only run: {score}.", "open"
    if best.is_baseline:
        standings = [claims.rivals[run.metrics.run_id].standing for run in others]
        if BETTER in standings:
            over = min(others, key=lambda run: claims.rivals[run.metrics.run_id].difference)
            return f"The baseline has {_highest_alone(over, score, claims)}", "good"
        beaten = all(standing == WORSE for standing in standings)
        kind = "bad" if beaten else "tie" if TIED in standings else "open"
        return f"Nothing beat the baseline: {score}.", kind
    if not baselines:
        return f"{_capital(name)} is {'the best' if others else 'the only run'}: {score}.", "open"
    rival = baselines[0]
    compared = claims.rivals[rival.metrics.run_id]
    found, scores = compared.standing, f"{score} against {rival.score:.3f}"
    if found is not None and _is_of_means(best, rival, claims):
        scores += f", over all seeds {compared.difference:+.3f} in the mean"
    if found == TIED:
        return f"{_capital(name)} and the baseline are tied: {scores}.", "tie"
    if found == BETTER:
        return f"{_capital(name)} has {_highest_alone(rival, score, claims)}", "bad"
    if found == WORSE:
        return f"{_capital(name)} beats the baseline: {scores}.", "good"
    why = "seeds unknown" if found == SEEDS_UNKNOWN else "not compared image by image"
    return f"{_capital(name)} is ahead of the baseline, {why}: {scores}.", "open"


def _highest_alone(over: Evidence, score: str, claims: Claims) -> str:
    """Ends the headline if the run `over` has a lower score than the best run, but a better configuration."""
    apart, name = -claims.rivals[over.metrics.run_id].difference, over.metrics.role
    return f"the highest single score, {score}, but {name} is better over its seeds: {apart:+.3f} in the mean."


def _base_warning(runs: Sequence[Evidence]) -> list[str]:
    """Returns a warning if the base model has seen validation or test images, or if that is unknown."""
    base = next((run.metrics.base for run in runs if run.metrics.base), None)
    if base is None or base.overlap == 0:
        return []
    if base.overlap is None:
        return [
            "What the base has seen is unknown, and was not checked: scores of what started from it are too high if it "
            "has seen images of the validation or test split."
        ]
    return [
        f"The base has seen {counted(base.overlap, 'image')} of the validation and test split, which was accepted: "
        "scores of what started from it are too high."
    ]


def _is_of_means(best: Evidence, rival: Evidence, claims: Claims) -> bool:
    """Whether the difference is one of means over seeds, and so differs from that of the two scores."""
    return abs(claims.rivals[rival.metrics.run_id].difference - (best.score - rival.score)) > 0.0005


def _against_baseline(best: Evidence, baselines: Sequence[Evidence], claims: Claims) -> list[str]:
    if best.is_baseline or not baselines:
        return []
    found = claims.rivals[baselines[0].metrics.run_id]
    if found.low is None or found.high is None:
        return ["The predictions of one of the two were not kept, so their difference cannot be told from chance."]
    chance = "the choice of test images" + (" and the luck of a training seed" if claims.noise else "")
    means = " between the means over their seeds" if _is_of_means(best, baselines[0], claims) else ""
    interval = interval_text(found.low, found.high, best.metrics.test.units)
    said = f"The difference{means} is {found.difference:+.3f} (95 % interval {interval}"
    how = f"all runs at once, bootstrap over {best.metrics.test.sample})"
    if found.standing == TIED:
        return [f"{said}, {how}: {chance} alone can explain it."]
    if found.standing in (WORSE, BETTER):
        return [f"{said}, {how}: more than {chance} explain."]
    return [
        f"{said}, {how}: more than {chance} explains, but no configuration was trained with a second seed, and seeds "
        "may differ by as much."
    ]


def _ties(others: Sequence[Evidence], claims: Claims) -> list[str]:
    words = {
        TIED: "Tied with the best",
        BETTER: "Better over their seeds beyond chance, although none of their scores is as high",
        WORSE: "Behind it beyond chance",
        SEEDS_UNKNOWN: "Behind it by more than the choice of test images explains, seeds unknown",
        None: "Not compared image by image, as predictions were not kept",
    }
    groups = {
        standing: [run for run in others if claims.rivals[run.metrics.run_id].standing == standing]
        for standing in words
    }
    return [
        f"{words[standing]}: {'; '.join(_rival(run, claims) for run in found)}."
        for standing, found in groups.items()
        if found
    ]


def _rival(run: Evidence, claims: Claims) -> str:
    found = claims.rivals[run.metrics.run_id]
    if found.low is None or found.high is None:
        return f"{run.name} with {run.score:.3f}"
    return (
        f"{run.name} with {run.score:.3f} (difference {interval_text(found.low, found.high, run.metrics.test.units)})"
    )


def interval_text(low: float, high: float, units: int) -> str:
    """Formats an interval of a difference; says "unknown" if it spans all possible differences, -1 to 1."""
    if low > -1 or high < 1:
        return f"{low:+.3f} to {high:+.3f}"
    return "unknown, too few seeds" if units > 1 else "unknown, of a single independent unit"


def _seeds(runs: Sequence[Evidence], claims: Claims) -> list[str]:
    sentences = []
    if claims.noise is None:
        known = f" To know that, {SECOND_SEED}." if len(runs) > 1 else ""
        sentences.append(f"The intervals cover the choice of test images, not the luck of a training seed.{known}")
    else:
        noise = claims.noise
        sentences.append(
            f"Seeds: beyond the choice of images, they differ by a standard deviation of {noise.deviation:.3f}, from "
            f"{counted(noise.degrees, 'repeated run')} on these data; the intervals of differences include it"
            f"{', which more seeds would narrow a lot' * (noise.degrees < NARROW)}."
        )
    trained: dict[tuple[str, ...], Evidence] = {}
    for run in runs:
        # An ensemble is not trained, so it has no seeds.
        if run.metrics.kind != "ensemble":
            trained.setdefault(run.configuration, run)
    if all(run.metrics.run_id not in claims.seeds for run in trained.values()):
        return sentences
    parts = []
    for run in trained.values():
        found = claims.seeds.get(run.metrics.run_id)
        figures = f"{found.mean:.3f} ± {found.deviation:.3f} ({found.count})" if found else f"{run.score:.3f} (1)"
        parts.append(f"{run.metrics.role} {figures}")
    return [*sentences, f"Mean ± standard deviation over training seeds (number of seeds): {'; '.join(parts)}."]


def _caveats(best: Evidence, runs: Sequence[Evidence], claims: Claims) -> list[str]:
    sentences = []
    if claims.corrected is not None and len(runs) > 1:
        sentences.append(
            f"The best of {len(runs)} test scores is optimistic: raw {best.score:.3f}, corrected for having been "
            f"chosen {claims.corrected:.3f}."
        )
    chosen = min(runs, key=lambda run: (-run.metrics.val.f1_macro, run.metrics.run_id))
    if chosen is not best:
        sentences.append(f"Validation would have chosen {chosen.name} (test {chosen.score:.3f}).")
    drop = best.metrics.val.f1_macro - best.score
    if drop >= NOTABLE_DROP:
        sentences.append(
            f"Its validation score, {best.metrics.val.f1_macro:.3f}, is {drop:.3f} above its test score: "
            "models look too good on the images that they were chosen by."
        )
    fallen = [
        f"{run.name} ({run.searched.score:.3f} in the search, {run.network_score:.3f} retrained)"
        for run in runs
        if run.searched and run.network_score is not None
        if abs(run.searched.score - run.network_score) >= NOTABLE_DROP
    ]
    if fallen:
        sentences.append(
            "Retrained, these configurations have other validation scores in the published epoch than at their best "
            f"in the search: {'; '.join(fallen)}. The best score of a single training can be that far off."
        )
    blind = [
        f"{name} ({counted(found.support, 'image')})"
        for name, found in best.metrics.test.per_class.items()
        if found.support and found.recall == 0
    ]
    if blind:
        sentences.append(f"On the test split it recognised no image of: {', '.join(blind)}.")
    few = [
        f"{name} ({counted(found.support, 'image')}"
        + f" in {counted(found.units, 'unit')}" * (found.units < found.support)
        + ")"
        for name, found in best.metrics.test.per_class.items()
        if found.few and found.support
    ]
    if few:
        sentences.append(f"Too few test images to tell how well it does on: {listed(few, _NAMED)}.")
    if missing := best.metrics.test.missing:
        sentences.append(f"Without a test image, and so with an F1 of 0 in the mean: {listed(missing, _NAMED)}.")
    if best.metrics.test.accuracy == 1:
        low = best.metrics.test.accuracy_interval[0]
        sentences.append(
            f"It misclassified none of {best.metrics.test.sample}; an error rate of up to "
            f"{100 * (1 - low):.2g} % would not be surprising (95 % interval)."
        )
    evaluations = best.metrics.test_evaluations
    if evaluations > 1:
        sentences.append(f"This run was evaluated on the test split {evaluations} times, so read its score with care.")
    return sentences


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

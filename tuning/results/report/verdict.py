"""The verdict in words: what won, by how much, what is a tie, and whether to believe it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuning.history.records import History
from tuning.history.status import RUNNING, TESTING
from tuning.results.report.evidence import Comparison, Evidence

#: A test score this far below the validation score deserves a word.
NOTABLE_DROP = 0.05


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    kind: "good" (better than the baseline), "tie", "bad" (worse than it, or all failed) or "open".
    headline: one sentence.
    reasons: further sentences, the most important first.
    """

    kind: str
    headline: str
    reasons: tuple[str, ...] = ()


def verdict(history: History, status: str, runs: Sequence[Evidence], against: Mapping[str, Comparison]) -> Verdict:
    """The verdict.

    Args:
        status: what the search is doing, a word of `history.status`.
        runs: the published runs, best test score first.
        against: by run id, how much better the best run is than each of the others.
    """
    if not runs:
        return _without_test(history, status)
    best, rest = runs[0], runs[1:]
    baselines = [run for run in rest if run.is_baseline]
    headline, kind = _headline(best, baselines, against)
    reasons = [
        *_against_baseline(best, baselines, against),
        *_ties(best, [run for run in rest if not run.is_baseline], against),
        *_seeds(runs),
        *_honesty(best, runs),
    ]
    return Verdict(kind, headline, tuple(reasons))


def _without_test(history: History, status: str) -> Verdict:
    best, done = history.best, len(history.steps)
    trials = _count(done, "trial")
    if not done:
        return Verdict("open", "No trial has ended yet.")
    if best is None:
        return Verdict("bad", f"All {trials} failed.", ("The table of failed trials below says why.",))
    found = (
        f"trial {best.trial_ids[-1]} leads with a validation macro-F1 of {best.score:.3f} after "
        f"{_count(best.epochs, 'epoch')}"
    )
    doing = {
        RUNNING: f"After {trials}, {found}.",
        TESTING: f"The trials are done: {found}. The finalists are being retrained.",
    }.get(status, f"Of {trials}, {found}.")
    reasons = ["It was chosen by its validation score, which is therefore optimistic; the test split decides."]
    baseline = history.baseline
    if baseline is best:
        reasons.insert(0, "It is the baseline itself.")
    elif baseline and baseline.score is not None:
        epochs = min(best.epochs, baseline.epochs)
        own, its = best.score_after(epochs), baseline.score_after(epochs)
        reasons.insert(0, f"After {_count(epochs, 'epoch')} it had {own:.3f}, the baseline {its:.3f}.")
    return Verdict("open", doing, tuple(reasons))


def _headline(best: Evidence, baselines: Sequence[Evidence], against: Mapping[str, Comparison]) -> tuple[str, str]:
    name = best.name
    score = f"test macro-F1 {best.score:.3f}"
    if best.is_baseline:
        return f"Nothing beat the baseline: {score}.", "tie" if any(c.tied for c in against.values()) else "bad"
    if not baselines:
        return f"{_capital(name)} is the best: {score}.", "open"
    rival = baselines[0]
    if against[rival.metrics.run_id].tied:
        return f"{_capital(name)} and the baseline are tied: {score} against {rival.score:.3f}.", "tie"
    return f"{_capital(name)} beats the baseline: {score} against {rival.score:.3f}.", "good"


def _against_baseline(best: Evidence, baselines: Sequence[Evidence], against: Mapping[str, Comparison]) -> list[str]:
    if best.is_baseline or not baselines:
        return []
    found = against[baselines[0].metrics.run_id]
    images = best.metrics.test.images
    if found.low is None:
        meeting = "overlap" if found.tied else "do not overlap"
        return [f"Their 95 % intervals over {images:,} test images {meeting}."]
    interval = f"{found.difference:+.3f} (95 % interval {found.low:+.3f} to {found.high:+.3f}"
    how = f"paired bootstrap over {images:,} test images)"
    if found.tied:
        return [f"The difference is {interval}, {how}: the choice of test images alone can explain it."]
    return [f"The difference is {interval}, {how}: more than the choice of test images explains."]


def _ties(best: Evidence, others: Sequence[Evidence], against: Mapping[str, Comparison]) -> list[str]:
    tied = [run for run in others if against[run.metrics.run_id].tied]
    beaten = [run for run in others if not against[run.metrics.run_id].tied]
    sentences = []
    if tied:
        sentences.append(f"Tied with the best: {'; '.join(_rival(run, against) for run in tied)}.")
    if beaten:
        sentences.append(f"Behind it beyond chance: {'; '.join(_rival(run, against) for run in beaten)}.")
    return sentences


def _rival(run: Evidence, against: Mapping[str, Comparison]) -> str:
    found = against[run.metrics.run_id]
    if found.low is None:
        return f"{run.name} with {run.score:.3f}"
    return f"{run.name} with {run.score:.3f} (difference {found.low:+.3f} to {found.high:+.3f})"


def _seeds(runs: Sequence[Evidence]) -> list[str]:
    groups: dict[str, list[Evidence]] = {}
    for run in runs:
        groups.setdefault(run.metrics.config_digest, []).append(run)
    if all(len(group) == 1 for group in groups.values()):
        return [
            "The intervals cover the choice of test images, not the luck of a training seed: --executions 3 retrains "
            "with three."
        ]
    parts = []
    for group in groups.values():
        if group[0].metrics.kind == "ensemble":
            # Nothing of it is trained.
            continue
        scores = [run.score for run in group]
        spread = f" ± {statistics.stdev(scores):.3f}" if len(scores) > 1 else ""
        name = "the baseline" if group[0].is_baseline else f"trial {group[0].metrics.trial}"
        parts.append(f"{name} {statistics.mean(scores):.3f}{spread}")
    count = max(map(len, groups.values()))
    return [f"Mean ± standard deviation over {count} training seeds: {'; '.join(parts)}."]


def _honesty(best: Evidence, runs: Sequence[Evidence]) -> list[str]:
    sentences = []
    chosen = min(runs, key=lambda run: (-run.metrics.val.f1_macro, run.metrics.run_id))
    if chosen is not best:
        sentences.append(
            f"Validation would have chosen {chosen.name} (test {chosen.score:.3f}); the best of {len(runs)} test "
            "scores is slightly optimistic."
        )
    drop = best.metrics.val.f1_macro - best.score
    if drop >= NOTABLE_DROP:
        sentences.append(
            f"Its validation score, {best.metrics.val.f1_macro:.3f}, is {drop:.3f} above its test score: what was "
            "chosen on the validation images looks too good on them."
        )
    blind = [
        f"{name} ({_count(found.support, 'image')})"
        for name, found in best.metrics.test.per_class.items()
        if found.support and found.recall == 0
    ]
    if blind:
        sentences.append(f"On the test split it recognised nothing of: {', '.join(blind)}.")
    if best.metrics.test.accuracy == 1:
        images = best.metrics.test.images
        sentences.append(
            f"It took none of {images:,} test images for another class: a bootstrap of no errors has no width, yet an "
            f"error rate of up to {300 / images:.2g} % would not be surprising (the rule of three)."
        )
    evaluations = best.metrics.test_evaluations
    if evaluations > 1:
        sentences.append(f"This run was evaluated on the test split {evaluations} times: read its score with care.")
    return sentences


def _count(number: float, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

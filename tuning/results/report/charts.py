"""The charts of the page, each returned as HTML; see `plot`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuning.history.records import History, Parameter, Trial
from tuning.results.report.comparable import groups
from tuning.results.report.data import SHADES, Entry
from tuning.results.report.html import value_words
from tuning.results.report.plot import Axis, Drawing, Place, dots, line, note, padded, plot, rectangle, short
from tuning.trials.calibration import Calibration

#: Most points of all learning curves together; if there are more, curves are thinned out.
MOST_POINTS = 60_000
#: With more configurations than this, marks are thinner.
MANY = 200
#: Parallel coordinates: where the axes end, and where inactive hyperparameters are shown, as shares of the height.
AXIS_END, UNUSED = 0.9, 0.97

#: Fraction of the golden ratio, which spreads dots evenly without a pattern.
_GOLDEN = 0.618


def best(history: History, entries: Sequence[Entry], over: str) -> str:
    """Draws the best score so far over "time", "epochs" or "trials"; "" if there is no score."""
    steps = [step for step in history.steps if step.best is not None]
    if not steps:
        return ""
    at = {
        "time": lambda step: step.seconds or 0.0,
        "epochs": lambda step: step.epochs,
        "trials": lambda step: step.trials,
    }[over]
    label = {"time": "running time", "epochs": "epochs trained, all trials together", "trials": "trials ended"}[over]
    last = max(at(step) for step in history.steps)
    x = Axis(0, last, label, whole=over != "time", time=over == "time")
    y = Axis(*padded([value for step in steps for value in (step.score, step.best) if value is not None]))
    draw = Drawing(x, y)
    owners = {trial: entry.number for entry in entries for trial in entry.configuration.trial_ids}
    trials = [step for step in steps if step.score is not None and step.trial_id in owners]
    path: list[Place] = []
    for step in steps:
        place = draw(at(step), step.best or 0.0)
        path += [(place[0], path[-1][1])] if path else []
        path.append(place)
    path.append((1.0, path[-1][1]))
    places = [draw(at(step), step.score or 0.0) for step in trials]
    marks = [dots(places, [owners[step.trial_id] for step in trials], "soft"), line(path, "best")]
    notes = []
    baseline = next((entry for entry in entries if entry.baseline), None)
    if baseline:
        level = draw(0, baseline.score)[1]
        marks.append(line([(0, level), (1, level)], "reference"))
        notes.append(note((0.01, level), f"baseline {baseline.score:.3f}", "reference above"))
    title = f"best validation macro-F1 so far over {label}: {steps[-1].best:.3f} at the end"
    return plot("best", x, y, marks, title, notes, many=len(entries) > MANY)


def cost(entries: Sequence[Entry]) -> str:
    """Draws score against training time, or against epochs if no time is known; "" if there is no score."""
    timed = any(entry.configuration.seconds > 0 for entry in entries)
    spent = [(entry.configuration.seconds if timed else float(entry.configuration.epochs), entry) for entry in entries]
    shown = [(price, entry) for price, entry in spent if price > 0]
    if not shown:
        return ""
    low, high = min(price for price, _ in shown), max(price for price, _ in shown)
    log = high > 20 * low
    label = "training time of the configuration, one worker" if timed else "epochs"
    x = Axis(low * 0.9 if log else 0, high * (1.1 if log else 1.05), label, log=log, time=timed)
    draw = Drawing(x, Axis(*padded([entry.score for _, entry in shown])))
    points = [(draw(price, entry.score), entry) for price, entry in shown]
    front: list[Place] = []
    for place, _ in sorted(points, key=lambda point: point[0]):
        if front and place[1] >= front[-1][1]:
            continue
        front += [(place[0], front[-1][1])] if front else []
        front.append(place)
    marks = [line(front, "front"), *_scatter(points)]
    return plot("cost", x, draw.y, marks, "score against training cost", many=len(entries) > MANY)


def curves(entries: Sequence[Entry], loss: bool = False) -> str:
    """Draws the learning curves of all configurations, labelled finalists and baseline on top; "" if there is none."""
    stride = -(-sum(len(entry.configuration.curve) for entry in entries) // MOST_POINTS) or 1
    found: list[tuple[Entry, list[tuple[float, float]]]] = []
    for entry in entries:
        curve = entry.configuration.curve
        kept = [point for place, point in enumerate(curve) if place % stride == 0 or place == len(curve) - 1]
        values = [(point.epoch, point.loss if loss else point.score) for point in kept]
        known = [(epoch, value) for epoch, value in values if value is not None]
        found += [(entry, known)] if known else []
    if not found:
        return ""
    every = sorted(value for _, points in found for _, value in points)
    # A diverged loss must not flatten all other curves.
    top = every[int(len(every) * 0.98)] if loss and len(every) > 1 else every[-1]
    epochs = [epoch for _, points in found for epoch, _ in points]
    x = Axis(min(1.0, *epochs), max(2.0, *epochs), "epoch", whole=True)
    draw = Drawing(x, Axis(*padded([every[0], top])))
    marks, above, tags = [], [], []
    for entry, points in sorted(found, key=lambda one: one[0].score):
        places = [draw(epoch, min(value, top)) for epoch, value in points]
        drawn = line(places, f"curve {entry.role}", entry.number)
        if len(places) == 1:
            drawn = dots(places, [entry.number], entry.role)
        if entry.rank or entry.baseline:
            above.append(drawn)
            text = " ".join([str(entry.rank)] * bool(entry.rank) + ["baseline"] * entry.baseline)
            tags.append((places[-1], text, f"tag {entry.role}"))
        else:
            marks.append(drawn)
    title = f"learning curves of {len(found)} configurations, validation {'loss' if loss else 'macro-F1'}"
    return plot(
        "loss" if loss else "curves",
        x,
        draw.y,
        [*marks, *above],
        title,
        _end_labels(tags),
        height=300,
        labels=(12, 6),
        right=72,
        many=len(entries) > MANY,
    )


def _end_labels(tags: Sequence[tuple[Place, str, str]]) -> list[str]:
    """Places the labels at the ends of curves so that they do not overlap."""
    placed: list[Place] = []
    notes = []
    for (x, y), text, kind in sorted(tags, key=lambda tag: tag[0][1]):
        down = y
        for other in placed:
            if abs(other[0] - x) < 0.08 and down - other[1] < 0.055:
                down = other[1] + 0.055
        placed.append((x, down))
        notes.append(note((x, down), text, kind))
    return notes


def rungs(found: Mapping[float, Sequence[Trial]], entries: Sequence[Entry]) -> str:
    """Draws the trials at the end of each rung, and lines for promotions.

    One chart covers all brackets, because a trial paused in one bracket may be continued in another.
    """
    owners = {trial: entry for entry in entries for trial in entry.configuration.trial_ids}
    scores = [trial.score for trials in found.values() for trial in trials if trial.score is not None]
    y = Axis(*padded(scores, 0.1))
    draw = Drawing(Axis(names=[f"{short(epochs)} epoch{'s' * (epochs != 1)}" for epochs in found]), y)
    where: dict[str, Place] = {}
    promoted, points, notes = [], [], []
    for number, trials in enumerate(found.values()):
        spread = min(0.6, len(trials) / 30)
        for order, trial in enumerate(trials):
            beside = ((order * _GOLDEN) % 1 - 0.5) * spread
            place = draw(number + beside, y.low if trial.score is None else trial.score)
            if trial.score is None:
                notes.append(note(place, "×", "failed"))
            elif trial.trial_id in owners:
                points.append((place, owners[trial.trial_id]))
            if trial.root in where:
                promoted.append(line([where[trial.root], place], "promotion"))
            where[trial.root] = place
    sizes = " → ".join(f"{len(trials):,}" for trials in found.values())
    marks = [*promoted, *_scatter(points)]
    return plot("rungs", draw.x, y, marks, f"rungs: {sizes} trials", notes, many=len(entries) > MANY)


def parameter_slice(parameter: Parameter, place: int, entries: Sequence[Entry], scores: Mapping[str, float]) -> str:
    """Draws every configuration's score against one hyperparameter; "" if it is inactive in all of them.

    Lines are means of groups of values, within bands that are their 95 % intervals; see `comparable.groups`.

    Args:
        place: index of the slice. Dots of a choice are spread differently in each slice, so that no apparent slope
            recurs.
        scores: the scores to group, by the root trial of the configuration.
    """
    x = _axis(parameter, 0.04)
    draw = Drawing(x, Axis(*padded([entry.score for entry in entries])))
    points = []
    for order, entry in enumerate(entries):
        value = position(parameter, entry)
        if value is not None:
            beside = ((order * _GOLDEN + place * 0.382) % 1 - 0.5) * 0.6 if x.names else 0.0
            points.append((draw(value + beside, entry.score), entry))
    if not points:
        return ""
    values = {entry.configuration.root: entry.configuration.values.get(parameter.name) for entry in entries}
    half = 0.4 if x.names else 0.0
    bands: list[str] = []
    for group in groups(parameter, values, scores):
        start, end = group.start - half, group.end + half
        low, high = (min(max(level, draw.y.low), draw.y.high) for level in (group.low, group.high))
        bands.append(rectangle(draw(start, high), draw(end, low), "interval"))
        bands.append(line([draw(start, group.mean), draw(end, group.mean)], "mean"))
    title = f"{parameter.name} against validation macro-F1"
    return plot(
        "slices", x, draw.y, [*bands, *_scatter(points)], title, height=140, labels=(4, 4), many=len(entries) > MANY
    )


def parallel(parameters: Sequence[Parameter], entries: Sequence[Entry]) -> str:
    """Draws parallel coordinates: an axis for the score and for each hyperparameter, a line for each configuration."""
    scores = [entry.score for entry in entries]
    low, high = min(scores), max(scores)
    sides = [("val macro-F1", Axis(low, high if high > low else low + 1e-6)), *((p.name, _axis(p)) for p in parameters)]

    def across(number: int) -> float:
        return number / (len(sides) - 1) if len(sides) > 1 else 0.5

    def along(axis: Axis, value: float) -> float:
        if axis.names:
            return AXIS_END * (1 - value / ((len(axis.names) - 1) or 1))
        return AXIS_END * (1 - axis.at(value))

    marks: list[str] = []
    above: list[str] = []
    unused: set[int] = set()
    for entry in sorted(entries, key=lambda one: one.score):
        values = [entry.score, *(position(parameter, entry) for parameter in parameters)]
        unused |= {number for number, value in enumerate(values) if value is None}
        places = [
            (across(number), UNUSED if value is None else along(axis, value))
            for number, ((_, axis), value) in enumerate(zip(sides, values, strict=True))
        ]
        kept = above if entry.rank or entry.baseline else marks
        kept.append(line(places, f"curve {entry.role}", entry.number))
    notes = []
    for number, (name, axis) in enumerate(sides):
        marks.append(line([(across(number), 0), (across(number), AXIS_END)], "axis"))
        labels = axis.ticks(4)
        if axis.names:
            labels = [(1 - along(axis, place) / AXIS_END, text) for place, text in enumerate(axis.names)]
        notes.append(note((across(number), 0), name, "axis-name"))
        notes += [note((across(number), AXIS_END * (1 - share)), text, "tick") for share, text in labels]
        notes += [note((across(number), UNUSED), "unused", "tick none")] * (number in unused)
    return plot(
        "parallel",
        Axis(),
        Axis(),
        [*marks, *above],
        "parallel coordinates",
        notes,
        height=330,
        right=70,
        many=len(entries) > MANY,
        bare=True,
    )


def reliability(found: Calibration) -> str:
    """Draws accuracy by confidence as bars, each with its mean confidence as a line."""
    draw = Drawing(Axis(label="confidence"), Axis())
    most = max(entry.count for entry in found.bins)
    marks = []
    for entry in found.bins:
        (left, top), (right, _) = draw(entry.low, entry.accuracy), draw(entry.high, entry.accuracy)
        pale = 0.25 + 0.75 * (entry.count / most) ** 0.5
        said = f"{entry.count:,} images predicted with {entry.confidence:.0%} confidence: {entry.accuracy:.0%} right"
        marks.append(
            f'<rect class="bin" x="{1000 * left + 2:.0f}" width="{1000 * (right - left) - 4:.0f}" '
            f'y="{1000 * top:.0f}" height="{1000 * (1 - top):.0f}" fill-opacity="{pale:.2f}">'
            f"<title>{said}</title></rect>"
        )
        level = draw(0, entry.confidence)[1]
        marks.append(line([(left, level), (right, level)], "gap"))
    marks.append(line([(0, 1), (1, 0)], "reference"))
    return plot("calibration", draw.x, draw.y, marks, "reliability diagram: accuracy by confidence")


def position(parameter: Parameter, entry: Entry) -> float | None:
    """Returns a configuration's value on the axis of a hyperparameter; None if the hyperparameter is inactive."""
    value = entry.configuration.values.get(parameter.name)
    return value if parameter.kind == "number" else parameter.place(value)


def _axis(parameter: Parameter, air: float = 0.0) -> Axis:
    if parameter.kind == "choice":
        return Axis(names=[value_words(choice) for choice in parameter.choices])
    low, high = parameter.low, parameter.high
    if parameter.log:
        factor = (high / low) ** air
        return Axis(low / factor, high * factor, log=True)
    return Axis(low - (high - low) * air, high + (high - low) * air)


def _scatter(points: Sequence[tuple[Place, Entry]]) -> list[str]:
    """Draws dots by shade, on top of rings for finalists and a square for the baseline."""
    rings = {
        "hot": [place for place, entry in points if entry.rank],
        "base": [place for place, entry in points if entry.baseline],
    }
    marks = [dots(places, (), f"ring {kind}{more}") for kind, places in rings.items() for more in ("", " inner")]
    for shade in range(SHADES):
        own = [(place, entry.number) for place, entry in points if entry.shade == shade]
        marks.append(dots([place for place, _ in own], [number for _, number in own], f"s{shade}"))
    return marks

"""How often this package's statistical claims about runs are wrong, by simulating models of known skill.

python -m benchmarks.claims                       # small: a few minutes
python -m benchmarks.claims errors --repeats 1000

errors       how often a configuration is called worse than the best although all are equal
power        the smallest difference that is found in four of five cases
chosen       how far the highest of several scores, raw and corrected, is from the true skill of that model
coverage     how often confidence intervals of F1 hold, and how many images a class needs to be judged
calibration  how often the confidence interval of the expected calibration error holds
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tuning.results.comparison import Comparison, Entrant, chosen_score
from tuning.trials.additions import tempered
from tuning.trials.bootstrap import TAILS, Resampled, resample
from tuning.trials.calibration import calibration
from tuning.trials.intervals import intervals

#: Standard deviation of test macro-F1 between training seeds, as measured on FER2013.
SEED_DEVIATION = 0.013
#: How the variance of an image's hardness divides: common to all models, to the seeds of one configuration, to one run.
SHARES = (0.5, 0.1, 0.4)
#: If the images show a few persons: share of the variance that a person's images have in common per configuration.
PERSONS_SHARE = 0.15


@dataclass(frozen=True)
class World:
    """Models of equal skill, and the images they are tested on.

    Attributes:
        images: distinct images in the test split, spread over the classes as evenly as possible.
        classes: number of classes.
        skill: expected share of images that a model predicts correctly; also its macro-F1, because errors are spread
            evenly over the classes.
        deviation: standard deviation of the skill between training seeds.
        copies: identical copies of each image; they belong to one unit.
        persons: persons that the images show, each person one unit; 0: each image is a unit.
    """

    images: int = 700
    classes: int = 7
    skill: float = 0.6
    deviation: float = SEED_DEVIATION
    copies: int = 1
    persons: int = 0

    @property
    def labels(self) -> np.ndarray:
        return np.repeat(np.arange(self.images) % self.classes, self.copies)

    @property
    def units(self) -> np.ndarray:
        images = np.arange(self.images)
        return np.repeat(images * self.persons // self.images if self.persons else images, self.copies)

    def runs(self, rng: np.random.Generator, seeds: Sequence[int]) -> tuple[list[np.ndarray], np.ndarray]:
        """Simulate runs, `seeds[i]` seeds of configuration i.

        Returns:
            The predictions (images × copies,) of each run, and the (runs,) true skills.
        """
        from scipy.special import ndtri

        common, own, alone = np.sqrt(SHARES)
        shared = common * rng.standard_normal(self.images)
        labels = np.arange(self.images) % self.classes
        likely = (labels + rng.integers(1, self.classes, self.images)) % self.classes
        predictions, skills = [], []
        for count in seeds:
            configuration = shared + own * rng.standard_normal(self.images)
            luck = rng.standard_normal(self.persons)[self.units[:: self.copies]] if self.persons else 0.0
            apart = PERSONS_SHARE if self.persons else 0.0
            for _ in range(count):
                skill = self.skill + self.deviation * rng.standard_normal()
                hardness = configuration + alone * rng.standard_normal(self.images)
                hardness = (1 - apart) ** 0.5 * hardness + apart**0.5 * luck
                other = (labels + rng.integers(1, self.classes, self.images)) % self.classes
                wrong = np.where(rng.random(self.images) < 0.7, likely, other)
                guesses = np.where(hardness < ndtri(skill), labels, wrong)
                predictions.append(np.repeat(guesses, self.copies))
                skills.append(skill)
        return predictions, np.array(skills)

    def compared(self, rng: np.random.Generator, seeds: Sequence[int], resamples: int) -> Comparison:
        predictions, _ = self.runs(rng, seeds)
        entrants = [Entrant(name) for name, count in enumerate(seeds) for _ in range(count)]
        return Comparison(entrants, resample(self.labels, predictions, self.classes, self.units, resamples))


def said_worse(configurations: Sequence[int], found: Resampled, rows: Sequence[int], best: int) -> np.ndarray:
    """Return whether any row is called worse than the best, as (2,) booleans: with the variance between seeds, without.

    Args:
        configurations: configuration of each run of `found`.
        rows: indices of the runs to compare with the run `best`.
    """
    said = []
    for seeded in (True, False):
        compared = Comparison([Entrant(name, seeded) for name in configurations], found)
        claimed = any(compared.difference(row, best).high < 0 for row in rows)
        # The leaderboard calls nothing worse unless some configuration has a second seed.
        said.append(claimed and (compared.noise is not None or not seeded))
    return np.array(said)


def false_claims(world: World, seeds: Sequence[int], repeats: int, resamples: int) -> tuple[float, float]:
    """Return the share of `repeats` boards of equal configurations on which one is called worse than that of the best
    run: with the variance between seeds, and without it."""
    rng = np.random.default_rng(0)
    wrong = np.zeros(2)
    configurations = [name for name, count in enumerate(seeds) for _ in range(count)]
    for _ in range(repeats):
        predictions, _ = world.runs(rng, seeds)
        found = resample(world.labels, predictions, world.classes, world.units, resamples)
        wrong += said_worse(configurations, found, range(len(configurations)), int(found.scores.argmax()))
    known, left_out = (wrong / repeats).tolist()
    return known, left_out


def found_difference(
    world: World, seeds: int, others: int, repeats: int, resamples: int, second: int | None = None
) -> float:
    """Return the difference between two configurations with `seeds` seeds each that is found in four of five cases.

    Args:
        others: number of further configurations on the board, with two seeds each.
        second: seeds of the second configuration; None: as many as the first has.
    """
    rng = np.random.default_rng(1)
    needed = []
    for _ in range(repeats):
        compared = world.compared(rng, [seeds, second or seeds, *[2] * others], resamples)
        found = compared.difference(0, seeds)
        # The smallest advantage of the first configuration that would have been found on this board.
        needed.append(found.high - 2 * found.value)
    return float(np.quantile(needed, 0.8))


def errors(repeats: int) -> Iterator[list[str]]:
    yield ["equal configurations", "seeds of each", "seed deviation", "test images", "said worse", "seeds left out"]
    layouts: list[tuple[str, Callable[[int], list[int]]]] = [
        ("1", lambda count: [1] * count),
        ("2 of one, 1 of the others", lambda count: [2, *[1] * (count - 1)]),
        ("2 of two, 1 of the others", lambda count: [2, 2, *[1] * (count - 2)]),
        ("2", lambda count: [2] * count),
        ("3", lambda count: [3] * count),
    ]
    for deviation in (0.0, SEED_DEVIATION):
        for images in (176, 1400):
            for name, layout in layouts:
                for count in (2, 4, 10, 30):
                    world = World(images=images, deviation=deviation)
                    known, left_out = false_claims(world, layout(count), repeats, 500)
                    yield [str(count), name, f"{deviation:g}", f"{images:,}", f"{known:.3f}", f"{left_out:.3f}"]
    for persons in (2, 3, 4, 6, 10, 18):
        for name, layout in (layouts[0], layouts[-1]):
            for count in (2, 4):
                world = World(images=20 * persons, classes=4, persons=persons)
                known, left_out = false_claims(world, layout(count), repeats, 500)
                images = f"{world.images:,} of {persons} persons"
                yield [str(count), name, f"{world.deviation:g}", images, f"{known:.3f}", f"{left_out:.3f}"]


def power(repeats: int) -> Iterator[list[str]]:
    layouts = {"1 seed": (1, 1), "2 and 1": (2, 1), "2 seeds": (2, 2), "3 seeds": (3, 3), "5 seeds": (5, 5)}
    yield ["test images", "other configurations", *layouts]
    for images in (176, 700, 1400, 4558):
        for others in (0, 4):
            world = World(images=images)
            cells = [
                "unknown"
                if first == 1 and not others
                else f"{found_difference(world, first, others, repeats, 500, second):.3f}"
                for first, second in layouts.values()
            ]
            yield [f"{images:,}", f"{others}" + " with 2 seeds" * (others > 0), *cells]


def chosen(repeats: int) -> Iterator[list[str]]:
    yield ["runs", "test images", "copies of each", "raw − true", "corrected − true"]
    for images, copies in ((176, 1), (176, 4), (1400, 1), (4558, 1)):
        for count in (1, 2, 10, 30):
            world, rng = World(images=images, copies=copies, deviation=0.0), np.random.default_rng(2)
            gaps = []
            for _ in range(repeats):
                predictions, skills = world.runs(rng, [1] * count)
                found = resample(world.labels, predictions, world.classes, world.units, 500)
                best = int(found.scores.argmax())
                gaps.append((found.scores[best] - skills[best], chosen_score(found) - skills[best]))
            raw, corrected = np.mean(gaps, axis=0)
            yield [str(count), f"{images:,}", str(copies), f"{raw:+.4f}", f"{corrected:+.4f}"]


def coverage(repeats: int) -> Iterator[list[str]]:
    yield [
        "classes",
        "images of each",
        "F1",
        "bootstrap holds",
        "interval holds",
        "its width",
        "class: holds",
        "its width",
        "excludes .5",
    ]
    for classes in (3, 7):
        for images in (4, 6, 7, 8, 10, 30, 100):
            for skill in (0.5, 0.9, 0.98):
                world = World(images=images * classes, classes=classes, skill=skill, deviation=0.0)
                rng, rows = np.random.default_rng(3), []
                for _ in range(repeats):
                    predicted = world.runs(rng, [1])[0][0]
                    found = intervals(world.labels, predicted, classes)
                    simple = np.quantile(resample(world.labels, [predicted], classes, None, 500).inside, TAILS)
                    whole, of_class = found.f1_macro, found.f1[0]
                    rows.append(
                        [
                            simple[0] <= skill <= simple[1],
                            whole[0] <= skill <= whole[1],
                            whole[1] - whole[0],
                            of_class[0] <= skill <= of_class[1],
                            of_class[1] - of_class[0],
                            of_class[0] > 0.5,
                        ]
                    )
                yield [str(classes), str(images), f"{skill:g}", *(f"{value:.3f}" for value in np.mean(rows, axis=0))]


def confident(rng: np.random.Generator, images: int, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels of 7 classes from probabilities; return the labels, and the probabilities raised to `power`.

    With power 1, the model is calibrated.
    """
    scores = np.exp(1.5 * rng.standard_normal((images, 7)))
    honest = scores / scores.sum(axis=1, keepdims=True)
    labels = (honest.cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    return labels, tempered(honest, 1 / power)


def calibrated(repeats: int) -> Iterator[list[str]]:
    yield ["probabilities to the power of", "true error", "test images", "error found", "interval holds", "its ends"]
    for power in (1.0, 1.15, 1.4, 2.0):
        rng = np.random.default_rng(4)
        true = calibration(*confident(rng, 200_000, power), resamples=1).error if power > 1 else 0.0
        for images in (100, 700, 3500):
            found = [calibration(*confident(rng, images, power), resamples=300) for _ in range(repeats)]
            holds = np.mean([one.low <= true <= one.high for one in found])
            error, low, high = np.mean([(one.error, one.low, one.high) for one in found], axis=0)
            ends = f"{low:.3f}–{high:.3f}"
            yield [f"{power:g}", f"{true:.3f}", f"{images:,}", f"{error:.3f}", f"{holds:.3f}", ends]


PARTS = {"errors": errors, "power": power, "chosen": chosen, "coverage": coverage, "calibration": calibrated}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.claims", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=100, metavar="N", help="simulations a row (default: 100)")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose of {', '.join(PARTS)}")
    for name, rows in PARTS.items():
        if name in args.parts or not args.parts:
            print(f"\n{name}, {args.repeats} simulations a row")
            for row in rows(args.repeats):
                print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()

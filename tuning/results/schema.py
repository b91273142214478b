"""The JSON files of a run as records: decoding one validates it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.jobs import Additions, Input, Values

#: Version of metrics.json, as its field `schema` says.
METRICS_SCHEMA = 1

#: How pixels (0…255 as decoded) reach the model, by the word that `input.scaling` holds.
SCALINGS = {
    "0-1": "float32 pixels divided by 255",
    "0-255": "float32 pixels as decoded; the model rescales them itself",
}

#: A class with fewer units in the test split: the interval of a good F1, .9, excludes a poor one, .5, in less than four
#: of five cases (`python -m benchmarks.claims coverage`).
FEW = 8

Text = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
#: The two ends of an interval.
Bounds = tuple[Share, Share]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
#: Why a run was trained.
Kind = Literal["finalist", "baseline", "train", "ensemble"]
#: Columns of a run's history by name, one value an epoch; None where it was not finite.
Columns = dict[str, list[float | None]]

Decoded = TypeVar("Decoded")


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record that knows all its fields."""


class Validation(Strict, frozen=True, kw_only=True):
    """Figures of the published model on the validation split; None where they were not finite."""

    f1_macro: Share
    accuracy: Share | None
    loss: float | None


class ClassFigures(Strict, frozen=True, kw_only=True):
    """How well one class was recognised, with 95 % intervals; `support` images, in so many units, carry its label."""

    precision: Share
    recall: Share
    f1: Share
    support: Count
    units: Count
    precision_interval: Bounds
    recall_interval: Bounds
    f1_interval: Bounds

    @property
    def few(self) -> bool:
        """Whether there are too few independent test images to tell a class that is recognised from one that is not."""
        return self.units < FEW


class Reliability(Strict, frozen=True, kw_only=True):
    """How far a model's confidence is from its accuracy.

    Attributes:
        error: the expected calibration error, in 15 bins; interval: its 95 % interval.
        overconfident: mean confidence less accuracy.
    """

    error: Share
    interval: Bounds
    overconfident: float


class Evaluation(Strict, frozen=True, kw_only=True):
    """Figures of the published model on the test split; rows of the confusion matrix are true classes.

    Attributes:
        calibration: of its predicted classes; untempered: the same without the temperature in its graph, None where
            there is none.
        units: of the split: images, where none depends on another; copies, a photo's faces or, with `--group-by`, a
            person's images are one. Intervals hold for the choice of units.
    """

    accuracy: Share
    precision_macro: Share
    recall_macro: Share
    f1_macro: Share
    loss: float
    per_class: dict[str, ClassFigures]
    confusion_matrix: list[list[Count]]
    f1_macro_interval: Bounds
    accuracy_interval: Bounds
    units: Count
    calibration: Reliability
    untempered: Reliability | None

    def __post_init__(self) -> None:
        low, high = self.f1_macro_interval
        if low > high:
            raise ValueError(f"f1_macro_interval is {low} to {high}")
        if any(len(row) != len(self.confusion_matrix) for row in self.confusion_matrix):
            raise ValueError("confusion_matrix is not square")

    @property
    def images(self) -> int:
        return sum(map(sum, self.confusion_matrix))

    @property
    def dependent(self) -> bool:
        """Whether there are fewer units than images."""
        return self.units < self.images

    @property
    def sample(self) -> str:
        """What the intervals are over, in words."""
        return f"{self.images:,} test images" + (f" in {self.independent}" if self.dependent else "")

    @property
    def independent(self) -> str:
        """How many units there are, in words."""
        return f"{self.units:,} independent unit{'s' * (self.units != 1)}"

    @property
    def missing(self) -> list[str]:
        """Classes without a test image, whose F1 is 0 whatever a model does."""
        return [name for name, found in self.per_class.items() if not found.support]


#: How the rule begins by which `export` chose one of the runs that a person's limits allow.
FITTING = "highest test_f1_macro among the runs tested on the same data that fit"


class Origin(Strict, frozen=True, kw_only=True):
    """Where the promoted model comes from, or one that was exported as the best that fits.

    Attributes:
        origin: the run's folder.
        rule: by which it was chosen.
        compared, left_out: runs that were looked at, and runs that were tested on other data.
        corrected: its test macro-F1, corrected for its having been chosen on the same images; None where predictions
            of any that were looked at were not kept.
        seed_deviation: of test macro-F1 between training seeds; None where no configuration was trained with two.
    """

    origin: Text = msgspec.field(name="from")
    rule: Text
    compared: Count
    left_out: Count
    corrected: Share | None = msgspec.field(name="test_f1_macro_corrected", default=None)
    seed_deviation: float | None = None


class UsedBase(Strict, frozen=True, kw_only=True):
    """The model that a run started from.

    Attributes:
        name: a run's, a file's, or a Keras Application's.
        sha256: of its file.
        trained_on: what it saw before, in words; None: unknown.
        licence: what a person said of it; None: nothing.
        overlap: images of the validation and test split that it had seen, which a person accepted; None: not checked,
            because nobody knows what it saw.
    """

    name: Text
    sha256: Sha256
    trained_on: Text | None = None
    licence: Text | None = None
    overlap: Count | None = None


def overlap_words(overlap: int | None) -> str:
    """How many of the images that judge a run its base has seen, for a person; None: nobody knows."""
    if overlap is None:
        return "not checked"
    return f"{overlap:,} accepted" if overlap else "none"


def base_words(base: UsedBase | None) -> str:
    """What a run started from, to stand behind its figure; empty where that is nothing, or saw none of its judges."""
    if base is None or base.overlap == 0:
        return ""
    return f", started from base {base.sha256[:12]}, overlap {overlap_words(base.overlap)}"


class BaseRecord(Strict, frozen=True, kw_only=True):
    """What a workspace knows of a model that trainings start from; stands beside its copy.

    Attributes:
        given: what `--base` has said for it.
        name, trained_on, licence: as in `UsedBase`.
        scaling: how it wants pixels.
        member: which member of it is used, from 1, where it is an ensemble.
        input: (height, width, channels) that it takes; None: any.
        features: shape of what its classifier is computed from.
        parameters: up to there.
    """

    schema: Literal[1] = 1
    sha256: Sha256
    given: list[Text]
    name: Text
    scaling: Literal["0-1", "0-255"]
    member: Positive | None = None
    input: tuple[Positive | None, Positive | None, Positive]
    features: list[Positive | None]
    parameters: Count
    trained_on: Text | None = None
    licence: Text | None = None


class About(Strict, frozen=True, kw_only=True):
    """metrics.json, as far as whoever trained a run knows it.

    Attributes:
        run_id: the name of its folder.
        kind: why it was trained.
        search, trial, rank, strategy: where it comes from; None where it comes from no search.
        best_epoch: from 1; the epoch whose weights the model has, the last within one standard error of the best on
            validation.
        val: figures of that very model.
        test_evaluations: how often a model of this run was evaluated on the test split; `test_openings` in the file.
        classes: in the order of the model's outputs.
        versions: of this package, Keras, its backend and Python, which it was trained with.
        output: what the model puts out.
        started, finished: UTC times in ISO 8601.
        milliseconds: that the model takes for an image, in large batches, where it was evaluated.
        additions: what its graph has beside the network, and what each gave on validation; None: nothing was tried.
        base: the model that it started from; None: from scratch.
        best_member: of an ensemble, the member that is best on validation, from 1, in the order of `members`.
    """

    schema: Literal[1] = 1
    run_id: Text
    kind: Kind
    search: Text | None
    trial: Text | None
    rank: Count | None
    space: Text
    strategy: Text | None
    seed: int
    best_epoch: Positive
    parameters: Count
    val: Validation
    test_evaluations: Count = msgspec.field(name="test_openings")
    classes: Annotated[list[Text], msgspec.Meta(min_length=2)]
    data_digest: Text
    config_digest: Text
    weights_sha256: Text
    dtype_policy: Text
    versions: dict[str, str]
    input: Input
    output: Literal["probabilities", "logits"]
    started: Text
    finished: Text
    train_seconds: float
    milliseconds: float
    additions: Additions | None = None
    base: UsedBase | None = None
    best_member: Positive | None = None

    @property
    def role(self) -> str:
        """What a run of a search is called in a sentence."""
        return {"baseline": "the baseline", "ensemble": "the ensemble"}.get(self.kind, f"trial {self.trial}")


class Metrics(About, frozen=True, kw_only=True):
    """metrics.json: what a run is, and how well it did.

    Attributes:
        test: figures of the model of `best_epoch`.
        promoted: only in best_model_metrics.json, in exports of it, and in those of the best that fits.
    """

    epochs: Count
    test: Evaluation
    model_sha256: Sha256
    promoted: Origin | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes are {self.classes}: one of them is there twice")
        if list(self.test.per_class) != self.classes or len(self.test.confusion_matrix) != len(self.classes):
            raise ValueError("test.per_class or test.confusion_matrix does not agree with classes")


class TrainedWith(msgspec.Struct, frozen=True, kw_only=True):
    """What else decided a run beside its configuration: `settings` in params.json.

    Attributes:
        members: of an ensemble: run id -> its share in the mean, in parts of their sum; no other run has the field.
        space_digest: sha256 of the code of a builder of one's own, which may change under its name; no other run has
            the field.
        shortened: of a training that the clock of its budget ended early, each time: epochs after which its learning
            rate fell, and its last one. No other seed, and no command, trains like that again.
    """

    space: str
    seed: int
    backend: str
    threads: int
    dtype_policy: str
    early_stopping: int | None
    reduce_lr: int | None
    epochs: int
    members: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    space_digest: str | msgspec.UnsetType = msgspec.UNSET
    shortened: tuple[tuple[int, int], ...] | msgspec.UnsetType = msgspec.UNSET


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """params.json, where the values stand beside `settings`."""

    values: Values
    settings: TrainedWith

    def to_json(self) -> dict[str, Any]:
        return {**self.values, "settings": msgspec.to_builtins(self.settings)}


def read_metrics(path: Path, remedy: str) -> Metrics:
    """The content of a metrics.json.

    Raises:
        DataError: it is missing, no JSON, of another schema, or a field of it cannot be meant.
    """
    content = files.read_json(path, remedy)
    found = content.get("schema") if isinstance(content, dict) else METRICS_SCHEMA
    if found != METRICS_SCHEMA:
        raise DataError(f"{path}: schema is {_brief(found)}, this version reads {METRICS_SCHEMA}", remedy)
    return decoded(content, Metrics, path, remedy)


def read_params(path: Path, remedy: str) -> Params:
    """The content of a params.json.

    Raises:
        DataError: it is missing, no JSON, or a field of it cannot be meant.
    """
    content = files.read_json(path, remedy)
    if not isinstance(content, dict) or "settings" not in content:
        raise DataError(f"{path} holds no settings", remedy)
    values = {name: value for name, value in content.items() if name != "settings"}
    return decoded({"values": values, "settings": content["settings"]}, Params, path, remedy)


def decoded(content: Any, kind: type[Decoded], path: Path, remedy: str) -> Decoded:
    """JSON content of a file as what it should be; raises DataError where it is not."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: {_with_value(error, content)}", remedy) from None


def _with_value(error: msgspec.ValidationError, content: Any) -> str:
    """The error's message with the value that it is about, where it says which that is."""
    message = str(error)
    place = re.search(r" - at `\$([^`]*)`$", message)
    if place is None:
        return message
    value, words = content, message[: place.start()]
    for name, index in re.findall(r"\.(\w+)|\[([^\]]*)\]", place[1]):
        try:
            value = value[name] if name else value[int(index)]
        except (LookupError, TypeError, ValueError):
            return f"{place[1].lstrip('.')}: {words}"
    if words.startswith("Object "):
        return f"{place[1].lstrip('.')}: {words}"
    return f"{place[1].lstrip('.')} is {_brief(value)}: {words}"


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

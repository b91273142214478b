"""The JSON files of a run as typed records, validated when decoded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.jobs import Additions, Input, Values

#: Version of metrics.json, stored in its field `schema`.
METRICS_SCHEMA = 1

#: Value of `input.scaling` -> how decoded pixels (0…255) are scaled before they reach the model.
SCALINGS = {
    "0-1": "float32 pixels divided by 255",
    "0-255": "float32 pixels as decoded; the model rescales them itself",
}

#: A class with fewer test units than this has too few to judge: the interval of a good F1, .9, excludes a poor one, .5,
#: in less than four of five cases (`python -m benchmarks.claims coverage`).
FEW = 8

Text = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
#: Lower and upper end of an interval.
Bounds = tuple[Share, Share]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
#: Why a run was trained.
Kind = Literal["finalist", "baseline", "train", "ensemble"]
#: Columns of a run's history by name, one value per epoch; None for a value that was not finite.
Columns = dict[str, list[float | None]]

Decoded = TypeVar("Decoded")


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record that refuses unknown fields."""


class Validation(Strict, frozen=True, kw_only=True):
    """Figures of the published model on the validation split; None for values that were not finite."""

    f1_macro: Share
    accuracy: Share | None
    loss: float | None


class ClassFigures(Strict, frozen=True, kw_only=True):
    """Precision, recall and F1 of one class, with 95 % intervals.

    Attributes:
        support: test images of the class.
        units: independent units that these images form.
    """

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
        """Whether the class has too few independent test images to judge how well it is recognised."""
        return self.units < FEW


class Reliability(Strict, frozen=True, kw_only=True):
    """Calibration of a model: how far its confidence is from its accuracy.

    Attributes:
        error: expected calibration error, in 15 bins.
        interval: 95 % interval of `error`.
        overconfident: mean confidence minus accuracy.
    """

    error: Share
    interval: Bounds
    overconfident: float


class Evaluation(Strict, frozen=True, kw_only=True):
    """Figures of the published model on the test split; rows of the confusion matrix are true classes.

    Attributes:
        calibration: calibration of the predicted classes.
        untempered: the same without the temperature in the model's graph; None if the graph has no temperature.
        units: independent units of the split. Copies of an image, faces of one photo and, with `--group-by`, images of
            one person form one unit; every other image is a unit of its own. Intervals are over the choice of units.
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
        """The sample that the intervals are computed over, in words."""
        return f"{self.images:,} test images" + (f" in {self.independent}" if self.dependent else "")

    @property
    def independent(self) -> str:
        """The number of units, in words."""
        return f"{self.units:,} independent unit{'s' * (self.units != 1)}"

    @property
    def missing(self) -> list[str]:
        """Classes without a test image; their F1 is 0 for every model."""
        return [name for name, found in self.per_class.items() if not found.support]


#: Beginning of `Origin.rule` if `export` chose the best run within `--max-parameters` or `--max-ms`.
FITTING = "highest test_f1_macro among the runs tested on the same data that fit"


class Origin(Strict, frozen=True, kw_only=True):
    """The run that a promoted model comes from, or a model exported as the best within given limits.

    Attributes:
        origin: the run's folder.
        rule: the rule that chose the run.
        compared: number of runs that the rule chose from.
        left_out: number of runs that were tested on other data.
        corrected: the run's test macro-F1, corrected for selection on the same images; None if the predictions of a
            compared run were not kept.
        seed_deviation: standard deviation of test macro-F1 between training seeds; None if no configuration was trained
            with two seeds.
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
        name: the name of a run, a file or a Keras Application.
        sha256: digest of the model file.
        trained_on: its training data, in words; None if unknown.
        licence: the licence as stated by a person; None if none was stated.
        overlap: number of validation and test images that it had seen, which a person accepted; None if not checked,
            because the images that it saw are unknown.
    """

    name: Text
    sha256: Sha256
    trained_on: Text | None = None
    licence: Text | None = None
    overlap: Count | None = None


def overlap_words(overlap: int | None) -> str:
    """Describes how many validation and test images a base has seen; None means unknown."""
    if overlap is None:
        return "not checked"
    return f"{overlap:,} accepted" if overlap else "none"


def base_words(base: UsedBase | None) -> str:
    """Returns a suffix for a run's score that names its base; empty without a base, or if the base has seen no
    validation or test image."""
    if base is None or base.overlap == 0:
        return ""
    return f", started from base {base.sha256[:12]}, overlap {overlap_words(base.overlap)}"


class BaseRecord(Strict, frozen=True, kw_only=True):
    """A workspace's record of a base model that trainings start from, stored beside the copy of the model.

    Attributes:
        given: the values of `--base` that this model was given by.
        name, trained_on, licence: as in `UsedBase`.
        scaling: the pixel scaling that it expects, a key of `SCALINGS`.
        member: the member that is used, from 1, if it is an ensemble.
        input: (height, width, channels) of its input; None stands for any size.
        features: shape of the features that its classifier head takes.
        parameters: number of parameters up to the features.
        classes: the classes of its dense classifier, in order; None: unknown, or it has none.
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
    classes: list[Text] | None = None
    trained_on: Text | None = None
    licence: Text | None = None


class About(Strict, frozen=True, kw_only=True):
    """The fields of metrics.json that are known when training ends, before the files are published.

    Attributes:
        run_id: the name of the run's folder.
        kind: why the run was trained.
        search, trial, rank, strategy: the search and trial that it comes from; None if it belongs to no search.
        best_epoch: the epoch whose weights are published, from 1: the last one within one standard error of the best on
            validation.
        val: validation figures of the published model.
        test_evaluations: how often a model of this run was evaluated on the test split; `test_openings` in the file.
        classes: in the order of the model's outputs.
        versions: versions of this package, Keras, its backend and Python in training.
        output: the kind of the model's outputs.
        started, finished: UTC times in ISO 8601.
        milliseconds: inference time per image in large batches, measured on the machine that evaluated the run.
        additions: what the graph has besides the network, with the effect of each on validation; None if nothing was
            tried.
        base: the model that training started from; None if from scratch.
        best_member: for an ensemble, the member that is best on validation, from 1, in the order of `members`.
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
        """The noun phrase for this run of a search in a sentence."""
        return {"baseline": "the baseline", "ensemble": "the ensemble"}.get(self.kind, f"trial {self.trial}")


class Metrics(About, frozen=True, kw_only=True):
    """metrics.json: the identity of a run and its results.

    Attributes:
        test: test figures of the published model.
        promoted: set only in best_model_metrics.json, in exports of the promoted model, and in exports of the best run
            within given limits.
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
    """The training settings besides the configuration: `settings` in params.json.

    Attributes:
        members: only for an ensemble: run id -> weight of the member in the mean, relative to the sum of weights.
        space_digest: only for a user's own builder: sha256 of its code, which can change under the same name.
        shortened: only for a training whose length its budget's clock changed: for each change, the epoch after which
            the learning rate decayed, and the new last epoch. No command and no other seed can repeat this.
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
    """params.json; the file holds the hyperparameters' values at the top level, next to `settings`."""

    values: Values
    settings: TrainedWith

    def to_json(self) -> dict[str, Any]:
        return {**self.values, "settings": msgspec.to_builtins(self.settings)}


def read_metrics(path: Path, remedy: str) -> Metrics:
    """Returns the content of a metrics.json.

    Raises:
        DataError: the file is missing, is not JSON, has another schema version, or a field is invalid.
    """
    content = files.read_json(path, remedy)
    found = content.get("schema") if isinstance(content, dict) else METRICS_SCHEMA
    if found != METRICS_SCHEMA:
        raise DataError(f"{path}: schema is {_brief(found)}, this version reads {METRICS_SCHEMA}", remedy)
    return decoded(content, Metrics, path, remedy)


def read_params(path: Path, remedy: str) -> Params:
    """Returns the content of a params.json.

    Raises:
        DataError: the file is missing, is not JSON, or a field is missing or invalid.
    """
    content = files.read_json(path, remedy)
    if not isinstance(content, dict) or "settings" not in content:
        raise DataError(f"{path} holds no settings", remedy)
    values = {name: value for name, value in content.items() if name != "settings"}
    return decoded({"values": values, "settings": content["settings"]}, Params, path, remedy)


def decoded(content: Any, kind: type[Decoded], path: Path, remedy: str) -> Decoded:
    """Converts the JSON content of a file to the type `kind`; raises DataError if it does not fit."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: {_with_value(error, content)}", remedy) from None


def _with_value(error: msgspec.ValidationError, content: Any) -> str:
    """Returns the error's message with the offending value, if msgspec says where that is."""
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

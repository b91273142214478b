"""The jobs that a worker runs, and what comes of them: one record a kind, decoded and thereby validated at each end.

They cross process borders as JSON: `msgspec.to_builtins` on one side, `msgspec.convert` on the other. The record that
comes of a `TrialJob` is `tuning.core.records.TrialOutcome`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from tuning.core.plan import ShortenedFinal

#: Values of hyperparameters by name: what Keras Tuner stores.
Values = dict[str, bool | int | float | str | None]
#: One entry of a learning curve: `epoch` and metrics by name; None for a metric that was not finite.
Entry = dict[str, int | float | None]


class BaseModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model that trainings start from, as a worker needs to know it.

    Attributes:
        model: its file, as an absolute path.
        scaling: how it wants pixels: "0-1" or "0-255".
        member: which of its members is used, from 1, where it is an ensemble of this package; None: it is none.
    """

    model: str
    scaling: Literal["0-1", "0-255"]
    member: int | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every job holds.

    Attributes:
        root: the workspace, as an absolute path.
        space: a name of `SPACES` or `package.module:function`.
        space_digest, data_digest: what the worker must find there, else the job is refused.
        threads: threads to compute with.
        dtype_policy: Keras dtype policy during training.
        base: the model that trainings start from; None: from scratch.
    """

    root: str
    space: str
    space_digest: str
    data_digest: str
    threads: int
    dtype_policy: str
    base: BaseModel | None = None


class DescribeJob(Job, frozen=True, kw_only=True):
    """Reads a search space. With `discover`, by building other configurations than the default one, too."""

    discover: bool = True


class RehearseJob(Job, frozen=True, kw_only=True):
    """Times a few batches of one configuration."""

    values: Values


class CountJob(Job, frozen=True, kw_only=True):
    """Counts the multiply-adds of configurations, for about so many `seconds`."""

    values: list[Values]
    seconds: float


class TrainingJob(Job, frozen=True, kw_only=True):
    """What trials and finals have in common.

    Attributes:
        values: hyperparameters; what is missing takes its default.
        seed: what initialisation, shuffling, augmentation and dropout are keyed by.
        until: train until so many epochs are done in total; parts of an epoch, where `parts` is more than 1.
        total_epochs: epochs that learning-rate schedules are laid out for.
        shortened: each time that it was to end earlier than planned, in order; the learning rate then falls to its end.
        parts: parts that the first epoch is trained in, so that trainings shorter than an epoch can be compared.
        stop_curves: whether it ends where its curve has clearly ended.
        keep_chosen: whether the weights that would be published are kept, for that or for a final that goes on.
        early_stopping: epochs without a better val_f1_macro before training stops; None: never.
        reduce_lr: epochs without a better val_loss before a constant learning rate is halved; None: never.
        attempt: fencing number that checkpoints are written under.
        checkpoints: own folder of checkpoints, as an absolute path.
        parent: folder of the trial that this one goes on from; None: from scratch.
    """

    values: Values
    seed: int
    until: int
    total_epochs: int
    shortened: list[ShortenedFinal] = []
    parts: int = 1
    stop_curves: bool = False
    keep_chosen: bool = False
    early_stopping: int | None = None
    reduce_lr: int | None = None
    attempt: int
    checkpoints: str
    parent: str | None = None


class TrialJob(TrainingJob, frozen=True, kw_only=True):
    """Trains one configuration for the search.

    Attributes:
        trial_id: the oracle's name for it.
        known: hyperparameters that the search knows already, each as `core.records.entry_key` has it.
        max_memory: bytes that a training may take; None: no limit.
    """

    trial_id: str
    known: list[str]
    max_memory: int | None = None


class FinalJob(TrainingJob, frozen=True, kw_only=True):
    """Trains one configuration and evaluates it once on the test split.

    Attributes:
        run_id, purpose: what the opening of the test split is recorded under.
        staging: folder for the run's files, as an absolute path.
    """

    keep_chosen: bool = True

    run_id: str
    purpose: Literal["finalist", "baseline", "train"]
    staging: str


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A published run's model as a part of an ensemble.

    Attributes:
        model: its file, as an absolute path.
        weight: its share in the mean, before the shares are divided by their sum.
        scaled: whether it wants pixels divided by 255.
        logits: whether it puts out logits.
    """

    model: str
    weight: int
    scaled: bool
    logits: bool


class EnsembleJob(Job, frozen=True, kw_only=True):
    """Builds one model that is the mean of others, and evaluates it once on the test split.

    Attributes:
        members: in the order in which they are built.
        run_id, purpose, staging: as in `FinalJob`.
    """

    members: list[Member]
    run_id: str
    purpose: Literal["ensemble"]
    staging: str


class CountedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration and its number of model parameters."""

    count: int
    values: Values


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a `DescribeJob` found.

    Attributes:
        space: Keras Tuner's configs of all hyperparameters.
        defaults: the default configuration, complete.
        parameters: the "smallest", "default" and "largest" model seen.
        starting_points: configurations that the space says are good; what one leaves out is at its default.
        dtype_policy: what training computes in, where it is not what the job said: in that, it cannot.
        dtype_problem: why it cannot; empty where it can.
        warnings: for a person, before anything trains.
        unproven_layers: layers of the default model that some format of export may not take.
        unproven_model: that model as Keras writes it in JSON; empty where there is none.
    """

    space: list[dict[str, Any]]
    defaults: Values
    parameters: dict[str, CountedModel]
    starting_points: list[Values] = []
    dtype_policy: str | None = None
    dtype_problem: str = ""
    warnings: list[str] = []
    unproven_layers: list[str] = []
    unproven_model: str = ""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a `CountJob` found: multiply-adds of an image's way forward, as many as there were configurations."""

    costs: list[int | None]


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What a `RehearseJob` measured.

    Attributes:
        epoch_seconds: training and validation on all data, estimated.
        start_seconds: building and tracing.
        checkpoint_bytes: of one checkpoint.
        parameters: of the model.
    """

    epoch_seconds: float
    start_seconds: float
    checkpoint_bytes: int
    parameters: int


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a published model wants: images of `image_size` pixels a side, their colour and their scaling."""

    color: Literal["gray", "rgb"]
    image_size: Annotated[int, msgspec.Meta(gt=0)]
    scaling: Literal["0-1", "0-255"]

    @property
    def channels(self) -> int:
        return 1 if self.color == "gray" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image_size, self.image_size, self.channels


class Addition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a published graph may have beside the network that was trained; decided on validation alone.

    Attributes:
        used: whether it is in the graph.
        reason: why it is not; None where it is.
        value: the exponent of the classes' shares, or the temperature; None where there is none, or nothing was tried.
        f1_macro_before, f1_macro_after, loss_before, loss_after: on the validation split without it and with it, what
            stands before it in the graph included; None where it was not tried.
    """

    used: bool
    reason: str | None = None
    value: float | None = None
    f1_macro_before: float | None = None
    f1_macro_after: float | None = None
    loss_before: float | None = None
    loss_after: float | None = None


class Additions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a published graph may have, in the order in which it is computed.

    Attributes:
        mirrored_view: the mean of what the network says of an image and of its mirror image.
        prior_correction: probabilities times the classes' shares in training to the power of `value`.
        temperature: probabilities to the power of 1 / `value`.
    """

    mirrored_view: Addition
    prior_correction: Addition
    temperature: Addition


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a model that is to be published, beside the files in its staging folder.

    Attributes:
        val: `f1_macro`, `accuracy` and `loss` of the published model on the validation split; None: not finite.
        parameters: of the model.
        weights_sha256: over the bytes of all weights.
        input: what the model wants.
        output: "logits" or "probabilities".
        milliseconds: that it takes for an image, in large batches, where it was evaluated.
        started, finished: UTC times in ISO 8601.
    """

    val: dict[str, float | None]
    parameters: int
    weights_sha256: str
    input: Input
    output: Literal["logits", "probabilities"]
    milliseconds: float
    started: str
    finished: str


class FinalResult(RunResult, frozen=True, kw_only=True):
    """What came of a `FinalJob`.

    Attributes:
        curve, seconds: the learning curve, and the wall-clock seconds of each epoch.
        best_epoch: from 1; the epoch whose weights are published.
        values: the configuration, complete.
        additions: what the published graph has beside the network.
    """

    curve: list[Entry]
    seconds: list[float]
    best_epoch: int
    values: Values
    additions: Additions | None = None

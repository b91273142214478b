"""The jobs that a worker runs and their results: one record for each kind, validated by decoding at each end.

They cross process borders as JSON: `msgspec.to_builtins` on one side, `msgspec.convert` on the other. The result of a
`TrialJob` is a `tuning.core.records.TrialOutcome`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from tuning.core.plan import NewLength

#: Hyperparameter values by name, of the types that Keras Tuner stores.
Values = dict[str, bool | int | float | str | None]
#: One entry of a learning curve: `epoch` and metrics by name; None for a metric that was not finite.
Entry = dict[str, int | float | None]


class BaseModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pretrained model that trainings start from.

    Attributes:
        model: absolute path of its file.
        scaling: range of the pixels that it expects: "0-1" or "0-255".
        member: number (from 1) of the member to use if the model is an ensemble of this package; None: it is not.
        outputs: for each class of the data, the number (from 0) of the model's output for that class, or None; None
            instead of the list: the model's classes are unknown, or mostly others.
    """

    model: str
    scaling: Literal["0-1", "0-255"]
    member: int | None = None
    outputs: list[int | None] | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of every job.

    Attributes:
        root: absolute path of the workspace.
        space: a name of `SPACES` or `package.module:function`.
        space_digest, data_digest: expected digests; a worker that finds others refuses the job.
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
    """Reads a search space; with `discover`, also builds configurations other than the default one."""

    discover: bool = True


class RehearseJob(Job, frozen=True, kw_only=True):
    """Times a few batches of one configuration."""

    values: Values


class CountJob(Job, frozen=True, kw_only=True):
    """Counts the multiply-adds of configurations; stops after about `seconds`."""

    values: list[Values]
    seconds: float


class TrainingJob(Job, frozen=True, kw_only=True):
    """The common fields of trials and finals.

    Attributes:
        values: hyperparameters; missing ones take their defaults.
        seed: keys initialisation, shuffling, augmentation and dropout.
        until: total number of epochs at which training ends; counted in parts of an epoch if `parts` exceeds 1.
        total_epochs: number of epochs that learning-rate schedules are laid out for.
        new_lengths: each decision on a new length of this training, in order; the learning rate then decays to its
            final value by the new end.
        parts: number of parts that the first epoch is trained in, so that trainings shorter than an epoch can be
            compared.
        stop_curves: whether to stop early on a learning curve that has collapsed or levelled off.
        keep_chosen: whether to keep the weights that would be published, to publish them or for a final that
            continues this training.
        early_stopping: epochs without a better val_f1_macro before training stops; None: never.
        reduce_lr: epochs without a better val_loss before a constant learning rate is halved; None: never.
        attempt: fencing number that checkpoints are written under.
        checkpoints: absolute path of this job's checkpoint folder.
        parent: checkpoint folder of the trial that this training continues; None: from scratch.
    """

    values: Values
    seed: int
    until: int
    total_epochs: int
    new_lengths: list[NewLength] = []
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
        trial_id: the oracle's id of the trial.
        known: `core.records.entry_key` of each hyperparameter that the search already knows.
        max_memory: bytes that a training may take; None: no limit.
    """

    trial_id: str
    known: list[str]
    max_memory: int | None = None


class FinalJob(TrainingJob, frozen=True, kw_only=True):
    """Trains one configuration and evaluates it once on the test split.

    Attributes:
        run_id, purpose: recorded with the opening of the test split.
        staging: absolute path of the folder for the run's files.
    """

    keep_chosen: bool = True

    run_id: str
    purpose: Literal["finalist", "baseline", "train"]
    staging: str


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A published run's model as a member of an ensemble.

    Attributes:
        model: absolute path of its file.
        weight: its weight in the mean; weights are divided by their sum.
        scaled: whether it expects pixels divided by 255.
        logits: whether it outputs logits.
    """

    model: str
    weight: int
    scaled: bool
    logits: bool


class EnsembleJob(Job, frozen=True, kw_only=True):
    """Builds one model that averages its members, and evaluates it once on the test split.

    Attributes:
        members: in building order.
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
    """The result of a `DescribeJob`.

    Attributes:
        space: Keras Tuner's configs of all hyperparameters.
        defaults: the complete default configuration.
        parameters: the "smallest", "default" and "largest" model seen.
        starting_points: configurations that the space declares to be good; omitted hyperparameters take their
            defaults.
        dtype_policy: the policy to train with if the job's is not supported; None: the job's is.
        dtype_problem: why the job's policy is not supported; empty if it is.
        constant_rate: whether the default configuration's learning rate is a number that stays the same.
        warnings: shown to the user before anything trains.
        unproven_layers: layers of the default model that some export format may not support.
        unproven_model: the default model, as it would be published, in Keras's JSON format; empty if there are no such
            layers.
    """

    space: list[dict[str, Any]]
    defaults: Values
    parameters: dict[str, CountedModel]
    starting_points: list[Values] = []
    dtype_policy: str | None = None
    dtype_problem: str = ""
    constant_rate: bool = True
    warnings: list[str] = []
    unproven_layers: list[str] = []
    unproven_model: str = ""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a `CountJob`: multiply-adds of one image's forward pass for each configuration, in order."""

    costs: list[int | None]


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of a `RehearseJob`.

    Attributes:
        epoch_seconds: estimated time of one epoch: training and validation on all data.
        start_seconds: time for building and tracing the model.
        checkpoint_bytes: size of one checkpoint.
        parameters: number of the model's parameters.
    """

    epoch_seconds: float
    start_seconds: float
    checkpoint_bytes: int
    parameters: int


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The input of a published model: images of `image_size` pixels a side, their colour and the range of pixels."""

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
    """A step that a published graph may have beside the trained network; decided on the validation split alone.

    Attributes:
        used: whether the step is in the graph.
        reason: why it is not; None if it is.
        value: the exponent of the class shares, or the temperature; None if the step has no value or was not tried.
        f1_macro_before, f1_macro_after, loss_before, loss_after: on the validation split, without and with the step,
            both with the steps before it; None if it was not tried.
    """

    used: bool
    reason: str | None = None
    value: float | None = None
    f1_macro_before: float | None = None
    f1_macro_after: float | None = None
    loss_before: float | None = None
    loss_after: float | None = None


class Additions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All additional steps of a published graph, in the order in which they are computed.

    Attributes:
        mirrored_view: averages the network's outputs for an image and its mirror image.
        prior_correction: multiplies probabilities by the class shares in training to the power of `value`.
        temperature: raises probabilities to the power of 1 / `value`.
    """

    mirrored_view: Addition
    prior_correction: Addition
    temperature: Addition


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a job whose model is to be published, beside the files in its staging folder.

    Attributes:
        val: `f1_macro`, `accuracy` and `loss` of the published model on the validation split; None: not finite.
        parameters: number of the model's parameters.
        weights_sha256: digest of the bytes of all weights.
        input: the input that the model expects.
        output: "logits" or "probabilities".
        milliseconds: inference time per image in large batches, on the machine that evaluated the model.
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
    """The result of a `FinalJob`.

    Attributes:
        curve, seconds: the learning curve, and the wall-clock seconds of each epoch.
        best_epoch: from 1; the epoch whose weights are published.
        values: the complete configuration.
        additions: the additional steps of the published graph.
    """

    curve: list[Entry]
    seconds: list[float]
    best_epoch: int
    values: Values
    additions: Additions | None = None

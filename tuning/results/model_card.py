"""The model card: a README.md beside a promoted or exported model, with the metadata that model hubs read.

It states intended use and limits, data, training, scores with intervals, and how to load the model without this
project. The form is that of Mitchell et al., Model Cards for Model Reporting (FAT* 2019), the metadata are Hugging
Face's.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from msgspec import UNSET

from tuning import __version__
from tuning.core.errors import DataError, TuningError
from tuning.core.settings import read_settings
from tuning.core.workspace import Workspace
from tuning.dataset.summary import PoolSummary
from tuning.results import card_sections as sections
from tuning.results.leaderboard import DIGEST_LENGTH
from tuning.results.markdown import escaped, table
from tuning.results.runs import readable_runs, run_params
from tuning.results.schema import SCALINGS, Metrics
from tuning.results.standings import Seeds, over_seeds

CARD = "README.md"
_SIGNATURE = "\n<!-- sha256 of the text above: "
TAGS = ("keras", "image-classification", "emotion-recognition", "facial-expression-recognition")

_LOADING = """\
import cv2, json, keras
model = keras.saving.load_model("{model}", safe_mode=True, compile=False)
face = cv2.resize({image}, ({size}, {size}), interpolation=cv2.INTER_AREA)
faces = face.reshape(1, {size}, {size}, {channels}).astype("float32"){divide}
print(json.load(open("{metrics}", encoding="utf-8"))["classes"][model.predict(faces, verbose=0).argmax()])"""

_LICENSE = """\
None is stated: what you may grant depends on the rights in the training images. Before you publish this model, add
`license:` to the metadata at the top of this file, and say here where the images come from."""


def model_card(
    workspace: Workspace,
    metrics: Metrics,
    model: str = "model.keras",
    loading: str | None = None,
    also: Mapping[str, str] = {},
    saved_by: str | None = None,
) -> str:
    """Returns the text of the card; it contains no date and no path of this machine.

    Args:
        workspace: the run's workspace; the card omits parameters and data that it no longer holds.
        metrics: the run's metrics.json.
        model: name of the file that the loading example opens.
        loading: Python lines that load the model and label a face.jpg; None for those of a `.keras` file, which read
            the labels from the metrics beside it.
        also: further files of the folder, name -> description.
        saved_by: version of Keras that saved the model; None if unknown.
    """
    held = [[f"`{name}`", escaped(what)] for name, what in also.items()]
    parts = {
        "How to load it": _how_to_load(metrics, model, loading, saved_by),
        "Intended use and limits": sections.INTENDED_USE,
        "Data": "\n\n".join(sections.data(metrics, _summary(workspace, metrics))),
        "Training": "\n\n".join(
            sections.training(metrics, run_params(workspace, metrics.run_id), _repeatable(workspace, metrics))
        ),
        "Evaluation": "\n\n".join(sections.evaluation(metrics, _seeds(workspace, metrics))),
        **({"Files": table(["file", "holds"], held)} if held else {}),
        "License": _LICENSE,
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())
    return f"---\n{_metadata(metrics)}---\n\n# {_title(metrics)}\n\n{_facts(metrics, model)}\n\n{body}\n"


def signed(text: str) -> str:
    """Appends the digest of the card's text as its last line, which shows later whether a person has edited it."""
    return f"{text}{_SIGNATURE}{hashlib.sha256(text.encode()).hexdigest()} -->\n"


def is_untouched(card: str) -> bool:
    """Whether a card is unchanged since `signed` returned it."""
    return card == signed(card.rpartition(_SIGNATURE)[0])


def has_data(workspace: Workspace, metrics: Metrics) -> bool:
    """Whether the workspace still holds the summary of the run's data that a card needs."""
    return _summary(workspace, metrics) is not None


def loading_lines(metrics: Metrics, model: str) -> str:
    """Returns five lines of Python that label face.jpg with the `.keras` file `model`, to be run in its folder."""
    given, stem = metrics.input, model.removesuffix(".keras")
    color = {"gray": "COLOR_BGR2GRAY", "rgb": "COLOR_BGR2RGB"}[given.color]
    return _LOADING.format(
        metrics="metrics.json" if stem == "model" else f"{stem}_metrics.json",
        model=model,
        image=f'cv2.cvtColor(cv2.imread("face.jpg"), cv2.{color})',
        size=given.image_size,
        channels=given.channels,
        divide=" / 255" if given.scaling == "0-1" else "",
    )


def _metadata(metrics: Metrics) -> str:
    """Returns the YAML header: Hugging Face's fields, with the scores in `model-index`."""
    import yaml

    test = metrics.test
    figures = [
        ("f1", "Macro-F1", test.f1_macro, {"average": "macro"}),
        ("accuracy", "Accuracy", test.accuracy, None),
        ("precision", "Macro precision", test.precision_macro, {"average": "macro"}),
        ("recall", "Macro recall", test.recall_macro, {"average": "macro"}),
    ]
    if (corrected := _corrected(metrics)) is not None:
        # A separate metric type, so that programs that look for f1 find the measured score.
        figures.append(("f1_corrected", "Macro-F1, corrected for having been chosen", corrected, {"average": "macro"}))
    result = {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": {
            "type": "imagefolder",
            "name": f"Faces in {len(metrics.classes)} classes, data {metrics.data_digest[:DIGEST_LENGTH]}",
            "split": "test",
        },
        "metrics": [
            {"type": kind, "name": name, "value": value, **({"args": args} if args else {})}
            for kind, name, value, args in figures
        ],
    }
    content = {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": list(TAGS),
        "metrics": ["f1", "accuracy"],
        "model-index": [{"name": metrics.run_id, "results": [result]}],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)


def _corrected(metrics: Metrics) -> float | None:
    """Returns the test score corrected for selection; None if the run was not chosen among several, or if unknown."""
    return None if metrics.promoted is UNSET or metrics.promoted.compared < 2 else metrics.promoted.corrected


def _title(metrics: Metrics) -> str:
    return f"Emotion recognition on faces, {len(metrics.classes)} classes"


def _facts(metrics: Metrics, model: str) -> str:
    given, test = metrics.input, metrics.test
    corrected = _corrected(metrics)
    kind = "gray" if given.color == "gray" else "RGB"
    size = given.image_size
    rows = [
        [
            "Macro-F1 on the test split",
            f"**{test.f1_macro:.3f}** (95 % interval {sections.interval(test.f1_macro_interval)})",
        ],
        *([["The same, corrected for having been chosen", f"{corrected:.3f}"]] if corrected is not None else []),
        ["Accuracy on the test split", f"{test.accuracy:.3f}"],
        ["Input", f"a face, {size} × {size} pixels, {kind}, {SCALINGS[given.scaling]}"],
        ["Output", f"{metrics.output} of {', '.join(map(escaped, metrics.classes))}"],
        ["Parameters", f"{metrics.parameters:,}"],
        ["Model file", f"`{model}` (the run's `.keras` file has sha256 `{metrics.model_sha256}`)"],
    ]
    return table(["Run", f"{escaped(metrics.run_id)}, by face-tuning {__version__}"], rows)


def _how_to_load(metrics: Metrics, model: str, loading: str | None, saved_by: str | None) -> str:
    if loading is not None:
        return f"In this folder, with a face crop in `face.jpg`:\n\n```python\n{loading.rstrip()}\n```"
    needs = "It needs `pip install keras tensorflow opencv-python`, but not the project that trained it"
    version = f"; it was saved by Keras {saved_by}" if saved_by else ""
    size = metrics.input.image_size
    notes = f"{needs}{version}. Pictures smaller than {size} × {size} pixels were enlarged with `INTER_LINEAR`."
    if metrics.output == "logits":
        notes += " Its outputs are logits: a softmax makes them probabilities."
    lines = loading_lines(metrics, model)
    return f"In this folder, with a face crop in `face.jpg`:\n\n```python\n{lines}\n```\n\n{notes}"


def _summary(workspace: Workspace, metrics: Metrics) -> PoolSummary | None:
    """Returns the summary that `prepare` wrote; None if the workspace holds no data or other data than the run's."""
    from tuning.dataset.store.description import read_description
    from tuning.dataset.summary import read_summary

    try:
        if read_description(workspace.split).digest != metrics.data_digest:
            return None
        return read_summary(workspace.pool_summary)
    except (DataError, OSError, KeyError, TypeError):
        return None


def _repeatable(workspace: Workspace, metrics: Metrics) -> bool:
    """Whether `train` keys the run's random numbers as its search did: by the configuration.

    This does not hold in two cases. A final that continued a trial (`--reuse-trials`) is keyed by that trial. The
    baseline of a search with `--base` is keyed by an empty configuration in the search, but by all values in `train`.
    """
    if metrics.search is None:
        return True
    try:
        settings = read_settings(workspace.search(metrics.search))
    except TuningError:
        return True
    if settings.get("reuse_trials") and metrics.trial is not None and metrics.seed == settings.get("seed"):
        return False
    return metrics.kind != "baseline" or settings.get("base") is None


def _seeds(workspace: Workspace, metrics: Metrics) -> Seeds | None:
    """Returns the statistics over all readable runs that differ from this one only in their seed."""
    others = [found for found in readable_runs(workspace) if found.run_id != metrics.run_id]
    return over_seeds(workspace, [metrics, *others]).get(metrics.run_id)


def keras_version(model: Path) -> str | None:
    """Returns the Keras version recorded in a `.keras` file; None if it cannot be read."""
    try:
        with zipfile.ZipFile(model) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError):
        return None

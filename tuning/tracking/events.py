"""TensorBoard event files, encoded with the `tensorboard` package alone, without TensorFlow.

An event file is a sequence of protocol buffers in TensorFlow's record format. Pure: records in, bytes out.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

#: The format version in the first record of a file.
FILE_VERSION = "brain.Event:2"

if TYPE_CHECKING:
    # TensorBoard's protocol buffers have no type information.
    Event = Any
else:
    Event = event_pb2.Event


def file_bytes(events: Iterable[Event], started: float) -> bytes:
    """The content of an event file; `started` and all times are in seconds since 1970."""
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in (Event(wall_time=started, file_version=FILE_VERSION), *events):
        writer.write(event.SerializeToString())
    return buffer.getvalue()


def scalars(values: Mapping[str, Any], step: int, time: float) -> Event:
    """An event with every finite number in `values`, by tag."""
    numbers = {
        tag: float(value)
        for tag, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    summary = summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()]
    )
    return Event(wall_time=time, step=step, summary=summary)


def text(tag: str, content: str, time: float) -> Event:
    """An event with a text, which TensorBoard shows as Markdown."""
    return Event(wall_time=time, summary=text_pb(tag, content))


def experiment(space: Sequence[Mapping[str, Any]], metrics: Mapping[str, str], time: float) -> Event:
    """The columns of the HParams page: hyperparameters (Keras Tuner configs) and metrics (tag -> name).

    Fixed hyperparameters are left out, because they have the same value everywhere.
    """
    content = api_pb2.Experiment(
        time_created_secs=time,
        hparam_infos=[_hparam(entry) for entry in space if entry["class_name"] != "Fixed"],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name) for tag, name in metrics.items()
        ],
    )
    data = plugin_data_pb2.HParamsPluginData(experiment=content)
    return _hparams_event(hparams_metadata.EXPERIMENT_TAG, data, time)


def session_start(group: str, values: Mapping[str, Any], time: float) -> Event:
    """The start of a row of the HParams page: the configuration of one trial or run."""
    known = {name: value if isinstance(value, int | float) else str(value) for name, value in values.items()}
    return Event(wall_time=time, summary=hparams_pb(known, trial_id=group, start_time_secs=time))


def session_end(completed: bool, time: float) -> Event:
    """The end of a row of the HParams page."""
    status = api_pb2.STATUS_SUCCESS if completed else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time)
    data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
    return _hparams_event(hparams_metadata.SESSION_END_INFO_TAG, data, time)


def _hparams_event(tag: str, data: plugin_data_pb2.HParamsPluginData, time: float) -> Event:
    value = summary_pb2.Summary.Value(
        tag=tag, metadata=hparams_metadata.create_summary_metadata(data), tensor=hparams_metadata.NULL_TENSOR
    )
    return Event(wall_time=time, summary=summary_pb2.Summary(value=[value]))


def _hparam(entry: Mapping[str, Any]) -> api_pb2.HParamInfo:
    config = entry["config"]
    info = api_pb2.HParamInfo(name=config["name"])
    values = {"Choice": config.get("values"), "Boolean": [False, True]}.get(entry["class_name"])
    if values is None:
        info.type = api_pb2.DATA_TYPE_FLOAT64
        info.domain_interval.min_value = config["min_value"]
        info.domain_interval.max_value = config["max_value"]
        return info
    if all(isinstance(value, bool) for value in values):
        info.type = api_pb2.DATA_TYPE_BOOL
    elif all(isinstance(value, int | float) for value in values):
        info.type = api_pb2.DATA_TYPE_FLOAT64
    else:
        info.type, values = api_pb2.DATA_TYPE_STRING, list(map(str, values))
    info.domain_discrete.extend(values)
    return info

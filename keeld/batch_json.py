"""The one JSON form of a batch: what recordings, the event stream and other publishers write, and how it is read back.

`{"time": "2026-11-22T17:14:45.123Z", "device": "pdu-r07-a", "readings": {"power_watts": 8123.0}}`, or `"outage"` and
its reason in place of, or (partial) beside, the readings. A part follows the metric's name after the first slash. What
is read is believed in nothing: a batch that does not fit this form raises BadBatchError and gives no reading at all.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from keeld.errors import KeeldError, Outage
from keeld.metrics import CATALOGUE, POWER, POWER_ESTIMATE, Metric
from keeld.model import Batch, Device, Group, Quality, Reading
from keeld.text import clean, rfc3339

_MS_NS = 1_000_000
_LATEST_S = 4_102_444_800.0
"""The year 2100: beyond it stand milliseconds and nanoseconds that were taken for seconds."""
_PART = re.compile(r"[A-Za-z0-9_.-]{1,32}(?:/[A-Za-z0-9_.-]{1,32}){0,3}")
_READINGS_MOST = 4096
_DETAIL_MOST = 256
_INTERVAL_MOST_S = 86_400.0
_NAMES_MOST = 65_536
_SHAPES_MOST = 1024
_SHAPE_MOST = 256
_STRANGERS_MOST = 1024
_OUTAGES = {str(outage): outage for outage in Outage}
_GROUPS = {str(group): group for group in Group}
_QUALITIES = frozenset(Quality)
_KEYS = frozenset({"time", "device", "readings", "outage", "group", "interval_s", "quality", "received", "detail"})
_NO_READINGS: tuple[Reading, ...] = ()
_FLOATS = frozenset({float})
_to_reading = partial(tuple.__new__, Reading)
"""Make a reading of its three values; dozens a batch, so that a call of Python for each of them shows."""

_Shape = tuple[tuple[Metric, ...], tuple[str, ...]]
"""Metrics and parts of the readings of a batch."""


class BadBatchError(KeeldError):
    """What was given is no batch; says why in a sentence that quotes nothing uncleaned."""


class UnknownDeviceError(BadBatchError):
    """A batch of a device that the configuration does not name."""


class BatchReader:
    """Reads batches of the configured devices; keeps what each reading's name means, for the same names come again."""

    def __init__(self, devices: Mapping[str, Device]) -> None:
        self._devices = devices
        self._names: dict[str, tuple[Metric, str]] = {}
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._strangers: dict[str, str] = {}

    def read(self, form: Mapping[str, Any], *, mono_ns: int = 0, time_ns: int | None = None) -> Batch:
        """Give the batch; raises BadBatchError. `time_ns` is its time where that has been read before."""
        if not _KEYS.issuperset(form):
            raise BadBatchError(_unknown_key(form))
        device = self._device(form.get("device"))
        readings = self._readings(form["readings"]) if "readings" in form else _NO_READINGS
        outage = _outage(form.get("outage"))
        _check_whole(form, readings, outage)
        group = _group(form.get("group"))
        interval_s = _interval_s(form.get("interval_s"), device, group)
        detail = clean(form["detail"], _DETAIL_MOST) if "detail" in form else ""
        if "quality" in form:
            readings = _trusted(readings, form["quality"])
        if time_ns is None:
            time_ns = read_time(form.get("time"))
        return Batch(device, time_ns, mono_ns, readings, outage, group, interval_s, detail)

    def _device(self, name: object) -> Device:
        if not isinstance(name, str):
            raise BadBatchError("device is missing; write its id")
        device = self._devices.get(name)
        if device is None:
            raise UnknownDeviceError(self._strangers.get(name) or self._stranger(name))
        return device

    def _stranger(self, name: str) -> str:
        """Say that there is no such device; the nearest name is looked for once, for it takes long at a large site."""
        words = f"no device '{clean(name)}'"
        if len(self._strangers) < _STRANGERS_MOST:
            nearest = difflib.get_close_matches(name[:64], self._devices, n=1)
            words += f"; did you mean {nearest[0]}?" if nearest else ""
            self._strangers[name] = words
        return words

    def _readings(self, values: object) -> tuple[Reading, ...]:
        if not isinstance(values, dict):
            raise BadBatchError('readings are no object; write {"power_watts": 8123.0}')
        if len(values) > _READINGS_MOST:
            raise BadBatchError(f"{len(values)} readings in one batch; at most {_READINGS_MOST} are taken")
        metrics, parts = self._shape(tuple(values))
        numbers: Iterable[float] = values.values()
        if not _FLOATS.issuperset(map(type, values.values())):
            numbers = [value if type(value) is float else _number(value, name) for name, value in values.items()]
        return tuple(map(_to_reading, zip(metrics, numbers, parts, strict=True)))

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        """Give metrics and parts of names in their order: a device shows the same ones at every poll."""
        shape = self._shapes.get(names)
        if shape is None:
            known = [self._names.get(name) or self._name(name) for name in names]
            shape = tuple(metric for metric, _ in known), tuple(part for _, part in known)
            if len(names) <= _SHAPE_MOST:
                if len(self._shapes) >= _SHAPES_MOST:
                    self._shapes.clear()
                self._shapes[names] = shape
        return shape

    def _name(self, name: str) -> tuple[Metric, str]:
        known = read_name(name)
        if len(self._names) >= _NAMES_MOST:
            self._names.clear()
        self._names[name] = known
        return known


def read_name(name: str) -> tuple[Metric, str]:
    """Give metric and part of a reading's name; raises BadBatchError."""
    metric_name, slash, part = name.partition("/")
    metric = CATALOGUE.get(metric_name)
    if metric is None:
        nearest = difflib.get_close_matches(metric_name[:64], CATALOGUE, n=1)
        raise BadBatchError(f"no metric '{clean(metric_name)}'" + (f"; did you mean {nearest[0]}?" if nearest else ""))
    if slash and not _PART.fullmatch(part):
        raise BadBatchError(f"'{clean(part)}' is no part; write L1, branch/3 or supply after the slash")
    return metric, part


def read_time(value: object) -> int:
    """Give a time, as RFC 3339 with its offset or seconds since 1970, in ns at whole ms; raises BadBatchError."""
    seconds = _seconds(value)
    if not 0.0 <= seconds < _LATEST_S:
        raise BadBatchError("time is not between 1970 and 2100; write RFC 3339 or seconds since 1970")
    return round(seconds * 1000.0) * _MS_NS


def _seconds(value: object) -> float:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.upper())
        except ValueError:
            raise BadBatchError(f"'{clean(value)}' is no time; write 2026-11-22T17:00:00Z or seconds") from None
        if moment.tzinfo is None:
            raise BadBatchError(f"'{clean(value)}' has no offset; end it with Z or +01:00")
        return moment.timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise BadBatchError("time is missing; write RFC 3339 or seconds since 1970")


def _number(value: object, name: str) -> float:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)  # orjson reads integers of at most 64 bits
    raise BadBatchError(f"'{clean(name)}' is no finite number; leave out what was not measured")


def _outage(value: object) -> Outage | None:
    if value is None:
        return None
    outage = _OUTAGES.get(value) if isinstance(value, str) else None
    if outage is None:
        raise BadBatchError(f"'{clean(value)}' is no outage; write one of {', '.join(_OUTAGES)}")
    return outage


def _check_whole(form: Mapping[str, Any], readings: tuple[Reading, ...], outage: Outage | None) -> None:
    """Refuse what is neither readings nor an outage, and readings beside an outage that leaves none."""
    if outage is None and "readings" not in form:
        raise BadBatchError("neither readings nor an outage; silence is written as an outage")
    if readings and outage is not None and outage not in (Outage.PARTIAL, Outage.IDENTITY):
        raise BadBatchError(f"readings beside the outage '{outage}'; only partial leaves some")


def _group(value: object) -> Group:
    if value is None:
        return Group.FAST
    group = _GROUPS.get(value) if isinstance(value, str) else None
    if group is None:
        raise BadBatchError(f"'{clean(value)}' is no group; write fast, slow or once")
    return group


def _interval_s(value: object, device: Device, group: Group) -> float:
    if value is None:
        return device.interval_of(group)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 < value <= _INTERVAL_MOST_S:
        return float(value)
    raise BadBatchError("interval_s is no span; write seconds, more than 0 and at most a day")


def _trusted(readings: tuple[Reading, ...], quality: object) -> tuple[Reading, ...]:
    """Give what readings of a quality are worth: power that is only estimated is no measured power."""
    if not isinstance(quality, str) or quality not in _QUALITIES:
        raise BadBatchError(f"'{clean(quality)}' is no quality; write one of {', '.join(Quality)}")
    if readings and quality == Quality.UNKNOWN:
        raise BadBatchError("readings of unknown quality; leave out what was not measured")
    if quality != Quality.ESTIMATED:
        return readings
    return tuple(each._replace(metric=POWER_ESTIMATE) if each.metric is POWER else each for each in readings)


def _unknown_key(form: Mapping[str, Any]) -> str:
    key = next(key for key in form if key not in _KEYS)
    nearest = difflib.get_close_matches(key[:64], _KEYS, n=1)
    return f"no key '{clean(key)}' in a batch" + (f"; did you mean {nearest[0]}?" if nearest else "")


def read_form(line: bytes | str) -> dict[str, Any]:
    """Give the JSON object of a line; raises BadBatchError for anything else."""
    try:
        form = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadBatchError(f"no JSON: {clean(error.msg)} at column {error.colno}") from None
    if not isinstance(form, dict):
        raise BadBatchError("no JSON object")
    return form


def batch_form(batch: Batch) -> dict[str, Any]:
    """Give a batch as JSON values; a number that is not finite is left out."""
    form: dict[str, Any] = {"time": rfc3339(batch.time_ns), "device": batch.device.id}
    if batch.readings or batch.outage is None:
        form["readings"] = {
            f"{metric.name}/{part}" if part else metric.name: value
            for metric, value, part in batch.readings
            if math.isfinite(value)
        }
    if batch.outage is not None:
        form["outage"] = str(batch.outage)
        if batch.detail:
            form["detail"] = batch.detail
    if batch.group is not Group.FAST:
        form["group"] = str(batch.group)
    if batch.interval_s != batch.device.interval_of(batch.group):
        form["interval_s"] = batch.interval_s
    return form

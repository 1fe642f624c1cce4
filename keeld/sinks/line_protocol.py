"""Write batches and alert transitions as InfluxDB line protocol: one line for each (device, part).

The measurement is the kind of thing, the tags come from the configuration and never from a device, and every field is
a float, because InfluxDB refuses a field whose type changes and VictoriaMetrics stores a string as 0. The measurement
`alert` is the one exception: it is for people, and has strings.

A device gives the same readings in the same order at nearly every poll, so the text around the numbers (the layout) is
kept and only the numbers are filled in; a poll of another shape makes a new layout.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from keeld.errors import Outage
from keeld.metrics import OUTAGE_REASON, UP, Metric
from keeld.model import OWN_DRIVER, Batch, Device, Group, Reading, Transition
from keeld.text import clean

_LAYOUTS_MOST = 20_000
_SHAPES_MOST = 2_000
_KEYS_MOST = 20_000
_TAG_MOST = 128
_TEXT_MOST = 256
_NS_PER_MS = 1_000_000

Columns = tuple[tuple[Metric, ...], tuple[str, ...]]
"""Which quantity, and of which part, each number of a batch is."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the devices of one kind have in common: which fields stand in the line of which part."""

    columns: Columns
    fields: Mapping[str, tuple[str, ...]]
    """Part to its fields, in the order of the lines."""
    order: Callable[[tuple[float, ...]], tuple[float, ...]]
    """Picks the numbers in the lines' order from (readings…, up, outage reason, time)."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The lines of one device in one shape: `template % numbers`, the last number of each line being its time."""

    device: Device
    shape: _Shape
    template: str


class Encoder:
    """Turns batches and transitions into lines; keeps at most `_LAYOUTS_MOST` layouts."""

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, str, Group, bool], _Layout] = {}
        self._shapes: dict[tuple[Columns, bool, bool], _Shape] = {}
        self._last_ms: dict[str, int] = {}

    def lines(self, batch: Batch) -> tuple[str, int]:
        """Give the batch's lines, each ended by a newline, and their number; ("", 0) where nothing can be stored."""
        outage = batch.outage
        readings = batch.readings if outage is None or outage is Outage.PARTIAL else ()
        metrics, values, parts = _columns(readings)
        if not math.isfinite(sum(values)):
            # an infinite sum of finite numbers only costs this detour
            metrics, values, parts = _columns([reading for reading in readings if math.isfinite(reading.value)])
        layout = self._layout(batch, (metrics, parts))
        up = 1.0 if outage is None or outage is Outage.PARTIAL else 0.0
        reason = float(outage.code) if outage else 0.0
        numbers = (*map(float, values), up, reason, batch.time_ns // _NS_PER_MS)
        return layout.template % layout.shape.order(numbers), len(layout.shape.fields)

    def transition(self, move: Transition) -> str:
        """Give the line of one transition.

        Two moves of one alarm within a millisecond are told apart by one more millisecond: at the same time they
        would be one point, and the first move lost.
        """
        time_ms = max(move.time_ns // _NS_PER_MS, self._last_ms.get(move.key, 0) + 1)
        if len(self._last_ms) >= _KEYS_MOST:
            self._last_ms.clear()
        self._last_ms[move.key] = time_ms
        return f"{_alert_series(move)} {','.join(_alert_fields(move))} {time_ms}\n"

    def _layout(self, batch: Batch, columns: Columns) -> _Layout:
        device = batch.device
        key = (device.kind, device.id, batch.group, batch.outage is None)
        layout = self._layouts.get(key)
        if layout is not None and layout.device is device and layout.shape.columns == columns:
            return layout
        layout = _lay_out(device, self._shape(batch, columns))
        if batch.group is not Group.FAST:
            return layout  # wanted again in a minute or an hour: made anew then, and not kept for thousands of devices
        if len(self._layouts) >= _LAYOUTS_MOST:
            self._layouts.clear()
        self._layouts[key] = layout
        return layout

    def _shape(self, batch: Batch, columns: Columns) -> _Shape:
        """Give the shape, one for all devices that share it: there are few shapes and many devices."""
        has_up = batch.group is Group.FAST and batch.device.driver != OWN_DRIVER
        key = (columns, has_up, batch.outage is not None)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _SHAPES_MOST:
                self._shapes.clear()
            shape = self._shapes[key] = _shape_of(columns, has_up=has_up, has_reason=batch.outage is not None)
        return shape


def _columns(readings: Sequence[Reading]) -> tuple[tuple[Metric, ...], tuple[float, ...], tuple[str, ...]]:
    return tuple(zip(*readings, strict=True)) if readings else ((), (), ())  # type: ignore[return-value]  # three, by type


def _shape_of(columns: Columns, *, has_up: bool, has_reason: bool) -> _Shape:
    up_index, reason_index, time_index = range(len(columns[0]), len(columns[0]) + 3)
    parts: dict[str, dict[str, int]] = {}
    if has_up:
        parts[""] = {UP.name: up_index}
    for index, (metric, part) in enumerate(zip(*columns, strict=True)):
        parts.setdefault(part, {})[metric.name] = index  # of two readings of one quantity the later stands
    if has_reason:
        parts.setdefault("", {})[OUTAGE_REASON.name] = reason_index
    picked = [index for fields in parts.values() for index in (*fields.values(), time_index)]
    names = {part: tuple(fields) for part, fields in parts.items()}
    return _Shape(columns, names, itemgetter(*picked) if picked else _nothing)


def _lay_out(device: Device, shape: _Shape) -> _Layout:
    template = "".join(_line_template(device, part, fields) for part, fields in shape.fields.items())
    return _Layout(device, shape, template)


def _nothing(_: tuple[float, ...]) -> tuple[float, ...]:
    return ()


def _line_template(device: Device, part: str, fields: Iterable[str]) -> str:
    series = _series(device, part).replace("%", "%%")
    return f"{series} {','.join(f'{field}=%r' for field in fields)} %d\n"


def _series(device: Device, part: str) -> str:
    tags = {
        "device": device.id,
        "feed": device.feed,
        "part": part,
        "rack": device.rack,
        "row": device.row,
        "site": device.site,
    }
    return _tagged(device.kind, tags)


def _tagged(measurement: str, tags: dict[str, str | None]) -> str:
    """Join measurement and tags; a tag without a value is left out, because an empty one is a syntax error.

    A value of which nothing is printable becomes `?`: left out, a part of a device would pass for the whole.
    """
    cleaned = ((key, escape_tag(value) or "?") for key, value in tags.items() if value)
    return escape_tag(measurement) + "".join(f",{key}={value}" for key, value in cleaned)


@functools.lru_cache(maxsize=20_000)
def escape_tag(value: str) -> str:
    r"""Make a tag's value safe: one printable line, no backslash, then `\` before comma, space and equals sign.

    A backslash from outside never passes: VictoriaMetrics answers 204 to `\ ` after one and drops the line.
    """
    return clean(value, _TAG_MOST).replace(",", "\\,").replace(" ", "\\ ").replace("=", "\\=")


def _alert_series(move: Transition) -> str:
    tags: dict[str, str | None] = {
        "rule": move.rule,
        "severity": str(move.severity),
        "site": move.key.removesuffix(f":{move.rule}:{move.target_kind}:{move.target_id}"),
        "target": move.target_id,
        "target_kind": move.target_kind,
    }
    return _tagged("alert", tags)


def _alert_fields(move: Transition) -> Iterable[str]:
    words = {"state": move.after, "from": move.before, "to": move.after, "cause": move.cause, "title": move.title}
    for name, text in words.items():
        yield f"{name}={quote(text)}"
    for name, value in (("value", move.best), ("limit", move.limit)):
        if value is not None and math.isfinite(value):
            yield f"{name}={float(value)!r}"


def quote(text: str) -> str:
    """Write a string field: one bounded printable line, its quotation marks escaped."""
    return '"' + clean(text, _TEXT_MOST).replace('"', '\\"') + '"'

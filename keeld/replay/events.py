"""What else happened while a recording was made: the event lines among the batches.

`{"time": ..., "event": "restart"}` and so on. Words about time are those of the configuration and the command line:
a span is written `15m`, a moment RFC 3339 or seconds since 1970.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keeld.alerts.acts import Acknowledge, Act, Close, EndMaintenance, GoLive, Maintain, Shelve
from keeld.alerts.rules import SET_OF_STATE
from keeld.alerts.selector import Selector, SelectorError, parse, select
from keeld.batch_json import BadBatchError, read_time
from keeld.config.scalars import seconds
from keeld.contract import CurtailOrder
from keeld.text import clean

_SECOND_NS = 1_000_000_000
_WORD_MOST = 200
_OWNER = "replay"
_MOST_WATTS = 1e12
_KINDS = {"power_node": "node", "cooling_node": "cooling", "circuit": "node"}


@dataclass(frozen=True, slots=True)
class Restart:
    """Keeld is killed and starts again `down_s` later; what it had not committed is lost."""

    down_s: float


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The wall clock is set by so much, and no time passes. Later lines carry the new time."""

    step_s: float


@dataclass(frozen=True, slots=True)
class RackMove:
    """A rack is taken into another state."""

    rack: str
    state: str


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """An order to draw less is taken back."""

    order: str


Event = Restart | ClockStep | RackMove | CurtailOrder | CancelOrder | Act


class Fields:
    """The fields of one event line. Every reader raises BadBatchError with the name of what is wrong."""

    def __init__(self, form: Mapping[str, Any]) -> None:
        self._form = form
        self.at_ns = read_time(form.get("time"))

    def word(self, name: str, default: str | None = None) -> str:
        """Give a text."""
        value = self._form.get(name, default)
        if not isinstance(value, str) or not 0 < len(value) <= _WORD_MOST:
            raise BadBatchError(f"{name} is missing or no word")
        return clean(value, _WORD_MOST)

    def has(self, name: str) -> bool:
        """Whether a field is there."""
        return self._form.get(name) is not None

    def number(self, name: str) -> float:
        """Give a number; raises where there is none."""
        value = self._form.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadBatchError(f"{name} is missing or no number")
        return float(value)

    def span_s(self, name: str, default: str | None = None) -> float:
        """Give a span, in s: `15m`, or a number of seconds."""
        value = self._form.get(name, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:  # noqa: PLR2004 - 30 years
            return float(value)
        span_s = seconds(value) if isinstance(value, str) else None
        if span_s is None:
            raise BadBatchError(f"{name} is no span; write 90s, 15m or 4h")
        return span_s

    def moment_ns(self, name: str, span: str, default_ns: int | None = None) -> int:
        """Give a moment, written as one or as a span from the line's time on under another name."""
        if self.has(name):
            return read_time(self._form[name])
        if self.has(span):
            return self.at_ns + round(self.span_s(span) * _SECOND_NS)
        if default_ns is None:
            raise BadBatchError(f"neither {name} nor {span}; write {span}: 4h")
        return default_ns

    def selector(self, name: str) -> Selector:
        """Give a selector: `rack=r07`, `{"rack": "r07"}`, or a target as notifications name it, `rack:r07`."""
        value = self._form.get(name)
        try:
            if isinstance(value, Mapping):
                return select({str(key): str(pattern) for key, pattern in value.items()})
            text = self.word(name)
            kind, colon, identity = text.partition(":")
            if colon and "=" not in kind:
                return select({_KINDS.get(kind, kind): identity})
            return parse(text)
        except SelectorError as error:
            raise BadBatchError(f"{name}: {clean(error, _WORD_MOST)}") from None

    def alert(self) -> str:
        """Give an alarm's id or key; `rule` and `target` together make the end of one."""
        if self.has("alert"):
            return self.word("alert")
        return f"{self.word('rule')}:{self.word('target')}"


def read_event(form: Mapping[str, Any]) -> Event:
    """Give the event of a line; raises BadBatchError."""
    name = form.get("event")
    read = _READERS.get(name) if isinstance(name, str) else None
    if read is None:
        nearest = difflib.get_close_matches(str(name)[:64], _READERS, n=1)
        remedy = f"did you mean {nearest[0]}?" if nearest else f"write one of {', '.join(_READERS)}"
        raise BadBatchError(f"no event '{clean(name)}'; {remedy}")
    return read(Fields(form))


def _restart(fields: Fields) -> Restart:
    return Restart(fields.span_s("down", "0s"))


def _clock_step(fields: Fields) -> ClockStep:
    return ClockStep(fields.number("step_s"))


def _rack_state(fields: Fields) -> RackMove:
    state = fields.word("state")
    if state not in SET_OF_STATE:
        raise BadBatchError(f"no rack state '{state}'; write one of {', '.join(SET_OF_STATE)}")
    return RackMove(fields.word("rack").removeprefix("rack:"), state)


def _curtail(fields: Fields) -> CurtailOrder | CancelOrder:
    if fields.has("cancel"):
        return CancelOrder(fields.word("cancel"))
    kind, _, name = fields.word("target").partition(":")
    begins_ns = fields.moment_ns("begins", "in", fields.at_ns)
    met_by_ns = fields.moment_ns("met_by", "within", begins_ns)
    ends_ns = fields.moment_ns("ends", "for")
    most_watts = fields.number("most_watts")
    if not begins_ns <= met_by_ns < ends_ns or not 0.0 <= most_watts < _MOST_WATTS:
        raise BadBatchError("times are out of order or most_watts is no power; begins, then met_by, then ends")
    return CurtailOrder(
        id=fields.word("id", "order"),
        target_kind={"node": "power_node"}.get(kind, kind),
        target_id=name,
        most_watts=most_watts,
        begins_ns=begins_ns,
        met_by_ns=met_by_ns,
        ends_ns=ends_ns,
        source=fields.word("source", _OWNER),
    )


def _acknowledge(fields: Fields) -> Acknowledge:
    return Acknowledge(alert=fields.alert(), owner=fields.word("owner", _OWNER))


def _shelve(fields: Fields) -> Shelve:
    by_selector = fields.has("selector")
    return Shelve(
        owner=fields.word("owner", _OWNER),
        reason=fields.word("reason", _OWNER),
        until_ns=fields.moment_ns("until", "for"),
        alert="" if by_selector else fields.alert(),
        selector=fields.selector("selector") if by_selector else None,
    )


def _maintenance(fields: Fields) -> Maintain | EndMaintenance:
    if fields.has("end"):
        return EndMaintenance(work=fields.word("end"), owner=fields.word("owner", _OWNER))
    return Maintain(
        target=fields.selector("target"),
        owner=fields.word("owner", _OWNER),
        reason=fields.word("reason", _OWNER),
        begins_ns=fields.moment_ns("begins", "in", fields.at_ns),
        ends_ns=fields.moment_ns("ends", "for"),
        every_days=round(fields.number("every_days")) if fields.has("every_days") else 0,
    )


def _close(fields: Fields) -> Close:
    return Close(alert=fields.alert(), owner=fields.word("owner", _OWNER), reason=fields.word("reason", _OWNER))


def _go_live(fields: Fields) -> GoLive:
    return GoLive(selector=fields.selector("selector"), owner=fields.word("owner", _OWNER))


_READERS: Mapping[str, Callable[[Fields], Event]] = {
    "restart": _restart,
    "clock_step": _clock_step,
    "rack_state": _rack_state,
    "curtail": _curtail,
    "acknowledge": _acknowledge,
    "shelve": _shelve,
    "maintenance": _maintenance,
    "close": _close,
    "live": _go_live,
}

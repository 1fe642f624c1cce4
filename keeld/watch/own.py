"""Keeld itself: whether its messages and readings still find their way (36, 37), and the host it runs on (51).

The process gathers how it does and hands it over; here it is judged like everything else, so that its troubles are
alarms with a beginning and an end, over restarts too. What it has not heard of for a minute, it does not judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, NamedTuple

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT
from keeld.alerts.shipped.own import KEELD_DELIVERY, KEELD_HEARTBEAT, KEELD_HOST, NOBODY_HEARS, SOON
from keeld.budgets.source import MINUTE_NS, SECOND_NS
from keeld.health import OwnState
from keeld.model import Moment
from keeld.text import clean
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
_FULL_SOON_S = 2 * _HOUR_S
_FULL_LATER_S = _DAY_S
_DISK_LEAST_BYTES = 512 << 20
_CERTIFICATE_S, _CERTIFICATE_SOON_S = 14 * _DAY_S, 2 * _DAY_S
_JUMP_LEAST_S = 5.0
_UNSYNCHRONISED_NS = 10 * MINUTE_NS
"""A clock that has just been started takes some minutes to be set."""
_UNLOADED_NS = 30 * MINUTE_NS
"""A file that is being edited differs for a while."""
_STALE_NS = 60 * SECOND_NS
_TRUE, _FALSE = Span(1.0, 1.0), Span(0.0, 0.0)


class Found(NamedTuple):
    """What is known of one trouble: whether it is there, which further facts hold, and its words."""

    holds: bool | None
    facts: frozenset[str] = frozenset()
    detail: str = ""
    cause: str = ""


class Concern(NamedTuple):
    """One thing about keeld that may be wrong, with how its alarm is called."""

    rule: str
    what: str
    """Its place in the target's id; empty for keeld as a whole."""
    label: str
    title: str
    advice: str


_SPOOL = Concern(
    KEELD_DELIVERY.name, "", "keeld", "will soon have to drop readings",
    "Bring the database back, or give the spool more room (storage: spool_max).",
)  # fmt: skip
_CHANNELS = Concern(
    KEELD_DELIVERY.name, "channels", "keeld", "reaches nobody: every channel fails",
    "Check this host's way out; until one channel works again, only the page shows alarms.",
)  # fmt: skip
_CHANNEL = Concern(
    KEELD_DELIVERY.name, "", "", "does not deliver",
    "Check the receiver and its key; what it misses goes to the next channel meanwhile.",
)  # fmt: skip
_HEARTBEAT = Concern(KEELD_HEARTBEAT.name, "heartbeat", "keeld", KEELD_HEARTBEAT.title, KEELD_HEARTBEAT.advice)
_CLOCK = Concern(
    KEELD_HOST.name, "clock", "keeld's clock", "is not right",
    "Set up time synchronisation on this host; readings carry its time.",
)  # fmt: skip
_DISK = Concern(
    KEELD_HOST.name, "disk", "keeld's disk", "fills up",
    "Make room on it; when it is full, the oldest readings that wait are dropped.",
)  # fmt: skip
_STATE = Concern(
    KEELD_HOST.name, "state", "keeld's alarm state", "is not on the disk",
    "Make room or permissions for state.db; a restart now would forget what was told.",
)  # fmt: skip
_CERTIFICATES = Concern(
    KEELD_HOST.name, "certificates", "a certificate", "ends soon",
    "Renew it; after its end nothing is delivered there.",
)  # fmt: skip
_CONFIGURATION = Concern(
    KEELD_HOST.name, "configuration", "keeld's configuration", "differs from its file",
    "Run `keeld check`, then reload keeld; a restart would take the file as it is.",
)  # fmt: skip
_CONCERNS = (_SPOOL, _CHANNELS, _HEARTBEAT, _CLOCK, _DISK, _STATE, _CERTIFICATES, _CONFIGURATION)


class Own(Duty):
    """Keeld, as the process that runs it says it does."""

    name: ClassVar[str] = "own"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.channels: tuple[str, ...] = ground.topology.site.channels
        self._own: OwnState | None = None
        self._noted_ns = 0
        self._unsynchronised_ns: int | None = None
        self._unloaded_ns: int | None = None

    def note(self, own: OwnState, now: Moment) -> None:
        """Take how keeld does now."""
        self._own, self._noted_ns = own, now.mono_ns
        self._unsynchronised_ns = _since(self._unsynchronised_ns, now, holds=own.clock_is_synchronised is False)
        self._unloaded_ns = _since(self._unloaded_ns, now, holds=bool(own.config_words))

    def subjects(self) -> Iterator[Subject]:
        """List every concern, and each channel."""
        for concern in _CONCERNS:
            yield self._subject(concern, self._target(concern))
        for channel in self.channels:
            yield self._subject(_CHANNEL, _channel_target(channel))

    def _subject(self, concern: Concern, target: Target) -> Subject:
        rules = self.ground.rules
        return Subject(rules.rule(concern.rule), rules.levels(concern.rule, PLANT, target), target)

    def _target(self, concern: Concern) -> Target:
        site = self.ground.topology.site.name
        name = f"{site}/{concern.what}" if concern.what else site
        covers = frozenset(f"channel:{channel}" for channel in self.channels) if concern is _CHANNELS else frozenset()
        return Target("keeld", name, concern.label, frozenset({f"keeld:{name}"}), covers)

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Judge every concern on what was noted last; nothing where that is old."""
        own, now = self._own, slot.now
        if own is None or now.mono_ns - self._noted_ns > _STALE_NS:
            return
        for concern, found in self._look(own, now):
            self._judge(concern, self._target(concern), found, board, now)
        for channel in self.channels:
            trouble = own.channels.get(channel)
            found = Found(bool(trouble), detail=f"{clean(trouble, 200)}." if trouble else "", cause=_cause_of(trouble))
            self._judge(_CHANNEL, _channel_target(channel), found, board, now)
        yield 4

    def _look(self, own: OwnState, now: Moment) -> Iterator[tuple[Concern, Found]]:
        failing = [name for name, trouble in own.channels.items() if trouble]
        all_fail = bool(own.channels) and len(failing) == len(own.channels)
        yield _SPOOL, _spool(own)
        yield _CHANNELS, Found(all_fail, frozenset({NOBODY_HEARS}), _listed(own.channels), "this host's way out")
        yield _HEARTBEAT, Found(bool(own.heartbeat), detail=f"{clean(own.heartbeat, 200)}." if own.heartbeat else "")
        yield _CLOCK, self._clock(own, now)
        yield _DISK, _disk(own)
        yield _STATE, Found(bool(own.state_trouble), detail=clean(own.state_trouble, 200))
        yield _CERTIFICATES, _certificates(own)
        late = self._unloaded_ns is not None and now.mono_ns - self._unloaded_ns > _UNLOADED_NS
        yield _CONFIGURATION, Found(late, detail=clean(own.config_words, 200))

    def _clock(self, own: OwnState, now: Moment) -> Found:
        if abs(own.clock_jump_s) > _JUMP_LEAST_S:
            way = "ahead" if own.clock_jump_s > 0 else "back"
            words = f"It was set {way} by {abs(own.clock_jump_s):.0f} s."
            return Found(holds=True, detail=words, cause="the clock was set")
        since_ns = self._unsynchronised_ns
        late = since_ns is not None and now.mono_ns - since_ns > _UNSYNCHRONISED_NS
        holds = None if own.clock_is_synchronised is None else late
        return Found(holds, detail="Nothing keeps it right." if late else "", cause="no time server is reached")

    def _judge(self, concern: Concern, target: Target, found: Found, board: Board, now: Moment) -> None:
        rule = self.ground.rules.rule(concern.rule)
        levels = self.ground.rules.levels(rule.name, PLANT, target)
        if not levels or (not found.holds and board.find(rule, target) is None):
            return
        rule = replace(rule, title=concern.title, advice=concern.advice)
        spans = tuple(
            None if found.holds is None else _TRUE if found.holds and (not level.needs or level.needs in found.facts)
            else _FALSE
            for level in levels
        )  # fmt: skip
        evidence = Evidence(spans=spans, cause=found.cause, detail=found.detail, is_known=found.holds is not None)
        board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    def keep(self, before: Own) -> None:
        """Take over what was noted before a reload."""
        self._own, self._noted_ns = before._own, before._noted_ns
        self._unsynchronised_ns, self._unloaded_ns = before._unsynchronised_ns, before._unloaded_ns


def _since(before_ns: int | None, now: Moment, *, holds: bool) -> int | None:
    return (now.mono_ns if before_ns is None else before_ns) if holds else None


def _channel_target(channel: str) -> Target:
    return Target("channel", channel, f"channel {channel}", frozenset({f"channel:{channel}"}))


def _cause_of(trouble: str | None) -> str:
    return "the receiver, or the way to it" if trouble else ""


def _listed(channels: Mapping[str, str]) -> str:
    return " ".join(f"{name}: {clean(trouble, 120)}." for name, trouble in channels.items() if trouble)


def _spool(own: OwnState) -> Found:
    left_s = own.spool_full_s
    if left_s is None or left_s > _FULL_LATER_S:
        return Found(holds=False)
    facts = frozenset({SOON}) if left_s < _FULL_SOON_S else frozenset[str]()
    detail = f"At this pace the first readings are dropped in {_span(left_s)}. {clean(own.spool_words, 200)}"
    return Found(holds=True, facts=facts, detail=detail.strip(), cause="a database that takes nothing")


def _disk(own: OwnState) -> Found:
    if own.disk_free_bytes is None:
        return Found(None)
    full_s = own.disk_full_s
    is_short = own.disk_free_bytes < _DISK_LEAST_BYTES
    fills = full_s is not None and full_s < _DAY_S
    facts = frozenset({SOON}) if is_short or (full_s is not None and full_s < _FULL_SOON_S) else frozenset[str]()
    words = f"{own.disk_free_bytes / (1 << 20):.0f} MiB are free."
    if fills and full_s is not None:
        words += f" At this pace it is full in {_span(full_s)}."
    return Found(is_short or fills, facts, words, "something on this host writes more than is removed")


def _certificates(own: OwnState) -> Found:
    ending = {name: left_s for name, left_s in own.certificates_s.items() if left_s < _CERTIFICATE_S}
    facts = frozenset({SOON}) if any(left_s < _CERTIFICATE_SOON_S for left_s in ending.values()) else frozenset[str]()
    words = [
        f"{clean(name, 80)}: {f'ends in {_span(left_s)}' if left_s > 0 else 'has ended'}."
        for name, left_s in sorted(ending.items(), key=lambda item: item[1])[:8]
    ]
    return Found(bool(ending), facts, " ".join(words))


def _span(span_s: float) -> str:
    """Say a span in the unit that people would use."""
    for size_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (60.0, "min")):
        if span_s >= 2 * size_s:
            return f"{span_s / size_s:.0f} {unit}"
    return f"{max(0.0, span_s):.0f} s"

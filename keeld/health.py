"""keeld's own counters: what it polled, stored, sent and dropped.

Plain integers on the hot path; `/metrics` and `keeld status` read them. Every label set is closed or comes from the
configuration, so the number of series is bounded by it.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from keeld.errors import Outage


@dataclass(slots=True)
class Health:
    """One object for the process; every part adds to its own fields."""

    started_mono_ns: int = 0
    polls: int = 0
    outages: collections.Counter[Outage] = field(default_factory=collections.Counter)
    overruns: int = 0
    """Polls that could not begin in their own interval because the one before was still under way."""
    late_polls: int = 0
    """Polls that began more than half a second after they could have."""
    late_s_max: float = 0.0
    """Largest delay of a poll's start against its due time, keeld's own fault (loop or concurrency bound)."""
    readings: int = 0
    points_acknowledged: int = 0
    points_stored: collections.Counter[str] = field(default_factory=collections.Counter)
    """Points confirmed, by sink name."""
    points_dead: collections.Counter[str] = field(default_factory=collections.Counter)
    points_evicted: collections.Counter[str] = field(default_factory=collections.Counter)
    """Points dropped from the spool, by cause: bytes, age, disk, memory."""
    points_in_history: int = 0
    points_dropped_from_history: int = 0
    send_failures: collections.Counter[str] = field(default_factory=collections.Counter)
    transitions: collections.Counter[str] = field(default_factory=collections.Counter)
    """Transitions by the state they lead to."""
    notifications: collections.Counter[str] = field(default_factory=collections.Counter)
    messages: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)
    """Messages made, by channel and rule."""
    notification_failures: collections.Counter[str] = field(default_factory=collections.Counter)
    notifications_dead: collections.Counter[str] = field(default_factory=collections.Counter)
    """Messages given up for good, by channel."""
    loop_lag_s_max: float = 0.0
    progress: dict[str, int] = field(default_factory=dict)
    """Part of keeld -> monotonic ns of its last progress; the watchdog is fed only while all of them move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnState:
    """How keeld itself does, gathered every ten seconds for the rules about it; None is not known."""

    channels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Every channel that can send, with why its last attempt failed; empty where it did not."""
    heartbeat: str = ""
    """Why the last sign of life could not be delivered; empty where it was."""
    spool_full_s: float | None = None
    """Seconds until readings that were acknowledged are dropped, at the pace of the last minutes; None while none is
    going to be."""
    spool_words: str = ""
    """What waits and why, as a sentence for people."""
    state_trouble: str = ""
    """Why alarms and messages cannot be written to the disk; empty while they can."""
    clock_is_synchronised: bool | None = None
    clock_jump_s: float = 0.0
    """By how much the wall clock was last set, where that was within the last quarter of an hour; positive is ahead."""
    disk_free_bytes: int | None = None
    disk_full_s: float | None = None
    """Seconds until the storage directory's disk is full, at the pace of the last hour; None while it does not fill."""
    certificates_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Whom keeld speaks to over TLS, with the seconds until the certificate ends."""
    config_words: str = ""
    """How the configuration in force differs from its file; empty where it does not."""

"""What can go wrong, sorted by who acts on it.

`ConfigError`    the operator edits the configuration; keeld refuses to start or keeps the old one.
`PollError`      nobody acts: it is data. The poller turns it into a Batch whose `outage` is its reason.
`DeliveryError`  keeld retries; the data waits where it is durable.

Library exceptions are translated into these once, in links, sinks and notify. An exception that is a signal inside one
package derives from Exception, and says which package it never leaves.
Anything else is a bug and ends the process.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class Outage(enum.StrEnum):
    """Why a device has no values: a closed set, so it is safe as a metric label and as a stored number."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    DENIED = "denied"
    BUSY = "busy"
    UNIT_DOWN = "unit_down"
    GARBLED = "garbled"
    PARTIAL = "partial"
    LOST = "lost"
    DRIVER_DOWN = "driver_down"
    HUNG = "hung"
    IDENTITY = "identity"
    UNSUPPORTED = "unsupported"
    STALE = "stale"

    @property
    def code(self) -> int:
        """The number stored in the field `outage_reason`; never reused, only appended to."""
        return _CODES[self]


# The order is the storage contract: a code once written to a database keeps its meaning.
_CODES: dict[Outage, int] = {outage: code for code, outage in enumerate(Outage, start=1)}


class KeeldError(Exception):
    """Every error keeld raises on purpose derives from this."""


class Problem(NamedTuple):
    """One thing wrong in a configuration: where it stands, what is wrong and what to write instead."""

    where: str
    """`file:line:col`, or the file alone when it could not be read."""
    wrong: str
    remedy: str = ""

    def __str__(self) -> str:
        """Render as the one line an operator reads."""
        return f"{self.where}: {self.wrong}; {self.remedy}" if self.remedy else f"{self.where}: {self.wrong}"


class ConfigError(KeeldError):
    """The configuration cannot be used; carries every problem found in the run, not just the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class PollError(KeeldError):
    """A device did not give a usable answer; `outage` says why, `detail` is a cleaned sentence for people."""

    def __init__(self, outage: Outage, detail: str = "") -> None:
        super().__init__(f"{outage}: {detail}" if detail else str(outage))
        self.outage = outage
        self.detail = detail


class DeliveryError(KeeldError):
    """A sink or a channel did not take what it was given; the data stays queued.

    `retry_after_s` is what the other side asked for, None where it said nothing.
    `permanent` marks an answer that repeating cannot change (a rejected line, a wrong token).
    """

    def __init__(self, detail: str, *, retry_after_s: float | None = None, permanent: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.permanent = permanent

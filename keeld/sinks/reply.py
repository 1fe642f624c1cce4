"""What a database said to a parcel of lines, reduced to what keeld does about it."""

from __future__ import annotations

import email.utils
import enum
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from keeld.text import clean

RETRY_AFTER_MOST_S = 300.0
"""A database that asks for more is asked again after this."""

WORDS_MOST = 300


class Answer(enum.Enum):
    """What follows from a reply; every reply is one of these."""

    STORED = "stored"
    LATER = "later"
    """Busy or broken: keep it and try again."""
    LOST = "lost"
    """No reply, or a gateway's: the database itself may have gone down, and forgotten what it had confirmed."""
    TOO_LARGE = "too large"
    REJECTED = "rejected"
    """The lines are wrong, at least one of them."""
    FAULT = "fault"
    """The configuration is wrong (address, token, database): keep everything until a person has been there."""


class Reply(NamedTuple):
    """One reply. `words` are the database's own, cleaned and bounded."""

    answer: Answer
    words: str = ""
    retry_after_s: float = 0.0
    reconnected: bool = False
    """True when an earlier connection had gone without notice: the database may have been restarted."""


class Sink(Protocol):
    """A database that takes gzipped lines."""

    name: str

    async def write(self, body: bytes) -> Reply:
        """Send gzipped lines and say what came of it; raises nothing but CancelledError."""

    async def close(self) -> None:
        """Let the connection go."""


_BY_STATUS = {
    400: Answer.REJECTED,
    408: Answer.LATER,
    413: Answer.TOO_LARGE,
    422: Answer.REJECTED,
    429: Answer.LATER,
    502: Answer.LOST,
    503: Answer.LOST,
    504: Answer.LOST,
}
"""By status; any other 2xx is STORED, 5xx LATER, and the rest (1xx, 3xx, 401, 403, 404, …) a FAULT."""


def judge(status: int, said: bytes, retry_after: str | None, *, reconnected: bool = False) -> Reply:
    """Reduce an HTTP response to a reply."""
    classes = {2: Answer.STORED, 5: Answer.LATER}
    answer = _BY_STATUS.get(status) or classes.get(status // 100, Answer.FAULT)
    words = "" if answer is Answer.STORED else f"{status} {clean(said.decode('utf-8', 'replace'), WORDS_MOST)}".strip()
    return Reply(answer, words, read_retry_after(retry_after), reconnected)


def read_retry_after(value: str | None) -> float:
    """Read seconds or an HTTP date as seconds from now, within 0 and the cap; 0 for what cannot be read."""
    if not value:
        return 0.0
    try:
        wanted_s = float(value)
    except ValueError:
        wanted_s = _seconds_until(value)
    return min(wanted_s, RETRY_AFTER_MOST_S) if wanted_s > 0 else 0.0  # not a number is not above 0 either


def _seconds_until(date: str) -> float:
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()

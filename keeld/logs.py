"""Set up logging once: JSON lines for machines, columns for a person at a terminal.

A line cannot be forged by what a device says: JSON is pure ASCII with every control character escaped, and the
terminal shows none. Lines go to standard error; when it is gone they are dropped, because a log must not end keeld.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

_QUIET = ("pymodbus", "aiohttp.access", "mqtt", "apprise")
"""Libraries whose every complaint keeld reports itself, translated."""


def configure(*, as_json: bool | None = None, level: str = "info", stream: TextIO | None = None) -> None:
    """Set up keeld's log and that of its libraries; JSON unless `stream` is a terminal or `as_json` decides."""
    target = sys.stderr if stream is None else stream
    plain = not target.isatty() if as_json is None else as_json
    threshold = logging.getLevelNamesMapping()[level.upper()]
    lines = _Lines(target, for_journal=plain and _is_journal(target))
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    shared += [_ordered, structlog.processors.JSONRenderer()] if plain else [_printable, _columns(target)]
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    _adopt_libraries(max(threshold, logging.WARNING))


class _Lines:
    """The end of the chain: writes finished lines, with the level in front where journald reads it."""

    def __init__(self, stream: TextIO, *, for_journal: bool) -> None:
        self._stream = stream
        self._for_journal = for_journal

    def debug(self, line: str) -> None:
        self._write(line, 7)

    def info(self, line: str) -> None:
        self._write(line, 6)

    def warning(self, line: str) -> None:
        self._write(line, 4)

    def error(self, line: str) -> None:
        self._write(line, 3)

    def critical(self, line: str) -> None:
        self._write(line, 2)

    def _write(self, line: str, priority: int) -> None:
        try:
            self._stream.write(f"<{priority}>{line}\n" if self._for_journal else f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # closed or full: there is nobody left to tell


class _Library(logging.Handler):
    """Passes a library's log record on as a line of keeld's."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)


def _adopt_libraries(threshold: int) -> None:
    logging.basicConfig(handlers=[_Library()], level=threshold, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _is_journal(stream: TextIO) -> bool:
    """Whether the stream is the one that systemd connected to its journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _columns(stream: TextIO) -> structlog.typing.Processor:
    colors = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time", pad_event_to=28)


def _ordered(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Put what every line has in front."""
    first = {name: event.pop(name) for name in ("time", "level", "event") if name in event}
    return first | dict(event)


def _printable(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take the control characters out of everything that a terminal would obey."""
    for name, value in event.items():
        if not isinstance(value, int | float | None):
            event[name] = _without_controls(str(value), keep="\n" if name == "exception" else "")
    return event


def _without_controls(text: str, keep: str) -> str:
    return "".join(character if character.isprintable() or character == keep else "?" for character in text)

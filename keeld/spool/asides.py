"""Where lines and files go that cannot be delivered: kept for a person, within caps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import structlog

from keeld.spool import files
from keeld.spool.parcel import Ticket
from keeld.spool.queue import Queue
from keeld.text import clean

Refusal = tuple[str, bytes]
"""The sink's words (cleaned), and the lines that it refused with them."""

_DAMAGED_FILES = 100
_DAMAGED_BYTES = 16 << 20
_DEAD_FILES = 10_000
_DEAD_BYTES = 64 << 20

log = structlog.get_logger()


def bury(queue: Queue, ticket: Ticket, refusals: Sequence[Refusal]) -> bool:
    """Keep refused lines under the sink's words, as comments: the file can be posted again as it is.

    False when the disk does not take them.
    """
    text = b"".join(b"# %s: %s\n%s" % (queue.sink.encode(), words.encode(), lines) for words, lines in refusals)
    name = f"{ticket.seq:011d}.lp"
    try:
        files.write_durably(queue.dead_folder / name, text)
        files.sync_folder(queue.dead_folder)
        files.trim(queue.dead_folder, most_files=_DEAD_FILES, most_bytes=_DEAD_BYTES)
    except OSError as error:
        log.warning("refused lines cannot be kept", sink=queue.sink, reason=error.strerror)
        return False
    return True


def set_aside(directory: Path, path: Path, why: str) -> None:
    """Move what is no parcel, or no whole one, into the spool's folder `damaged`."""
    folder = directory / "damaged"
    log.warning("damaged file set aside", file=clean(path.name), reason=why)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        path.rename(folder / path.name)
        files.trim(folder, most_files=_DAMAGED_FILES, most_bytes=_DAMAGED_BYTES)
    except OSError:
        files.remove(path)

"""The form of a parcel: its name, its header, and the check that it is whole. Pure."""

from __future__ import annotations

import enum
import re
import struct
import zlib
from typing import NamedTuple, Self

BLOCK_BYTES = 4096
"""What a file system charges for at the least; caps count blocks, or small parcels would take twice their cap."""

_MAGIC = b"KLDB"
_VERSION = 1
# magic, version, header bytes, crc32 of all that follows it, lines, body bytes, created (ms since 1970)
_HEADER = struct.Struct("<4sHHIIIq")
_CHECKED_FROM = 12
_NAME = re.compile(r"(\d{11})-(\d{1,7})-(\d{1,5})\.batch")
_POINTS_BITS = 20
_BLOCKS_BITS = 14
POINTS_MOST = (1 << _POINTS_BITS) - 1


class DamagedError(Exception):
    """The bytes are no parcel, or not all of one; never leaves spool."""


class Lane(enum.Enum):
    """Where a parcel waits: just made, left over, or confirmed and to be sent once more."""

    LIVE = "live"
    BACKLOG = "backlog"
    RESEND = "resend"


class Ticket(NamedTuple):
    """What a parcel's name says. Queues hold it packed into one integer, which sorts by sequence."""

    seq: int
    points: int
    blocks: int

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.seq:011d}-{self.points}-{self.blocks}.batch"

    @property
    def packed(self) -> int:
        """All three in one integer: a backlog of a million parcels must fit in memory."""
        return self.seq << _POINTS_BITS + _BLOCKS_BITS | self.points << _BLOCKS_BITS | self.blocks

    @classmethod
    def unpack(cls, packed: int) -> Self:
        """Undo `packed`."""
        low = packed & (1 << _POINTS_BITS + _BLOCKS_BITS) - 1
        return cls(packed >> _POINTS_BITS + _BLOCKS_BITS, low >> _BLOCKS_BITS, low & (1 << _BLOCKS_BITS) - 1)

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Read a file's name; None for one that is no parcel's."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        ticket = cls(*map(int, match.groups()))
        return ticket if ticket.points <= POINTS_MOST and ticket.blocks < 1 << _BLOCKS_BITS else None


class Parcel(NamedTuple):
    """A parcel taken out to be sent: the gzipped lines, and where it was waiting."""

    ticket: Ticket
    body: bytes
    lane: Lane


def blocks_of(size_bytes: int) -> int:
    """How many blocks a file of this size takes."""
    return -(-size_bytes // BLOCK_BYTES)


def frame(body: bytes, points: int, *, created_ms: int) -> bytes:
    """Put the header before a gzip body."""
    head = bytearray(_HEADER.pack(_MAGIC, _VERSION, _HEADER.size, 0, points, len(body), created_ms))
    crc = zlib.crc32(body, zlib.crc32(head[_CHECKED_FROM:]))
    struct.pack_into("<I", head, 8, crc)
    return bytes(head) + body


def unframe(framed: bytes, points: int) -> bytes:
    """Give the gzip body of a parcel of `points` lines; raise DamagedError for anything but a whole one."""
    if len(framed) < _HEADER.size:
        raise DamagedError(f"only {len(framed)} bytes")
    magic, version, header_bytes, crc, claimed, body_bytes, _ = _HEADER.unpack_from(framed)
    if magic != _MAGIC or version != _VERSION or header_bytes != _HEADER.size:
        raise DamagedError("not a batch of this version")
    if len(framed) - header_bytes != body_bytes:
        raise DamagedError(f"{len(framed) - header_bytes} bytes of {body_bytes}")
    if zlib.crc32(framed[_CHECKED_FROM:]) != crc or claimed != points:
        raise DamagedError("checksum does not match")
    return framed[header_bytes:]

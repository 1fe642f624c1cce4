"""Find the lines that a database refuses among thousands that it would take.

A rejected parcel is halved, and the halves again, until each rejected piece is one line. The number of rejections is
bounded: past it the pieces are given up as they are.
"""

from __future__ import annotations

import collections
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from keeld.sinks.reply import Answer, Reply

REJECTIONS_MOST = 512
"""One bad line of 5,000 takes 13; a parcel with more than some 50 bad lines loses good ones beside them."""
REJECTIONS_UNPROVEN = 16
"""After so many and not one line accepted, it is not the lines that are wrong."""

Post = Callable[[list[bytes]], Awaitable[Reply]]


@dataclass(slots=True)
class Sifted:
    """What came of a rejected parcel."""

    accepted: int = 0
    """Lines that the database took."""
    refusals: list[tuple[str, bytes]] = field(default_factory=list)
    """The database's words and the lines that it said them of."""
    interrupted: Reply | None = None
    """Set when the database went away meanwhile; then nothing else here counts."""


async def sift(lines: list[bytes], first: Reply, post: Post) -> Sifted:
    """Post ever smaller pieces of a parcel to which `first` was the reply, and sort its lines."""
    found = Sifted()
    rejections = 0
    pieces = collections.deque([(lines, first)])
    while pieces:
        # straight down to the first good line, then evenly: what is given up at the bound is many small pieces
        piece, reply = pieces.popleft() if found.accepted else pieces.pop()
        rejections += reply.answer is Answer.REJECTED
        if len(piece) == 1 or rejections > _most(found):
            found.refusals.append((reply.words, b"".join(piece)))
            continue
        middle = len(piece) // 2
        for half in (piece[:middle], piece[middle:]):
            answer = await post(half)
            if answer.answer is Answer.STORED:
                found.accepted += len(half)
            elif answer.answer in {Answer.REJECTED, Answer.TOO_LARGE}:
                pieces.append((half, answer))
            else:
                found.interrupted = answer
                return found
    return found


def _most(found: Sifted) -> int:
    return REJECTIONS_MOST if found.accepted else REJECTIONS_UNPROVEN

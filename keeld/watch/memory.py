"""What board and duties want to find again after a restart: small notes, named by who wrote them (`duty/key`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeld.alerts.board import Board
from keeld.model import Moment
from keeld.watch.duty import Duty

_BOARD = "board"


def gather_notes(board: Board, duties: Sequence[Duty]) -> dict[str, bytes]:
    """Give every note of the board and of the duties."""
    notes = {f"{_BOARD}/{key}": note for key, note in board.notes().items()}
    return notes | {f"{duty.name}/{key}": note for duty in duties for key, note in duty.memory().items()}


def hand_back(notes: Mapping[str, bytes], board: Board, duties: Sequence[Duty], now: Moment) -> None:
    """Give every note back to who wrote it; those of a duty that no longer exists are left."""
    board.recall(_of(_BOARD, notes), now)
    for duty in duties:
        duty.recall(_of(duty.name, notes), now)


def _of(writer: str, notes: Mapping[str, bytes]) -> dict[str, bytes]:
    head = f"{writer}/"
    return {key.removeprefix(head): note for key, note in notes.items() if key.startswith(head)}

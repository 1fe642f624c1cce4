"""How a rack's headroom looks as JSON: what may be added, and everything that binds it, tightest first."""

from __future__ import annotations

from keeld.budgets.headroom import Headroom, Room
from keeld.web.forms import Form

_ROOMS_SHOWN = 12


def headroom_form(found: Headroom) -> Form:
    """Give the headroom of one rack; null where the configuration sets no limit for it."""
    return {
        "rack": found.rack,
        "label": found.label,
        "usable_watts": found.watts,
        "usable_at_peak_watts": found.peak_watts,
        "binding": None if found.binding is None else _room_form(found.binding),
        "rooms": [_room_form(room) for room in found.rooms[:_ROOMS_SHOWN]],
        "lost": list(found.lost),
    }


def _room_form(room: Room) -> Form:
    return {"constraint": room.constraint, "target": room.target, "watts": room.watts, "base": room.base}

"""What a power node is when the configuration does not say: its id mostly does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_HEAD = re.compile(r"[^a-z]")
_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "utility": "utility", "grid": "utility", "ups": "ups", "gen": "generator", "genset": "generator",
        "generator": "generator", "tx": "transformer", "xfmr": "transformer", "transformer": "transformer",
        "panel": "panel", "rpp": "panel", "msb": "switchboard", "switchboard": "switchboard", "ats": "switch",
        "sts": "switch", "busway": "busway", "pdu": "pdu",
    }
)  # fmt: skip


def kind_named(node_id: str) -> str | None:
    """Give the kind that the first word of an id names: `ups-a` is a ups; None where it names none."""
    return _KINDS.get(_HEAD.split(node_id, maxsplit=1)[0])

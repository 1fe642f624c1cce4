"""Steady ticks: keep the phase, skip what was missed.

due      0    10    20    30    40
called   0    10    |--- 25 s ---|   40      a slow caller misses 20 and 30 and is back on the grid at 40
"""

from __future__ import annotations


def next_due_ns(due_ns: int, interval_ns: int, now_ns: int) -> tuple[int, int]:
    """Give the next time on the grid of `due_ns` that lies after `now_ns`, and how many ticks were skipped."""
    following = due_ns + interval_ns
    if following > now_ns:
        return following, 0
    skipped = (now_ns - following) // interval_ns + 1
    return following + skipped * interval_ns, skipped


def phase_ns(key: str, interval_ns: int) -> int:
    """Spread devices over the interval: the same key always gives the same offset, whatever the process."""
    value = 2166136261  # FNV-1a: hash() is salted and would move every device at each restart
    for byte in key.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value * interval_ns >> 32

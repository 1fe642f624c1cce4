"""XID errors of the NVIDIA driver, as far as somebody must act on them: what each means, and what to do.

The tiers are those on which DCGM's health checks and nvidia_gpu_exporter's rules agree. Errors that a program on the
GPU makes of its own fault (an illegal address, a stopped process) say nothing of the machine and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

OF_PROGRAMS = frozenset({8, 13, 31, 32, 43, 45, 68})
"""Made by what runs on the GPU: nobody is told."""


class Meaning(NamedTuple):
    """What an error means, and what to do about it."""

    words: str
    action: str


_RESET = "Drain the node and reset the GPU; if it comes back, have the GPU replaced."
_REBOOT = "Drain the node and power it off and on; if it comes back, have the GPU replaced."

GRAVE: Mapping[int, Meaning] = MappingProxyType(
    {
        48: Meaning("a memory error of two bits, not corrected", _RESET),
        62: Meaning("its power controller has halted", _REBOOT),
        64: Meaning("a bad memory row could not be recorded", "Drain the node; the GPU needs replacement."),
        74: Meaning("an NVLink error", "Drain the node; check the NVLink bridge or switch, then reset the GPU."),
        79: Meaning("it has fallen off the bus", "Drain the node; check its power cable and its seat, then reboot."),
        95: Meaning("a memory error that was not contained", _RESET),
        119: Meaning("its system processor does not answer", _REBOOT),
        120: Meaning("its system processor reports an error", _REBOOT),
        140: Meaning("a memory error that was not recovered", _RESET),
    }
)
"""After these the GPU must not be used."""

WARNED: Mapping[int, Meaning] = MappingProxyType(
    {
        63: Meaning("a bad memory row was recorded for replacement", "Reset the GPU in the next maintenance window."),
        94: Meaning("a memory error that was contained", "Restart the job that failed; reset the GPU soon."),
    }
)
"""Work goes on, and a reset is due."""

OTHER = Meaning("an error that keeld has no tier for", "Look it up in NVIDIA's XID catalogue.")

NAMED: tuple[int, ...] = (*GRAVE, *WARNED)


def meaning(xid: int) -> Meaning:
    """Give what an error means."""
    return GRAVE.get(xid) or WARNED.get(xid) or OTHER

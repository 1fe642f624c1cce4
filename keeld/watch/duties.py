"""The duties of the watch, in their order at the end of a slot: a cause stands before what follows from it."""

from __future__ import annotations

from keeld.watch.demand import SupplyContract
from keeld.watch.duty import Duty
from keeld.watch.effectiveness import EnergySpent
from keeld.watch.forecast import NextToBreak
from keeld.watch.redundancy import Redundancy

DUTIES: tuple[type[Duty], ...] = (Redundancy, NextToBreak, SupplyContract, EnergySpent)

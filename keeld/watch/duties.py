"""The duties of the watch, in their order at the end of a slot: a cause stands before what follows from it."""

from __future__ import annotations

from keeld.watch.contacts import Contacts
from keeld.watch.demand import SupplyContract
from keeld.watch.duty import Duty
from keeld.watch.effectiveness import EnergySpent
from keeld.watch.forecast import NextToBreak
from keeld.watch.gpus import Accelerators
from keeld.watch.identities import Identities
from keeld.watch.redundancy import Redundancy
from keeld.watch.vacancies import Vacancies

DUTIES: tuple[type[Duty], ...] = (
    Redundancy,
    NextToBreak,
    SupplyContract,
    EnergySpent,
    Contacts,
    Accelerators,
    Identities,
    Vacancies,
)

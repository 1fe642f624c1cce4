"""The duties of the watch, in their order at the end of a slot: a cause stands before what follows from it."""

from __future__ import annotations

from keeld.watch.airflow import Airflow
from keeld.watch.balance import Balance
from keeld.watch.breaker_heat import BreakerHeat
from keeld.watch.circuits import Circuits
from keeld.watch.condensation import Condensation
from keeld.watch.contacts import Contacts
from keeld.watch.coolant_flow import CoolantFlow
from keeld.watch.counters import EnergyCounters
from keeld.watch.curtail import Curtailment
from keeld.watch.demand import SupplyContract
from keeld.watch.duty import Duty
from keeld.watch.effectiveness import EnergySpent
from keeld.watch.faults import Faults
from keeld.watch.feed_notes import FeedNotes
from keeld.watch.forecast import NextToBreak
from keeld.watch.fouling import Fouling
from keeld.watch.gpus import Accelerators
from keeld.watch.headroom import HeadroomWatch
from keeld.watch.identities import Identities
from keeld.watch.inlets import Inlets
from keeld.watch.leaks import Leaks
from keeld.watch.loops import Loops
from keeld.watch.mismatch import MeterMismatch
from keeld.watch.own import Own
from keeld.watch.own_rules import OwnRules
from keeld.watch.redundancy import Redundancy
from keeld.watch.restoring import Restoring
from keeld.watch.rows import Rows
from keeld.watch.supplies import Supplies
from keeld.watch.supply import Supply
from keeld.watch.surges import Surges
from keeld.watch.trips import Trips
from keeld.watch.unproven import Unproven
from keeld.watch.vacancies import Vacancies
from keeld.watch.validity import Validity
from keeld.watch.voltages import Voltages
from keeld.watch.work import AlarmQualityWatch, WorkOverrun
from keeld.watch.zones import Zones

DUTIES: tuple[type[Duty], ...] = (
    FeedNotes,
    EnergyCounters,
    BreakerHeat,
    Validity,
    MeterMismatch,
    Trips,
    Faults,
    Supply,
    Voltages,
    Surges,
    Circuits,
    Redundancy,
    Supplies,
    Restoring,
    Leaks,
    CoolantFlow,
    Loops,
    Condensation,
    Zones,
    Fouling,
    Inlets,
    Airflow,
    NextToBreak,
    SupplyContract,
    Curtailment,
    EnergySpent,
    Contacts,
    Rows,
    Accelerators,
    Identities,
    Vacancies,
    Unproven,
    Balance,
    HeadroomWatch,
    Own,
    OwnRules,
    WorkOverrun,
    AlarmQualityWatch,
)

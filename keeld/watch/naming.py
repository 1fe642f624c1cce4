"""What alarms call things: devices and racks as targets, why one does not answer, and lists of names."""

from __future__ import annotations

from keeld.alerts.alarm import Target
from keeld.budgets.intake import Intake
from keeld.budgets.interval import NAMES_SHOWN
from keeld.budgets.source import SECOND_NS
from keeld.errors import Outage
from keeld.model import Moment
from keeld.watch.racks import RackState

_OUTAGE_WORDS = {
    Outage.TIMEOUT: "no answer in time",
    Outage.UNREACHABLE: "its address cannot be reached",
    Outage.REFUSED: "it refused the connection",
    Outage.DENIED: "it denied access",
    Outage.BUSY: "it was busy",
    Outage.UNIT_DOWN: "its gateway answers, the unit behind it does not",
    Outage.GARBLED: "its answer made no sense",
    Outage.PARTIAL: "it answered only in part",
    Outage.LOST: "it is gone from its host",
    Outage.DRIVER_DOWN: "its driver or its worker is down",
    Outage.HUNG: "its driver hangs",
    Outage.IDENTITY: "another device answers in its place",
    Outage.UNSUPPORTED: "it has nothing that keeld can read",
    Outage.STALE: "it sends old values",
}


def rack_sources(state: RackState) -> list[Intake]:
    """List the devices that tell of a rack's power: its meters, or its machines where it has none."""
    meters = [meter.intake for feed in state.plan.feeds.values() for meter in (*feed.inlets, *feed.meters)]
    return meters or [load.intake for load in state.plan.loads]


def blind_target(state: RackState) -> Target:
    """Name a rack as unobserved, with the devices whose silence that is."""
    sources = frozenset(f"device:{intake.device.id}" for intake in rack_sources(state))
    base = state.target
    return Target(base.kind, base.id, base.label, base.scopes, base.scopes | sources)


def device_target(intake: Intake) -> Target:
    """Name a device."""
    device = intake.device
    return Target("device", device.id, device.label or device.id, frozenset({f"device:{device.id}"}))


def outage_words(intake: Intake) -> str:
    """Say why a device does not answer, as its last poll had it."""
    return (
        "nothing was heard from it"
        if intake.outage is None
        else f"last poll: {intake.outage}, {_OUTAGE_WORDS[intake.outage]}"
    )


def last_answer(intake: Intake, now: Moment) -> str:
    """Say when a device last answered."""
    if intake.answered_ns is None:
        return "It has not answered since keeld started."
    return f"Its last answer was {(now.mono_ns - intake.answered_ns) / SECOND_NS:.0f} s ago."


def names(ids: list[str]) -> str:
    """List names for people, cut where nobody reads on."""
    shown = ", ".join(ids[:NAMES_SHOWN])
    return shown if len(ids) <= NAMES_SHOWN else f"{shown} and {len(ids) - NAMES_SHOWN} more"

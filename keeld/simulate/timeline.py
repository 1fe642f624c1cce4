"""Which incidents and faults are active at a moment, and what the incidents amount to. Pure: it is told the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keeld.model import Site
from keeld.simulate.effects import Effects
from keeld.simulate.faults import Fault
from keeld.simulate.script import Cause, Incident, IncidentKind, PlannedFault

_DEFAULT_AMOUNTS = {IncidentKind.GPU_RAMP: 1.0, IncidentKind.CRAH_FAILURE: 1.0, IncidentKind.CDU_FLOW_LOSS: 0.7}


class Timeline:
    """The script's entries and those that were added while the site ran."""

    def __init__(self, incidents: Iterable[Incident] = (), faults: Iterable[PlannedFault] = ()) -> None:
        self._incidents = list(incidents)
        self._faults = list(faults)

    def add(self, entry: Incident | PlannedFault) -> None:
        """Put one more on the timeline."""
        if isinstance(entry, Incident):
            self._incidents.append(entry)
        else:
            self._faults.append(entry)

    def clear(self, target: str = "") -> None:
        """Take off everything that is about `target`, or everything at all."""
        self._incidents = [entry for entry in self._incidents if target and entry.target != target]
        self._faults = [entry for entry in self._faults if target and entry.target != target]

    def incidents_at(self, time_s: float) -> tuple[Incident, ...]:
        """Give the incidents that go on at `time_s`."""
        return tuple(each for each in self._incidents if each.start_s <= time_s < each.start_s + each.duration_s)

    def faults_at(self, time_s: float) -> Mapping[str, Fault]:
        """Give each device's fault at `time_s`; of two the one that stands later."""
        return {
            each.target: each.fault for each in self._faults if each.start_s <= time_s < each.start_s + each.duration_s
        }


def effects_of(incidents: Iterable[Incident], site: Site) -> Effects:
    """Put together what incidents that go on at the same time do to the plant."""
    dead: set[str] = set()
    unpowered: set[str] = set()
    silent: set[str] = set()
    poolless: set[str] = set()
    load: dict[str, float] = {}
    cooling: dict[str, float] = {}
    flow: dict[str, float] = {}
    stuck: dict[str, frozenset[str]] = {}
    for incident in incidents:
        amount = _DEFAULT_AMOUNTS.get(incident.kind, 1.0) if incident.amount is None else incident.amount
        match incident.kind:
            case IncidentKind.FEED_LOSS:
                dead.add(incident.target)
            case IncidentKind.GPU_RAMP:
                load |= dict.fromkeys(machines_of(incident.target, site, kind="accelerator"), amount)
            case IncidentKind.CRAH_FAILURE:
                cooling[incident.target] = amount
            case IncidentKind.CDU_FLOW_LOSS:
                flow[incident.target] = amount
            case IncidentKind.PDU_GATEWAY_SILENT:
                silent |= _behind(incident.target, site)
            case IncidentKind.MINER_HALL_RESTART:
                unpowered |= machines_of(incident.target, site, kind="miner")
            case IncidentKind.MINER_ROW_STOP:
                stopped = {Cause.POWER: unpowered, Cause.NETWORK: silent, Cause.POOL: poolless}[incident.cause]
                stopped |= machines_of(incident.target, site, kind="miner")
            case IncidentKind.SENSOR_STUCK:
                stuck[incident.target] = frozenset(filter(None, (incident.metric,)))
    return Effects(
        dead_nodes=frozenset(dead),
        unpowered=frozenset(unpowered),
        silent=frozenset(silent),
        poolless=frozenset(poolless),
        training_load=load,
        failed_cooling=cooling,
        lost_flow=flow,
        stuck=stuck,
    )


def machines_of(target: str, site: Site, *, kind: str) -> set[str]:
    """Give the machines that a device's, rack's, row's or the site's name stands for."""
    racks = {rack.id for rack in site.racks.values() if target in {rack.id, rack.row, site.name}}
    return {
        device.id
        for device in site.devices.values()
        if device.kind == kind and (device.id == target or device.rack in racks)
    }


def _behind(target: str, site: Site) -> set[str]:
    address = site.devices[target].address
    return {device.id for device in site.devices.values() if device.address == address}

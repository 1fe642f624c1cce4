"""What happens on the simulated site, and when: the YAML of incidents and faults, checked against the site.

seed: 7
pace: {controller_boot: 4s, miner_boot: 10s, miner_ramp: 20s}
old_firmware: [m1-07]
incidents:
  - {kind: feed-loss, target: ai1-a, start: 15s, duration: 40s}
faults:
  - {kind: delay, target: m1-05, start: 30s, duration: 20s, amount: 0.5}
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from keeld.config.document import YamlOrigin, read_document
from keeld.config.fields import Between, Filled, Number, Seconds, Section, Whole
from keeld.config.report import Report
from keeld.config.wording import Fault as Flaw
from keeld.config.wording import explain, suggest
from keeld.errors import ConfigError, Problem
from keeld.model import Site
from keeld.simulate.faults import WORKER_FAULTS, Fault, FaultKind
from keeld.simulate.machines import DEFAULT_PACE, Pace


class IncidentKind(enum.StrEnum):
    """What can go wrong with the plant."""

    FEED_LOSS = "feed-loss"
    """A power node loses its voltage."""
    GPU_RAMP = "gpu-ramp"
    """A rack's or node's GPUs never fall below `amount` (0 to 1) of their load; 1 where none is given."""
    CRAH_FAILURE = "crah-failure"
    """An air zone loses `amount` (0 to 1) of its capacity; all of it where none is given."""
    CDU_FLOW_LOSS = "cdu-flow-loss"
    """A liquid loop loses `amount` (0 to 1) of its flow; 0.7 where none is given."""
    PDU_GATEWAY_SILENT = "pdu-gateway-silent"
    """A device's address falls silent, with every unit behind it."""
    MINER_ROW_STOP = "miner-row-stop"
    """A rack's or row's miners stop, by power, network or pool."""
    MINER_HALL_RESTART = "miner-hall-restart"
    """Miners lose power for the duration and all start together when it is over."""
    SENSOR_STUCK = "sensor-stuck"
    """A device repeats what it measured at the start: `metric`, or everything."""


class Cause(enum.StrEnum):
    """Why a row of miners stopped."""

    POWER = "power"
    NETWORK = "network"
    POOL = "pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident on the timeline, in seconds from the start of the site."""

    kind: IncidentKind
    target: str
    start_s: float
    duration_s: float
    amount: float | None = None
    cause: Cause = Cause.POWER
    metric: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """One device's misbehaviour on the timeline."""

    fault: Fault
    target: str
    start_s: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A whole script; the empty one is a quiet day."""

    seed: int = 1
    step_s: float = 0.25
    pace: Pace = DEFAULT_PACE
    old_firmware: frozenset[str] = frozenset()
    """Antminers that answer as an S9 does, with JSON that is none."""
    incidents: tuple[Incident, ...] = ()
    faults: tuple[PlannedFault, ...] = ()


class Targets(NamedTuple):
    """The devices and nodes that one name stands for."""

    what: str
    known: frozenset[str]


QUIET_DAY = Script()

_Moment = Annotated[Seconds, AfterValidator(Between("0s", "30d"))]
_Length = Annotated[Seconds, AfterValidator(Between("100ms", "30d"))]


class _IncidentEntry(Section):
    kind: IncidentKind
    target: Filled
    start: _Moment
    duration: _Length
    amount: Annotated[Number, Field(ge=0, le=1)] | None = None
    cause: Cause = Cause.POWER
    metric: Filled | None = None


class _FaultEntry(Section):
    kind: FaultKind
    target: Filled
    start: _Moment
    duration: _Length
    amount: Annotated[Number, Field(ge=0, le=3600)] | None = None


class _PaceEntry(Section):
    controller_boot: _Moment = DEFAULT_PACE.controller_boot_s
    miner_boot: _Moment = DEFAULT_PACE.miner_boot_s
    miner_ramp: _Length = DEFAULT_PACE.miner_ramp_s
    training_period: _Length = DEFAULT_PACE.training_period_s


class _Document(Section):
    seed: Annotated[Whole, Field(ge=0)] = QUIET_DAY.seed
    step: Annotated[Seconds, AfterValidator(Between("50ms", "5s"))] = QUIET_DAY.step_s
    pace: _PaceEntry = _PaceEntry()
    old_firmware: list[Filled] = Field(default_factory=list)
    incidents: list[_IncidentEntry] = Field(default_factory=list)
    faults: list[_FaultEntry] = Field(default_factory=list)


_SECTIONS: dict[str, type[Section]] = {"pace": _PaceEntry, "incidents": _IncidentEntry, "faults": _FaultEntry}


def load(path: Path, site: Site) -> Script:
    """Read a script for a site. Raises ConfigError with every problem of the file."""
    report = Report()
    read = read_document(path, report)
    document = None if read is None else _validated(*read, site=site, report=report)
    if document is None or report.problems:
        raise ConfigError(report.problems)
    return _built(document)


def _validated(values: dict[str, Any], origin: YamlOrigin, *, site: Site, report: Report) -> _Document | None:
    try:
        document = _Document.model_validate(values)
    except ValidationError as error:
        for detail in error.errors():
            path = detail["loc"]
            fault = _explained(detail)
            report.error(origin.key(*path) if fault.at_key else origin.at(*path), fault.wrong, fault.remedy)
        return None
    for path, wrong, remedy in _misses(document, site):
        report.error(origin.at(*path), wrong, remedy)
    return document


def parse_incident(entry: object, site: Site) -> Incident:
    """Read one incident that came by the control port. Raises ConfigError."""
    return _built(_parsed({"incidents": [entry]}, site)).incidents[0]


def parse_fault(entry: object, site: Site) -> PlannedFault:
    """Read one fault that came by the control port. Raises ConfigError."""
    return _built(_parsed({"faults": [entry]}, site)).faults[0]


def _parsed(values: object, site: Site) -> _Document:
    try:
        document = _Document.model_validate(values)
    except ValidationError as error:
        details = [_explained(detail) for detail in error.errors()]
        raise ConfigError([Problem("request", fault.wrong, fault.remedy) for fault in details]) from None
    misses = [Problem("request", wrong, remedy) for _, wrong, remedy in _misses(document, site)]
    if misses:
        raise ConfigError(misses)
    return document


def targets_of(kind: IncidentKind, site: Site) -> Targets:
    """Give what an incident of this kind can happen to."""
    miners = {device.id for device in site.devices.values() if device.kind == "miner"}
    nodes = {device.id for device in site.devices.values() if device.kind == "accelerator"}
    rows = {rack.row for rack in site.racks.values() if rack.row}
    choices: dict[IncidentKind, tuple[str, Iterable[str]]] = {
        IncidentKind.FEED_LOSS: ("power node", site.power),
        IncidentKind.GPU_RAMP: ("rack or GPU node", {*site.racks, *nodes}),
        IncidentKind.CRAH_FAILURE: ("air zone", (node.id for node in site.cooling.values() if node.kind == "air")),
        IncidentKind.CDU_FLOW_LOSS: ("loop", (node.id for node in site.cooling.values() if node.kind == "liquid")),
        IncidentKind.PDU_GATEWAY_SILENT: ("device", site.devices),
        IncidentKind.MINER_ROW_STOP: ("row, rack or miner", {*rows, *site.racks, *miners}),
        IncidentKind.MINER_HALL_RESTART: ("row, rack, miner or the site", {*rows, *site.racks, *miners, site.name}),
        IncidentKind.SENSOR_STUCK: ("device", site.devices),
    }
    what, known = choices[kind]
    return Targets(what, frozenset(known))


def _misses(document: _Document, site: Site) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
    """Give every target that the site does not have."""
    for index, incident in enumerate(document.incidents):
        targets = targets_of(incident.kind, site)
        if incident.target not in targets.known:
            wrong = f"{incident.kind}: there is no {targets.what} {incident.target!r}"
            yield ("incidents", index, "target"), wrong, suggest(incident.target, targets.known, what=targets.what)
    devices = frozenset(site.devices)
    for index, fault in enumerate(document.faults):
        if fault.target not in devices:
            wrong = f"{fault.kind}: there is no device {fault.target!r}"
            yield ("faults", index, "target"), wrong, suggest(fault.target, devices, what="device")
        elif site.devices[fault.target].driver == "nvidia" and fault.kind not in WORKER_FAULTS:
            wrong = f"{fault.target} is read by a worker and cannot do {fault.kind}"
            yield ("faults", index, "kind"), wrong, f"write one of {', '.join(sorted(WORKER_FAULTS))}"
    antminers = frozenset(device.id for device in site.devices.values() if device.driver == "antminer")
    for index, name in enumerate(document.old_firmware):
        if name not in antminers:
            yield ("old_firmware", index), f"there is no Antminer {name!r}", suggest(name, antminers, what="Antminer")


def _explained(detail: ErrorDetails) -> Flaw:
    """Say a validation error as the configuration's checks do, with this file's own keys and words."""
    fault, path = explain(detail), detail["loc"]
    if detail["type"] == "extra_forbidden":
        section = _Document if len(path) == 1 else _SECTIONS.get(str(path[0]), _Document)
        return fault._replace(remedy=suggest(str(path[-1]), section.model_fields, what="key"))
    if detail["type"] == "enum":
        expected = str(detail["ctx"]["expected"]).replace("'", "")
        return fault._replace(wrong=f"`{path[-1]}`: not known here", remedy=f"write one of {expected}")
    return fault


def _built(document: _Document) -> Script:
    pace = document.pace
    return Script(
        seed=document.seed,
        step_s=document.step,
        pace=Pace(
            controller_boot_s=pace.controller_boot,
            miner_boot_s=pace.miner_boot,
            miner_ramp_s=pace.miner_ramp,
            training_period_s=pace.training_period,
        ),
        old_firmware=frozenset(document.old_firmware),
        incidents=tuple(
            Incident(
                kind=entry.kind,
                target=entry.target,
                start_s=entry.start,
                duration_s=entry.duration,
                amount=entry.amount,
                cause=entry.cause,
                metric=entry.metric or "",
            )
            for entry in document.incidents
        ),
        faults=tuple(
            PlannedFault(
                fault=Fault(entry.kind, entry.amount),
                target=entry.target,
                start_s=entry.start,
                duration_s=entry.duration,
            )
            for entry in document.faults
        ),
    )

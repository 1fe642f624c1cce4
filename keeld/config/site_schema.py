"""The keys of the site's own sections: power, cooling, racks, network, devices."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from keeld.config.fields import (
    Between,
    Capacities,
    Filled,
    Flag,
    Id,
    Number,
    Positive,
    Ratio,
    Seconds,
    Section,
    Share,
    Text,
    Whole,
    refuse,
    scalar_texts,
)

Redundancy = Literal["N", "N+1", "N+2", "2N", "2N+1"]
DeviceKind = Literal["pdu", "meter", "ups", "miner", "accelerator", "cooling", "sensor"]
RackState = Literal["mining", "emptying", "empty", "commissioning", "ai"]
DemandSeconds = Annotated[Seconds, AfterValidator(Between("1m", "1h"))]
Coolness = Annotated[Number, Field(ge=-40, le=120)]
PumpCount = Annotated[Whole, Field(ge=1, le=64)]
Ambient = Annotated[Number, Field(ge=-40, le=80)]
Psus = Annotated[Whole, Field(ge=1, le=64)]


class SiteSection(Section):
    """The place itself."""

    name: Annotated[Id, Field(description="Stable id of the site: a tag of every point and part of every alert's key.")]
    label: Text = ""
    timezone: Annotated[Filled, Field(description="IANA name, as America/Toronto.")] = "UTC"
    altitude_m: Annotated[Number, Field(ge=-500, le=6000)] = 0.0


NodeKind = Literal[
    "utility",
    "transformer",
    "ups",
    "generator",
    "switchboard",
    "switch",
    "panel",
    "pdu",
    "busway",
    "breaker",
    "rectifier",
]
Lines = Literal["L1", "L2", "L3", "L1-L2", "L2-L3", "L3-L1"]


class SourceKeys(Section):
    """One of several sources of a power node."""

    limit_kw: Positive
    parent: Annotated[Text, Field(description="The node it comes from, if not the node's parent.")] | None = None


class PowerEntry(Section):
    """A place in the power tree that has a limit."""

    parent: Text | None = None
    label: Text = ""
    kind: Annotated[NodeKind, Field(description="Else from its id (ups-a, panel-a3) and its ratings.")] | None = None
    limit_kw: Positive | None = None
    limit_kva: Positive | None = None
    breaker_a: Annotated[Number, Field(gt=0, le=10_000)] | None = None
    voltage_v: Annotated[Number, Field(gt=0, le=1_000_000, description="Line to line where phases is 3.")] | None = None
    phases: Annotated[Whole, Field(json_schema_extra={"enum": [1, 3]})] | None = None
    wiring: Annotated[Literal["wye", "delta"], Field(description="Of three phases.")] | None = None
    lines: (
        Annotated[Lines, Field(description="Lines of a three-phase parent that a single-phase node is on.")] | None
    ) = None
    current: Literal["ac", "dc"] = "ac"
    neutral_a: Annotated[Number, Field(gt=0, le=10_000)] | None = None
    power_factor: Annotated[Number, Field(ge=0.3, le=1, description="Where nothing measures it.")] | None = None
    derate: Annotated[Ratio, Field(description="Share of the rating for loads of three hours or more.")] = 0.8
    share: (
        Annotated[Ratio, Field(description="Share of the rating for planning and headroom; never an alarm.")] | None
    ) = None
    breaker_kind: Literal["thermal_40c", "thermal_30c", "electronic"] = "electronic"
    ambient_c: Ambient | None = None
    ambient: Annotated[Text, Field(description="Device whose temperature is the breaker's ambient.")] | None = None
    efficiency: Ratio = 1.0
    sources: dict[Id, SourceKeys] = Field(default_factory=dict)
    source: Annotated[Text, Field(description="The one in use while no device tells.")] | None = None


class CoolingEntry(Section):
    """A zone's air units or a liquid loop."""

    kind: Literal["air", "liquid"]
    label: Text = ""
    units_kw: Annotated[Capacities, Field(min_length=1, max_length=1000)]
    redundancy: Redundancy = "N"
    coolant: Literal["water", "pg20", "pg25", "pg30", "pg40", "pg50", "eg25", "eg30", "eg50", "dielectric"] = "water"
    pumps: Annotated[PumpCount, Field(description="Pumps of the loop, over all its units.")] | None = None
    pumps_needed: Annotated[PumpCount, Field(description="Pumps that carry the whole load.")] | None = None
    supply_max_c: Coolness | None = None
    return_max_c: Coolness | None = None
    water_class: Annotated[
        Literal["W17", "W27", "W32", "W40", "W45", "W+"], Field(description="Class of the facility water.")
    ] | None = None  # fmt: skip
    flow_min_lpm: Annotated[Positive, Field(description="The maker's minimum, in litres per minute.")] | None = None
    pressure_min_kpa: Annotated[Number, Field(gt=0, le=3000, description="The maker's minimum.")] | None = None
    design_rise_k: Annotated[
        Number, Field(gt=0, le=60, description="Rise of the coolant that the machines' flow is made for.")
    ] | None = None  # fmt: skip
    volume_l: Annotated[Positive, Field(description="Coolant in the loop.")] | None = None
    air_volume_m3: Positive | None = None
    metal_kg: Annotated[Number, Field(ge=0, le=1e8, description="Metal that warms with the room's air.")] = 0.0
    flow_error_ratio: Annotated[Number, Field(ge=0, le=0.5, description="Class of the flow meter.")] = 0.03
    rise_error_k: Annotated[Number, Field(ge=0, le=10, description="Error of supply and return as a pair.")] = 0.3


def _widening(bounds: list[float]) -> list[float]:
    if len(bounds) != 2 or bounds[0] >= bounds[1]:  # noqa: PLR2004 - a range has two ends
        refuse("a range of temperatures needs its lower and its upper end", "write [18, 27]")
    return bounds


class ThermalClassEntry(Section):
    """What the air at a rack's intake may be: in place of a class that ships, or one of the site's own."""

    recommended_c: Annotated[list[Coolness], AfterValidator(_widening)]
    allowable_c: Annotated[list[Coolness], AfterValidator(_widening)]
    dew_point_max_c: Coolness | None = None
    derate_m_per_k: Annotated[
        Number, Field(gt=0, le=10_000, description="Metres above 900 m that take 1 K from the hottest allowed.")
    ] | None = None  # fmt: skip


class BudgetKeys(Section):
    """What a rack may draw and what may be cooled in it."""

    power_kw: Positive | None = None
    air_kw: Positive | None = None
    liquid_kw: Positive | None = None


class CapKeys(Section):
    """What the connection allows: the supplier or a protection sees to it."""

    limit_kw: Positive
    interval: DemandSeconds = 900.0


class TariffKeys(Section):
    """A demand that costs: the highest of a month, mostly."""

    target_kw: Positive
    interval: DemandSeconds = 900.0
    method: Literal["block", "rolling"] = "block"
    subinterval: Annotated[DemandSeconds | None, Field(description="Step of a rolling demand; 5m if left out.")] = None
    active: Flag = True


class DemandSection(Section):
    """The contract with the supplier: where it is measured, and its limits on mean power."""

    node: Text | None = None
    cap: CapKeys | None = None
    tariff: TariffKeys | None = None


class CoolingKeys(Section):
    """Which cooling nodes carry a rack's heat away."""

    air: Text | None = None
    liquid: Text | None = None


def _rising(ratios: list[float]) -> list[float]:
    if len(ratios) != 2 or ratios[0] > ratios[1]:  # noqa: PLR2004 - a range has two ends
        refuse("a range needs its lower and its upper end", "write [0.80, 0.87]")
    return ratios


class RackEntry(Section):
    """A rack, container or tank."""

    label: Text = ""
    kind: Literal["rack", "container", "tank"] = "rack"
    row: Filled | None = None
    state: RackState = "ai"
    feeds: dict[str, Text] = Field(default_factory=dict)
    redundancy: Redundancy = "N"
    thermal_class: Annotated[
        Filled, Field(description="A1 to A4, H1, miner_air, or one of thermal_classes.")
    ] | None = None  # fmt: skip
    budget: BudgetKeys = BudgetKeys()
    budgets: dict[RackState, BudgetKeys] = Field(default_factory=dict)
    cooling: CoolingKeys = CoolingKeys()
    liquid_ratio: Annotated[list[Share], AfterValidator(_rising)] | None = None
    tenant: Filled | None = None


class NetworkEntry(Section):
    """A switch or gateway that devices are reached through."""

    address: Filled
    label: Text = ""


class CordKeys(Section):
    """How many power supplies hang on a feed."""

    psus: Psus


class IdentityKeys(Section):
    """What a device must say of itself."""

    mac: Filled | None = None
    serial: Filled | None = None


class DeviceEntry(Section):
    """A thing to poll."""

    driver: Filled
    address: Text | None = None
    label: Text = ""
    kind: DeviceKind | None = None
    unit: Annotated[Whole, Field(ge=0, le=255)] | None = None
    profile: Text | None = None
    rack: Text | None = None
    at: Text | None = None
    feed: Text | None = None
    cords: dict[str, CordKeys] = Field(default_factory=dict)
    psus_needed: Psus | None = None
    gpus: Annotated[Whole, Field(ge=1, le=64, description="How many accelerators the node should have.")] | None = None
    u: Annotated[
        Whole | None,
        Field(ge=1, le=100, description="The lowest unit of its rack that it stands in: said in messages."),
    ] = None
    measures: dict[str, Text] = Field(default_factory=dict)
    meter_class: Annotated[
        Number, Field(gt=0, le=0.2, description="Error of its power reading, as a share of it: 0.01 is class 1.")
    ] = 0.01
    nameplate_w: Annotated[Number, Field(gt=0, le=100_000_000)] | None = None
    via: Text | None = None
    identity: IdentityKeys = IdentityKeys()
    interval: Annotated[Seconds, AfterValidator(Between("100ms", "1h"))] | None = None
    slow_interval: Annotated[Seconds, AfterValidator(Between("1s", "1d"))] | None = None
    timeout: Annotated[Seconds, AfterValidator(Between("50ms", "5m"))] | None = None
    username: Filled | None = None
    password_file: Filled | None = None
    options: Annotated[dict[str, str], BeforeValidator(scalar_texts, json_schema_input_type=dict[str, Any])] = Field(
        default_factory=dict
    )
    tenant: Filled | None = None

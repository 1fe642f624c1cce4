"""What may stand in a profile's YAML; the descriptions are those of its published JSON Schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from keeld.model import Group
from keeld.profiles.model import MAX_REGISTERS, Type, Verified

Address = Annotated[int, Field(ge=0, le=0xFFFF)]
Unit = Annotated[int, Field(ge=0, le=0xFF)]
Function = Annotated[Literal[1, 2, 3, 4], Field(description="1 coils, 2 discrete inputs, 3 holding, 4 input registers")]
Order = Literal["big", "little"]
Word = Annotated[str, Field(min_length=1, max_length=64)]
Part = Annotated[str, Field(pattern=r"^([A-Za-z0-9{}-]+(/[A-Za-z0-9{}-]+)*)?$", max_length=48)]
Raw = Annotated[int, Field(ge=0, lt=1 << 64)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Bounds = Annotated[tuple[Finite, Finite], Field(description="lowest and highest, both included")]
Role = Literal[
    "total_power",
    "supply_temperature",
    "return_temperature",
    "intake_temperature",
    "coolant_flow",
    "leak",
]


class Section(BaseModel):
    """Strict: an unknown key is an error, text is never taken for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LinkSection(Section):
    """How to talk to the device."""

    tid_check: Literal["strict", "off"] = Field(
        "strict", description="off for gateways that do not echo the transaction id"
    )
    unit_check: Literal["strict", "ignore"] = Field(
        "strict", description="ignore for devices that answer as another unit"
    )
    connect_delay_ms: int = Field(0, ge=0, le=10_000, description="pause after connecting")
    inter_request_ms: int = Field(0, ge=0, le=10_000, description="pause between an answer and the next request")
    close_after_poll: bool = Field(default=False, description="for devices that serve one client and must be let go")


class LimitSection(Section):
    """What the device can stand in one request."""

    max_registers: int = Field(MAX_REGISTERS, ge=1, le=MAX_REGISTERS)
    max_gap: int = Field(16, ge=0, le=MAX_REGISTERS, description="registers without a point that may be read along")
    one_request_per_point: bool = False
    readable: dict[Literal["1", "2", "3", "4"], list[tuple[Address, Address]]] = Field(
        default_factory=dict, description="by function: ranges, ends included, in which every register answers"
    )


class DefaultSection(Section):
    """What holds for every value that does not say otherwise."""

    function: Function = 3
    word_order: Order = "big"
    byte_order: Order = "big"
    sentinels: dict[Type, list[Raw]] = Field(default_factory=dict, description="by type: raw bits that mean no value")


class FieldSection(Section):
    """Where a value stands on the wire."""

    address: Address = Field(description="zero-based, as sent in the request")
    type: Type = Type.U16
    function: Function | None = None
    length: int | None = Field(None, ge=1, le=MAX_REGISTERS, description="registers, for type string and wide flags")
    unit_offset: int = Field(0, ge=-255, le=255, description="added to the device's unit")
    word_order: Order | None = None
    byte_order: Order | None = None
    bit: int | None = Field(None, ge=0, le=15, description="for type bit in a register: which, 0 the lowest")
    string_location: Literal["both", "high", "low"] = "both"
    optional: bool = Field(default=False, description="a device may lack it without being partial")
    doc_number: str = Field("", max_length=64, description="the number the maker's document gives it; a comment")


class FlagSection(Section):
    """Bits that stand for a state; the first entry that matches wins."""

    bits: list[Annotated[int, Field(ge=0, le=63)]] = Field(min_length=1)
    state: Word


class ScaleRegisterSection(Section):
    """An i16 register of the same function and unit that holds a power of ten."""

    address: Address


class PointSection(FieldSection):
    """One value that becomes one reading."""

    metric: Word = Field(description="a name from the catalogue: `power_watts`")
    part: Part = ""
    unit: Word | None = Field(None, description="the register's unit: kW, degF, %; needed except for states and flags")
    scale: Finite | None = Field(None, ge=-1e12, le=1e12, description="raw times this is in `unit`")
    scale_pow2: int | None = Field(None, ge=-64, le=64, description="as scale, but a power of two")
    scale_register: ScaleRegisterSection | None = None
    offset: Finite = Field(0.0, ge=-1e12, le=1e12, description="added after the scale, in `unit`")
    group: Group = Group.FAST
    sentinels: list[Raw] = Field(default_factory=list)
    saturates: Raw | None = Field(None, description="raw value from which the register is full and says nothing")
    valid: Bounds | None = Field(None, description="believable values in the metric's own unit")
    require_nonzero: bool = Field(default=False, description="zero is a gap or a device that is still starting")
    states: dict[str, Word] | None = Field(None, description="raw number to the metric's state")
    flags: list[FlagSection] | None = None
    clear: Word | None = Field(None, description="the state while none of the flags is set")
    alternative: bool = Field(default=False, description="used where an earlier point of this metric gave nothing")
    rollover: Finite | None = Field(None, gt=0, le=1e18, description="where a counter starts again, in `unit`")
    role: Role | None = Field(None, description="what the point stands for on the whole device")
    verified: Verified | None = None


class CountSection(FieldSection):
    """The register that says how many there are."""

    most: int = Field(ge=1, le=512, description="more than this is not believed")


class RepeatSection(Section):
    """Points that come several times: outlets, breakers, panels. `{n}` in a part is the number."""

    count: int | None = Field(None, ge=1, le=512)
    count_register: CountSection | None = None
    first: int = Field(1, ge=0, le=0xFFFF, description="number of the first")
    address_stride: int = Field(0, ge=0, le=0xFFFF)
    unit_stride: int = Field(0, ge=0, le=255)
    unit_map: list[Unit] | None = Field(None, description="unit offset of each, where they follow no stride")
    points: list[PointSection] = Field(min_length=1)


class ProofSection(FieldSection):
    """A register that tells this device from another one."""

    equals: int | str | None = None
    one_of: list[int | str] | None = None
    pattern: str | None = Field(None, max_length=200, description="regular expression of the whole text")
    range: Bounds | None = None


class FactSection(FieldSection):
    """Something the device says of itself."""

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class ProfileSection(Section):
    """A Modbus device."""

    title: Annotated[str, Field(min_length=1, max_length=120)]
    kind: Literal["pdu", "meter", "ups", "cooling", "sensor"]
    vendor: str = ""
    models: list[str] = Field(default_factory=list)
    revision: str = ""
    firmware: str = ""
    verified: Verified = Verified.NONE
    sources: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    link_powered: bool = Field(default=False, description="its electronics outlive the circuit it measures")
    link: LinkSection = LinkSection()  # type: ignore[call-arg]  # pydantic's own defaults
    limits: LimitSection = LimitSection()  # type: ignore[call-arg]  # pydantic's own defaults
    defaults: DefaultSection = DefaultSection()
    identify: list[ProofSection] = Field(default_factory=list)
    info: list[FactSection] = Field(default_factory=list)
    points: list[PointSection] = Field(default_factory=list)
    repeats: list[RepeatSection] = Field(default_factory=list)

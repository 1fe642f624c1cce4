"""A Modbus device as data: its points, what it can stand, and what proves that it is what it says.

Every number is ready for use: `raw * numerator / denominator + offset` is in the metric's own unit. A profile is built
once from its YAML file, shared by all devices that name it, and compared by identity.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from keeld.metrics import Metric
from keeld.model import Group

MAX_REGISTERS = 125
"""Most registers one answer can hold (Modbus application protocol V1.1b3, 6.3)."""
MAX_BITS = 2000
BIT_FUNCTIONS = frozenset({1, 2})
"""Functions that read coils and discrete inputs; 3 and 4 read 16-bit registers."""


class Type(enum.StrEnum):
    """How a value is laid out in registers."""

    U16 = "u16"
    I16 = "i16"
    U32 = "u32"
    I32 = "i32"
    U64 = "u64"
    I64 = "i64"
    F32 = "f32"
    F64 = "f64"
    BIT = "bit"
    FLAGS = "flags"
    STRING = "string"

    @property
    def words(self) -> int:
        """Registers one value takes; strings and wide flags say it themselves."""
        return _WORDS.get(self, 1)

    @property
    def code(self) -> str:
        """The `struct` letter of a numeric type, empty for the others."""
        return _CODES.get(self, "")


_WORDS = {Type.U32: 2, Type.I32: 2, Type.F32: 2, Type.U64: 4, Type.I64: 4, Type.F64: 4}
_CODES = {
    Type.U16: "H",
    Type.I16: "h",
    Type.U32: "I",
    Type.I32: "i",
    Type.U64: "Q",
    Type.I64: "q",
    Type.F32: "f",
    Type.F64: "d",
}


class Verified(enum.StrEnum):
    """What a map was tried on: nothing, the maker's own text, a bench, or a site."""

    NONE = "none"
    DOC = "doc"
    LAB = "lab"
    FIELD = "field"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """Where a value stands on the wire and how its bytes are ordered."""

    function: int
    address: int
    """As sent in the request, zero-based."""
    type: Type
    words: int = 1
    unit_offset: int = 0
    """Added to the device's unit: gateways that give each object a unit of its own."""
    little_words: bool = False
    little_bytes: bool = False
    bit: int | None = None
    """Which bit of a register, for type bit under functions 3 and 4."""
    string_half: str = "both"
    """both, high or low: which half of each register holds a character."""
    optional: bool = False
    """A device may lack it: then it is silently absent."""

    @property
    def end(self) -> int:
        """First address after it."""
        return self.address + self.words


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point(Field):
    """One register value that becomes one reading, or none."""

    metric: Metric
    part: str = ""
    group: Group = Group.FAST
    numerator: float = 1.0
    denominator: float = 1.0
    offset: float = 0.0
    scale_address: int | None = None
    """Register (i16, same function and unit) with the power of ten to multiply by."""
    sentinels: frozenset[int] = frozenset()
    """Raw bit patterns that mean "not available"."""
    saturates: int | None = None
    """Raw value at which the register is full and says nothing any more."""
    valid: tuple[float, float] | None = None
    """Lowest and highest believable value, in the metric's unit."""
    nonzero: bool = False
    """Zero here is a gap or a device that is still starting (mains voltage, frequency)."""
    states: Mapping[int, int] | None = None
    """Raw number to the metric's state, for enums."""
    flags: tuple[tuple[int, int], ...] = ()
    """(mask, state), the first mask that matches wins; without a match `clear` holds."""
    clear: int | None = None
    alternative: bool = False
    """Read only where an earlier point of the same metric and part gave nothing."""
    rollover: float | None = None
    """Where a counter starts again at zero, in the metric's unit."""
    role: str = ""
    verified: Verified = Verified.DOC
    doc_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fact(Field):
    """Something a device says of itself (model, firmware, serial): shown, never stored as a number."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proof(Field):
    """A register whose value tells this device from another one; with no condition it must only be readable."""

    accepted: frozenset[int | str] = frozenset()
    pattern: str = ""
    """Regular expression the whole cleaned text must match."""
    range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeat:
    """Points that a device has as many of as its count register says; `points` holds one tuple for each number."""

    count: Field
    points: tuple[tuple[Point, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the device can stand in one request."""

    max_registers: int = MAX_REGISTERS
    max_gap: int = 16
    one_request_per_point: bool = False
    readable: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Function to inclusive address ranges in which every register answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How to talk to the device."""

    check_transaction: bool = True
    check_unit: bool = True
    connect_delay_s: float = 0.0
    request_gap_s: float = 0.0
    close_after_poll: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """One device model."""

    name: str
    title: str
    kind: str
    """Measurement of its readings: pdu, meter, ups, cooling or sensor."""
    link_powered: bool = False
    """Its electronics do not live off the circuit it measures: a dead feed reads 0 V instead of silence."""
    verified: Verified = Verified.NONE
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    repeats: tuple[Repeat, ...] = ()
    facts: tuple[Fact, ...] = ()
    proofs: tuple[Proof, ...] = ()
    limits: Limits = Limits()
    manners: Manners = Manners()

    def expand(self, counts: tuple[int, ...] = ()) -> tuple[Point, ...]:
        """Give every point of a device whose count registers, in the order of `repeats`, read `counts`."""
        counted = zip(self.repeats, counts, strict=True) if self.repeats else ()
        extra = (point for repeat, count in counted for points in repeat.points[:count] for point in points)
        return (*self.points, *extra)

"""A device's registers as it would serve them, written from its profile and what it measures.

This is the inverse of the decoder and shares no code with it. Registers that no point, fact or readable range names do
not exist: a read that touches one is refused with exception 2, as real devices do.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from keeld.metrics import Kind
from keeld.model import Device
from keeld.profiles.model import BIT_FUNCTIONS, MAX_BITS, MAX_REGISTERS, Field, Point, Profile, Proof, Type
from keeld.simulate.quantities import Quantities

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3

_INTEGER_BITS = {Type.U16: 16, Type.I16: 16, Type.U32: 32, Type.I32: 32, Type.U64: 64, Type.I64: 64}
_SIGNED = frozenset({Type.I16, Type.I32, Type.I64})
_FLOATS = {Type.F32: ">f", Type.F64: ">d"}


class Refused(Exception):  # noqa: N818  an answer of the protocol, not a fault of the program
    """The Modbus exception that a read is answered with; never leaves simulate."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


@dataclass(slots=True)
class Bank:
    """One function's registers (two bytes each) or bits (one byte each) of one unit, in runs without a gap."""

    width: int
    runs: list[tuple[int, bytearray]] = field(default_factory=list)

    def read(self, address: int, count: int) -> bytes:
        """Give `count` cells; raise Refused(2) where one of them does not exist."""
        for start, cells in self.runs:
            first = (address - start) * self.width
            last = first + count * self.width
            if first >= 0 and last <= len(cells):
                return bytes(cells[first:last])
        raise Refused(ILLEGAL_ADDRESS)

    def write(self, address: int, data: bytes) -> None:
        """Put cells where `define` made room for them."""
        for start, cells in self.runs:
            first = (address - start) * self.width
            if 0 <= first < len(cells):
                cells[first : first + len(data)] = data
                return

    def define(self, spans: Iterable[tuple[int, int]]) -> None:
        """Make cells exist, given as (first, one past the last)."""
        for first, end in sorted(spans):
            if self.runs and first <= self.runs[-1][0] + len(self.runs[-1][1]) // self.width:
                start, cells = self.runs[-1]
                cells.extend(bytes(max(0, (end - start) * self.width - len(cells))))
            else:
                self.runs.append((first, bytearray((end - first) * self.width)))


class Registers:
    """All units of one device. `update` writes what it measures; `read` answers one request."""

    def __init__(self, device: Device, profile: Profile, quantities: Quantities) -> None:
        self._profile = profile
        counts = tuple(_count_known(repeat.points, quantities) for repeat in profile.repeats)
        self._points = [point for point in profile.expand(counts) if _is_served(point, quantities, profile)]
        self._banks = self._lay_out(profile, self._points)
        for proof in profile.proofs:
            self._write(proof, _proof_bytes(proof))
        for fact in profile.facts:
            self._write(fact, _text_bytes(fact, _say(fact.key, device, profile)))
        for repeat, count in zip(profile.repeats, counts, strict=True):
            self._write(repeat.count, _ordered(repeat.count, _integer_bytes(count, repeat.count.type)))
        self.update(quantities)

    @property
    def unit_offsets(self) -> frozenset[int]:
        """Units it answers as, counted from its own."""
        return frozenset(unit for unit, _ in self._banks)

    def read(self, unit_offset: int, function: int, address: int, count: int) -> bytes:
        """Give the data of an answer; raise Refused with the exception a device would send."""
        bank = self._banks.get((unit_offset, function))
        if bank is None:
            raise Refused(ILLEGAL_FUNCTION)
        most = MAX_BITS if function in BIT_FUNCTIONS else MAX_REGISTERS
        if not 1 <= count <= most:
            raise Refused(ILLEGAL_VALUE)
        if function not in BIT_FUNCTIONS and count > self._profile.limits.max_registers:
            raise Refused(ILLEGAL_ADDRESS)
        cells = bank.read(address, count)
        return _packed_bits(cells) if function in BIT_FUNCTIONS else cells

    def update(self, quantities: Quantities) -> None:
        """Write every point; what the device does not measure gets the value that says so."""
        for point in self._points:
            value = quantities.get((point.metric.name, point.part))
            self._write(point, _absent(point) if value is None else self._encode(point, value))

    def _encode(self, point: Point, value: float) -> bytes:
        exponent = 0
        if point.scale_address is not None:
            exponent = _exponent_for(point, value)
            self._bank(point).write(point.scale_address, _integer_bytes(exponent, Type.I16))
        return encode(point, value, exponent=exponent)

    def _write(self, place: Field, data: bytes) -> None:
        self._bank(place).write(place.address, data)

    def _bank(self, place: Field) -> Bank:
        return self._banks[place.unit_offset, place.function]

    @staticmethod
    def _lay_out(profile: Profile, points: list[Point]) -> dict[tuple[int, int], Bank]:
        spans: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for place in (*points, *profile.facts, *profile.proofs, *(repeat.count for repeat in profile.repeats)):
            mine = spans.setdefault((place.unit_offset, place.function), [])
            mine.append((place.address, place.end))
            if isinstance(place, Point) and place.scale_address is not None:
                mine.append((place.scale_address, place.scale_address + 1))
        banks = {}
        for (unit, function), mine in spans.items():
            readable = ((first, last + 1) for first, last in profile.limits.readable.get(function, ()))
            bank = banks[unit, function] = Bank(1 if function in BIT_FUNCTIONS else 2)
            bank.define((*mine, *readable))
        return banks


def encode(point: Point, value: float, *, exponent: int = 0) -> bytes:
    """Write `value`, in the metric's unit, as the bytes of a point's registers (for coils one byte, 0 or 1)."""
    if point.function in BIT_FUNCTIONS or point.type is Type.BIT:
        return _bit_bytes(point, value)
    if point.states is not None:
        raw = next((raw for raw, state in point.states.items() if state == value), 0)
        return _ordered(point, _integer_bytes(raw, point.type))
    if point.type is Type.FLAGS:
        mask = next((mask & -mask for mask, state in point.flags if state == value), 0)
        return _ordered(point, mask.to_bytes(2 * point.words, "big"))
    scaled = (value - point.offset) * point.denominator / point.numerator / 10**exponent
    if point.type in _FLOATS:
        return _ordered(point, struct.pack(_FLOATS[point.type], _rolled(point, scaled)))
    return _ordered(point, _integer_bytes(_raw_integer(point, _rolled(point, scaled)), point.type))


def _rolled(point: Point, scaled: float) -> float:
    """Start a counter again at zero where its profile or its width says so."""
    if point.rollover is not None:
        return scaled % (point.rollover * point.denominator / point.numerator)
    if point.metric.kind is Kind.COUNTER and point.type in _INTEGER_BITS:
        return scaled % float(1 << (_INTEGER_BITS[point.type] - (point.type in _SIGNED)))
    return scaled


def _raw_integer(point: Point, scaled: float) -> int:
    lowest, highest = _bounds(point.type)
    raw = min(max(round(scaled), lowest), highest if point.saturates is None else point.saturates)
    bits = raw % (1 << _INTEGER_BITS[point.type])
    return raw - 1 if bits in point.sentinels else raw


def _bounds(kind: Type) -> tuple[int, int]:
    bits = _INTEGER_BITS[kind]
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if kind in _SIGNED else (0, (1 << bits) - 1)


def _integer_bytes(raw: int, kind: Type) -> bytes:
    size = _INTEGER_BITS.get(kind, 16) // 8
    return (raw % (1 << 8 * size)).to_bytes(size, "big")


def _bit_bytes(point: Point, value: float) -> bytes:
    is_set = _is_set(point, value)
    if point.function in BIT_FUNCTIONS:
        return bytes([is_set])
    return ((1 << (point.bit or 0)) if is_set else 0).to_bytes(2, "big")


def _is_set(point: Point, value: float) -> bool:
    if point.states is not None:
        return any(raw and state == value for raw, state in point.states.items())
    return point.flags[0][1] == value if point.flags else bool(value)


def _absent(point: Point) -> bytes:
    if point.function in BIT_FUNCTIONS:
        return b"\0"
    if point.sentinels:
        return _ordered(point, min(point.sentinels).to_bytes(2 * point.words, "big"))
    if point.type in _FLOATS:
        return _ordered(point, struct.pack(_FLOATS[point.type], math.nan))
    return bytes(2 * point.words)


def _ordered(place: Field, data: bytes) -> bytes:
    """Turn big-endian bytes into the device's word and byte order."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if place.little_words:
        words.reverse()
    return b"".join(word[::-1] if place.little_bytes else word for word in words)


def _packed_bits(cells: bytes) -> bytes:
    packed = bytearray((len(cells) + 7) // 8)
    for index, cell in enumerate(cells):
        packed[index // 8] |= (cell & 1) << index % 8
    return bytes(packed)


def _exponent_for(point: Point, value: float) -> int:
    """Smallest power of ten with which the value fits its register."""
    highest = _bounds(point.type)[1]
    scaled = abs((value - point.offset) * point.denominator / point.numerator)
    return max(0, math.ceil(math.log10(scaled / highest))) if scaled > highest else 0


def _is_served(point: Point, quantities: Quantities, profile: Profile) -> bool:
    """Whether the device has the point: an optional one only if it measures it, or its range answers anyway."""
    known = (point.metric.name, point.part) in quantities
    ranges = profile.limits.readable.get(point.function, ())
    return known or not point.optional or any(low <= point.address <= high for low, high in ranges)


def _count_known(points: tuple[tuple[Point, ...], ...], quantities: Mapping[tuple[str, str], float]) -> int:
    known = [
        number
        for number, group in enumerate(points, start=1)
        if any((point.metric.name, point.part) in quantities for point in group)
    ]
    return max(known, default=1)


def _proof_bytes(proof: Proof) -> bytes:
    for wanted in sorted(proof.accepted, key=str):
        if isinstance(wanted, str):
            return _text_bytes(proof, wanted)
        return _ordered(proof, _integer_bytes(wanted, proof.type))
    if proof.range is not None:
        return _ordered(proof, _integer_bytes(round(sum(proof.range) / 2), proof.type))
    return bytes(2 * proof.words)


def _say(key: str, device: Device, profile: Profile) -> str:
    if key == "serial":
        return device.identity.serial or f"SIM{zlib.crc32(device.id.encode()):08X}"
    if key == "mac":
        return device.identity.mac or "02:00:00:00:00:01"
    return {"model": profile.title, "firmware": "4.0.40", "name": device.id}.get(key, "simulated")


def _text_bytes(place: Field, text: str) -> bytes:
    raw = text.encode("ascii", "replace")
    if place.type is not Type.STRING:  # a number of the device's own: its version, how many inlets it has
        return _ordered(place, (1).to_bytes(2 * place.words, "big"))
    if place.string_half == "both":
        data = raw[: 2 * place.words].ljust(2 * place.words, b"\0")
    else:
        data = b"".join(_halved(raw[: place.words].ljust(place.words, b"\0"), high=place.string_half == "high"))
    return _ordered(place, data) if place.little_bytes else data


def _halved(raw: bytes, *, high: bool) -> Iterator[bytes]:
    for byte in raw:
        yield bytes((byte, 0)) if high else bytes((0, byte))

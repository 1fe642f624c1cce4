"""Turn register bytes into readings. Pure: no I/O, no clock.

A block is one request's worth of neighbouring values, compiled once into a `struct` format and a table of steps,
because decoding is on the hot path. What is rare (states, flags, scale registers, alternatives) is evaluated value by
value.
A sentinel, a NaN, a value outside of its valid range gives no reading.
"""

from __future__ import annotations

import functools
import math
import operator
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keeld.metrics import Metric
from keeld.model import Reading
from keeld.profiles.model import BIT_FUNCTIONS, Field, Point, Type
from keeld.text import clean

_LARGEST = 1.7e308
_MOST_DIGITS = 9
"""Largest power of ten that a scale register is believed to hold."""
_SIGNED = frozenset({Type.I16, Type.I32, Type.I64})
_FLOATS = frozenset({Type.F32, Type.F64})

Answered = tuple["Block", bytes]
"""A block and the bytes that the device gave for it."""


class _Step(NamedTuple):
    """What becomes of one plain value; the raw value is skipped when it is in `skipped`."""

    metric: Metric
    part: str
    numerator: float
    denominator: float
    offset: float
    low: float
    high: float
    skipped: frozenset[float]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One request and how its answer is taken apart."""

    unit_offset: int
    function: int
    address: int
    count: int
    fields: tuple[Field, ...]
    """Everything it holds: points, and registers with their scales."""
    size: int
    """Bytes that the answer must have."""
    gather: Callable[[bytes], tuple[int, ...]] | None
    """Brings the bytes of plain values into the order that `unpack` expects, where the device's differs."""
    unpack: Callable[[bytes], tuple[float, ...]]
    steps: tuple[_Step, ...]
    rest: tuple[Point, ...]
    """Points that are no plain numbers."""
    gates: tuple[slice, ...]
    """Bytes of the values that cannot all be zero on a live device."""

    @property
    def points(self) -> tuple[Point, ...]:
        """Give the points it holds."""
        return tuple(field for field in self.fields if isinstance(field, Point))


@functools.lru_cache(maxsize=4096)
def compile_block(fields: tuple[Field, ...]) -> Block:
    """Compile the block that spans these fields of one unit and function, sorted by address."""
    first = fields[0]
    count = max(field.end for field in fields) - first.address
    is_bits = first.function in BIT_FUNCTIONS
    size = (count + 7) // 8 if is_bits else count * 2
    points = [field for field in fields if isinstance(field, Point)]
    plain = _plain(points)
    places = [place for point in plain for place in _bytes_of(point, first.address)]
    in_order = places == sorted(places)
    layout = _padded(plain, first.address, size) if in_order else "".join(point.type.code for point in plain)
    return Block(
        unit_offset=first.unit_offset,
        function=first.function,
        address=first.address,
        count=count,
        fields=fields,
        size=size,
        gather=None if in_order else operator.itemgetter(*places),
        unpack=struct.Struct(">" + layout).unpack,
        steps=tuple(_step(point) for point in plain),
        rest=tuple(point for point in points if point not in plain),
        gates=tuple(_slice_of(point, first.address) for point in points if point.nonzero),
    )


def decode(answers: Sequence[Answered]) -> tuple[Reading, ...]:
    """Give the readings of one poll.

    When every value that cannot be zero is zero, the registers are not alive yet (a device that is starting, a gap
    served as zeros): then every other zero is left out too.
    """
    if not _is_alive(answers):
        return _decode_nonzero(answers)
    readings: list[Reading] = []
    for block, data in answers:
        ordered = data if block.gather is None else bytes(block.gather(data))
        for step, raw in zip(block.steps, block.unpack(ordered), strict=True):
            metric, part, numerator, denominator, offset, low, high, skipped = step
            value = raw * numerator / denominator + offset
            if low <= value <= high and raw not in skipped:  # false for NaN
                readings.append(Reading(metric, value, part))
        if block.rest:
            _append_rest(readings, block.rest, answers)
    return tuple(readings)


def words_of(data: bytes) -> list[int]:
    """Give the registers of an answer, as people read them."""
    return list(struct.unpack(f">{len(data) // 2}H", data[: len(data) // 2 * 2]))


def text_of(field: Field, data: bytes) -> str:
    """Give what a device says of itself as one clean line; `data` are the field's own bytes."""
    if field.type is not Type.STRING:
        return (
            f"{_number(field, _bits(_ordered(field, data))):g}" if field.type in _FLOATS else str(_whole(field, data))
        )
    ordered = _ordered_text(field, data)
    if field.string_half != "both":
        ordered = ordered[0 if field.string_half == "high" else 1 :: 2]
    return clean(ordered.split(b"\0", 1)[0].decode("utf-8", "replace"))


def number_of(field: Field, data: bytes) -> float | None:
    """Give a field's unscaled number, None for text and for what is not finite; `data` are its own bytes."""
    if field.type is Type.STRING:
        return None
    number = _number(field, _bits(_ordered(field, data)))
    return number if math.isfinite(number) else None


def evaluate(point: Point, data: bytes, exponent: int = 0) -> float | None:
    """Give the value of one point from its own bytes, None where it means nothing.

    The slow twin of the steps: it knows every kind of point.
    """
    bits = _bits(_ordered(point, data))
    if bits in point.sentinels or (point.nonzero and bits == 0):
        return None
    if point.bit is not None:
        bits = bits >> point.bit & 1
    if point.flags:
        return float(next((state for mask, state in point.flags if bits & mask), point.clear or 0))
    if point.states is not None:
        state = point.states.get(bits)
        return None if state is None else float(state)
    raw = _number(point, bits)
    if point.saturates is not None and raw >= point.saturates:
        return None
    scaled = raw * 10.0**exponent * point.numerator / point.denominator + point.offset
    low, high = _bounds(point)
    return scaled if low <= scaled <= high and not (point.nonzero and raw == 0) else None


def _is_alive(answers: Sequence[Answered]) -> bool:
    gated = False
    for block, data in answers:
        for gate in block.gates:
            if any(data[gate]):
                return True
            gated = True
    return not gated


def _decode_nonzero(answers: Sequence[Answered]) -> tuple[Reading, ...]:
    readings: list[Reading] = []
    for block, data in answers:
        nonzero = [point for point in block.points if any(_own_bytes(point, block, data))]
        _append_rest(readings, nonzero, answers)
    return tuple(readings)


def _append_rest(readings: list[Reading], points: Iterable[Point], answers: Sequence[Answered]) -> None:
    for point in points:
        if point.alternative and any(r.metric is point.metric and r.part == point.part for r in readings):
            continue
        exponent = 0 if point.scale_address is None else _exponent(point, answers)
        data = _find(point.unit_offset, point.function, point.address, point.words, answers)
        value = None if exponent is None or data is None else evaluate(point, data, exponent)
        if value is not None:
            readings.append(Reading(point.metric, value, point.part))


def _exponent(point: Point, answers: Sequence[Answered]) -> int | None:
    """Read the power of ten; None where it was not read, or is not believable (0x8000 means "not available")."""
    data = _find(point.unit_offset, point.function, point.scale_address or 0, 1, answers)
    if data is None:
        return None
    exponent = int.from_bytes(data, "little" if point.little_bytes else "big", signed=True)
    return exponent if -_MOST_DIGITS <= exponent <= _MOST_DIGITS else None


def _find(unit_offset: int, function: int, address: int, words: int, answers: Sequence[Answered]) -> bytes | None:
    for block, data in answers:
        at = address - block.address
        if block.unit_offset != unit_offset or block.function != function or not 0 <= at <= block.count - words:
            continue
        if function in BIT_FUNCTIONS:
            return bytes([data[at >> 3] >> (at & 7) & 1])
        return data[at * 2 : (at + words) * 2]
    return None


def _own_bytes(point: Point, block: Block, data: bytes) -> bytes:
    return _find(point.unit_offset, point.function, point.address, point.words, [(block, data)]) or b""


def _plain(points: Iterable[Point]) -> list[Point]:
    """Choose the plain numbers that do not overlap one another, in order of address."""
    plain: list[Point] = []
    for point in points:
        special = point.states is not None or point.flags or point.alternative or point.scale_address is not None
        if special or not point.type.code or point.saturates is not None:
            continue
        if not plain or point.address >= plain[-1].end:
            plain.append(point)
    return plain


def _padded(plain: Sequence[Point], start: int, size: int) -> str:
    layout, used = "", 0
    for point in plain:
        layout += f"{(point.address - start) * 2 - used}x{point.type.code}"
        used = (point.end - start) * 2
    return f"{layout}{size - used}x"


def _bytes_of(field: Field, start: int) -> list[int]:
    """Give the places of the field's bytes in the answer, most significant first."""
    first = (field.address - start) * 2
    words = [(first + word * 2, first + word * 2 + 1) for word in range(field.words)]
    if field.little_words:
        words.reverse()
    return [place for high, low in words for place in ((low, high) if field.little_bytes else (high, low))]


def _slice_of(point: Point, start: int) -> slice:
    if point.function in BIT_FUNCTIONS:
        return slice((point.address - start) // 8, (point.address - start) // 8 + 1)
    return slice((point.address - start) * 2, (point.end - start) * 2)


def _step(point: Point) -> _Step:
    low, high = _bounds(point)
    raws = {_number(point, bits) for bits in point.sentinels}
    if point.nonzero:
        raws.add(0.0)
    return _Step(point.metric, point.part, point.numerator, point.denominator, point.offset, low, high, frozenset(raws))


def _bounds(point: Point) -> tuple[float, float]:
    return point.valid or (-_LARGEST, _LARGEST)


def _ordered(field: Field, data: bytes) -> bytes:
    if field.function in BIT_FUNCTIONS:
        return data
    return bytes(data[place] for place in _bytes_of(field, field.address))


def _ordered_text(field: Field, data: bytes) -> bytes:
    """Text reads from the first register on, whatever the order of words in numbers."""
    if not field.little_bytes:
        return data
    return bytes(byte for low, high in zip(data[::2], data[1::2], strict=True) for byte in (high, low))


def _bits(ordered: bytes) -> int:
    return int.from_bytes(ordered, "big")


def _whole(field: Field, data: bytes) -> int:
    return int(_number(field, _bits(_ordered(field, data))))


def _number(field: Field, bits: int) -> float:
    """Give the number that these bits are in the field's type; an int stays an int and so exact."""
    width = field.words * 16
    if field.type in _FLOATS:
        return float(struct.unpack(">" + field.type.code, bits.to_bytes(field.words * 2, "big"))[0])
    if field.type in _SIGNED and bits >> (width - 1):
        return bits - (1 << width)
    return bits

"""Decide which registers are asked for together, and learn from what a device refuses. Pure.

A value is never torn apart. Neighbours share a request when they lie in one readable range, or, where the profile names
no ranges, when the gap between them is small. A request that is refused is halved at the widest gap until the refused
values stand alone; what is refused alone is left out until the next test.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence

from keeld.model import Group
from keeld.profiles.decode import Block, compile_block
from keeld.profiles.model import BIT_FUNCTIONS, MAX_BITS, Field, Limits, Point, Profile, Type

ILLEGAL_FUNCTION = 1
"""Modbus exception: no register is ever read with this function."""


@functools.lru_cache(maxsize=512)
def plan(profile: Profile, group: Group, counts: tuple[int, ...] = ()) -> tuple[Block, ...]:
    """Give the requests that read a group of points, for a device with that many of each counted repeat."""
    points = [point for point in profile.expand(counts) if point.group == group]
    return tuple(compile_block(span) for span in spans([*points, *_scales(points)], profile.limits))


def spans(fields: Iterable[Field], limits: Limits) -> list[tuple[Field, ...]]:
    """Gather fields into requests: one unit and function each, none longer than the device can stand."""
    gathered: list[list[Field]] = []
    end = 0
    for field in sorted(fields, key=lambda field: (field.unit_offset, field.function, field.address, field.end)):
        if gathered and _may_join(gathered[-1][0], end, field, limits):
            gathered[-1].append(field)
            end = max(end, field.end)
        else:
            gathered.append([field])
            end = field.end
    return [tuple(span) for span in gathered]


class Agenda:
    """The requests of one device's group as they stand now, after what it has refused."""

    __slots__ = ("blocks", "refused")

    def __init__(self, blocks: Iterable[Block]) -> None:
        self.blocks = list(blocks)
        self.refused: dict[Field, int] = {}
        """Fields that the device does not give, with the exception code it answered."""

    def refuse(self, block: Block, code: int) -> list[Block]:
        """Take note that a request was refused; give the smaller requests to try in its place."""
        at = self.blocks.index(block)
        if code == ILLEGAL_FUNCTION or len(block.fields) == 1:
            del self.blocks[at]
            self.refused.update(dict.fromkeys(block.fields, code))
            return []
        halves = [compile_block(half) for half in _halves(block.fields)]
        self.blocks[at : at + 1] = halves
        return halves


def missing(fields: Iterable[Field]) -> list[Field]:
    """Give those that the device should have."""
    return [field for field in fields if not field.optional]


def name_of(field: Field) -> str:
    """Name a field in a sentence for people."""
    if isinstance(field, Point):
        return f"{field.metric.name}{'/' if field.part else ''}{field.part} at {field.address}"
    return f"register {field.address}"


def _scales(points: Sequence[Point]) -> list[Field]:
    """Give each scale register that the points need, once; it may be lacking when all of them may."""
    needed: dict[tuple[int, int, int], bool] = {}
    for point in points:
        if point.scale_address is not None:
            place = (point.unit_offset, point.function, point.scale_address)
            needed[place] = needed.get(place, True) and point.optional
    return [
        Field(function=function, address=address, type=Type.I16, unit_offset=unit_offset, optional=optional)
        for (unit_offset, function, address), optional in needed.items()
    ]


def _may_join(first: Field, end: int, field: Field, limits: Limits) -> bool:
    if (first.unit_offset, first.function) != (field.unit_offset, field.function) or limits.one_request_per_point:
        return False
    most = MAX_BITS if first.function in BIT_FUNCTIONS else limits.max_registers
    if max(end, field.end) - first.address > most:
        return False
    ranges = limits.readable.get(field.function)
    if ranges:
        return any(low <= first.address and max(end, field.end) <= high + 1 for low, high in ranges)
    return field.address - end <= limits.max_gap


def _halves(fields: tuple[Field, ...]) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Cut at the widest gap, and where there is none, in the middle."""
    gaps = [after.address - before.end for before, after in itertools.pairwise(fields)]
    widest = max(gaps)
    cut = gaps.index(widest) + 1 if widest > 0 else len(fields) // 2
    return fields[:cut], fields[cut:]

"""Turn a profile's YAML into a `Profile`, or say everything that is wrong with it.

What pydantic cannot know is checked here: that metrics and states are in the catalogue, that units fit their metrics,
that every point lies where the device can be read, and that no two points claim one reading.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from keeld.errors import ConfigError, Problem
from keeld.metrics import CATALOGUE, Kind, Metric
from keeld.profiles import sections
from keeld.profiles.document import Document, Where
from keeld.profiles.model import (
    BIT_FUNCTIONS,
    Fact,
    Limits,
    Manners,
    Point,
    Profile,
    Proof,
    Repeat,
    Type,
)
from keeld.profiles.model import Field as Register
from keeld.profiles.units import conversions
from keeld.text import clean

_MAX_POINTS = 4096
_EXACT = 1 << 53
"""Whole numbers up to here are exact as a float."""


class _Wrong(Exception):  # noqa: N818 - never leaves this module; it carries a problem up to the collector
    """One value is wrong; `key` is where in its section."""

    def __init__(self, key: str, wrong: str, remedy: str = "") -> None:
        super().__init__(wrong)
        self.key = key
        self.wrong = wrong
        self.remedy = remedy


def build(name: str, document: Document) -> Profile:
    """Give the profile that the document describes; raise ConfigError with every problem found."""
    return _Builder(name, document, _parse(document)).profile()


def _parse(document: Document) -> sections.ProfileSection:
    # JSON mode is pydantic's strict mode for files: lists become tuples, text never becomes a number.
    try:
        return sections.ProfileSection.model_validate_json(json.dumps(document.content))
    except ValidationError as error:
        raise ConfigError([_explain(document, dict(detail)) for detail in error.errors(include_url=False)]) from None


def _explain(document: Document, detail: dict[str, Any]) -> Problem:
    where = _located(detail["loc"])
    last = str(where[-1]) if where else ""
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(last, _known_keys(where), n=1)
        remedy = f"did you mean `{near[0]}`?" if near else "remove it"
        return document.problem(where, f"unknown key `{clean(last)}`", remedy, at_key=True)
    if detail["type"] == "missing":
        return document.problem(where[:-1], f"`{clean(last)}` is missing", "write it")
    given = detail["input"]
    shown = f", not `{clean(given)}`" if isinstance(given, str | int | float) else ""
    named = next((str(step) for step in reversed(where) if isinstance(step, str)), "profile")
    return document.problem(where, f"`{clean(named)}`: {clean(detail['msg'], 160)}{shown}")


def _located(loc: Iterable[int | str]) -> Where:
    return tuple(step for step in loc if step != "[key]")


def _known_keys(where: Where) -> list[str]:
    known: dict[str, type[sections.Section]] = {
        "link": sections.LinkSection,
        "limits": sections.LimitSection,
        "defaults": sections.DefaultSection,
        "identify": sections.ProofSection,
        "info": sections.FactSection,
        "repeats": sections.RepeatSection,
        "points": sections.PointSection,
        "flags": sections.FlagSection,
        "count_register": sections.CountSection,
    }
    for step in reversed(where[:-1]):
        if step in known:
            return list(known[str(step)].model_fields)
    return list(sections.ProfileSection.model_fields)


class _Builder:
    """Builds one profile and gathers its problems on the way."""

    def __init__(self, name: str, document: Document, section: sections.ProfileSection) -> None:
        self._name = name
        self._document = document
        self._section = section
        self._problems: list[Problem] = []

    def profile(self) -> Profile:
        """Build it; raise ConfigError when anything was wrong."""
        section = self._section
        limits = self._limits()
        points = tuple(self._points(section.points, ("points",)))
        repeats = list(self._repeats())
        counted = tuple(repeat for repeat in repeats if isinstance(repeat, Repeat))
        fixed = tuple(point for repeat in repeats if not isinstance(repeat, Repeat) for point in repeat)
        profile = Profile(
            name=self._name,
            title=clean(section.title, 120),
            kind=section.kind,
            link_powered=section.link_powered,
            verified=section.verified,
            sources=tuple(section.sources),
            notes=tuple(section.notes),
            points=(*points, *fixed),
            repeats=counted,
            facts=tuple(self._facts()),
            proofs=tuple(self._proofs()),
            limits=limits,
            manners=_manners(section.link),
        )
        self._check_whole(profile)
        if self._problems:
            raise ConfigError(self._problems)
        return profile

    def _limits(self) -> Limits:
        limits = self._section.limits
        readable: dict[int, tuple[tuple[int, int], ...]] = {}
        for function, ranges in limits.readable.items():
            for index, (low, high) in enumerate(ranges):
                if low > high:
                    where: Where = ("limits", "readable", function, index)
                    self._say(where, f"range ends at {high}, before it begins at {low}", "write [first, last]")
            readable[int(function)] = tuple(sorted(ranges))
        return Limits(
            max_registers=limits.max_registers,
            max_gap=limits.max_gap,
            one_request_per_point=limits.one_request_per_point,
            readable=readable,
        )

    def _repeats(self) -> Iterator[Repeat | tuple[Point, ...]]:
        for index, repeat in enumerate(self._section.repeats):
            where: Where = ("repeats", index)
            register = repeat.count_register
            if (repeat.count is None) is (register is None):
                self._say(where, "a repeat needs either `count` or `count_register`", "write one of them")
                continue
            number = register.most if register else repeat.count or 0
            if repeat.unit_map is not None and len(repeat.unit_map) < number:
                wrong = f"`unit_map` names {len(repeat.unit_map)} units for {number} repeats"
                self._say((*where, "unit_map"), wrong, "name a unit for each")
                continue
            rows = tuple(tuple(self._repeated(repeat, where, step)) for step in range(number))
            if register is None:
                yield tuple(point for row in rows for point in row)
            elif count := self._register(register, (*where, "count_register")):
                yield Repeat(count=count, points=rows)

    def _repeated(self, repeat: sections.RepeatSection, where: Where, step: int) -> Iterator[Point]:
        units = repeat.unit_map[step] if repeat.unit_map else repeat.unit_stride * step
        for index, section in enumerate(repeat.points):
            scale = section.scale_register
            moved = section.model_copy(
                update={
                    "address": section.address + repeat.address_stride * step,
                    "unit_offset": section.unit_offset + units,
                    "part": section.part.replace("{n}", str(repeat.first + step)),
                    "scale_register": scale
                    and sections.ScaleRegisterSection(address=scale.address + repeat.address_stride * step),
                }
            )
            yield from self._points([moved], (*where, "points"), first=index)

    def _points(self, sections: Iterable[sections.PointSection], where: Where, first: int = 0) -> Iterator[Point]:
        for index, section in enumerate(sections, start=first):
            here = (*where, index)
            try:
                yield self._point(section)
            except _Wrong as error:
                self._say((*here, error.key), error.wrong, error.remedy)

    def _point(self, section: sections.PointSection) -> Point:
        metric = _metric(section.metric)
        place = self._place(section)
        kind: Type = place["type"]
        if "{" in section.part:
            raise _Wrong("part", "`{n}` stands outside of a repeat", "write the number")
        if kind is Type.STRING:
            raise _Wrong("type", "text is no reading", "move it to `info`")
        states, flags, clear = _states(section, metric)
        numerator, denominator, offset, factor = _scale(section, metric, has_states=bool(states or flags))
        if section.valid and section.valid[0] >= section.valid[1]:
            raise _Wrong("valid", "the lowest value is not below the highest", "write [lowest, highest]")
        if section.rollover is not None and metric.kind is not Kind.COUNTER:
            raise _Wrong("rollover", f"{metric.name} is no counter", "remove it")
        sentinels = {*self._section.defaults.sentinels.get(kind, ()), *section.sentinels}
        return Point(
            **place,
            metric=metric,
            part=section.part,
            group=section.group,
            numerator=numerator,
            denominator=denominator,
            offset=offset,
            scale_address=section.scale_register.address if section.scale_register else None,
            sentinels=frozenset(sentinels),
            saturates=section.saturates,
            valid=section.valid,
            nonzero=section.require_nonzero,
            states=states,
            flags=flags,
            clear=clear,
            alternative=section.alternative,
            rollover=None if section.rollover is None else section.rollover * factor,
            role=section.role or "",
            verified=section.verified or self._section.verified,
        )

    def _place(self, section: sections.FieldSection) -> dict[str, Any]:
        """Give the arguments of a register field, with the profile's defaults filled in."""
        defaults = self._section.defaults
        function = section.function or defaults.function
        if (section.type is Type.STRING or section.type is Type.FLAGS) and section.length:
            words = section.length
        elif section.length is not None:
            raise _Wrong("length", f"type {section.type} has its own length", "remove it")
        elif section.type is Type.STRING:
            raise _Wrong("type", "text needs a length", "write `length:` in registers")
        else:
            words = section.type.words
        _check_bits(section, function)
        if section.address + words > 1 << 16:
            raise _Wrong("address", "it ends behind the last register, 65535", "check address and stride")
        return {
            "function": function,
            "address": section.address,
            "type": section.type,
            "words": words,
            "unit_offset": section.unit_offset,
            "little_words": (section.word_order or defaults.word_order) == "little",
            "little_bytes": (section.byte_order or defaults.byte_order) == "little",
            "bit": section.bit,
            "string_half": section.string_location,
            "optional": section.optional,
        } | ({"doc_number": section.doc_number} if isinstance(section, sections.PointSection) else {})

    def _register(self, section: sections.FieldSection, where: Where) -> Register | None:
        try:
            return Register(**self._place(section))
        except _Wrong as error:
            self._say((*where, error.key), error.wrong, error.remedy)
            return None

    def _facts(self) -> Iterator[Fact]:
        for index, section in enumerate(self._section.info):
            try:
                yield Fact(**self._place(section), key=section.key)
            except _Wrong as error:
                self._say(("info", index, error.key), error.wrong, error.remedy)

    def _proofs(self) -> Iterator[Proof]:
        for index, section in enumerate(self._section.identify):
            try:
                yield self._proof(section)
            except _Wrong as error:
                self._say(("identify", index, error.key), error.wrong, error.remedy)

    def _proof(self, section: sections.ProofSection) -> Proof:
        accepted = {*(section.one_of or ()), *(() if section.equals is None else (section.equals,))}
        try:
            re.compile(section.pattern or "")
        except re.error as error:
            raise _Wrong("pattern", f"not a regular expression: {clean(error)}") from None
        return Proof(
            **self._place(section),
            accepted=frozenset(accepted),
            pattern=section.pattern or "",
            range=section.range,
        )

    def _check_whole(self, profile: Profile) -> None:
        every = profile.expand(tuple(len(repeat.points) for repeat in profile.repeats))
        if not every and not self._problems:
            self._say((), "the profile has no points", "write at least one under `points:`")
        if len(every) > _MAX_POINTS:
            self._say(("repeats",), f"{len(every)} points are more than {_MAX_POINTS}", "split the device by unit")
        claimed: set[tuple[str, str]] = set()
        for point in every:
            reading = (point.metric.name, point.part)
            if reading in claimed and not point.alternative:
                wrong = f"{_named(point)} stands here twice"
                self._say(("points",), wrong, "give one of them another part, or mark it `alternative: true`")
            claimed.add(reading)
            self._check_readable(point, profile.limits)
        if not any(point.group == "fast" for point in every) and every:
            self._say(("points",), "no point is in group fast", "one must be: it shows that the device is up")

    def _check_readable(self, point: Point, limits: Limits) -> None:
        if point.words > limits.max_registers:
            wrong = f"{_named(point)} is longer than one request may be"
            self._say(("limits", "max_registers"), wrong, f"write at least {point.words}")
        ranges = limits.readable.get(point.function)
        if ranges and not any(low <= point.address and point.end <= high + 1 for low, high in ranges):
            wrong = f"{_named(point)} at {point.address} lies outside of every readable range"
            self._say(("limits", "readable"), wrong, "widen a range or correct the address")

    def _say(self, where: Where, wrong: str, remedy: str = "") -> None:
        problem = self._document.problem(where, wrong, remedy)
        if problem not in self._problems:
            self._problems.append(problem)


def _named(point: Point) -> str:
    return point.metric.name + (f"/{point.part}" if point.part else "")


def _metric(name: str) -> Metric:
    metric = CATALOGUE.get(name)
    if metric is None:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        remedy = f"did you mean `{near[0]}`?" if near else "take a name from the catalogue"
        raise _Wrong("metric", f"there is no metric `{clean(name)}`", remedy)
    return metric


def _check_bits(section: sections.FieldSection, function: int) -> None:
    if function in BIT_FUNCTIONS:
        if section.type is not Type.BIT or section.bit is not None:
            raise _Wrong("type", f"function {function} reads single bits", "write `type: bit` and no `bit:`")
    elif (section.type is Type.BIT) is not (section.bit is not None):
        raise _Wrong("type", "type bit and `bit:` belong together", "write which bit of the register, 0 to 15")


def _states(
    section: sections.PointSection, metric: Metric
) -> tuple[dict[int, int] | None, tuple[tuple[int, int], ...], int | None]:
    """Give raw number to state, (mask, state), and the state without flags, for an enum; nothing for a number."""
    if metric.kind is not Kind.ENUM:
        for key in ("states", "flags", "clear"):
            if getattr(section, key) is not None:
                raise _Wrong(key, f"{metric.name} is a number and has no states", "remove it")
        return None, (), None
    if (section.states is None) is (section.flags is None):
        raise _Wrong("metric", f"{metric.name} is a state", "write either `states:` or `flags:`")
    if section.flags is not None:
        return None, _flags(section, metric), _state(metric, section.clear, "clear")
    numbers = {}
    for raw, state in (section.states or {}).items():
        if not re.fullmatch(r"[0-9]{1,5}", raw):
            raise _Wrong("states", f"`{clean(raw)}` is no register value", "write whole numbers as keys")
        numbers[int(raw)] = _state(metric, state, "states")
    return numbers, (), None


def _flags(section: sections.PointSection, metric: Metric) -> tuple[tuple[int, int], ...]:
    if section.type is not Type.FLAGS:
        raise _Wrong("type", "`flags:` needs type flags", "write `type: flags`")
    width = 16 * (section.length or 1)
    for flag in section.flags or ():
        if max(flag.bits) >= width:
            raise _Wrong(
                "flags", f"bit {max(flag.bits)} is outside of {width} bits", "check the bit, or write `length:`"
            )
    return tuple(
        (sum(1 << bit for bit in set(flag.bits)), _state(metric, flag.state, "flags")) for flag in section.flags or ()
    )


def _state(metric: Metric, name: str | None, key: str) -> int:
    numbers = {state: number for number, state in metric.states.items()}
    if name is None or name not in numbers:
        given = "nothing" if name is None else f"`{clean(name)}`"
        raise _Wrong(key, f"{given} is no state of {metric.name}", f"one of {', '.join(numbers)}")
    return numbers[name]


def _scale(section: sections.PointSection, metric: Metric, *, has_states: bool) -> tuple[float, float, float, float]:
    """Give numerator, denominator and offset from raw to the metric's unit, and the unit's own factor."""
    scales = [key for key in ("scale", "scale_pow2", "scale_register") if getattr(section, key) is not None]
    if len(scales) > 1:
        raise _Wrong(scales[1], f"`{scales[0]}` and `{scales[1]}` exclude each other", "keep one")
    if has_states:
        return 1.0, 1.0, 0.0, 1.0
    if section.type in (Type.FLAGS, Type.BIT):
        raise _Wrong("type", f"type {section.type} is for states, {metric.name} is a number", "take a number's type")
    units = conversions(metric)
    if section.unit not in units:
        given = f"`{clean(section.unit)}` is no unit of" if section.unit else "`unit` is missing for"
        raise _Wrong("unit", f"{given} {metric.name}", f"one of {', '.join(units)}")
    unit = units[section.unit]
    scale = _exact(section.scale) * unit.factor
    if section.scale_pow2 is not None:
        scale = Fraction(2) ** section.scale_pow2 * unit.factor
    if scale == 0:
        raise _Wrong("scale", "a scale of zero makes every value zero", "check the scale")
    numerator, denominator = scale.numerator, scale.denominator
    if max(abs(numerator), denominator) >= _EXACT:
        numerator, denominator = float(scale), 1  # type: ignore[assignment]  # rounded once, here
    offset = float(_exact(section.offset) * unit.factor + unit.offset) if section.offset else float(unit.offset)
    return float(numerator), float(denominator), offset, float(unit.factor)


def _exact(number: float | None) -> Fraction:
    """Take a decimal as it was written: 0.1 is one tenth, so that 2301 tenths become 230.1 and not 230.10000000000002."""
    return Fraction(1) if number is None else Fraction(repr(number))


def _manners(link: sections.LinkSection) -> Manners:
    return Manners(
        check_transaction=link.tid_check == "strict",
        check_unit=link.unit_check == "strict",
        connect_delay_s=link.connect_delay_ms / 1000,
        request_gap_s=link.inter_request_ms / 1000,
        close_after_poll=link.close_after_poll,
    )

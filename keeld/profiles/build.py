"""Turn a profile's YAML into a `Profile`, or say everything that is wrong with it.

What pydantic cannot know is checked here: that metrics and states are in the catalogue, that units fit their metrics,
that every point lies where the device can be read, and that no two points claim one reading.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from keeld.errors import ConfigError, Problem
from keeld.profiles import sections
from keeld.profiles.document import Document, Where
from keeld.profiles.meaning import (
    Wrong,
    check_bits,
    check_number,
    check_proof,
    check_strides,
    metric_named,
    scale_of,
    sentinels_of,
    states_of,
)
from keeld.profiles.model import (
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
from keeld.text import clean

_MAX_POINTS = 4096
_ADDRESSES = 1 << 16
_WIDEST_FLAGS = 4


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
    if detail["type"] == "missing" and isinstance(where[-1], int):
        return document.problem(where, f"`{_nearest_key(where)}` has too few values", "write both")
    if detail["type"] == "missing":
        return document.problem(where[:-1], f"`{clean(last)}` is missing", "write it")
    given = detail["input"]
    shown = f", not `{clean(given)}`" if isinstance(given, str | int | float) else ""
    return document.problem(where, f"`{_nearest_key(where)}`: {clean(detail['msg'], 160)}{shown}")


def _nearest_key(where: Where) -> str:
    return next((clean(step) for step in reversed(where) if isinstance(step, str)), "profile")


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
        self._check_size()
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

    def _check_size(self) -> None:
        """Before anything is laid out: a few lines of repeats can ask for millions of points."""
        section = self._section
        total = len(section.points) + sum(_number_of(repeat) * len(repeat.points) for repeat in section.repeats)
        if total > _MAX_POINTS:
            where: Where = ("repeats",) if section.repeats else ("points",)
            self._say(where, f"{total} points are more than {_MAX_POINTS}", "split the device by unit")
            raise ConfigError(self._problems)

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
            number = _number_of(repeat)
            if repeat.unit_map is not None and len(repeat.unit_map) < number:
                wrong = f"`unit_map` names {len(repeat.unit_map)} units for {number} repeats"
                self._say((*where, "unit_map"), wrong, "name a unit for each")
                continue
            try:
                check_strides(repeat, number)
            except Wrong as error:
                self._say((*where, error.key), error.wrong, error.remedy)
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
            except Wrong as error:
                self._say((*here, error.key), error.wrong, error.remedy)

    def _point(self, section: sections.PointSection) -> Point:
        metric = metric_named(section.metric)
        place = self._place(section)
        if "{" in section.part:
            raise Wrong("part", "`{n}` stands outside of a repeat", "write the number")
        if section.type is Type.STRING:
            raise Wrong("type", "text is no reading", "move it to `info`")
        check_number(section, metric)
        states, flags, clear = states_of(section, metric)
        scale = scale_of(section, metric)
        return Point(
            **place,
            metric=metric,
            part=section.part,
            group=section.group,
            numerator=scale.numerator,
            denominator=scale.denominator,
            offset=scale.offset,
            scale_address=section.scale_register.address if section.scale_register else None,
            sentinels=sentinels_of(section, self._section.defaults, place["words"]),
            saturates=section.saturates,
            valid=section.valid,
            nonzero=section.require_nonzero,
            states=states,
            flags=flags,
            clear=clear,
            alternative=section.alternative,
            rollover=None if section.rollover is None else section.rollover * scale.factor,
            role=section.role or "",
            verified=section.verified or self._section.verified,
            doc_number=section.doc_number,
        )

    def _place(self, section: sections.FieldSection) -> dict[str, Any]:
        """Give the arguments of a register field, with the profile's defaults filled in."""
        defaults = self._section.defaults
        function = section.function or defaults.function
        words = _words_of(section)
        check_bits(section, function)
        if section.address + words > _ADDRESSES:
            raise Wrong("address", "it ends behind the last register, 65535", "check address and stride")
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
        }

    def _register(self, section: sections.FieldSection, where: Where) -> Register | None:
        try:
            return Register(**self._place(section))
        except Wrong as error:
            self._say((*where, error.key), error.wrong, error.remedy)
            return None

    def _facts(self) -> Iterator[Fact]:
        for index, section in enumerate(self._section.info):
            try:
                yield Fact(**self._place(section), key=section.key)
            except Wrong as error:
                self._say(("info", index, error.key), error.wrong, error.remedy)

    def _proofs(self) -> Iterator[Proof]:
        for index, section in enumerate(self._section.identify):
            try:
                yield self._proof(section)
            except Wrong as error:
                self._say(("identify", index, error.key), error.wrong, error.remedy)

    def _proof(self, section: sections.ProofSection) -> Proof:
        check_proof(section)
        accepted = {*(section.one_of or ()), *(() if section.equals is None else (section.equals,))}
        return Proof(
            **self._place(section),
            accepted=frozenset(map(str, accepted) if section.type is Type.STRING else accepted),
            pattern=section.pattern or "",
            range=section.range,
        )

    def _check_whole(self, profile: Profile) -> None:
        every = profile.expand(tuple(len(repeat.points) for repeat in profile.repeats))
        if not every and not self._problems:
            self._say((), "the profile has no points", "write at least one under `points:`")
        claimed: set[tuple[str, str]] = set()
        for point in every:
            reading = (point.metric.name, point.part)
            if reading in claimed and not point.alternative:
                wrong = f"{_named(point)} stands here twice"
                self._say(("points",), wrong, "give one of them another part, or mark it `alternative: true`")
            claimed.add(reading)
            self._check_readable(point, profile.limits)
        self._check_roles(every)
        if not any(point.group == "fast" for point in every) and every:
            self._say(("points",), "no point is in group fast", "one must be: it shows that the device is up")

    def _check_roles(self, points: Iterable[Point]) -> None:
        """One point carries a role, or nobody could say which of them is the one."""
        carriers: dict[str, Point] = {}
        for point in points:
            other = carriers.setdefault(point.role, point)
            if point.role and other is not point:
                wrong = f"role {point.role} is given to {_named(other)} and to {_named(point)}"
                self._say(("points",), wrong, "keep the one that stands for the whole device")

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


def _number_of(repeat: sections.RepeatSection) -> int:
    return repeat.count_register.most if repeat.count_register else repeat.count or 0


def _words_of(section: sections.FieldSection) -> int:
    if section.type is Type.STRING and section.length is None:
        raise Wrong("type", "text needs a length", "write `length:` in registers")
    if section.length is None:
        return section.type.words
    if section.type not in (Type.STRING, Type.FLAGS):
        raise Wrong("length", f"type {section.type} has its own length", "remove it")
    if section.type is Type.FLAGS and section.length > _WIDEST_FLAGS:
        raise Wrong("length", f"flags are at most {_WIDEST_FLAGS} registers wide", "split them into points")
    return section.length


def _named(point: Point) -> str:
    return point.metric.name + (f"/{point.part}" if point.part else "")


def _manners(link: sections.LinkSection) -> Manners:
    return Manners(
        check_transaction=link.tid_check == "strict",
        check_unit=link.unit_check == "strict",
        connect_delay_s=link.connect_delay_ms / 1000,
        request_gap_s=link.inter_request_ms / 1000,
        close_after_poll=link.close_after_poll,
    )

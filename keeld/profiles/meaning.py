"""What a point's keys mean: its metric, its states, its unit and scale.

Each function takes a section as it was written and gives values ready for use, or raises `Wrong` with the key at fault.
"""

from __future__ import annotations

import difflib
import re
from fractions import Fraction
from typing import NamedTuple

from keeld import metrics
from keeld.metrics import CATALOGUE, Kind, Metric
from keeld.profiles import sections
from keeld.profiles.model import BIT_FUNCTIONS, Type
from keeld.profiles.units import conversions
from keeld.text import clean

_EXACT = 1 << 53
"""Whole numbers up to here are exact as a float."""
_KEELDS_OWN = frozenset(
    {
        metrics.UP,
        metrics.OUTAGE_REASON,
        metrics.COVERAGE,
        metrics.HEADROOM,
        metrics.POWER_LO,
        metrics.POWER_HI,
        metrics.CURRENT_LO,
        metrics.CURRENT_HI,
        metrics.AIR_HEAT_LO,
        metrics.AIR_HEAT_HI,
        metrics.LIQUID_HEAT_LO,
        metrics.LIQUID_HEAT_HI,
    }
)
"""What keeld concludes; a register that wrote there would be stored over it."""
_REPETITION = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(\)?[*+{])")
_MOST_REPETITIONS = 3


class Wrong(Exception):  # noqa: N818 - a finding on its way to the collector, not a failure
    """One value is wrong; `key` is where in its section. Never leaves profiles."""

    def __init__(self, key: str, wrong: str, remedy: str = "") -> None:
        super().__init__(wrong)
        self.key = key
        self.wrong = wrong
        self.remedy = remedy


class Scale(NamedTuple):
    """From raw to the metric's unit: `raw * numerator / denominator + offset`; `factor` is the unit's own."""

    numerator: float = 1.0
    denominator: float = 1.0
    offset: float = 0.0
    factor: float = 1.0


def metric_named(name: str) -> Metric:
    """Find a metric in the catalogue."""
    metric = CATALOGUE.get(name)
    if metric is None:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        remedy = f"did you mean `{near[0]}`?" if near else "take a name from the catalogue"
        raise Wrong("metric", f"there is no metric `{clean(name)}`", remedy)
    if metric in _KEELDS_OWN:
        raise Wrong("metric", f"{metric.name} is what keeld concludes, no register gives it", "take another name")
    return metric


def check_bits(section: sections.FieldSection, function: int) -> None:
    """See that single bits and registers are asked for with functions that read them."""
    if function in BIT_FUNCTIONS:
        if section.type is not Type.BIT or section.bit is not None:
            raise Wrong("type", f"function {function} reads single bits", "write `type: bit` and no `bit:`")
    elif (section.type is Type.BIT) is not (section.bit is not None):
        raise Wrong("type", "type bit and `bit:` belong together", "write which bit of the register, 0 to 15")


def states_of(
    section: sections.PointSection, metric: Metric
) -> tuple[dict[int, int] | None, tuple[tuple[int, int], ...], int | None]:
    """Give raw number to state, (mask, state), and the state without flags, for an enum; nothing for a number."""
    if metric.kind is not Kind.ENUM:
        for key in ("states", "flags", "clear"):
            if getattr(section, key) is not None:
                raise Wrong(key, f"{metric.name} is a number and has no states", "remove it")
        return None, (), None
    if (section.states is None) is (section.flags is None):
        raise Wrong("metric", f"{metric.name} is a state", "write either `states:` or `flags:`")
    if section.flags is not None:
        return None, _flags(section, metric), _state(metric, section.clear, "clear")
    numbers = {}
    for raw, state in (section.states or {}).items():
        if not re.fullmatch(r"[0-9]{1,5}", raw):
            raise Wrong("states", f"`{clean(raw)}` is no register value", "write whole numbers as keys")
        numbers[int(raw)] = _state(metric, state, "states")
    return numbers, (), None


def _flags(section: sections.PointSection, metric: Metric) -> tuple[tuple[int, int], ...]:
    if section.type is not Type.FLAGS:
        raise Wrong("type", "`flags:` needs type flags", "write `type: flags`")
    width = 16 * (section.length or 1)
    for flag in section.flags or ():
        if max(flag.bits) >= width:
            raise Wrong(
                "flags", f"bit {max(flag.bits)} is outside of {width} bits", "check the bit, or write `length:`"
            )
    return tuple(
        (sum(1 << bit for bit in set(flag.bits)), _state(metric, flag.state, "flags")) for flag in section.flags or ()
    )


def _state(metric: Metric, name: str | None, key: str) -> int:
    numbers = {state: number for number, state in metric.states.items()}
    if name is None or name not in numbers:
        given = "nothing" if name is None else f"`{clean(name)}`"
        raise Wrong(key, f"{given} is no state of {metric.name}", f"one of {', '.join(numbers)}")
    return numbers[name]


def scale_of(section: sections.PointSection, metric: Metric) -> Scale:
    """Give the way from raw to the metric's unit; states have none."""
    scales = [key for key in ("scale", "scale_pow2", "scale_register") if getattr(section, key) is not None]
    if len(scales) > 1:
        raise Wrong(scales[1], f"`{scales[0]}` and `{scales[1]}` exclude each other", "keep one")
    if metric.kind is Kind.ENUM:
        return Scale()
    if section.type in (Type.FLAGS, Type.BIT):
        raise Wrong("type", f"type {section.type} is for states, {metric.name} is a number", "take a number's type")
    units = conversions(metric)
    if section.unit not in units:
        given = f"`{clean(section.unit)}` is no unit of" if section.unit else "`unit` is missing for"
        raise Wrong("unit", f"{given} {metric.name}", f"one of {', '.join(units)}")
    unit = units[section.unit]
    scale = _exact(section.scale) * unit.factor
    if section.scale_pow2 is not None:
        scale = Fraction(2) ** section.scale_pow2 * unit.factor
    if scale == 0:
        raise Wrong("scale", "a scale of zero makes every value zero", "check the scale")
    offset = float(_exact(section.offset) * unit.factor + unit.offset)
    if max(abs(scale.numerator), scale.denominator) >= _EXACT:
        return Scale(float(scale), 1.0, offset, float(unit.factor))
    return Scale(float(scale.numerator), float(scale.denominator), offset, float(unit.factor))


def sentinels_of(section: sections.PointSection, defaults: sections.DefaultSection, words: int) -> frozenset[int]:
    """Give the raw patterns that mean no value: the type's and the point's own."""
    for raw in section.sentinels:
        if raw >> (words * 16):
            raise Wrong("sentinels", f"{raw:#x} does not fit type {section.type}", "write the raw bits")
    return frozenset(section.sentinels) | {
        raw for raw in defaults.sentinels.get(section.type, ()) if not raw >> (words * 16)
    }


def check_number(section: sections.PointSection, metric: Metric) -> None:
    """See that what is said about a value's range makes sense for its metric."""
    if section.valid and section.valid[0] >= section.valid[1]:
        raise Wrong("valid", "the lowest value is not below the highest", "write [lowest, highest]")
    if section.rollover is not None and metric.kind is not Kind.COUNTER:
        raise Wrong("rollover", f"{metric.name} is no counter", "remove it")
    if section.require_nonzero and metric.kind is Kind.ENUM:
        raise Wrong("require_nonzero", f"{metric.name} is a state, its zero has a meaning", "remove it")
    if section.scale_register is not None and metric.kind is Kind.ENUM:
        raise Wrong("scale_register", f"{metric.name} is a state and has no scale", "remove it")


def check_strides(repeat: sections.RepeatSection, number: int) -> None:
    """See that no two of `number` repeats read the same registers: that would be one value under two names."""
    units = repeat.unit_map[:number] if repeat.unit_map else [repeat.unit_stride * step for step in range(number)]
    if number < 2 or len(set(units)) == number:  # noqa: PLR2004 - one alone cannot meet another
        return
    if repeat.address_stride == 0:
        remedy = "write how far one is from the next, `address_stride:` or `unit_stride:`"
        raise Wrong("points", "every repeat would read the same registers", remedy)
    widest = max(point.length or point.type.words for point in repeat.points)
    if repeat.address_stride < widest:
        wrong = f"a value of {widest} registers reaches into the next repeat, {repeat.address_stride} further"
        raise Wrong("address_stride", wrong, "check the distance and the type")


def check_proof(section: sections.ProofSection) -> None:
    """See that a proof can come true, and that no device's answer can make its pattern take for ever."""
    if section.range and section.range[0] > section.range[1]:
        raise Wrong("range", "the lowest value is above the highest", "write [lowest, highest]")
    if section.pattern is None:
        return
    try:
        re.compile(section.pattern)
    except re.error as error:
        raise Wrong("pattern", f"not a regular expression: {clean(error)}") from None
    repetitions = [found[1] for found in _REPETITION.finditer(section.pattern) if found[1]]
    if len(repetitions) > _MOST_REPETITIONS or any(len(found) > 1 for found in repetitions):
        wrong = f"a pattern may have {_MOST_REPETITIONS} of `*`, `+` and `{{}}`, none behind a group"
        raise Wrong("pattern", wrong, "write a plainer one")


def _exact(number: float | None) -> Fraction:
    """Take a decimal as it was written: 0.1 is one tenth, so that 2301 become 230.1 and not 230.10000000000002."""
    return Fraction(1) if number is None else Fraction(repr(number))

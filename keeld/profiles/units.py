"""Units that registers come in, and how each turns into the catalogue's unit.

A point must name its unit and the unit must fit its metric, so degrees Fahrenheit cannot pass for watts.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from keeld.metrics import Metric


class Conversion(NamedTuple):
    """`value * factor + offset` is in the metric's unit."""

    factor: Fraction
    offset: Fraction = Fraction(0)


def _prefixed(unit: str) -> dict[str, Conversion]:
    prefixes = {"m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(1000), "M": Fraction(1_000_000)}
    return {prefix + unit: Conversion(factor) for prefix, factor in prefixes.items()}


_CELSIUS = {
    "degC": Conversion(Fraction(1)),
    "degF": Conversion(Fraction(5, 9), Fraction(-160, 9)),
    "K": Conversion(Fraction(1), Fraction("-273.15")),
}
_PRESSURE = {
    **_prefixed("Pa"),
    "hPa": Conversion(Fraction(100)),
    "mbar": Conversion(Fraction(100)),
    "bar": Conversion(Fraction(100_000)),
    "psi": Conversion(Fraction("6894.757293168")),
}
_FLOW = {
    "l/min": Conversion(Fraction(1)),
    "l/s": Conversion(Fraction(60)),
    "l/h": Conversion(Fraction(1, 60)),
    "m3/h": Conversion(Fraction(50, 3)),
    "gpm": Conversion(Fraction("3.785411784")),
}
_TIME = {"s": Conversion(Fraction(1)), "min": Conversion(Fraction(60)), "h": Conversion(Fraction(3600))}

# By the end of the metric's name; the first that fits counts, so longer ends stand before what they end in.
_BY_ENDING: tuple[tuple[str, dict[str, Conversion]], ...] = (
    ("_volt_amperes", _prefixed("VA")),
    ("_watt_hours", _prefixed("Wh")),
    ("_watts", _prefixed("W")),
    ("_vars", _prefixed("var")),
    ("_amperes", _prefixed("A")),
    ("_volts", _prefixed("V")),
    ("_hertz", _prefixed("Hz")),
    ("_ratio", {"1": Conversion(Fraction(1)), "%": Conversion(Fraction(1, 100))}),
    ("_celsius", _CELSIUS),
    ("_pascals", _PRESSURE),
    ("_litres_per_minute", _FLOW),
    ("_rpm", {"rpm": Conversion(Fraction(1))}),
    ("_seconds", _TIME),
)
_NUMBER = {"1": Conversion(Fraction(1))}


def conversions(metric: Metric) -> dict[str, Conversion]:
    """Give the units a register of this metric may come in."""
    for ending, units in _BY_ENDING:
        if metric.name.endswith(ending):
            return units
    return _NUMBER

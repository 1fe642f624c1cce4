"""Values in words: each beside its limit, each percentage with what it is a percentage of."""

from __future__ import annotations

from keeld.alerts.alarm import Evidence

_WIDE = 0.02
_NEARLY = 0.005
"""Closer to the limit than this, 100 % would say neither over nor under."""
_LOAD_UNITS = frozenset({"W", "VA", "A"})
_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86_400.0


def is_load(evidence: Evidence) -> bool:
    """Whether value and limit are amounts of which a percentage says something; of degrees it does not."""
    return evidence.unit in _LOAD_UNITS


def likeliest_ratio(evidence: Evidence) -> float | None:
    """Likeliest share of the limit; what is certain of it where nothing is likeliest."""
    if evidence.lo is None or not evidence.limit:
        return None
    return _likeliest(evidence) / evidence.limit


def ratio_words(evidence: Evidence) -> str:
    """Say value against limit with the base named: `27.8 of 32 A breaker = 87 %`; nothing where nothing is known."""
    return _against(evidence, evidence.base)


def title_words(evidence: Evidence) -> tuple[str, ...]:
    """Say the same for a title, longest first: a base that is a formula takes too much room there.

    A share without its base says nothing: of values in percent the base is not left out.
    """
    bare = "" if evidence.unit == "%" and evidence.base else _against(evidence, "")
    full = bare if " x " in evidence.base else _against(evidence, evidence.base)
    return tuple(words for words in dict.fromkeys((full, bare, evidence.headline)) if words)


def value_line(evidence: Evidence) -> str:
    """Give the message's line about the value, with its bounds where they are wide; empty where there is no value."""
    if evidence.lo is None or evidence.hi is None:
        return ""
    what = f" ({evidence.what})" if evidence.what else ""
    if evidence.limit is None:
        return f"Value: {_bounds(evidence)}{what}" if evidence.unit else ""
    words = ratio_words(evidence)
    if not words:
        return ""
    line = f"Value: {words}{what}"
    if evidence.best is not None and evidence.hi - evidence.lo > _WIDE * abs(evidence.limit):
        scale, unit = _scale(evidence.limit, evidence.unit)
        low, high = number(evidence.lo / scale), number(evidence.hi / scale)
        line += f"; known to lie between {low} and {high} {unit}".rstrip()
    return line


def trend_words(first: float, evidence: Evidence, for_s: float) -> str:
    """Say how far a value has moved since an alarm began; empty where it stands still."""
    if evidence.best is None or evidence.limit is None:
        return ""
    change = evidence.best - first
    if abs(change) <= _NEARLY * abs(evidence.limit):
        return ""
    scale, unit = _scale(evidence.limit, evidence.unit)
    way = "up" if change > 0.0 else "down"
    return f"{way} {number(abs(change) / scale)} {unit} in the {span_words(for_s)} since it began."


def number(value: float) -> str:
    """Write a number with three figures and no exponent."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004 - decades
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def span_words(span_s: float) -> str:
    """Write a length of time as people say it: `45 s`, `6 min`, `5 h`, `3 days`."""
    if span_s < _MINUTE_S:
        return f"{span_s:.0f} s"
    if span_s < 1.5 * _HOUR_S:
        return f"{span_s / _MINUTE_S:.0f} min"
    return f"{span_s / _HOUR_S:.0f} h" if span_s < 2.0 * _DAY_S else f"{span_s / _DAY_S:.0f} days"


def _against(evidence: Evidence, base: str) -> str:
    if not is_load(evidence):
        return _beside(evidence, base)
    if evidence.lo is None or not evidence.limit:
        return ""
    scale, unit = _scale(evidence.limit, evidence.unit)
    limit = f"{number(evidence.limit / scale)} {unit}"
    if base.startswith(f"{limit} "):
        limit = base
    elif base:
        limit += f" ({base})" if base[0].isdigit() else f" {base}"
    return f"{_values(evidence, scale)} of {limit} = {_percent(evidence, evidence.limit)}"


def _percent(evidence: Evidence, limit: float) -> str:
    if _is_open(evidence):
        return f"{(evidence.lo or 0.0) / limit * 100:.0f} to {(evidence.hi or 0.0) / limit * 100:.0f} %"
    ratio = _likeliest(evidence) / limit
    return f"{ratio * 100:.{1 if 0 < abs(ratio - 1.0) < _NEARLY else 0}f} %"


def _beside(evidence: Evidence, base: str) -> str:
    """Say a value that is no load beside its limit: `34.2 °C, limit 32 °C allowed in class A2`."""
    if evidence.lo is None or evidence.limit is None:
        return ""
    value, limit = (f"{words} {evidence.unit}".rstrip() for words in (_values(evidence, 1.0), number(evidence.limit)))
    return f"{value}, limit {limit} {base}".rstrip()


def _bounds(evidence: Evidence) -> str:
    """Say a value that has no limit; one that is not known by its bounds."""
    lo, hi = evidence.lo or 0.0, evidence.hi or 0.0
    scale, unit = _scale(hi, evidence.unit)
    if hi - lo > _WIDE * abs(hi):
        return f"not known, between {number(lo / scale)} and {number(hi / scale)} {unit}"
    return f"{_values(evidence, scale)} {unit}"


def _is_open(evidence: Evidence) -> bool:
    """Whether only bounds are known."""
    return evidence.best is None and evidence.lo is not None and evidence.hi is not None and evidence.hi > evidence.lo


def _values(evidence: Evidence, scale: float) -> str:
    if _is_open(evidence):
        return f"{number((evidence.lo or 0.0) / scale)} to {number((evidence.hi or 0.0) / scale)}"
    return number(_likeliest(evidence) / scale)


def _likeliest(evidence: Evidence) -> float:
    return (evidence.lo or 0.0) if evidence.best is None else evidence.best


def _scale(limit: float, unit: str) -> tuple[float, str]:
    if unit not in ("W", "VA"):
        return 1.0, unit
    return (1e6, f"M{unit}") if abs(limit) >= 1e6 else (1e3, f"k{unit}")  # noqa: PLR2004 - a million is a million

"""The words of an alarm: what, where, value against limit, since when, why, what to do. Plain text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple
from zoneinfo import ZoneInfo

from keeld.alerts.alarm import Alarm, Evidence
from keeld.model import AlertState
from keeld.text import clean
from keeld.views import Verdict

TITLE_MOST = 79
_LABEL_MOST, _LABEL_LEAST = 28, 16
_WIDE = 0.02
_NEARLY = 0.005
"""Closer to the limit than this, 100 % would say neither over nor under."""
_LOAD_UNITS = frozenset({"W", "VA", "A"})
_OVER_AND_DONE = frozenset({"resolved", "withdrawn"})
"""Ends after which what was wrong, or unobserved, is so no longer."""
_NS = 1_000_000_000
_CHILDREN_SHOWN = 8
_CHILD_MOST = 80
NO_CHILDREN: Mapping[str, str] = MappingProxyType({})


class Message(NamedTuple):
    """What a channel sends."""

    title: str
    text: str


def compose(
    alarm: Alarm, *, site: str, timezone: str, ended: str = "", children: Mapping[str, str] = NO_CHILDREN, by: str = ""
) -> Message:
    """Put an alarm into words.

    `ended` is the word of its end, empty while it lasts; `children` is what follows from it, `by` who ended it and why.
    """
    title = _title(alarm, ended)
    lines = [
        f"{_word(alarm, ended)}: {title}",
        f"Where: {place(alarm)}, site {site}",
        *_figures(alarm.evidence),
        f"Since: {local_time(alarm.since_ns, timezone)}",
    ]
    if ended and alarm.seen_ns > alarm.since_ns:
        lines.append(f"Until: {local_time(alarm.seen_ns, timezone)}")
    if ended == "unverifiable":
        lines.append("Its source is silent: whether it still holds cannot be told. This is not an all-clear.")
    if ended == "withdrawn":
        lines.append(by or "Its rule or target is no longer in the configuration.")
    if children:
        lines.append(f"Follows from it ({len(children)}): {_listed(list(children.values()))}.")
    if alarm.chatters and not ended:
        lines.append("It chatters: it came and went three times in a minute. It is held until it is quiet for 5 min.")
    if alarm.owner and not ended:
        lines.append(f"Acknowledged by: {clean(alarm.owner)}")
    if ended not in _OVER_AND_DONE:
        lines += [f"Likely cause: {alarm.evidence.cause}"] if alarm.evidence.cause else []
        lines += [alarm.evidence.detail] if alarm.evidence.detail else []
    if not ended and alarm.rule.advice:
        lines.append(f"Do: {alarm.rule.advice}")
    if alarm.rule.runbook:
        lines.append(f"Runbook: {alarm.rule.runbook}")
    return Message(title, "\n".join(lines))


def _listed(names: list[str]) -> str:
    shown = "; ".join(clean(name, _CHILD_MOST) for name in names[:_CHILDREN_SHOWN])
    return shown if len(names) <= _CHILDREN_SHOWN else f"{shown}; and {len(names) - _CHILDREN_SHOWN} more"


def _title(alarm: Alarm, ended: str) -> str:
    base = alarm.evidence.base
    share = _against(alarm.evidence, "" if " x " in base else base)
    said = f"{alarm.rule.title}: {ended}" if ended else _title_words(alarm)
    if share and not ended:
        said += f": {share}"
    room = min(_LABEL_MOST, max(_LABEL_LEAST, TITLE_MOST - 1 - len(said)))
    title = f"{_shortened(clean(alarm.target.label or alarm.target.id), room)} {said}"
    return title if len(title) <= TITLE_MOST else title[: TITLE_MOST - 1] + "…"


def _shortened(label: str, most: int) -> str:
    """Cut a long label where it shows, in its middle: what tells it from its neighbours often stands last."""
    tail = most // 3
    return label if len(label) <= most else f"{label[: most - 1 - tail].rstrip()}…{label[-tail:].lstrip()}"


def _title_words(alarm: Alarm) -> str:
    """Say near instead of over where an early level fires: it is not over the budget yet."""
    ratio = _ratio(alarm.evidence)
    if alarm.rule.title.startswith("over its ") and ratio is not None and ratio <= 1.0:
        return f"near its {alarm.rule.title.removeprefix('over its ')}"
    return alarm.rule.title


def _word(alarm: Alarm, ended: str) -> str:
    if ended:
        return ended.upper()
    if alarm.state is AlertState.PENDING:
        return "PENDING"
    if alarm.evidence.word:
        return alarm.evidence.word
    if not alarm.evidence.is_known:
        return Verdict.CANT_TELL.value
    if alarm.rule.is_floor or not _is_load(alarm.evidence):
        return alarm.severity.upper()
    ratio = _ratio(alarm.evidence)
    return Verdict.OVER.value if ratio is not None and ratio > 1.0 else alarm.severity.upper()


def _ratio(evidence: Evidence) -> float | None:
    """Likeliest share of the limit."""
    if evidence.lo is None or not evidence.limit:
        return None
    return _likeliest(evidence) / evidence.limit


def ratio_words(evidence: Evidence) -> str:
    """Say value against limit with the base named: `27.8 of 32 A breaker = 87 %`; nothing where nothing is known."""
    return _against(evidence, evidence.base)


def _is_load(evidence: Evidence) -> bool:
    """Whether value and limit are amounts of which a percentage says something; of degrees it does not."""
    return evidence.unit in _LOAD_UNITS


def _against(evidence: Evidence, base: str) -> str:
    if not _is_load(evidence):
        return _beside(evidence, base)
    ratio = _ratio(evidence)
    if ratio is None or evidence.limit is None or evidence.lo is None:
        return ""
    scale, unit = _scale(evidence.limit, evidence.unit)
    limit = f"{_number(evidence.limit / scale)} {unit}"
    if base.startswith(f"{limit} "):
        limit = base
    elif base:
        limit += f" ({base})" if base[0].isdigit() else f" {base}"
    digits = 1 if 0 < abs(ratio - 1.0) < _NEARLY else 0
    return f"{_number(_likeliest(evidence) / scale)} of {limit} = {ratio * 100:.{digits}f} %"


def _beside(evidence: Evidence, base: str) -> str:
    """Say a value that is no load beside its limit: `34.2 °C, limit 32 °C class A2`."""
    if evidence.lo is None or evidence.limit is None:
        return ""
    value, limit = (f"{_number(number)} {evidence.unit}".rstrip() for number in (_likeliest(evidence), evidence.limit))
    return f"{value}, limit {limit} {base}".rstrip()


def _likeliest(evidence: Evidence) -> float:
    return (evidence.lo or 0.0) if evidence.best is None else evidence.best


def _figures(evidence: Evidence) -> list[str]:
    words = ratio_words(evidence)
    if not words or evidence.lo is None or evidence.hi is None or evidence.limit is None:
        return []
    line = f"Value: {words}" + (f" ({evidence.what})" if evidence.what else "")
    if evidence.hi - evidence.lo > _WIDE * abs(evidence.limit):
        scale, unit = _scale(evidence.limit, evidence.unit)
        line += f"; known to lie between {_number(evidence.lo / scale)} and {_number(evidence.hi / scale)} {unit}"
    return [line]


def _scale(limit: float, unit: str) -> tuple[float, str]:
    if unit not in ("W", "VA"):
        return 1.0, unit
    return (1e6, f"M{unit}") if abs(limit) >= 1e6 else (1e3, f"k{unit}")  # noqa: PLR2004 - a million is a million


def _number(value: float) -> str:
    """Three figures, no exponent."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004 - decades
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def place(alarm: Alarm) -> str:
    """Name the target by label and id."""
    target = alarm.target
    label = _shortened(clean(target.label, 256), 64)
    kind = target.kind.replace("_", " ")
    return f"{kind} {target.id}" if not label or label == target.id else f"{label} ({kind} {target.id})"


def local_time(time_ns: int, timezone: str) -> str:
    """Give a time in the site's zone with its offset."""
    return datetime.fromtimestamp(time_ns // _NS, UTC).astimezone(ZoneInfo(timezone)).isoformat(sep=" ")

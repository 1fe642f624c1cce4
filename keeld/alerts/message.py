"""The words of an alarm: what, where, value against limit, since when, why, what to do, where to look. Plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple
from zoneinfo import ZoneInfo

from keeld.alerts.alarm import Alarm, Target
from keeld.alerts.context import Beside
from keeld.alerts.figures import is_load, likeliest_ratio, span_words, title_words, trend_words, value_line
from keeld.model import AlertState
from keeld.text import clean
from keeld.views import Verdict

TITLE_MOST = 79
_LABEL_MOST, _LABEL_LEAST = 28, 16
_OVER_AND_DONE = frozenset({"resolved", "withdrawn"})
"""Ends after which what was wrong, or unobserved, is so no longer."""
_NS = 1_000_000_000
_CHILDREN_SHOWN = 8
_CHILD_MOST = 80
_FED_SHOWN = 3
_DIGEST = "alarm_quality"
_PLACES = (("rack", "rack "), ("u", "U"), ("cooling", ""), ("row", "row "), ("tenant", "tenant "))
"""Tags that say where something is, with the word before each."""
NO_CHILDREN: Mapping[str, str] = MappingProxyType({})
NOTHING_BESIDE = Beside()


class Message(NamedTuple):
    """What a channel sends."""

    title: str
    text: str


def compose(
    alarm: Alarm,
    *,
    site: str,
    timezone: str,
    ended: str = "",
    children: Mapping[str, str] = NO_CHILDREN,
    by: str = "",
    beside: Beside = NOTHING_BESIDE,
) -> Message:
    """Put an alarm into words.

    `ended` is the word of its end, empty while it lasts; `children` is what follows from it, `by` who ended it and why.
    """
    title = _title(alarm, ended)
    lines = [
        f"{_word(alarm, ended)}: {title}",
        where(alarm.target, beside.tags, site),
        *filter(None, [_last_value(alarm) if ended == "unverifiable" else value_line(alarm.evidence)]),
        *(_end_lines(alarm, ended, by, timezone) if ended else _course_lines(alarm, timezone, beside.outlook)),
        *([] if ended in _OVER_AND_DONE else _reason_lines(alarm, beside)),
        *_child_lines(alarm, children),
        *([] if ended in _OVER_AND_DONE else filter(None, [alarm.evidence.detail])),
        *_hand_lines(alarm, ended),
        *_pointer_lines(alarm, site, beside),
    ]
    return Message(title, "\n".join(lines))


def _end_lines(alarm: Alarm, ended: str, by: str, timezone: str) -> Iterator[str]:
    """Say from when to when it was, and how certain its end is."""
    yield f"Since: {local_time(alarm.since_ns, timezone)}"
    if alarm.seen_ns > alarm.since_ns:
        yield f"Until: {local_time(alarm.seen_ns, timezone)}, {span_words((alarm.seen_ns - alarm.since_ns) / _NS)}"
    if ended == "unverifiable":
        yield "Its source is silent: whether it still holds cannot be told. This is not an all-clear."
    if ended == "withdrawn":
        yield by or "Its rule or target is no longer there, or its rack is under the rules of another state."


def _course_lines(alarm: Alarm, timezone: str, outlook: str) -> Iterator[str]:
    """Say since when it is so, how it goes and where it leads."""
    lasted_s = max(0.0, (alarm.seen_ns - alarm.since_ns) / _NS) if alarm.seen_ns else 0.0
    lasted = f", {span_words(lasted_s)}" if lasted_s else ""
    yield f"Since: {local_time(alarm.since_ns, timezone)}{lasted}"
    if alarm.grew_from is not None and alarm.grew_from is not alarm.severity:
        yield f"Escalated: it was told as {alarm.grew_from} before, it is {alarm.severity} now."
    trend = "" if alarm.first is None else trend_words(alarm.first, alarm.evidence, lasted_s)
    if trend or outlook:
        yield f"Trend: {' '.join(filter(None, (trend, outlook)))}"
    if alarm.chatters:
        yield "It chatters: it came and went three times in a minute. It is held until it is quiet for 5 min."


def _reason_lines(alarm: Alarm, beside: Beside) -> Iterator[str]:
    """Say what likely made it so, and what changed at the same things just before."""
    cause = alarm.evidence.cause or beside.cause
    if cause:
        yield f"Likely cause: {cause}"
    if beside.happened:
        yield f"What changed: {'; '.join(beside.happened)}."
    for work in beside.works:
        yield f"Announced work: {work}"


def _child_lines(alarm: Alarm, children: Mapping[str, str]) -> Iterator[str]:
    if children:
        head = "Told here only" if alarm.rule.name == _DIGEST else "Follows from it"
        yield f"{head} ({len(children)}): {_listed(list(children.values()))}."


def _hand_lines(alarm: Alarm, ended: str) -> Iterator[str]:
    """Say what to do, or who does it already."""
    if ended:
        return
    if alarm.rule.advice:
        yield f"Do: {alarm.rule.advice}"
    if alarm.owner:
        yield f"Acknowledged by: {clean(alarm.owner)}"
    elif alarm.told is not None and alarm.state is AlertState.FIRING:
        yield f"Acknowledge: keeld ack {alarm.alert_id}"


def _pointer_lines(alarm: Alarm, site: str, beside: Beside) -> Iterator[str]:
    """Say where to look: channels make links of these lines, which therefore stand last."""
    urls, target = beside.urls, alarm.target
    runbook = alarm.rule.runbook or (urls.runbook_of(alarm.rule.name) if alarm.rule.number else "")
    rack = target.id if target.kind == "rack" else _only(beside.tags, "rack")
    dashboard = urls.dashboard_of(
        site=site, kind=target.kind, target=target.id, rule=alarm.rule.name, since_ns=alarm.since_ns
    )
    found = (("Runbook", runbook), ("Page", urls.page_of(alarm.alert_id, rack)), ("Dashboard", dashboard))
    for name, address in found:
        if address:
            yield f"{name}: {address}"


def _listed(names: list[str]) -> str:
    shown = "; ".join(clean(name, _CHILD_MOST) for name in names[:_CHILDREN_SHOWN])
    return shown if len(names) <= _CHILDREN_SHOWN else f"{shown}; and {len(names) - _CHILDREN_SHOWN} more"


def _title(alarm: Alarm, ended: str) -> str:
    label = clean(alarm.target.label or alarm.target.id)
    if ended:
        return titled(label, f"{alarm.rule.title}: {ended}")
    words = _title_words(alarm)
    fitting = [f"{words}: {figures}" for figures in title_words(alarm.evidence)]
    least = min(len(label), _LABEL_LEAST) + 1
    return titled(label, next((said for said in fitting if least + len(said) <= TITLE_MOST), words))


def titled(label: str, said: str) -> str:
    """Put a name before what is said of it, in under 80 characters: the name gives way first."""
    room = min(_LABEL_MOST, max(_LABEL_LEAST, TITLE_MOST - 1 - len(said)))
    title = f"{_shortened(label, room)} {clean(said, 2 * TITLE_MOST)}".strip()
    return title if len(title) <= TITLE_MOST else title[: TITLE_MOST - 1] + "…"


def _shortened(label: str, most: int) -> str:
    """Cut a long label where it shows, in its middle: what tells it from its neighbours often stands last."""
    tail = most // 3
    return label if len(label) <= most else f"{label[: most - 1 - tail].rstrip()}…{label[-tail:].lstrip()}"


def _title_words(alarm: Alarm) -> str:
    """Say near instead of over where an early level fires: it is not over the budget yet."""
    ratio = likeliest_ratio(alarm.evidence)
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
    if alarm.rule.is_floor or not is_load(alarm.evidence):
        return alarm.severity.upper()
    ratio = likeliest_ratio(alarm.evidence)
    return Verdict.OVER.value if ratio is not None and ratio > 1.0 else alarm.severity.upper()


def _last_value(alarm: Alarm) -> str:
    """Say what was measured last, and how long before: what is shown since then is only what may be."""
    line = value_line(alarm.proven).replace("Value: ", "Last measured: ", 1)
    if not line:
        return value_line(alarm.evidence)
    return f"{line}, {span_words((alarm.judged_ns - alarm.known_ns) / _NS)} before"


def where(target: Target, tags: frozenset[str], site: str) -> str:
    """Give the line that says where a target is, by label and id, from the near to the wide."""
    label, own = _shortened(clean(target.label, 256), 64), f"{target.kind.replace('_', ' ')} {target.id}"
    name = own if label in ("", target.id, own) else f"{label} ({own})"
    around = [f"site {site}"] if own != f"site {site}" else []
    return f"Where: {', '.join((name, *_places(target, tags), *around))}"


def _places(target: Target, tags: frozenset[str]) -> Iterator[str]:
    for key, before in _PLACES:
        name = _only(tags, key)
        if name and (key, name) != (target.kind.removesuffix("_node"), target.id):
            yield f"{before}{clean(name)}"
    fed = sorted(scope.removeprefix("rack:") for scope in target.covers if scope.startswith("rack:"))
    if target.kind == "power_node" and 0 < len(fed) <= _FED_SHOWN:
        yield f"feeding {', '.join(fed)}"


def _only(tags: frozenset[str], key: str) -> str:
    """Give what a target's tags say of a key, where they say one thing."""
    found = [tag.removeprefix(f"{key}:") for tag in tags if tag.startswith(f"{key}:")]
    return found[0] if len(found) == 1 else ""


def local_time(time_ns: int, timezone: str) -> str:
    """Give a time in the site's zone with its offset."""
    return datetime.fromtimestamp(time_ns // _NS, UTC).astimezone(ZoneInfo(timezone)).isoformat(sep=" ")

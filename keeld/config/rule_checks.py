"""Rules: their names, the limits that fit them, where they hold, and rules of the operator's own."""

from __future__ import annotations

from keeld.config.draft import Draft
from keeld.config.report import Report
from keeld.config.rule_schema import RuleKeys
from keeld.config.rulebook import RULES, SELECTABLE
from keeld.config.wording import suggest
from keeld.metrics import CATALOGUE

_OWN_ONLY = ("part", "above", "below", "clear", "title")
_SHIPPED_ONLY = ("rule", "limit_ratio", "clear_ratio", "limit_k", "clear_k", "deadband_ratio")
_LABELS = ("row", "class", "state", "tenant")


def check_rules(draft: Draft, report: Report) -> None:
    """Check every entry of the section `rules`."""
    for name, rule in draft.document.rules.items():
        _check_select(name, rule, draft, report)
        if rule.metric is not None:
            _check_own(name, rule, draft, report)
        else:
            _check_shipped(name, rule, draft, report)
    _check_routes(draft, report)


def _check_routes(draft: Draft, report: Report) -> None:
    channels = {channel.name or channel.kind for channel in draft.document.notify}
    for name, rule in draft.document.rules.items():
        if rule.route and rule.route not in channels:
            place = draft.origin.at("rules", name, "route")
            report.error(place, f"no channel {rule.route!r}", suggest(rule.route, channels, what="channel"))


def _check_select(name: str, rule: RuleKeys, draft: Draft, report: Report) -> None:
    for key, pattern in rule.select.items():
        if key not in SELECTABLE:
            place = draft.origin.key("rules", name, "select", key)
            report.error(place, f"nothing is selected by {key!r}", suggest(key, SELECTABLE, what="key"))
        elif not _means_something(key, pattern, draft):
            place = draft.origin.at("rules", name, "select", key)
            report.error(place, f"no {key} {pattern!r} in this configuration", "write its name, with * for any letters")


def _means_something(key: str, pattern: str, draft: Draft) -> bool:
    """Whether a pattern without wild letters names something that exists; the others may mean what comes later."""
    if any(letter in pattern for letter in "*?["):
        return True
    document, entries = draft.document, draft.entries
    if key in _LABELS:
        name = {"class": "thermal_class"}.get(key, key)
        racks = {getattr(rack, name) for rack in document.racks.values()}
        devices = {device.tenant for device in document.devices.values()} if key == "tenant" else set()
        return pattern in racks | devices or key == "state"
    sections = {"rack": "racks", "device": "devices", "node": "power", "under": "power", "cooling": "cooling"}
    return key not in sections or pattern in entries[sections[key]]


def _check_own(name: str, rule: RuleKeys, draft: Draft, report: Report) -> None:
    key = draft.origin.key
    if name in RULES:
        report.error(key("rules", name), f"{name!r} is a rule that ships", "give a rule of your own a name of its own")
    if rule.metric not in CATALOGUE:
        place = draft.origin.at("rules", name, "metric")
        report.error(place, f"no metric {rule.metric!r}", suggest(rule.metric or "", CATALOGUE, what="metric"))
    for other in _SHIPPED_ONLY:
        if getattr(rule, other) is not None:
            report.error(
                key("rules", name, other), f"`{other}` is for rules that ship", "write above or below, and clear"
            )
    if (rule.above is None) == (rule.below is None):
        report.error(
            key("rules", name), f"rule {name} needs `above` or `below`, and only one of them", "write its limit"
        )
        return
    limit = rule.above if rule.above is not None else rule.below or 0.0
    if rule.clear is not None and (rule.clear > limit if rule.above is not None else rule.clear < limit):
        side = "above" if rule.above is not None else "below"
        report.error(
            draft.origin.at("rules", name, "clear"),
            f"{name} would clear at {rule.clear:g}, {side} its limit {limit:g}",
            f"write {limit:g} or {'less' if side == 'above' else 'more'}",
        )


def _check_shipped(name: str, rule: RuleKeys, draft: Draft, report: Report) -> None:
    meant = rule.rule or name
    if meant not in RULES:
        place = draft.origin.key("rules", name) if rule.rule is None else draft.origin.at("rules", name, "rule")
        remedy = suggest(meant, RULES, what="rule")
        report.error(place, f"unknown rule {meant!r}", f"{remedy}; a rule of your own has `metric`")
        return
    if rule.rule is not None and not rule.select:
        report.error(draft.origin.key("rules", name), f"{name} changes {meant} nowhere in particular", "add `select`")
    for key in _OWN_ONLY:
        if key in rule.model_fields_set:
            report.error(draft.origin.key("rules", name, key), f"`{key}` is for rules with a `metric`", "leave it out")
    _check_limits(name, meant, rule, draft=draft, report=report)


def _check_limits(name: str, meant: str, rule: RuleKeys, *, draft: Draft, report: Report) -> None:
    known = RULES[meant]
    for unit in ("ratio", "k"):
        for key in (f"limit_{unit}", f"clear_{unit}"):
            if getattr(rule, key) is not None and (known is None or known.unit != unit):
                place = draft.origin.key("rules", name, key)
                has = "no limit of its own" if known is None else f"a limit in {known.unit}"
                report.error(
                    place,
                    f"`{key}`: rule {meant} has {has}",
                    "leave it out" if known is None else f"write limit_{known.unit}",
                )
    _check_clear(name, meant, rule, draft=draft, report=report)


def _check_clear(name: str, meant: str, rule: RuleKeys, *, draft: Draft, report: Report) -> None:
    known = RULES[meant]
    for limit, clear, unit in ((rule.limit_ratio, rule.clear_ratio, "ratio"), (rule.limit_k, rule.clear_k, "k")):
        if clear is None or known is None or known.unit != unit:
            continue
        place = draft.origin.at("rules", name, f"clear_{unit}")
        if limit is None:
            report.error(place, f"a clear level of {meant} without its limit", f"add limit_{unit}")
        elif rule.deadband_ratio is not None:
            report.error(place, f"{meant} has a clear level and a deadband", "keep one of them")
        elif known.is_ceiling and clear > limit:
            wrong = f"{meant} would clear at {clear:g}, above its limit {limit:g}"
            report.error(place, wrong, f"write {limit:g} or less")
        elif not known.is_ceiling and clear < limit:
            wrong = f"{meant} would clear at {clear:g}, below its limit {limit:g}"
            report.error(place, wrong, f"write {limit:g} or more")

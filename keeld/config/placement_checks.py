"""Where devices sit: racks, feeds, cords, nodes, circuits; and that what they draw has a ceiling and can be known."""

from __future__ import annotations

import re
from collections import defaultdict

from keeld.config.draft import Draft
from keeld.config.report import Report
from keeld.config.site_schema import DeviceEntry, RackEntry
from keeld.config.wording import suggest

_DRAWING = frozenset({"miner", "accelerator"})
_METERING = frozenset({"pdu", "meter", "ups"})
_PART = re.compile(r"(?=.{1,64}\Z)[A-Za-z]+[0-9]*(?:-[A-Za-z]+[0-9]*)?(?:/[A-Za-z0-9-]+)*")
_NOISE = 1.0001


def check_placement(draft: Draft, kinds: dict[str, str], report: Report) -> None:
    """Check where every device sits, then every rack by what sits in it; `kinds` is each device's kind."""
    by_rack: dict[str, list[str]] = defaultdict(list)
    _check_names(draft, report)
    for name, device in draft.document.devices.items():
        kind = kinds.get(name, "")
        _check_targets(name, device, draft, report)
        _check_belongs(name, device, draft, report)
        if device.gpus is not None and kind not in ("", "accelerator"):
            place = draft.key("devices", name, "gpus")
            report.error(place, f"`gpus` of {name!r}, which is a {kind}", "leave it out; it belongs to accelerators")
        if device.rack is None:
            _check_rackless(name, device, draft, report)
            continue
        by_rack[device.rack].append(name)
        rack = draft.document.racks.get(device.rack)
        if rack is not None:
            _check_feed(name, device, rack, kind=kind, draft=draft, report=report)
            _check_cords(name, device, rack, draft=draft, report=report)
            _check_single_cord(name, device, rack, kind=kind, draft=draft, report=report)
            _check_ceiling(name, device, rack, kind=kind, draft=draft, report=report)
    _check_sources(draft, by_rack, kinds, report)
    for name, rack in draft.document.racks.items():
        _check_nameplates(name, rack, by_rack[name], draft=draft, report=report)


def _check_names(draft: Draft, report: Report) -> None:
    for name in draft.entries["cooling"].keys() & draft.entries["power"].keys():
        place = draft.place("cooling", name)
        report.error(
            place, f"{name!r} is a power node and a cooling node: `at: {name}` could mean either", "rename one"
        )
    if not draft.entries["devices"]:
        report.warn(draft.origin.at("devices"), "no devices: there is nothing to watch", "add a section `devices`")


def _check_targets(name: str, device: DeviceEntry, draft: Draft, report: Report) -> None:
    nodes = {**draft.entries["power"], **draft.entries["cooling"]}
    for key, target, known, what in (
        ("rack", device.rack, draft.entries["racks"], "rack"),
        ("at", device.at, nodes, "power or cooling node"),
        ("via", device.via, draft.entries["network"], "network entry"),
    ):
        if target is not None and target not in known:
            wrong = f"`{key}` of {name!r} is {target!r}, which is no {what}"
            report.error(draft.place("devices", name, key), wrong, suggest(target, known, what=what))
    for part, target in device.measures.items():
        if not _PART.fullmatch(part):
            place = draft.key("devices", name, "measures", part)
            report.error(place, f"{part!r} is no part of a device", "write branch/7, outlet/3 or L1")
        if target not in draft.entries["power"]:
            wrong = f"{part} of {name!r} measures {target!r}, which is no power node"
            remedy = suggest(target, draft.entries["power"], what="power node")
            report.error(draft.place("devices", name, "measures", part), wrong, remedy)


def _check_belongs(name: str, device: DeviceEntry, draft: Draft, report: Report) -> None:
    if device.rack is not None and device.at is not None:
        place = draft.key("devices", name, "at")
        report.error(place, f"{name!r} is both in a rack and at a node", "keep `rack` or `at`")
    if device.rack is None and device.at is None and not device.measures and draft.is_whole("devices", name):
        wrong = f"{name!r} belongs nowhere: it is stored and shown, and counts in no budget"
        report.warn(draft.place("devices", name), wrong, "add rack, at or measures")


def _check_rackless(name: str, device: DeviceEntry, draft: Draft, report: Report) -> None:
    if not draft.is_whole("devices", name):
        return
    for key, value in (("feed", device.feed), ("cords", device.cords), ("psus_needed", device.psus_needed)):
        if value:
            report.error(
                draft.key("devices", name, key), f"`{key}` of {name!r} without a rack", "add rack, or leave it out"
            )


def _check_feed(name: str, device: DeviceEntry, rack: RackEntry, *, kind: str, draft: Draft, report: Report) -> None:
    if device.feed is not None:
        if device.cords:
            place = draft.key("devices", name, "feed")
            report.error(place, f"{name!r} has `feed` and `cords`", "keep cords where it hangs on several feeds")
        if device.feed not in rack.feeds and draft.is_whole("racks", device.rack or ""):
            wrong = f"{name!r} is on feed {device.feed!r}, which rack {device.rack!r} does not have"
            report.error(draft.place("devices", name, "feed"), wrong, suggest(device.feed, rack.feeds, what="feed"))
    elif (
        kind == "pdu"
        and len(rack.feeds) > 1
        and not (device.measures or device.cords)
        and draft.is_whole("devices", name)
    ):
        wrong = f"{name!r} is in a rack with {len(rack.feeds)} feeds and does not say which one it is on"
        report.error(draft.place("devices", name), wrong, f"add feed: {next(iter(rack.feeds))}")


def _check_cords(name: str, device: DeviceEntry, rack: RackEntry, *, draft: Draft, report: Report) -> None:
    for feed in device.cords:
        if feed not in rack.feeds and draft.is_whole("racks", device.rack or ""):
            wrong = f"a cord of {name!r} is on feed {feed!r}, which rack {device.rack!r} does not have"
            remedy = suggest(feed, rack.feeds, what="feed")
            report.error(draft.key("devices", name, "cords", feed), wrong, remedy)
    if device.psus_needed is None or not draft.is_whole("devices", name):
        return
    place = draft.place("devices", name, "psus_needed")
    total = sum(cord.psus for cord in device.cords.values())
    if not device.cords:
        report.error(place, f"psus_needed of {name!r} without cords", "add cords: {a: {psus: 3}, b: {psus: 3}}")
    elif device.psus_needed > total:
        report.error(place, f"{name!r} needs {device.psus_needed} of {total} supplies", f"write {total} or fewer")
    elif rack.redundancy != "N":
        _check_survival(name, device, device.psus_needed, draft=draft, report=report)


def _check_survival(name: str, device: DeviceEntry, needed: int, *, draft: Draft, report: Report) -> None:
    total = sum(cord.psus for cord in device.cords.values())
    worst = max(device.cords, key=lambda feed: device.cords[feed].psus)
    left = total - device.cords[worst].psus
    if left < needed:
        wrong = f"{name!r} does not survive feed {worst}: {left} of {total} supplies remain and it needs {needed}"
        report.warn(draft.place("devices", name, "psus_needed"), wrong, "a finding for the design of its cords")


def _check_single_cord(
    name: str, device: DeviceEntry, rack: RackEntry, *, kind: str, draft: Draft, report: Report
) -> None:
    if kind not in _DRAWING or rack.redundancy == "N" or not draft.is_whole("devices", name):
        return
    if device.feed is not None or len(device.cords) == 1:
        feed = device.feed or next(iter(device.cords))
        wrong = f"{name!r} has one cord, on feed {feed}, in a {rack.redundancy} rack"
        report.warn(draft.place("devices", name), wrong, "add its other cord, or accept that it stops with that feed")


def _check_ceiling(name: str, device: DeviceEntry, rack: RackEntry, *, kind: str, draft: Draft, report: Report) -> None:
    """Refuse a device whose draw has no upper end when it falls silent: infinity is no ceiling."""
    if device.nameplate_w is not None or rack.feeds or kind not in _DRAWING | {"pdu"}:
        return
    if draft.is_whole("devices", name) and draft.is_whole("racks", device.rack or ""):
        wrong = f"{name!r} has no ceiling: no nameplate, and rack {device.rack!r} has no feed with a rating above it"
        report.error(draft.place("devices", name), wrong, "add nameplate_w, or feeds to the rack")


def _check_sources(draft: Draft, by_rack: dict[str, list[str]], kinds: dict[str, str], report: Report) -> None:
    """Refuse a rack whose draw nothing could ever tell."""
    if "devices" in draft.broken:
        return
    metered = _metered_nodes(draft, kinds)
    unsure = {entry.values.get("rack") for entry in draft.entries["devices"].values() if not kinds.get(entry.id)}
    for name, rack in draft.document.racks.items():
        told = any(
            kinds[each] in _DRAWING | _METERING or draft.document.devices[each].nameplate_w for each in by_rack[name]
        )
        if told or name in unsure or rack.state == "empty" or metered.intersection(rack.feeds.values()):
            continue
        wrong = f"rack {name!r} has no power source: no device that draws or meters, no metered feed, no nameplate"
        report.error(draft.place("racks", name), wrong, f"add a device with rack: {name}, or write state: empty")


def _metered_nodes(draft: Draft, kinds: dict[str, str]) -> set[str]:
    devices = draft.document.devices
    nodes = {node for device in devices.values() for node in device.measures.values()}
    return nodes | {device.at for name, device in devices.items() if device.at and kinds.get(name) in _METERING}


def _check_nameplates(name: str, rack: RackEntry, devices: list[str], *, draft: Draft, report: Report) -> None:
    budget_kw = rack.budget.power_kw
    total_kw = sum(draft.document.devices[each].nameplate_w or 0.0 for each in devices) / 1000
    if budget_kw is not None and total_kw > budget_kw * _NOISE:
        wrong = f"nameplates in rack {name!r} add up to {total_kw:.4g} kW, {total_kw / budget_kw:.2f} times its budget"
        report.warn(draft.place("racks", name, "budget", "power_kw"), wrong, "fine where they never run flat out")

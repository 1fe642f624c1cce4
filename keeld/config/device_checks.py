"""Every device by itself: its driver, profile, address and identity, and that no two are the same machine."""

from __future__ import annotations

import re

from keeld.config.addresses import Address, AddressError, parse_address
from keeld.config.draft import Draft
from keeld.config.known import AGENT, Known
from keeld.config.report import Report
from keeld.config.site_schema import DeviceEntry
from keeld.config.wording import suggest

_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")


def check_devices(draft: Draft, known: Known, report: Report) -> dict[str, Address]:
    """Check every device by itself; give the addresses that are sound, by device."""
    addresses: dict[str, Address] = {}
    owners: dict[tuple[str, int], str] = {}
    for name, device in draft.document.devices.items():
        _check_driver(name, device, draft, known=known, report=report)
        _check_login(name, device, draft, report)
        _check_timing(name, device, draft, report)
        address = _address(name, device, draft, report)
        if address is None:
            continue
        addresses[name] = address
        key = address.key, 1 if device.unit is None else device.unit
        owner = owners.setdefault(key, name)
        if owner != name:
            _note_twin(name, owner, draft, report)
    for name, entry in draft.document.network.items():
        if re.search(r"[\s@/]", entry.address):
            report.error(draft.place("network", name, "address"), "not a host or IP address", "write 10.1.3.254")
    return addresses


def _check_driver(name: str, device: DeviceEntry, draft: Draft, *, known: Known, report: Report) -> None:
    if device.driver not in known.drivers:
        place = draft.place("devices", name, "driver")
        report.error(place, f"unknown driver {device.driver!r}", suggest(device.driver, known.drivers, what="driver"))
    if device.driver == "modbus":
        _check_profile(name, device, draft, known=known, report=report)
        return
    if device.profile is not None and device.driver in {AGENT, "antminer", "whatsminer", "nvidia"}:
        place = draft.key("devices", name, "profile")
        report.error(place, f"{device.driver} devices have no profile", "leave it out, or write driver: modbus")
    if device.unit is not None and device.driver in {AGENT, "antminer", "whatsminer", "nvidia"}:
        place = draft.key("devices", name, "unit")
        report.error(place, f"{device.driver} devices have no unit", "leave it out, or write driver: modbus")


def _check_profile(name: str, device: DeviceEntry, draft: Draft, *, known: Known, report: Report) -> None:
    if device.profile is None:
        if draft.is_whole("devices", name):
            wrong = f"{name!r} has no profile: its registers have no meaning without one"
            report.error(draft.place("devices", name), wrong, "add profile: NAME; `keeld profiles` lists them")
    elif not known.has_profile(device.profile):
        place = draft.place("devices", name, "profile")
        remedy = suggest(device.profile, known.profiles, what="profile")
        report.error(place, f"unknown profile {device.profile!r}", remedy)


def _check_login(name: str, device: DeviceEntry, draft: Draft, report: Report) -> None:
    if device.username is not None and device.password_file is None and draft.is_whole("devices", name):
        place = draft.key("devices", name, "username")
        report.error(place, f"{name!r} has a username and no password_file", "add password_file: NAME")
    mac = device.identity.mac
    if mac is not None and not _MAC.fullmatch(mac):
        place = draft.place("devices", name, "identity", "mac")
        report.error(place, f"{mac!r} is no MAC address", 'write "00:11:22:aa:bb:cc"')


def _check_timing(name: str, device: DeviceEntry, draft: Draft, report: Report) -> None:
    interval_s = device.interval or draft.document.poll.interval
    if device.timeout is not None and device.timeout > interval_s:
        place = draft.place("devices", name, "timeout")
        report.warn(
            place, f"{name!r} may take longer to time out than its interval", "write a timeout under the interval"
        )


def _address(name: str, device: DeviceEntry, draft: Draft, report: Report) -> Address | None:
    if device.address is None:
        if device.driver != AGENT and draft.is_whole("devices", name):
            example = {"modbus": "tcp://HOST:502", "nvidia": "local"}.get(device.driver, "HOST")
            report.error(draft.place("devices", name), f"{name!r} has no address", f"add address: {example}")
        return None
    try:
        return parse_address(device.driver, device.address)
    except AddressError as error:
        report.error(draft.place("devices", name, "address"), f"{name!r}: {error.wrong}", error.remedy)
        return None


def _note_twin(name: str, owner: str, draft: Draft, report: Report) -> None:
    place, other = draft.place("devices", name, "address"), draft.place("devices", owner, "address")
    if draft.document.devices[name].driver == "modbus":
        remedy = "give each its own unit, or keep one of them"
    else:
        remedy = "keep one of them, or mend the address"
    report.error(place, f"{name!r} has the same address and unit as {owner!r} ({other})", remedy)

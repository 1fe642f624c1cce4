"""WhatsMiners with API version 1 or 2, and version 3 where it keeps the older API on TCP 4028.

A fast poll is one connection: `summary+edevs` joined, `summary+devs` where the firmware has no `edevs`, and two
connections where it cannot join. Which of these a miner takes is remembered until it fails or its details are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from keeld.drivers import Answer, Driver, Exchange, Inspection
from keeld.errors import Outage, PollError
from keeld.links.tcp_json import ReadCommand, TcpJsonLink, split_address
from keeld.miners import cgminer, whatsminer
from keeld.miners.session import REFUSALS, Asker, Gain, Read, Recorder, fetch, gather
from keeld.model import Device, Group


class Ask(ReadCommand):
    """All that is ever sent to a WhatsMiner."""

    SUMMARY_EDEVS = b'{"command":"summary+edevs"}'
    SUMMARY_DEVS = b'{"command":"summary+devs"}'
    SUMMARY = b'{"command":"summary"}'
    DEVS = b'{"command":"devs"}'
    STATUS = b'{"command":"status"}'
    POOLS = b'{"command":"pools"}'
    GET_VERSION = b'{"command":"get_version"}'
    GET_MINER_INFO = b'{"command":"get_miner_info"}'
    GET_PSU = b'{"command":"get_psu"}'
    DEVDETAILS = b'{"command":"devdetails"}'


_JOINED = ((Ask.SUMMARY_EDEVS, "edevs"), (Ask.SUMMARY_DEVS, "devs"))
_SLOW = (Read(Ask.STATUS, decode=whatsminer.decode_status), Read(Ask.POOLS, decode=cgminer.decode_pools))
_ONCE = (
    Read(Ask.SUMMARY, describe=whatsminer.describe_summary),
    Read(Ask.GET_VERSION, describe=whatsminer.describe_version),
    Read(Ask.GET_MINER_INFO, describe=whatsminer.describe_machine),
    Read(Ask.DEVDETAILS, describe=whatsminer.describe_model),
    Read(Ask.GET_PSU, describe=whatsminer.describe_supply),
)
# A joined request that a firmware does not know is refused, or answered with something that is no answer.
_NOT_JOINED = REFUSALS | {Outage.GARBLED}


class _Seen(NamedTuple):
    """The machine's record and its boards'; `failure` says why the boards are missing."""

    summary: Mapping[str, Any]
    boards: list[dict[str, Any]] | None
    failure: str = ""


async def poll(link: Asker, device: Device, group: Group) -> Answer:
    """Read one group; raise PollError."""
    return Answer(*await _poll_group(link, device, group))


async def _poll_group(link: Asker, device: Device, group: Group) -> Gain:
    if group is Group.FAST:
        return await _poll_fast(link, device)
    if group is Group.SLOW:
        return await gather(link, _SLOW)
    link.session.refused.clear()  # a firmware or its access list may have changed
    gain = await gather(link, _ONCE)
    cgminer.check_identity(device.identity, dict(gain.info))
    return gain


async def _poll_fast(link: Asker, device: Device) -> Gain:
    seen = await _see(link)
    if device.identity.mac is not None:
        cgminer.check_identity(device.identity, whatsminer.said_mac(seen.summary))
    if device.identity.serial is not None and not link.session.is_verified:
        await _check_serial(link, device)
    readings = whatsminer.decode_summary(seen.summary)
    if not readings:
        raise PollError(Outage.GARBLED, "the answer has no field that keeld knows")
    if seen.boards is not None:
        readings += whatsminer.decode_boards(seen.boards)
    return Gain(tuple(readings), Outage.PARTIAL if seen.failure else None, seen.failure)


async def _see(link: Asker) -> _Seen:
    for command, section in _JOINED:
        if command in link.session.refused:
            continue
        try:
            answer = await fetch(link, command)
            summary = cgminer.first_row(answer, "SUMMARY", joined_as="summary")
            return _Seen(summary, cgminer.rows(answer, "DEVS", joined_as=section))
        except PollError as error:
            if error.outage not in _NOT_JOINED:
                raise
        link.session.refused.add(command)
    return await _see_apart(link)


async def _see_apart(link: Asker) -> _Seen:
    summary = cgminer.first_row(await fetch(link, Ask.SUMMARY), "SUMMARY")
    try:
        return _Seen(summary, cgminer.rows(await fetch(link, Ask.DEVS), "DEVS"))
    except PollError as error:
        return _Seen(summary, None, "" if error.outage in REFUSALS else str(error))


async def _check_serial(link: Asker, device: Device) -> None:
    """Check the serial once a session; firmware that does not tell it is believed."""
    try:
        cgminer.check_identity(device.identity, whatsminer.describe_machine(await fetch(link, Ask.GET_MINER_INFO)))
    except PollError as error:
        if error.outage not in REFUSALS:
            raise
    link.session.is_verified = True


async def inspect(link: TcpJsonLink, device: Device) -> Inspection:
    """Read every group and show each answer beside what was made of it."""
    recorder = Recorder(link)
    gain = await recorder.run(lambda group: _poll_group(recorder, device, group))
    exchanges = tuple(Exchange(request, raw) for request, raw in recorder.exchanges())
    return Inspection(exchanges, Answer(*gain), recorder.fixture(device.driver))


def _link_key(device: Device) -> str:
    host, port = split_address(device.address)
    return f"tcp:{host}:{port}"


def _open_link(device: Device) -> TcpJsonLink:
    host, port = split_address(device.address)
    return TcpJsonLink(host, port, timeout_s=device.timeout_s)


DRIVER = Driver(
    title="WhatsMiner, API versions 1 and 2, JSON on TCP 4028",
    kind="miner",
    link_key=_link_key,
    open_link=_open_link,
    groups=lambda _device: tuple(Group),
    poll=poll,
    inspect=inspect,
)

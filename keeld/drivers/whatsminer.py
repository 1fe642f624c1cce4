"""WhatsMiners with API version 1 or 2, and version 3 where it keeps the older API on TCP 4028.

A fast poll is one connection: `summary+edevs` joined, `summary+devs` where the firmware has no `edevs`, and two
connections where it cannot join. Which of these a miner takes is remembered until it fails or its details are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from keeld.drivers import Answer, Driver, Exchange, Inspection
from keeld.errors import Outage, PollError
from keeld.links.tcp_json import ReadCommand, TcpJsonLink, link_key, open_link
from keeld.miners import cgminer, whatsminer
from keeld.miners.session import REFUSALS, Asker, Gain, Read, Recorder, check_serial, fetch, gather
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
_MACHINE = Read(Ask.GET_MINER_INFO, describe=whatsminer.describe_machine)
_ONCE = (
    Read(Ask.SUMMARY, describe=whatsminer.describe_summary),
    Read(Ask.GET_VERSION, describe=whatsminer.describe_version),
    _MACHINE,
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
    whatsminer.check_maker(seen.summary)
    if device.identity.mac is not None:
        cgminer.check_identity(device.identity, whatsminer.said_mac(seen.summary))
    await check_serial(link, device.identity, _MACHINE)
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


async def inspect(link: TcpJsonLink, device: Device) -> Inspection:
    """Read every group and show each answer beside what was made of it."""
    recorder = Recorder(link)
    gain = await recorder.run(lambda group: _poll_group(recorder, device, group))
    exchanges = tuple(Exchange(request, raw) for request, raw in recorder.exchanges())
    return Inspection(exchanges, Answer(*gain), recorder.fixture(device.driver))


DRIVER = Driver(
    title="WhatsMiner, API versions 1 and 2, JSON on TCP 4028",
    kind="miner",
    link_key=link_key,
    open_link=open_link,
    groups=lambda _device: tuple(Group),
    poll=poll,
    inspect=inspect,
)

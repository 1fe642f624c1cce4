"""Antminers and what is built like them: stock firmware, VNish, LuxOS, Hiveon, on TCP 4028.

A fast poll is one connection: `stats` has rate, temperatures, fans, chips and uptime on every firmware. LuxOS alone has
a power figure and keeps it under `power`, so there a fast poll is two: power is what racks are judged by.
Stock firmware's default access list permits `stats`, `pools`, `devs`, `summary` and `version`; nothing else is needed.
"""

from __future__ import annotations

from keeld.drivers import Answer, Driver, Exchange, Inspection
from keeld.errors import Outage, PollError
from keeld.links.tcp_json import ReadCommand, TcpJsonLink, link_key, open_link
from keeld.miners import antminer, cgminer
from keeld.miners.antminer import LUXOS, Stats
from keeld.miners.session import REFUSALS, Asker, Gain, Read, Recorder, check_serial, fetch, gather
from keeld.model import Device, Group


class Ask(ReadCommand):
    """All that is ever sent to an Antminer."""

    STATS = b'{"command":"stats"}'
    POWER = b'{"command":"power"}'
    SUMMARY = b'{"command":"summary"}'
    POOLS = b'{"command":"pools"}'
    VERSION = b'{"command":"version"}'
    CONFIG = b'{"command":"config"}'


_SLOW = (Read(Ask.SUMMARY, decode=antminer.decode_summary), Read(Ask.POOLS, decode=cgminer.decode_pools))
_VERSION = Read(Ask.VERSION, describe=antminer.describe_version)
_CONFIG = Read(Ask.CONFIG, decode=antminer.decode_nameplate, describe=antminer.describe_config)


async def poll(link: Asker, device: Device, group: Group) -> Answer:
    """Read one group; raise PollError."""
    return Answer(*await _poll_group(link, device, group))


async def _poll_group(link: Asker, device: Device, group: Group) -> Gain:
    if group is Group.SLOW:
        return await gather(link, _SLOW)
    stats = antminer.split_stats(await fetch(link, Ask.STATS))
    await _check_identity(link, device, stats)
    return await (_poll_fast(link, stats) if group is Group.FAST else _poll_once(link, stats))


async def _check_identity(link: Asker, device: Device, stats: Stats) -> None:
    """Check what can be: only LuxOS tells its MAC and serial on this port."""
    if stats.software != LUXOS:
        return
    if device.identity.mac is not None:
        cgminer.check_identity(device.identity, antminer.said_mac(stats))
    await check_serial(link, device.identity, _CONFIG)


async def _poll_fast(link: Asker, stats: Stats) -> Gain:
    readings = antminer.decode_stats(stats)
    if stats.software != LUXOS or Ask.POWER in link.session.refused:
        return Gain(readings)
    try:
        power = antminer.decode_power(await fetch(link, Ask.POWER))
    except PollError as error:
        if error.outage not in REFUSALS:
            return Gain(readings, Outage.PARTIAL, str(error))
        link.session.refused.add(Ask.POWER)
        return Gain(readings)
    return Gain(readings + power)


async def _poll_once(link: Asker, stats: Stats) -> Gain:
    link.session.refused.clear()  # a firmware or its access list may have changed
    said = antminer.describe_stats(stats)
    try:
        gain = await gather(link, (_VERSION, _CONFIG) if stats.software == LUXOS else (_VERSION,))
    except PollError as error:
        if error.outage not in REFUSALS:
            raise
        gain = Gain()
    return gain._replace(info=tuple((said | dict(gain.info)).items()))


async def inspect(link: TcpJsonLink, device: Device) -> Inspection:
    """Read every group and show each answer beside what was made of it."""
    recorder = Recorder(link)
    gain = await recorder.run(lambda group: _poll_group(recorder, device, group))
    exchanges = tuple(Exchange(request, raw) for request, raw in recorder.exchanges())
    return Inspection(exchanges, Answer(*gain), recorder.fixture(device.driver))


DRIVER = Driver(
    title="Antminer and its relatives (stock, VNish, LuxOS, Hiveon), JSON on TCP 4028",
    kind="miner",
    link_key=link_key,
    open_link=open_link,
    groups=lambda _device: tuple(Group),
    poll=poll,
    inspect=inspect,
)

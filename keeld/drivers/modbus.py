"""Modbus TCP devices that a profile describes: PDUs, meters, cooling units.

The profile says which registers there are; this driver asks for them, learns which of them this very device refuses,
and keeps the good part of a poll when another part fails.
"""

from __future__ import annotations

import asyncio
import collections
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from keeld import profiles
from keeld.drivers import Answer, Driver, Exchange, Inspection
from keeld.errors import ConfigError, Outage, PollError
from keeld.links.modbus import ModbusLink, RegisterRefused, Terms
from keeld.model import Device, Group
from keeld.profiles import decode
from keeld.profiles.decode import Answered, Block
from keeld.profiles.learned import Learned
from keeld.profiles.model import BIT_FUNCTIONS, Fact, Field, Profile, Proof, Type
from keeld.profiles.plan import Agenda, missing, name_of
from keeld.text import clean

_DEFAULT_PORT = 502
_LINK_DOWN = frozenset({Outage.TIMEOUT, Outage.UNREACHABLE, Outage.REFUSED})
_NOT_THERE = frozenset({Outage.UNSUPPORTED, Outage.UNIT_DOWN})
_PRIVATE_FACTS = frozenset({"serial", "mac", "name", "label", "location", "contact"})
"""Facts that are blanked in a fixture; texts are always."""
_MAX_UNIT = 255
_REFUSED = "refused by the device"


@dataclass(frozen=True, slots=True)
class Session:
    """A device behind the connection, and what was learned of it."""

    device: Device
    profile: Profile
    terms: Terms
    learned: Learned


class Bus:
    """One connection and the sessions of the devices behind it."""

    def __init__(self, link: ModbusLink) -> None:
        self.link = link
        self._sessions: dict[str, Session] = {}

    async def close(self) -> None:
        """Let go of the connection; never raises."""
        await self.link.close()

    def session(self, device: Device) -> Session:
        """Give the device's session; a device that was configured anew starts a new one."""
        session = self._sessions.get(device.id)
        if session is None or session.device is not device:
            profile = profile_of(device)
            session = Session(device, profile, _terms(profile), Learned(profile))
            self._sessions[device.id] = session
        return session

    async def read_field(self, session: Session, wanted: Field) -> bytes:
        """Read one field alone and give its own bytes."""
        unit = _unit(session.device, wanted.unit_offset)
        return await self.link.read(unit, wanted.function, wanted.address, wanted.words, terms=session.terms)

    async def read_block(self, session: Session, block: Block) -> bytes:
        """Read one planned request."""
        unit = _unit(session.device, block.unit_offset)
        return await self.link.read(unit, block.function, block.address, block.count, terms=session.terms)


@dataclass(slots=True)
class _Pass:
    """One pass over an agenda: what was answered, and what went wrong instead."""

    answers: list[Answered] = field(default_factory=list)
    failed: list[tuple[Block, PollError]] = field(default_factory=list)


def profile_of(device: Device) -> Profile:
    """Give the device's profile; raise PollError where its file has become unusable since it was checked."""
    try:
        return profiles.load(device.profile or "")
    except ConfigError as error:
        raise PollError(Outage.UNSUPPORTED, clean(error.problems[0], 200)) from None


async def poll(bus: Bus, device: Device, group: Group) -> Answer:
    """Read one group of the device's points; with group ONCE, see first that it is the device that is expected."""
    session = bus.session(device)
    try:
        await _begin(bus, session)
        info = await _identify(bus, session) if group is Group.ONCE else ()
        agenda = session.learned.agenda(group)
        done = await _read(bus, session, agenda)
        return _judge(agenda, done, group)._replace(info=info)
    finally:
        session.learned.settle(group)
        await _let_go(bus, session)


async def inspect(bus: Bus, device: Device) -> Inspection:
    """Read every group and show each request beside its words."""
    session = bus.session(device)
    try:
        await _begin(bus, session)
        facts = await _read_facts(bus, session)
        agendas = {group: session.learned.agenda(group) for group in groups(device)}
        passes = {group: await _read(bus, session, agenda) for group, agenda in agendas.items()}
    finally:
        await _let_go(bus, session)
    exchanges = [_fact_exchange(device, fact, data) for fact, data in facts]
    for group, agenda in agendas.items():
        exchanges += [_exchange(device, block, data) for block, data in passes[group].answers]
        exchanges += [_refused_exchange(device, wanted) for wanted in agenda.refused]
    answer = _judge_all(agendas, passes)._replace(info=_info(facts))
    return Inspection(tuple(exchanges), answer, _fixture(session, facts, passes, answer))


def groups(device: Device) -> tuple[Group, ...]:
    """Give the groups that the device's profile has points in; ONCE too where there is an identity to learn."""
    profile = profiles.load(device.profile or "")
    points = profile.expand(tuple(len(repeat.points) for repeat in profile.repeats))
    present = {point.group for point in points} | {Group.FAST}
    if profile.facts or profile.proofs or device.identity.serial or device.identity.mac:
        present.add(Group.ONCE)
    return tuple(group for group in Group if group in present)


def link_key(device: Device) -> str:
    """Devices at one host and port share the connection: many allow only one."""
    host, port = _endpoint(device)
    return f"{host.lower()}:{port}"


def open_bus(device: Device) -> Bus:
    """Make the link to the device's address; connects when it is first used."""
    host, port = _endpoint(device)
    return Bus(
        ModbusLink(host, port, connect_timeout_s=device.timeout_s, response_timeout_s=max(30.0, device.timeout_s))
    )


def kind(device: Device) -> str:
    """Give the measurement that the device's readings are stored under."""
    return profiles.load(device.profile or "").kind


def _endpoint(device: Device) -> tuple[str, int]:
    parts = urlsplit(device.address if "//" in device.address else f"tcp://{device.address}")
    return parts.hostname or "", parts.port or _DEFAULT_PORT


def _terms(profile: Profile) -> Terms:
    manners = profile.manners
    return Terms(
        check_transaction=manners.check_transaction,
        check_unit=manners.check_unit,
        connect_delay_s=manners.connect_delay_s,
        request_gap_s=manners.request_gap_s,
    )


def _unit(device: Device, offset: int) -> int:
    unit = device.unit + offset
    if not 0 <= unit <= _MAX_UNIT:
        raise PollError(Outage.UNSUPPORTED, f"unit {device.unit} and {offset} more is no unit id")
    return unit


async def _begin(bus: Bus, session: Session) -> None:
    """Connect, drop what is too old to be believed, and count what comes in numbers."""
    connection = await bus.link.connect(session.terms)
    learned = session.learned
    learned.renew(connection, asyncio.get_running_loop().time())
    if learned.counts is None:
        repeats = session.profile.repeats
        learned.counts = tuple([await _count(bus, session, repeat.count, len(repeat.points)) for repeat in repeats])


async def _let_go(bus: Bus, session: Session) -> None:
    """Hang up on a device that serves one client and must be free for others."""
    if session.profile.manners.close_after_poll:
        await bus.link.hang_up()


async def _count(bus: Bus, session: Session, register: Field, most: int) -> int:
    try:
        number = decode.number_of(register, await bus.read_field(session, register))
    except RegisterRefused:
        if not register.optional:
            raise
        return 0
    if number is None or not 0 <= number <= most:
        raise PollError(Outage.GARBLED, f"register {register.address} counts {number}, believable is 0 to {most}")
    return int(number)


async def _read(bus: Bus, session: Session, agenda: Agenda) -> _Pass:
    """Ask for every block; smaller ones where a block is refused, no more of a unit that has failed."""
    done = _Pass()
    waiting = collections.deque(agenda.blocks)
    failed_units: dict[int, PollError] = {}
    while waiting:
        block = waiting.popleft()
        if block.unit_offset in failed_units:
            done.failed.append((block, failed_units[block.unit_offset]))
            continue
        try:
            done.answers.append((block, await bus.read_block(session, block)))
        except RegisterRefused as error:
            waiting.extendleft(reversed(agenda.refuse(block, error.code)))
        except PollError as error:
            done.failed.append((block, error))
            failed_units[block.unit_offset] = error
            if error.outage in _LINK_DOWN:
                failed_units.update(dict.fromkeys((later.unit_offset for later in waiting), error))
    return done


def _judge(agenda: Agenda, done: _Pass, group: Group) -> Answer:
    """Say what a pass is worth; raise PollError when nothing of it is."""
    lost = [(wanted, "refused") for wanted in missing(agenda.refused)]
    lost += [(wanted, str(error)) for block, error in done.failed for wanted in missing(block.fields)]
    if not done.answers:
        if done.failed:
            raise done.failed[0][1]
        if lost or (group is Group.FAST and agenda.refused):
            raise PollError(Outage.UNSUPPORTED, "the device refused every register; is it the right profile and unit?")
        return Answer(())
    readings = decode.decode(done.answers)
    if lost:
        wanted, reason = lost[0]
        others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        return Answer(readings, Outage.PARTIAL, f"{name_of(wanted)}{others}: {reason}")
    if not readings:
        return Answer((), Outage.PARTIAL, "the device answers, but none of its registers holds a believable value")
    return Answer(readings)


def _judge_all(agendas: dict[Group, Agenda], passes: dict[Group, _Pass]) -> Answer:
    """Put the groups together; only the fast one decides whether the device is there."""
    answers = []
    for group, agenda in agendas.items():
        try:
            answers.append(_judge(agenda, passes[group], group))
        except PollError as error:
            if group is Group.FAST:
                raise
            answers.append(Answer((), Outage.PARTIAL, f"group {group}: {error}"))
    readings = tuple(reading for answer in answers for reading in answer.readings)
    outage = next((answer.outage for answer in answers if answer.outage is not None), None)
    return Answer(readings, outage, "; ".join(answer.detail for answer in answers if answer.detail))


async def _identify(bus: Bus, session: Session) -> tuple[tuple[str, str], ...]:
    """Raise PollError(identity) when this is another device than expected; give what it says of itself."""
    for proof in session.profile.proofs:
        await _prove(bus, session, proof)
    info = _info(await _read_facts(bus, session))
    _compare(session.device, dict(info))
    return info


async def _read_facts(bus: Bus, session: Session) -> list[tuple[Fact, bytes | None]]:
    """Read what the device says of itself; None where it says nothing."""
    facts: list[tuple[Fact, bytes | None]] = []
    for fact in session.profile.facts:
        try:
            facts.append((fact, await bus.read_field(session, fact)))
        except PollError as error:
            if error.outage not in _NOT_THERE:
                raise
            facts.append((fact, None))
    return facts


def _info(facts: list[tuple[Fact, bytes | None]]) -> tuple[tuple[str, str], ...]:
    told = [(fact.key, decode.text_of(fact, data)) for fact, data in facts if data is not None]
    return tuple((key, text) for key, text in told if text)


async def _prove(bus: Bus, session: Session, proof: Proof) -> None:
    try:
        data = await bus.read_field(session, proof)
    except RegisterRefused as error:
        if proof.optional:
            return
        raise PollError(Outage.IDENTITY, f"register {proof.address} is not there: {error.detail}") from None
    text, number = decode.text_of(proof, data), decode.number_of(proof, data)
    is_right = not proof.accepted or text in proof.accepted or number in proof.accepted
    is_right = is_right and (not proof.pattern or re.fullmatch(proof.pattern, text) is not None)
    if proof.range is not None:
        is_right = is_right and number is not None and proof.range[0] <= number <= proof.range[1]
    if not is_right:
        raise PollError(Outage.IDENTITY, f"register {proof.address} says `{text}`: not a {session.profile.title}")


def _compare(device: Device, info: dict[str, str]) -> None:
    for key, expected in (("serial", device.identity.serial), ("mac", device.identity.mac)):
        if expected is None:
            continue
        if key not in info:
            raise PollError(Outage.IDENTITY, f"no register tells the {key}, so it cannot be compared")
        if _bare(info[key]) != _bare(expected):
            raise PollError(Outage.IDENTITY, f"the device's {key} is not the one in the configuration")


def _bare(text: str) -> str:
    return re.sub(r"[^0-9a-z]", "", text.lower())


def _fact_exchange(device: Device, fact: Fact, data: bytes | None) -> Exchange:
    request = f"{_request(device, fact.unit_offset, fact.function, fact.address, fact.words)} ({fact.key})"
    return Exchange(request, _REFUSED if data is None else decode.words_of(data))


def _exchange(device: Device, block: Block, data: bytes) -> Exchange:
    raw = list(data) if block.function in BIT_FUNCTIONS else decode.words_of(data)
    return Exchange(_request(device, block.unit_offset, block.function, block.address, block.count), raw)


def _refused_exchange(device: Device, wanted: Field) -> Exchange:
    request = _request(device, wanted.unit_offset, wanted.function, wanted.address, wanted.words)
    return Exchange(f"{request} ({name_of(wanted)})", _REFUSED)


def _request(device: Device, unit_offset: int, function: int, address: int, count: int) -> str:
    return f"unit {device.unit + unit_offset} function {function} address {address} count {count}"


def _fixture(
    session: Session, facts: list[tuple[Fact, bytes | None]], passes: dict[Group, _Pass], answer: Answer
) -> dict[str, Any]:
    """Give what a test needs to decode the same answer again, without what tells whose device it was."""
    return {
        "driver": "modbus",
        "profile": session.profile.name,
        "counts": list(session.learned.counts or ()),
        "facts": {fact.key: _redacted(fact, data) for fact, data in facts if data is not None},
        "blocks": [_captured(block, data) for done in passes.values() for block, data in done.answers],
        "readings": {f"{r.metric.name}{'/' if r.part else ''}{r.part}": r.value for r in answer.readings},
    }


def _redacted(fact: Fact, data: bytes) -> str:
    is_private = fact.key in _PRIVATE_FACTS or fact.type is Type.STRING
    return (bytes(len(data)) if is_private else data).hex()


def _captured(block: Block, data: bytes) -> dict[str, Any]:
    return {
        "unit_offset": block.unit_offset,
        "function": block.function,
        "address": block.address,
        "count": block.count,
        "data": data.hex(),
    }


DRIVER = Driver(
    title="Modbus TCP, device described by a profile",
    kind=kind,
    link_key=link_key,
    open_link=open_bus,
    groups=groups,
    poll=poll,
    inspect=inspect,
)

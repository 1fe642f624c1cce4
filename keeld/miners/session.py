"""How the miner drivers go through their reads: one after another, each on its own, and laid open for people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from keeld import answers
from keeld.errors import Outage, PollError
from keeld.links.tcp_json import ReadCommand, Session
from keeld.miners.cgminer import check_identity
from keeld.miners.redaction import anonymise, hide_secrets
from keeld.model import Group, Identity, Reading

REFUSALS = frozenset({Outage.DENIED, Outage.UNSUPPORTED})
"""A miner that says in good order that it will not tell: absence, and no failure."""
_GONE = frozenset({Outage.TIMEOUT, Outage.UNREACHABLE, Outage.REFUSED})


class Asker(Protocol):
    """What the reads need of a link."""

    @property
    def session(self) -> Session:
        """What was learnt of the miner since it last failed."""

    async def ask(self, command: ReadCommand) -> bytes:
        """Send one command and give the raw answer; raise PollError."""


class Gain(NamedTuple):
    """What a poll gave; `outage` is None, or PARTIAL with its detail when some of it failed."""

    readings: tuple[Reading, ...] = ()
    outage: Outage | None = None
    detail: str = ""
    info: tuple[tuple[str, str], ...] = ()


def _no_readings(_answer: Mapping[str, Any]) -> Iterable[Reading]:
    return ()


def _no_info(_answer: Mapping[str, Any]) -> Mapping[str, str]:
    return {}


class Read(NamedTuple):
    """A command and what its answer is good for."""

    command: ReadCommand
    decode: Callable[[Mapping[str, Any]], Iterable[Reading]] = _no_readings
    describe: Callable[[Mapping[str, Any]], Mapping[str, str]] = _no_info


async def fetch(link: Asker, command: ReadCommand) -> dict[str, Any]:
    """Ask and parse; raise PollError."""
    return answers.parse(await link.ask(command))


async def gather(link: Asker, reads: Iterable[Read]) -> Gain:
    """Go through the reads; a refused one is absent, another failure makes the gain PARTIAL.

    Raises PollError where not one of them succeeded. A miner that is gone is not asked for the rest.
    """
    readings: list[Reading] = []
    info: dict[str, str] = {}
    refusal: PollError | None = None
    failure: PollError | None = None
    has_answered = False
    for read in reads:
        try:
            answer = await fetch(link, read.command)
            readings += tuple(read.decode(answer))
            info |= read.describe(answer)
            has_answered = True
        except PollError as error:
            if error.outage in REFUSALS:
                refusal = error
                continue
            failure = failure or error
            if error.outage in _GONE:
                break
    if not has_answered and (failure or refusal):
        raise failure or refusal  # type: ignore[misc]  # one of them is there
    return Gain(tuple(readings), Outage.PARTIAL if failure else None, str(failure or ""), tuple(info.items()))


async def check_serial(link: Asker, identity: Identity, read: Read) -> None:
    """Check the serial once a session, where one is expected; a miner that refuses to tell is believed."""
    if identity.serial is None or link.session.is_verified:
        return
    try:
        check_identity(identity, read.describe(await fetch(link, read.command)))
    except PollError as error:
        if error.outage not in REFUSALS:
            raise
    link.session.is_verified = True


class Recorder:
    """A link that keeps what passes through it, for `keeld poll` and `keeld capture`."""

    def __init__(self, link: Asker) -> None:
        self._link = link
        self._taken: list[tuple[ReadCommand, bytes]] = []

    @property
    def session(self) -> Session:
        """The link's own."""
        return self._link.session

    async def ask(self, command: ReadCommand) -> bytes:
        """Ask through the link and keep the answer."""
        raw = await self._link.ask(command)
        self._taken.append((command, raw))
        return raw

    async def run(self, poll_group: Callable[[Group], Awaitable[Gain]]) -> Gain:
        """Poll every group; what fails after an answer came is part of the gain, so that the answer can be looked at.

        Raises PollError where the miner answered nothing at all.
        """
        total = Gain()
        for group in Group:
            try:
                gain = await poll_group(group)
            except PollError as error:
                if not self._taken:
                    raise
                gain = Gain((), error.outage, error.detail)
            total = Gain(
                total.readings + gain.readings,
                total.outage or gain.outage,
                total.detail or gain.detail,
                tuple((dict(total.info) | dict(gain.info)).items()),
            )
        return total

    def exchanges(self) -> list[tuple[str, str]]:
        """Give each request with its answer as printable text, accounts and pool addresses hidden."""
        return [(command.value.decode(), hide_secrets(raw)) for command, raw in self._taken]

    def fixture(self, driver: str) -> dict[str, Any]:
        """Give the answers by command, with all that names a machine or its owner taken out."""
        return {"driver": driver, "answers": {command.value.decode(): anonymise(raw) for command, raw in self._taken}}

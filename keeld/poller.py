"""Poll every device at its time, one task for each link.

A link is one wire: its devices are polled one after another, each poll under one deadline. The next tick is the
retry, so a poll is never repeated within its interval. What a poll gives, an outage included, becomes a Batch and is
published.

A device that fails is polled ever more rarely, so that it costs its neighbours on the wire next to nothing; its outage
is still published at every tick, because silence must not look like health:

    failures in a row   1   2   3   4 …
    ticks to the next   1   2   4   8 …  at most `_rest_ticks`

and each a little less by a draw of its own. A unit that only failed because the gateway was still busy with a dead one
would else come back to the wire with it, and fail again, for ever.

Devices in doubt pass through a gate of their own: a thousand dead miners waiting for their timeouts cannot hold up the
live ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from keeld import ticker
from keeld.drivers import Answer, Driver
from keeld.errors import Outage, PollError
from keeld.health import Health
from keeld.links import Link
from keeld.model import Batch, Device, Group
from keeld.text import clean

log = structlog.get_logger()

_MS_NS = 1_000_000
_S_NS = 1_000_000_000
_ALONE_REST_S = 60.0
"""Where nobody on a wire answers, nobody is held up, so each is looked for again within a minute."""
_SHARED_REST_S = 300.0
_SHARED_COST = 50
"""On a shared wire a dead device may take one part in this many of the time."""
_KEPT_ON_MISMATCH = frozenset({"pdu", "meter", "ups", "cooling"})
"""Kinds that are read on although they are not the device that was expected: a circuit's watts stay true."""
_LATE_NS = 500 * _MS_NS
_URGENT_NS = 2 * _S_NS
"""How often a meter near a breaker's rating is read, where its own interval is longer."""
_URGENT_FOR_NS = 60 * _S_NS
"""How long that goes on after it was last near: a load that swings must not be sampled more often while it is high."""

Publish = Callable[[Batch], None]


@dataclass(slots=True)
class Post:
    """One device on a link: when its groups are due and how it has been doing."""

    device: Device
    due_ns: dict[Group, int]
    first_ns: int = 0
    """A point on its grid of fast polls."""
    urgent_until_ns: int = 0
    failures: int = 0
    rest: int = 0
    """Ticks still to pass before it is tried again."""
    outage: Outage | None = None
    detail: str = ""
    mismatch: str | None = None
    """Why it is not the device that was expected, None while it is."""


class Gates:
    """Bound how many polls are under way at once: one gate for devices that answer, one for those in doubt."""

    def __init__(self, concurrency: int) -> None:
        self.sound = asyncio.Semaphore(concurrency)
        self.doubtful = asyncio.Semaphore(max(1, concurrency // 4))


@dataclass(slots=True)
class OutageLog:
    """Say once that a device is lost and once that it is back; many at once make one line."""

    lost: dict[str, tuple[Outage, str]] = field(default_factory=dict)
    back: set[str] = field(default_factory=set)

    def note(self, post: Post, before: Outage | None) -> None:
        """Remember a device whose outage began or ended since the last flush."""
        identifier = post.device.id
        if post.outage is None:
            if self.lost.pop(identifier, None) is None:
                self.back.add(identifier)
        elif before is None:
            self.lost[identifier] = (post.outage, post.detail)
            self.back.discard(identifier)

    def flush(self) -> None:
        """Write what has gathered: one line for what was lost, one for what came back."""
        if self.lost:
            first, (outage, detail) = next(iter(self.lost.items()))
            if len(self.lost) == 1:
                log.warning("device lost", device=first, reason=str(outage), detail=detail)
            else:
                reasons: dict[str, int] = {}
                for reason, _ in self.lost.values():
                    reasons[str(reason)] = reasons.get(str(reason), 0) + 1
                log.warning("devices lost", count=len(self.lost), devices=sorted(self.lost)[:8], reasons=reasons)
        if len(self.back) == 1:
            log.info("device back", device=next(iter(self.back)))
        elif self.back:
            log.info("devices back", count=len(self.back), devices=sorted(self.back)[:8])
        self.lost.clear()
        self.back.clear()

    async def run(self, period_s: float = 1.0) -> None:
        """Flush for ever."""
        while True:
            await asyncio.sleep(period_s)
            self.flush()


class LinkPoller:
    """Poll the devices of one link, in turn, for ever; the first polls are spread over `spread_s` at least."""

    __slots__ = ("_driver", "_gates", "_health", "_is_urgent", "_outages", "_posts", "_publish", "_spread_s", "devices")

    def __init__(
        self,
        devices: Sequence[Device],
        driver: Driver,
        *,
        publish: Publish,
        gates: Gates,
        health: Health,
        outages: OutageLog,
        spread_s: float = 0.0,
        is_urgent: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`is_urgent` says of a device, by its id, that it is worth reading every two seconds."""
        self._spread_s = spread_s
        self._is_urgent = is_urgent
        self.devices = tuple(devices)
        self._driver = driver
        self._publish = publish
        self._gates = gates
        self._health = health
        self._outages = outages
        self._posts: list[Post] = []

    async def run(self) -> None:
        """Open the link, poll until cancelled, and let go of it."""
        link = self._driver.open_link(self.devices[0])
        now_ns = time.monotonic_ns()
        self._posts = [self.post(device, now_ns) for device in self.devices]
        try:
            while True:
                await self._poll_next(link)
        finally:
            await link.close()

    def post(self, device: Device, now_ns: int) -> Post:
        """Give a device its first due times: who it is, then what moves, and somewhen what counts slowly."""
        spread_s = max(device.interval_s, self._spread_s)
        start_ns = now_ns + ticker.phase_ns(device.id, int(spread_s * _S_NS))
        slow_ns = start_ns + ticker.phase_ns(f"{device.id} slow", int(device.slow_interval_s * _S_NS))
        starts = {Group.ONCE: start_ns, Group.FAST: start_ns, Group.SLOW: slow_ns}
        groups = self._driver.groups(device)
        return Post(device, {group: due_ns for group, due_ns in starts.items() if group in groups}, start_ns)

    async def _poll_next(self, link: Link) -> None:
        post, group, due_ns = self._next_due()
        free_ns = time.monotonic_ns()
        if due_ns > free_ns:
            await asyncio.sleep((due_ns - free_ns) / _S_NS)
        await self._take_turn(link, post, group, max(due_ns, free_ns))
        if post.due_ns[group] == due_ns:
            self._reschedule(post, group, due_ns)

    async def _take_turn(self, link: Link, post: Post, group: Group, ready_ns: int) -> None:
        if group is not Group.FAST and _can_wait(post, group):
            return
        if group is Group.FAST and post.rest:
            post.rest -= 1
            self._publish_outage(post, group)
            return
        async with self._gates.doubtful if post.failures else self._gates.sound:
            late_ns = time.monotonic_ns() - ready_ns
            self._health.late_s_max = max(self._health.late_s_max, late_ns / _S_NS)
            self._health.late_polls += late_ns > _LATE_NS
            await self.poll(link, post, group)

    def _next_due(self) -> tuple[Post, Group, int]:
        best: tuple[Post, Group, int] | None = None
        for post in self._posts:
            for group, due_ns in post.due_ns.items():
                if best is None or due_ns < best[2]:
                    best = (post, group, due_ns)
        if best is None:
            raise AssertionError("a link has at least one device, a device at least one group")
        return best

    def _reschedule(self, post: Post, group: Group, due_ns: int) -> None:
        interval_ns, now_ns = int(post.device.interval_of(group) * _S_NS), time.monotonic_ns()
        if group is not Group.FAST:
            post.due_ns[group], _ = ticker.next_due_ns(due_ns, interval_ns, now_ns)
            return
        on_grid_ns = due_ns - (due_ns - post.first_ns) % interval_ns
        following_ns, skipped = ticker.next_due_ns(on_grid_ns, interval_ns, now_ns)
        post.due_ns[group] = min(following_ns, now_ns + _URGENT_NS) if self._hurries(post, now_ns) else following_ns
        self._health.overruns += skipped

    def _hurries(self, post: Post, now_ns: int) -> bool:
        """Whether a device is read more often than its interval: it answers, and is near a rating or was lately."""
        if post.failures:
            return False
        if self._is_urgent(post.device.id):
            post.urgent_until_ns = now_ns + _URGENT_FOR_NS
        return now_ns < post.urgent_until_ns

    async def poll(self, link: Link, post: Post, group: Group) -> None:
        """Poll one group of one device once, under its deadline, and publish what came of it."""
        device = post.device
        wall_ns = time.time_ns()
        wall_ns -= wall_ns % _MS_NS
        mono_ns = time.monotonic_ns()
        self._health.polls += 1
        try:
            async with asyncio.timeout(device.timeout_s):
                answer: Answer = await self._driver.poll(link, device, group)
        except TimeoutError:
            self._fail(post, group, PollError(Outage.TIMEOUT, f"no complete answer within {device.timeout_s:g} s"))
            return
        except PollError as error:
            self._fail(post, group, error)
            return
        self._succeed(post, group)
        if group is Group.FAST and post.mismatch is not None and device.kind not in _KEPT_ON_MISMATCH:
            self._publish_outage(post, group)
            return
        self._health.readings += len(answer.readings)
        self._publish(
            Batch(
                device,
                wall_ns,
                mono_ns,
                answer.readings,
                answer.outage,
                group,
                device.interval_of(group),
                answer.detail,
                answer.info,
            )
        )

    def _succeed(self, post: Post, group: Group) -> None:
        if group is Group.ONCE:
            post.mismatch = None
        if group is not Group.FAST:
            return
        if self._is_dark():
            for other in self._posts:
                other.rest = 0  # the wire is back, and perhaps everybody on it
        before, post.failures, post.rest = post.outage, 0, 0
        if post.mismatch is not None and post.device.kind not in _KEPT_ON_MISMATCH:
            post.outage, post.detail = Outage.IDENTITY, post.mismatch
        else:
            post.outage, post.detail = None, ""
        if (before is None) is not (post.outage is None):
            self._outages.note(post, before)
        if before is not None and Group.ONCE in post.due_ns and before is not Outage.IDENTITY:
            post.due_ns[Group.ONCE] = time.monotonic_ns()  # what comes back may be another device

    def _fail(self, post: Post, group: Group, error: PollError) -> None:
        if error.outage is Outage.IDENTITY:
            post.mismatch = error.detail or "another device answers at this address"
        if group is Group.ONCE:
            post.due_ns[group] = time.monotonic_ns() + int(post.device.slow_interval_s * _S_NS)
            if error.outage is Outage.IDENTITY and post.device.kind in _KEPT_ON_MISMATCH:
                self._publish_mismatch(post)
        if group is not Group.FAST:
            self._health.outages[error.outage] += 1
            return
        before, post.outage, post.detail = post.outage, error.outage, error.detail
        if before is None:
            self._outages.note(post, before)
        post.failures += 1
        longest = min(2 ** min(post.failures - 1, 16), self._rest_ticks(post.device))
        post.rest = longest - 1 - ticker.phase_ns(f"{post.failures} {post.device.id}", longest // 2 + 1)
        self._publish_outage(post, group)

    def _is_dark(self) -> bool:
        """Whether nobody on this wire answers."""
        return all(post.failures for post in self._posts)

    def _rest_ticks(self, device: Device) -> int:
        if self._is_dark():
            return max(1, min(16, int(_ALONE_REST_S / device.interval_s)))
        rest_s = min(_SHARED_REST_S, device.timeout_s * _SHARED_COST)
        return max(1, int(rest_s / device.interval_s))

    def _publish_outage(self, post: Post, group: Group) -> None:
        outage = post.outage or Outage.STALE
        self._health.outages[outage] += 1
        wall_ns = time.time_ns()
        self._publish(
            Batch(
                post.device,
                wall_ns - wall_ns % _MS_NS,
                time.monotonic_ns(),
                outage=outage,
                group=group,
                interval_s=post.device.interval_of(group),
                detail=post.detail,
            )
        )

    def _publish_mismatch(self, post: Post) -> None:
        """Say that a device which is read on is not the one that was expected."""
        wall_ns = time.time_ns()
        interval_s = post.device.interval_of(Group.ONCE)
        said = (("mismatch", clean(post.mismatch or "", 120)),)
        self._publish(
            Batch(
                post.device,
                wall_ns - wall_ns % _MS_NS,
                time.monotonic_ns(),
                group=Group.ONCE,
                interval_s=interval_s,
                info=said,
            )
        )


def _can_wait(post: Post, group: Group) -> bool:
    """Nobody is home, or somebody else is: only the question who it is may still be asked of a stranger."""
    return bool(post.failures) or (post.mismatch is not None and group is not Group.ONCE)


def by_link(devices: Iterable[Device], drivers: Mapping[str, Driver]) -> dict[str, list[Device]]:
    """Gather devices by the link that they share; the key names driver and link."""
    links: dict[str, list[Device]] = {}
    for device in devices:
        links.setdefault(f"{device.driver} {drivers[device.driver].link_key(device)}", []).append(device)
    return links

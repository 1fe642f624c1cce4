"""The poller in simulated time: ticks, deadlines, backoff, and what a dead device costs its neighbours."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import async_solipsism
import pytest

from keeld import poller
from keeld.drivers import Answer, Driver, Inspection
from keeld.errors import Outage, PollError
from keeld.health import Health
from keeld.metrics import POWER
from keeld.model import Batch, Device, Group, Reading


class FakeLink:
    closed = False

    async def close(self) -> None:
        self.closed = True


def device(name: str, **changes: Any) -> Device:
    return Device(
        **{"id": name, "site": "s", "kind": "pdu", "driver": "fake", "address": "tcp://h:1", "interval_s": 10.0}
        | changes
    )


def driver(
    answer: Callable[[Device, Group], Awaitable[Answer]], *, groups: tuple[Group, ...] = (Group.FAST,)
) -> Driver:
    async def poll(link: FakeLink, device: Device, group: Group) -> Answer:
        return await answer(device, group)

    async def inspect(link: FakeLink, device: Device) -> Inspection:
        raise NotImplementedError

    return Driver(
        title="fake",
        kind="pdu",
        link_key=lambda device: device.address,
        open_link=lambda device: FakeLink(),
        groups=lambda device: groups,
        poll=poll,
        inspect=inspect,
    )


GOOD = Answer((Reading(POWER, 1000.0),))


def watch_for(
    seconds: float,
    devices: list[Device],
    used: Driver,
    monkeypatch: pytest.MonkeyPatch,
    health: Health | None = None,
    *,
    phase_ns: Callable[[str, int], int] = lambda _key, _interval_ns: 0,
    is_urgent: Callable[[float], bool] = lambda _at_s: False,
) -> list[tuple[float, Batch]]:
    """Run one link for some simulated seconds; give each batch with the second it came at."""
    loop = async_solipsism.EventLoop()
    monkeypatch.setattr(poller.time, "monotonic_ns", lambda: int(loop.time() * 1e9))
    monkeypatch.setattr(poller.ticker, "phase_ns", phase_ns)
    seen: list[tuple[float, Batch]] = []

    async def run() -> None:
        link = poller.LinkPoller(
            devices,
            used,
            publish=lambda batch: seen.append((loop.time(), batch)),
            gates=poller.Gates(8),
            health=health or Health(),
            outages=poller.OutageLog(),
            is_urgent=lambda _: is_urgent(loop.time()),
        )
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await link.run()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    return seen


def test_a_device_is_polled_at_every_tick_on_its_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(device: Device, group: Group) -> Answer:
        await asyncio.sleep(0.5)
        return GOOD

    seen = watch_for(35, [device("a")], driver(answer), monkeypatch)

    assert [at for at, _ in seen] == [0.5, 10.5, 20.5, 30.5]
    assert all(batch.readings == GOOD.readings and batch.outage is None for _, batch in seen)


def test_what_is_near_its_rating_is_read_every_two_seconds_and_for_a_minute_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(device: Device, group: Group) -> Answer:
        return GOOD

    health = Health()
    seen = watch_for(
        131, [device("a")], driver(answer), monkeypatch, health, phase_ns=lambda *_: 3_000_000_000,
        is_urgent=lambda at_s: 20.0 < at_s < 40.0,
    )  # fmt: skip

    times = [round(at) for at, _ in seen]
    assert times[:4] == [3, 13, 23, 25]
    assert all(later - before == 2 for before, later in itertools.pairwise(times) if 23 <= before < 98)
    assert times[-4:] == [99, 103, 113, 123], "it is back on its grid"
    assert health.overruns == 0


def test_a_tick_that_is_missed_is_skipped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    async def answer(device: Device, group: Group) -> Answer:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(25)
        return GOOD

    health = Health()
    seen = watch_for(45, [device("a", timeout_s=60.0)], driver(answer), monkeypatch, health)

    assert [at for at, _ in seen] == [25, 30, 40]
    assert health.overruns == 2


def test_one_deadline_ends_a_poll_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(device: Device, group: Group) -> Answer:
        await asyncio.sleep(1e6)
        return GOOD

    seen = watch_for(5, [device("a", timeout_s=3.0)], driver(answer), monkeypatch)

    assert [(at, batch.outage) for at, batch in seen] == [(3.0, Outage.TIMEOUT)]
    assert seen[0][1].readings == ()


def test_a_dead_device_is_tried_ever_more_rarely_but_its_outage_comes_every_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[float] = []

    async def answer(device: Device, group: Group) -> Answer:
        tries.append(asyncio.get_running_loop().time())
        raise PollError(Outage.UNREACHABLE, "no route")

    seen = watch_for(401, [device("a")], driver(answer), monkeypatch)

    assert tries[:4] == [0.0, 10.0, 30.0, 70.0]
    assert max(after - before for before, after in itertools.pairwise(tries)) == 60.0
    assert len(seen) == 41
    assert {batch.outage for _, batch in seen} == {Outage.UNREACHABLE}


def test_a_device_that_comes_back_is_polled_at_every_tick_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(device: Device, group: Group) -> Answer:
        if asyncio.get_running_loop().time() < 35:
            raise PollError(Outage.REFUSED)
        return GOOD

    seen = watch_for(121, [device("a")], driver(answer), monkeypatch)
    good = [at for at, batch in seen if batch.outage is None]

    assert good == [70.0, 80.0, 90.0, 100.0, 110.0, 120.0]


def test_a_dead_unit_costs_its_neighbours_little(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(device: Device, group: Group) -> Answer:
        if device.id == "dead":
            await asyncio.sleep(1e6)
        return GOOD

    units = [device("dead", timeout_s=3.0, interval_s=5.0), device("alive", timeout_s=3.0, interval_s=5.0)]
    seen = watch_for(1000, units, driver(answer), monkeypatch)
    late = [at % 5 for at, batch in seen if batch.device.id == "alive"]

    assert len(late) >= 199, "the neighbour misses no tick"
    assert sum(seconds > 0.1 for seconds in late) <= 12, "and is late only while the dead one is being looked for"


def test_a_unit_is_not_lost_for_ever_with_the_dead_ones_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway still waits for the dead unit when the next one is asked, which is then late through no fault."""
    real, busy_until = poller.ticker.phase_ns, 0.0

    async def answer(device: Device, group: Group) -> Answer:
        nonlocal busy_until
        loop = asyncio.get_running_loop()
        if device.id.startswith("dead"):
            busy_until = loop.time() + 5.0
        if loop.time() < busy_until:
            await asyncio.sleep(1e6)
        return GOOD

    units = [device(name, timeout_s=3.0) for name in ("first", "dead-1", "dead-2", "next", "last")]
    seen = watch_for(
        2000,
        units,
        driver(answer),
        monkeypatch,
        phase_ns=lambda key, most: 0 if most > 1000 else real(key, most),  # all due at once, in this order
    )
    good = {unit.id: sum(batch.device is unit and batch.outage is None for _, batch in seen) for unit in units}

    assert good["first"] >= 195
    assert good["next"] >= 140
    assert good["last"] >= 140
    assert good["dead-1"] == good["dead-2"] == 0


def test_whoever_answers_first_on_a_dark_wire_wakes_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(device: Device, group: Group) -> Answer:
        if asyncio.get_running_loop().time() < 1000:
            raise PollError(Outage.REFUSED)
        return GOOD

    units = [device(f"unit-{number}", unit=number) for number in range(1, 5)]
    seen = watch_for(1200, units, driver(answer), monkeypatch)
    back = {unit.id: min(at for at, batch in seen if batch.outage is None and batch.device is unit) for unit in units}

    assert min(back.values()) <= 1060
    assert max(back.values()) - min(back.values()) <= 10


def test_a_stranger_at_the_address_is_an_outage_for_a_miner_and_kept_for_a_meter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(device: Device, group: Group) -> Answer:
        if group is Group.ONCE:
            raise PollError(Outage.IDENTITY, "serial differs")
        return GOOD

    for kind, expected in (("miner", Outage.IDENTITY), ("meter", None)):
        seen = watch_for(25, [device("a", kind=kind)], driver(answer, groups=(Group.FAST, Group.ONCE)), monkeypatch)
        assert {batch.outage for _, batch in seen} == {expected}
        assert all(bool(batch.readings) is (expected is None) for _, batch in seen if batch.group is Group.FAST)
        told = {batch.info for _, batch in seen if batch.group is Group.ONCE}
        assert told == (set() if expected else {(("mismatch", "serial differs"),)})


def test_slow_polls_wait_while_the_device_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Group] = []

    async def answer(device: Device, group: Group) -> Answer:
        asked.append(group)
        raise PollError(Outage.TIMEOUT)

    used = driver(answer, groups=(Group.FAST, Group.SLOW))
    watch_for(300, [device("a", slow_interval_s=20.0)], used, monkeypatch)

    assert asked.count(Group.SLOW) <= 1
    assert asked.count(Group.FAST) >= 5


def test_identity_is_asked_again_when_a_device_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    async def answer(device: Device, group: Group) -> Answer:
        now_s = asyncio.get_running_loop().time()
        if group is Group.ONCE:
            asked.append(now_s)
        if 5 < now_s < 25:
            raise PollError(Outage.TIMEOUT)
        return GOOD

    used = driver(answer, groups=(Group.FAST, Group.ONCE))
    watch_for(80, [device("a")], used, monkeypatch)

    assert asked == [0.0, 40.0]


async def test_the_doubtful_do_not_hold_up_the_sound() -> None:
    gates = poller.Gates(8)
    for _ in range(2):
        await gates.doubtful.acquire()

    assert gates.doubtful.locked()
    assert not gates.sound.locked()


def test_many_devices_lost_at_once_make_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    outages = poller.OutageLog()
    for number in range(100):
        outages.note(poller.Post(device(f"m-{number}"), {}, outage=Outage.TIMEOUT), None)
    outages.flush()
    outages.flush()

    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 1
    assert "count=100" in lines[0]


def test_devices_are_gathered_by_the_link_they_share() -> None:
    async def answer(device: Device, group: Group) -> Answer:
        return GOOD

    used = {"fake": driver(answer)}
    links = poller.by_link([device("a"), device("b"), device("c", address="tcp://other:1")], used)

    assert [[found.id for found in found_devices] for found_devices in links.values()] == [["a", "b"], ["c"]]

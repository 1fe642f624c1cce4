"""A slow subscriber loses its own oldest batches and nobody else's."""

from __future__ import annotations

import asyncio

from keeld.fanout import Fanout
from keeld.model import Batch, Device

DEVICE = Device(id="d", site="s", kind="pdu", driver="fake", address="a")


def batch(number: int) -> Batch:
    return Batch(DEVICE, number, number)


async def test_the_oldest_batches_go_first_and_are_counted() -> None:
    fanout = Fanout()
    slow, fast = fanout.subscribe("slow", 3), fanout.subscribe("fast", 100)
    for number in range(10):
        fanout.publish(batch(number))

    assert [found.time_ns for found in await slow.take()] == [7, 8, 9]
    assert slow.dropped == 7
    assert len(await fast.take()) == 10
    assert fast.dropped == 0


async def test_take_waits_for_the_first_batch() -> None:
    fanout = Fanout()
    subscription = fanout.subscribe("s", 10)
    taken = asyncio.ensure_future(subscription.take())
    await asyncio.sleep(0)
    assert not taken.done()

    fanout.publish(batch(1))

    assert [found.time_ns for found in await taken] == [1]


async def test_a_closed_subscription_drains_and_then_ends() -> None:
    fanout = Fanout()
    subscription = fanout.subscribe("s", 10)
    fanout.publish(batch(1))
    fanout.close()

    assert len(await subscription.take()) == 1
    assert await subscription.take() == []


async def test_what_is_not_wanted_takes_no_place() -> None:
    fanout = Fanout()
    subscription = fanout.subscribe("s", 1, lambda found: found.time_ns == 1)
    fanout.publish(batch(1))
    fanout.publish(batch(2))

    assert [found.time_ns for found in await subscription.take()] == [1]
    assert subscription.dropped == 0

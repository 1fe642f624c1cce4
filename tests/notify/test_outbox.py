"""Every message arrives, in order, whatever the receivers do and whenever the process dies."""

from __future__ import annotations

import asyncio
import time

import orjson
import pytest
import structlog
from aiohttp import web

from keeld.credentials import Secret
from keeld.errors import DeliveryError
from keeld.health import Health
from keeld.model import AlertState, Notice, Severity
from keeld.notify import outbox
from keeld.notify.outbox import Notifier
from keeld.settings import ChannelSettings
from keeld.state import State


def hook(name: str, url: str) -> ChannelSettings:
    return ChannelSettings(kind="webhook", name=name, url=Secret(url))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(outbox, "_LANE_WAIT_S", (0.02, 0.1))
    monkeypatch.setattr(outbox, "_REFUSED_WAIT_S", (0.02, 0.1))


@pytest.fixture
def health():
    return Health()


@pytest.fixture
def fresh(move):
    """A move of this moment, so that age does not count."""

    def make(number: int = 1, **changed):
        return move(number, **({"time_ns": time.time_ns()} | changed))

    return make


def ids(receiver) -> list[str]:
    return [orjson.loads(body)["alert_id"] for _, body in receiver.received]


@pytest.fixture
def drained(state, until):
    async def drain(deadline_s: float = 5.0, *, of: State = state) -> None:
        await until(lambda: not of.queued, deadline_s)

    return drain


async def test_a_committed_transition_reaches_its_channel_at_once(receiver, state, health, fresh, run, drained):
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    async with run(notifier.run()):
        began = time.monotonic()
        await state.commit([fresh()], [], channels=notifier.channels)
        notifier.wake()
        await drained()
        assert time.monotonic() - began < 0.25
    await notifier.close()
    assert health.notifications == {"hook": 1}
    assert ids(receiver) == ["a1"]


async def test_order_is_kept_for_each_alarm_through_failures(receiver, state, health, fresh, run, drained):
    receiver.answers = [500, (503, {"Retry-After": "0"}), 404, 204, 500]
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    moves = [
        fresh(1),
        fresh(1, notice=Notice.ESCALATE, before=AlertState.FIRING),
        fresh(1, notice=Notice.RESOLVE, after=AlertState.OK),
    ]
    async with run(notifier.run()):
        await state.commit(moves, [], channels=notifier.channels)
        notifier.wake()
        await drained()
    await notifier.close()
    notices = [orjson.loads(body)["notice"] for _, body in receiver.received]
    assert notices == ["trigger"] * 4 + ["escalate"] * 2 + ["resolve"]
    keys = [headers["Idempotency-Key"] for headers, _ in receiver.received]
    assert len(set(keys)) == 3
    assert len(set(keys[:4])) == 1


async def test_the_most_severe_goes_first(receiver, state, health, fresh, run, drained):
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    moves = [fresh(1, severity=Severity.INFO), fresh(2, severity=Severity.WARNING), fresh(3), fresh(4)]
    await state.commit(moves, [], channels=notifier.channels)
    async with run(notifier.run()):
        await drained()
    await notifier.close()
    assert ids(receiver) == ["a3", "a4", "a2", "a1"]


async def test_a_hanging_channel_delays_no_other(receiver, state, health, fresh, run):
    async def hang(request):
        await asyncio.sleep(60)

    answers = receiver.serve

    async def serve(request):
        return await (hang(request) if "slow" in request.path else answers(request))

    app = web.Application()
    app.router.add_post("/{rest:.*}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    notifier = Notifier(state, [hook("slow", f"{base}/slow"), hook("quick", f"{base}/quick")], health, site="d")
    async with run(notifier.run()):
        await state.commit([fresh(n) for n in range(5)], [], channels=notifier.channels)
        notifier.wake()
        await receiver.count(5, deadline_s=1.0)
        assert state.queued == {"slow": 5}
    await notifier.close()
    await runner.cleanup()


async def test_a_message_the_receiver_refuses_holds_up_nobody_but_its_alarm(receiver, state, health, fresh, run):
    async def picky(request):
        return web.Response(status=422 if orjson.loads(await request.read())["alert_id"] == "a1" else 204)

    receiver.always = picky
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    with structlog.testing.capture_logs() as logs:
        async with run(notifier.run()):
            await state.commit([fresh(1), fresh(2), fresh(3)], [], channels=notifier.channels)
            notifier.wake()
            await receiver.count(6)
        await notifier.close()
    assert [m.transition.alert_id for m in state.waiting("hook")] == ["a1"]
    assert health.notifications == {"hook": 2}
    assert [line["event"] for line in logs if line["event"] != "alarm moved"] == ["message refused"]


async def test_news_pass_a_message_that_always_fails(receiver, state, health, fresh, run, monkeypatch, until):
    monkeypatch.setattr(outbox, "_LANE_WAIT_S", (30.0, 30.0))
    monkeypatch.setattr(outbox, "_FRESH_WAIT_MOST_S", 0.05)

    async def broken(request):
        return web.Response(status=500 if orjson.loads(await request.read())["alert_id"] == "a1" else 204)

    receiver.always = broken
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    async with run(notifier.run()):
        await state.commit([fresh(1)], [], channels=notifier.channels)
        notifier.wake()
        await receiver.count(1)
        await state.commit([fresh(2)], [], channels=notifier.channels)
        notifier.wake()
        await until(lambda: health.notifications["hook"] == 1)
    await notifier.close()
    assert [message.transition.alert_id for message in state.waiting("hook")] == ["a1"]


async def test_an_outage_is_two_log_lines_and_retries_are_spaced(receiver, state, health, fresh, run, drained):
    receiver.answers = [500] * 6
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    with structlog.testing.capture_logs() as logs:
        async with run(notifier.run()):
            await state.commit([fresh(1)], [], channels=notifier.channels)
            notifier.wake()
            await receiver.count(1)
            await asyncio.sleep(0)
            await drained()
        await notifier.close()
    assert [line["event"] for line in logs if line["event"] != "alarm moved"] == ["channel lost", "channel back"]
    assert health.notification_failures == {"hook": 6}
    assert not notifier.failing
    assert "k3y" not in str(logs)


async def test_a_closed_receiver_is_named_while_it_is_away(state, health, fresh, run, until):
    notifier = Notifier(state, [hook("hook", "http://127.0.0.1:1/k3y")], health, site="dal1")
    async with run(notifier.run()):
        await state.commit([fresh(1)], [], channels=notifier.channels)
        notifier.wake()
        await until(lambda: notifier.failing)
    await notifier.close()
    assert notifier.failing == {"hook": "http://127.0.0.1: Connection refused"}


async def test_retry_after_is_kept_and_capped(receiver, state, health, fresh, run, monkeypatch, drained):
    monkeypatch.setattr(outbox, "_RETRY_AFTER_MOST_S", 0.4)
    receiver.answers = [(429, {"Retry-After": "86400"})]
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    async with run(notifier.run()):
        await state.commit([fresh(1)], [], channels=notifier.channels)
        notifier.wake()
        await receiver.count(1)
        began = time.monotonic()
        await state.commit([fresh(2)], [], channels=notifier.channels)
        notifier.wake()
        await drained()
        assert 0.3 < time.monotonic() - began < 2
    await notifier.close()


async def test_old_messages_die_with_a_line(receiver, state, health, move, run, drained):
    receiver.always = 500
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    with structlog.testing.capture_logs() as logs:
        async with run(notifier.run()):
            await state.commit([move(1, time_ns=time.time_ns() - 4 * 86400 * 10**9)], [], channels=notifier.channels)
            notifier.wake()
            await drained()
        await notifier.close()
    given_up = [line for line in logs if line["event"] == "message given up"]
    assert [(line["channel"], line["attempts"]) for line in given_up] == [("hook", 3)]
    assert health.notifications_dead == {"hook": 1}


async def test_a_restart_repeats_with_the_same_id_and_loses_nothing(receiver, tmp_path, health, fresh, run, drained):
    """The receiver has the first message but its answer never comes; then the process is gone."""

    async def hang(request):
        await asyncio.sleep(60)

    db = tmp_path / "restart.db"
    receiver.answers = [hang]
    state = State(db)
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    async with run(state.run()):
        async with run(notifier.run()):
            await state.commit([fresh(1), fresh(2)], [], channels=notifier.channels)
            notifier.wake()
            await receiver.count(1)
        await notifier.close()
    await state.close()
    state = State(db)
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    async with run(state.run()), run(notifier.run()):
        await drained(of=state)
    await notifier.close()
    await state.close()
    keys = [headers["Idempotency-Key"] for headers, _ in receiver.received]
    assert ids(receiver) == ["a1", "a1", "a2"]
    assert keys[0] == keys[1]


async def test_messages_of_a_channel_that_is_gone_are_dropped_with_a_line(state, health, fresh, run):
    await state.commit([fresh(1), fresh(2)], [], channels=[hook("gone", "http://127.0.0.1:1/")])
    notifier = Notifier(state, [], health, site="dal1")
    with structlog.testing.capture_logs() as logs:
        await notifier.run()
    assert [(line["channel"], line["messages"]) for line in logs] == [("gone", 2)]
    assert not state.queued


async def test_a_kind_that_is_not_built_is_named(state, health):
    with structlog.testing.capture_logs() as logs:
        notifier = Notifier(state, [ChannelSettings(kind="fax", name="bus")], health, site="dal1")
    assert [(line["event"], line["kind"], line["channel"]) for line in logs] == [("channel cannot send", "fax", "bus")]
    assert notifier.channels == ()
    assert [channel.name for channel in notifier.unbuilt] == ["bus"]


async def test_no_message_of_many_is_lost_by_a_flaky_receiver(receiver, state, health, fresh, run, drained):
    receiver.answers = [500 if n % 3 == 0 else 204 for n in range(150)]
    notifier = Notifier(state, [hook("hook", receiver.url)], health, site="dal1")
    async with run(notifier.run()):
        await state.commit([fresh(n) for n in range(100)], [], channels=notifier.channels)
        notifier.wake()
        await drained(20)
    await notifier.close()
    assert set(ids(receiver)) == {f"a{n}" for n in range(100)}
    assert health.notifications == {"hook": 100}


def test_backoff_is_full_jitter_with_a_bound():
    assert outbox._backoff_s(0, (0.5, 30.0), draw=lambda low, high: high) == 0.5
    assert outbox._backoff_s(3, (0.5, 30.0), draw=lambda low, high: high) == 4.0
    assert outbox._backoff_s(10_000, (0.5, 30.0), draw=lambda low, high: high) == 30.0
    assert outbox._backoff_s(5, (0.5, 30.0), draw=lambda low, high: low) == 0.0


async def test_a_channel_that_forgets_its_deadline_is_cut(state, health, fresh, run, monkeypatch, until):
    monkeypatch.setattr(outbox, "_ATTEMPT_S", 0.05)

    class Stuck:
        async def send(self, outgoing):
            await asyncio.sleep(60)

        async def close(self):
            raise DeliveryError("not reached")

    monkeypatch.setattr(outbox, "open_channel", lambda settings, site: Stuck())
    notifier = Notifier(state, [hook("hook", "http://h/")], health, site="dal1")
    async with run(notifier.run()):
        await state.commit([fresh(1)], [], channels=notifier.channels)
        notifier.wake()
        await until(lambda: health.notification_failures["hook"] >= 3)
    assert notifier.failing == {"hook": "no answer within 0.05 s"}

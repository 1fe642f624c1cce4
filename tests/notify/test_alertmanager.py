"""Alertmanager holds what stands as long as keeld says so, over restarts of either, and ends what is over."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import urllib.request

import async_solipsism
import orjson
import pytest

from keeld.credentials import Secret
from keeld.errors import DeliveryError
from keeld.health import Health
from keeld.model import AlertState, Notice, Severity
from keeld.notify import alertmanager, outbox
from keeld.notify.outbox import Notifier
from keeld.settings import ChannelSettings

LABELS = {"alertname": "rack_density_power", "site": "dal1", "target_kind": "rack", "target": "r08"}
NOW_NS = 1_795_402_400_000_000_000


def settings(url: str, name: str = "it", **changed) -> ChannelSettings:
    return ChannelSettings(kind="alertmanager", name=name, url=Secret(url), **changed)


@pytest.fixture
async def channel(receiver):
    opened = alertmanager.Alertmanager(settings(receiver.url), "dal1", clock_ns=lambda: NOW_NS)
    yield opened
    await opened.close()


def posted(receiver) -> list[list[dict]]:
    return [orjson.loads(body) for _, body in receiver.received]


async def test_a_trigger_is_one_alert_with_its_values_in_annotations(receiver, channel, message):
    await channel.send(message())
    (((alert),),) = posted(receiver)
    assert alert["labels"] == LABELS | {"severity": "critical"}
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-11-23T02:47:00.000Z", "2026-11-23T03:23:20.000Z")
    notes = alert["annotations"]
    assert (notes["value"], notes["limit"], notes["alert_id"]) == ("33900 W", "30000 W", "a8")
    assert notes["runbook_url"] == "https://wiki.site/rack?a=1&b=2"
    assert "ended" not in notes


async def test_a_rise_ends_the_old_severity_and_begins_the_new_in_one_request(receiver, channel, message):
    await channel.send(message(Notice.ESCALATE, Severity.WARNING, before=AlertState.FIRING))
    ((old, new),) = posted(receiver)
    assert (old["labels"]["severity"], old["endsAt"]) == ("warning", "2026-11-23T02:53:00.123Z")
    assert (new["labels"]["severity"], new["endsAt"]) == ("critical", "2026-11-23T03:23:20.000Z")


async def test_an_end_is_told_under_the_severity_that_was_heard(receiver, channel, message):
    await channel.send(message(Notice.RESOLVE, Severity.CRITICAL, severity=Severity.WARNING, ended="withdrawn"))
    ((alert,),) = posted(receiver)
    assert alert["labels"] == LABELS | {"severity": "critical"}
    assert alert["endsAt"] == "2026-11-23T02:53:00.123Z"
    assert alert["annotations"]["ended"] == "withdrawn"


async def test_no_alert_ends_before_it_starts(receiver, channel, message):
    late = message(Notice.RESOLVE, Severity.CRITICAL, since_ns=NOW_NS + 10**12)
    await channel.send(late)
    await channel.send(message(since_ns=0, best=None, hi=float("inf")))
    (end,), (begin,) = posted(receiver)
    assert end["startsAt"] == end["endsAt"]
    assert begin["startsAt"] == "2026-11-23T02:53:00.123Z"
    assert not {"value", "hi"} & set(begin["annotations"])


async def test_login_and_path(receiver, message):
    opened = alertmanager.open_channel(
        settings(f"{receiver.url}/", options={"username": "k"}, secrets={"password": Secret("pässw0rd")}), "dal1"
    )
    receiver.always = 401
    with pytest.raises(DeliveryError) as raised:
        await opened.send(message())
    await opened.close()
    assert "pässw0rd" not in raised.value.detail
    login = receiver.received[0].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(login).decode() == "k:pässw0rd"


class Told:
    """A state without a disk: what waits for the one channel, and what stands."""

    def __init__(self) -> None:
        self.messages: list = []
        self.stands: list = []
        self.queued: dict = {}

    def waiting(self, channel):
        return tuple(self.messages)

    def standing(self, channel):
        return tuple(self.stands)

    async def settle(self, outgoing):
        self.messages.remove(outgoing)


@pytest.fixture
def simulate(monkeypatch):
    """Run one lane in simulated time from `steps` (second, action); give each request as (second, alerts)."""

    def run(steps, *, until_s: float, answer=lambda _second: None):
        loop = async_solipsism.EventLoop()
        requests: list = []
        told = Told()

        def clock_ns() -> int:
            return NOW_NS + int(loop.time() * 1e9)

        async def hand_over(self, alerts):
            requests.append((round(loop.time()), list(alerts)))
            answer(loop.time())

        monkeypatch.setattr(alertmanager.Alertmanager, "_hand_over", hand_over)
        monkeypatch.setattr(outbox, "_backoff_s", lambda failures, bounds_s: min(bounds_s[1], 0.5 * 2**failures))
        monkeypatch.setattr(
            outbox, "open_channel", lambda config, site: alertmanager.Alertmanager(config, site, clock_ns=clock_ns)
        )

        async def live() -> None:
            notifier = Notifier(told, [settings("http://am")], Health(), site="dal1")
            running = asyncio.create_task(notifier.run())
            for second, act in steps:
                await asyncio.sleep(second - loop.time())
                act(told)
                notifier.wake()
            await asyncio.sleep(until_s - loop.time())
            running.cancel()
            await asyncio.wait([running])

        try:
            loop.run_until_complete(live())
        finally:
            loop.close()
        return requests

    return run


def firing(alerts) -> list[str]:
    """The severities that a request keeps alive; the simulated clock starts at NOW_NS."""
    return sorted(alert["labels"]["severity"] for alert in alerts if alert["endsAt"] > "2026-11-23T03:20")


def test_what_stands_is_said_again_every_minute_and_an_end_for_five(simulate, message):
    begin, worse = message(severity=Severity.WARNING), message(Notice.ESCALATE, Severity.WARNING)
    end = message(Notice.RESOLVE, Severity.CRITICAL)

    def trigger(told):
        told.messages, told.stands = [begin], [begin.transition]

    def escalate(told):
        told.messages, told.stands = [worse], [worse.transition]

    def resolve(told):
        told.messages, told.stands = [end], []

    requests = simulate([(10, trigger), (100, escalate), (500, resolve)], until_s=2000)

    minutes = [60 * minute for minute in range(1, 14)]
    assert [second for second, _ in requests] == sorted([10, 100, 500, *minutes])
    by_second = dict(requests)
    assert firing(by_second[60]) == ["warning"]
    assert firing(by_second[120]) == ["critical"]
    assert [alert["labels"]["severity"] for alert in by_second[360]] == ["warning", "critical"]
    assert [alert["labels"]["severity"] for alert in by_second[420]] == ["critical"]
    assert firing(by_second[540]) == []
    assert [alert["labels"]["severity"] for alert in by_second[780]] == ["critical"]


def test_after_a_restart_what_stands_is_said_at_once(simulate, message):
    def restore(told):
        told.stands = [message().transition]

    requests = simulate([(0, restore)], until_s=130)
    assert [second for second, _ in requests] == [0, 60, 120]


def test_an_alarm_that_is_back_is_not_ended_again(simulate, message):
    end, again = message(Notice.RESOLVE, Severity.CRITICAL), message()

    def resolve(told):
        told.messages, told.stands = [end], []

    def back(told):
        told.messages, told.stands = [again], [again.transition]

    requests = simulate([(5, resolve), (30, back)], until_s=100)
    assert [(second, firing(alerts)) for second, alerts in requests] == [
        (5, []),
        (30, ["critical"]),
        (60, ["critical"]),
    ]
    assert len(requests[-1][1]) == 1


def test_a_message_that_cannot_leave_yet_speaks_for_itself(simulate, message):
    """Its alarm is not said again in another way meanwhile, and the others wait until the channel is back."""
    worse, other = message(Notice.ESCALATE, Severity.WARNING), message(key="dal1:leak:rack:r1", rule="leak")

    def both(told):
        told.messages, told.stands = [worse], [worse.transition, other.transition]

    def refuse(second):
        if second < 50:
            raise DeliveryError("away")

    requests = simulate([(1, both)], until_s=130, answer=refuse)
    assert all([a["labels"]["alertname"] for a in alerts] == ["rack_density_power"] * 2 for _, alerts in requests[:3])
    assert {alert["labels"]["alertname"] for alert in requests[-1][1]} == {"rack_density_power", "leak"}
    assert len(requests) < 12


class Alertmanagers:
    """Two real Alertmanagers in one cluster, both of which tell the recording receiver."""

    def __init__(self, start_engine, directory, hook: str) -> None:
        config = directory / "am.yml"
        config.write_text(
            "route: {receiver: hook, group_by: [alertname, target], group_wait: 0s, group_interval: 1s}\n"
            f"receivers: [{{name: hook, webhook_configs: [{{url: '{hook}', send_resolved: true}}]}}]\n"
        )
        self._start = start_engine
        self._config = config
        self.ports = [free_port() for _ in range(4)]
        self.engines = [self.start(number) for number in (0, 1)]
        self.channels = [settings(f"http://127.0.0.1:{self.ports[number]}", f"am-{number}") for number in (0, 1)]

    def start(self, number: int):
        port, gossip, peer = self.ports[number], self.ports[2 + number], self.ports[3 - number]
        options = {
            "config.file": self._config,
            "storage.path": self._config.parent / f"am-{number}",
            "web.listen-address": f"127.0.0.1:{port}",
            "cluster.listen-address": f"127.0.0.1:{gossip}",
            "cluster.advertise-address": f"127.0.0.1:{gossip}",
            "cluster.peer": f"127.0.0.1:{peer}",
            "cluster.peer-timeout": "1s",
            "cluster.settle-timeout": "1s",
            "cluster.pushpull-interval": "1s",
        }
        return self._start(["prometheus-alertmanager", *(f"--{key}={value}" for key, value in options.items())], port)

    async def active(self, number: int) -> list[str]:
        alerts = await asyncio.to_thread(fetch, f"http://127.0.0.1:{self.ports[number]}/api/v2/alerts")
        return sorted(alert["labels"]["severity"] for alert in alerts)


def fetch(url: str):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Kept:
    def __init__(self, key: str) -> None:
        self.key = key

    def dump(self) -> bytes:
        return b"{}"


@pytest.fixture
def pair(start_engine, tmp_path, receiver) -> Alertmanagers:
    return Alertmanagers(start_engine, tmp_path, receiver.url)


@pytest.fixture
def story(message):
    """A warning that rises to critical and ends, at this moment."""
    now_ns = outbox.time.time_ns()
    begin = message(severity=Severity.WARNING, time_ns=now_ns, since_ns=now_ns - 10**11)
    worse = message(Notice.ESCALATE, before=AlertState.FIRING, time_ns=now_ns + 1, since_ns=now_ns - 10**11)
    end = message(Notice.RESOLVE, time_ns=now_ns + 2, since_ns=now_ns - 10**11)
    return begin.transition, worse.transition, end.transition


@pytest.mark.engine("prometheus-alertmanager")
async def test_a_real_pair_tells_people_once_of_each_move(pair, receiver, state, story, run, until):
    notifier = Notifier(state, pair.channels, Health(), site="dal1")

    def heard() -> list[list[str]]:
        bodies = [orjson.loads(body) for _, body in receiver.received]
        return [sorted(f"{a['labels']['severity']} {a['status']}" for a in body["alerts"]) for body in bodies]

    async with run(notifier.run()):
        for step, words in zip(story, ("warning firing", "critical firing", "critical resolved"), strict=True):
            await state.commit([step], [Kept(step.key)], channels=pair.channels)
            notifier.wake()
            await until(lambda words=words: any(words in said for said in heard()), 15)
            await asyncio.sleep(2)  # longer than one member waits for the other's word
    await notifier.close()
    assert heard() == [["warning firing"], ["critical firing", "warning resolved"], ["critical resolved"]]


@pytest.mark.engine("prometheus-alertmanager")
async def test_a_real_one_that_was_killed_knows_again_what_stands(pair, state, story, run):
    begin, worse, end = story

    async def reaches(number: int, severities: list[str]) -> None:
        async with asyncio.timeout(15):
            while await pair.active(number) != severities:  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(0.1)

    first = Notifier(state, pair.channels, Health(), site="dal1")
    async with run(first.run()):
        await state.commit([begin], [Kept(begin.key)], channels=pair.channels)
        await state.commit([worse], [Kept(begin.key)], channels=pair.channels)
        first.wake()
        await reaches(0, ["critical"])
        await reaches(1, ["critical"])
    await first.close()
    pair.engines[1].kill()
    pair.start(1)
    assert await pair.active(1) == []
    again = Notifier(state, pair.channels, Health(), site="dal1")
    async with run(again.run()):
        await reaches(1, ["critical"])
        await state.commit([end], [], channels=pair.channels)
        again.wake()
        await reaches(0, [])
        await reaches(1, [])
    await again.close()

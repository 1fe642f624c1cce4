"""A source as a busy site would give it, and the real server on it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from keeld.alerts.acts import Act, Done, RefusedError
from keeld.alerts.selector import Selector, parse
from keeld.budgets.aftermath import FailoverCase, Survival, Survivor
from keeld.budgets.headroom import Headroom, Room
from keeld.contract import CurtailOrder
from keeld.errors import ConfigError, Outage, Problem
from keeld.fanout import Fanout, Subscription
from keeld.health import Health
from keeld.live import Latest, Live
from keeld.metrics import CURRENT, POWER, Metric
from keeld.model import (
    AlertState,
    Batch,
    Device,
    Interval,
    Notice,
    Quality,
    Rack,
    RackBudget,
    Reading,
    Severity,
    Site,
    Transition,
)
from keeld.settings import HttpSettings, Settings
from keeld.state import Audited
from keeld.state.orders import RackMove
from keeld.views import (
    Alarm,
    AlarmQuality,
    DemandView,
    Forecast,
    HoldView,
    Judgement,
    MeanPower,
    NodeView,
    OrderView,
    RackView,
    RuleView,
    SiteView,
    Suspect,
    Verdict,
    WouldHave,
)
from keeld.web import Queue, Server

HOSTILE = "<img src=x onerror=alert(1)>"


class Minute(NamedTuple):
    minute_ns: int
    min: float
    mean: float
    max: float


def judge(rack: str, constraint: str, limit: float, value: Interval, **changed: Any) -> Judgement:
    word = Verdict.OVER if value.lo > limit else Verdict.CANT_TELL if value.hi > limit else Verdict.OK
    return Judgement(
        target_kind="rack", target_id=rack, constraint=constraint, unit="W", limit=limit, base="budget", value=value,
        **({"verdict": word} | changed),
    )  # fmt: skip


def rack_view(name: str, row: str, draw: Interval, *judgements: Judgement, **facts: Any) -> RackView:
    seen = {key: facts.pop(key) for key in ("usable_watts", "failover") if key in facts}
    measured = [item for item in judgements if item.load_ratio is not None]
    words = [item.verdict for item in judgements]
    return RackView(
        rack=Rack(id=name, row=row, budget=RackBudget(power_watts=30_000.0), **facts),
        draw=draw,
        air=None,
        liquid=None,
        verdict=next((word for word in Verdict if word in words), Verdict.OK),
        binding=max(measured, key=lambda item: item.load_ratio or 0, default=None),
        judgements=judgements,
        feeds={"a": draw},
        **seen,
    )


GOOD = Interval(21_900.0, 22_000.0, 22_100.0, provenance="pdu-r01-a, pdu-r01-b")
OVER = Interval(33_500.0, 33_900.0, 34_100.0, provenance="pdu-r08-a, pdu-r08-b")
LOST = Interval(14_000.0, 27_000.0, 34_000.0, 0.5, Quality.ESTIMATED, "pdu-r02-a", lost=("pdu-r02-b",))
NEVER = Interval(0.0, None, 40_000.0, 0.0, Quality.UNKNOWN, structural=("r10",))
ENDLESS = Interval(0.0, None, float("inf"), 0.0, Quality.UNKNOWN, structural=("r11",))


def racks() -> tuple[RackView, ...]:
    return (
        rack_view("r01", "a", GOOD, judge("r01", "power", 30_000.0, GOOD), label="R01 (old C-14)", usable_watts=3200.0),
        rack_view("r02", "a", LOST, judge("r02", "power", 30_000.0, LOST, why="no data from pdu-r02-b")),
        rack_view(
            "r08",
            "a",
            OVER,
            judge("r08", "power", 30_000.0, OVER),
            judge("r08", "air", 40_000.0, OVER),
            feeds={"a": "a3-12"},
            usable_watts=-200.0,
            failover="If feed A dies now, b3-12 trips.",
        ),
        rack_view(
            "r10", "c", NEVER, judge("r10", "power", 30_000.0, NEVER, why="never measured: r10", structural=True)
        ),
        rack_view("r11", "c", ENDLESS, label=HOSTILE, state="mining"),
    )


ALARM = Alarm(
    key="dal1:rack_density_power:rack:r08",
    alert_id="7f3a",
    rule="rack_density_power",
    target_kind="rack",
    target_id="r08",
    state=AlertState.FIRING,
    severity=Severity.CRITICAL,
    since_ns=1_795_402_020_000_000_000,
    lo=33_500.0,
    best=33_900.0,
    hi=34_100.0,
    limit=30_000.0,
    unit="W",
    title="[CRIT] dal1 r08 power 33.9 kW of 30.0 kW budget = 113 %",
    text=f"Where: dal1 / row a / r08\nSince: 02:47 -05:00\n{HOSTILE}",
    cause="",
)

MOVE = Transition(
    key=ALARM.key,
    alert_id="7f3a",
    rule="rack_density_power",
    target_kind="rack",
    target_id="r08",
    before=AlertState.PENDING,
    after=AlertState.FIRING,
    severity=Severity.CRITICAL,
    notice=Notice.TRIGGER,
    time_ns=1_795_402_380_123_000_000,
    since_ns=1_795_402_020_000_000_000,
    best=33_900.0,
    limit=30_000.0,
    unit="W",
    title=ALARM.title,
)


FAILOVER = FailoverCase(
    target_kind="feed",
    target_id="r08/a",
    label="feed A",
    racks=("r08",),
    survival=Survival.WILL_TRIP,
    survivors=(
        Survivor(
            node="b3-12", label="b3-12", constraint="current/L2", unit="A", limit=60.0, derate=0.8,
            base="60 A breaker", value=Interval(62.0, 62.4, 62.8), survival=Survival.WILL_TRIP,
        ),
    ) * 20,
    dead=Interval(900.0, 1000.0, 1100.0),
    dead_devices=(HOSTILE,),
    degraded_devices=(),
    text=f"If feed A dies now, phase L2 of b3-12 goes to 104 % of its 60 A breaker and trips. {HOSTILE}",
    peak_ratio=1.31,
)  # fmt: skip


HEADROOMS = (
    Headroom(
        rack="r08", label="r08", watts=1500.0, peak_watts=-200.0, lost=("pdu-r08-a",),
        rooms=tuple(Room("failover", "b3-12", 1500.0 + n, f"60 A breaker, without {HOSTILE}") for n in range(20)),
    ),
    Headroom(rack="r03", label="r03", watts=None, rooms=(), peak_watts=None),
)  # fmt: skip


def alarm(name: str, **changed: Any) -> Alarm:
    """An alarm like ALARM, about something else and only a warning."""
    said = {"key": f"dal1:{name}:rack:r02", "alert_id": name, "rule": name, "target_id": "r02", "title": f"r02 {name}",
            "severity": Severity.WARNING, "text": f"About {name}"}  # fmt: skip
    return dataclasses.replace(ALARM, **(said | changed))


HOUR_NS = 3600 * 1_000_000_000
ALARMS = (
    dataclasses.replace(ALARM, children=("r02 follows", HOSTILE), child_count=25, is_first_out=True),
    alarm("leak", owner="eve", is_latched=True, severity=Severity.CRITICAL, state=AlertState.CLEARING),
    alarm("follows", held_by=ALARM.key, cause=ALARM.key, is_told=False),
    alarm("observed", quiet="observed", quiet_until_ns=ALARM.since_ns + HOUR_NS, is_told=False),
    alarm("shelved", quiet="shelved", quiet_id="sh3lf", quiet_until_ns=ALARM.since_ns + HOUR_NS),
    alarm("worked", quiet="maintenance", quiet_id="w0rk", quiet_until_ns=ALARM.since_ns + HOUR_NS),
    alarm("flooded", quiet="flood", is_told=False),
    alarm("waiting", state=AlertState.PENDING, is_told=False, title=""),
)
"""One of each standing."""
FORECASTS = (
    Forecast(target_kind="rack", target_id="r01", label="R01", constraint="power", load_ratio=0.91,
             lower_s=2_400.0, median_s=4_320.0, upper_s=None),
    Forecast(target_kind="power_node", target_id="a3-12", label="", constraint="current", load_ratio=0.88,
             lower_s=5_400.0, median_s=9_000.0, upper_s=14_400.0),
)  # fmt: skip
SUSPECTS = (
    Suspect(device="pdu-r08-a", metric="power_watts", part="L2", check="stuck", reason=f"has not moved {HOSTILE}",
            since_ns=ALARM.since_ns),
)  # fmt: skip
CAP = DemandView(
    name="cap", interval_s=900, is_rolling=False, limit_watts=10e6, allowed_watts=10.7e6, shed_watts=0.0, left_s=420.0,
    last=MeanPower(9.0e6, 9.1e6, 9.2e6, is_estimated=False),
    projected=MeanPower(9.3e6, 9.4e6, 9.6e6, is_estimated=False), peak=None,
)  # fmt: skip
TARIFF = dataclasses.replace(
    CAP, name="tariff", is_rolling=True, limit_watts=9e6, allowed_watts=8.2e6, shed_watts=1.2e6, last=None,
    peak=MeanPower(9.5e6, 9.6e6, 9.7e6, is_estimated=True),
)  # fmt: skip
ORDER = OrderView(
    order=CurtailOrder(
        id="o1", target_kind="site", target_id="dal1", most_watts=5e6, begins_ns=ALARM.since_ns,
        met_by_ns=ALARM.since_ns + HOUR_NS, ends_ns=ALARM.since_ns + 2 * HOUR_NS, source="ercot", note=HOSTILE,
    ),
    compliance="over", draw=Interval(5.9e6, 6.0e6, 6.1e6), allowed_watts=5.5e6,
)  # fmt: skip
FULL = {
    "alarms": ALARMS, "forecasts": FORECASTS, "suspects": SUSPECTS, "demands": (CAP, TARIFF),
    "figures": {"pue_ratio/hour": 1.21, "pue_ratio/day": 1.19, "pue_power_ratio": 1.234},
    "observed_until_ns": ALARM.since_ns + 72 * HOUR_NS,
}  # fmt: skip
"""A site on which everything goes on that the page has a place for."""


class FakeDesk:
    """Notes what is asked for; refuses what `refused` says."""

    def __init__(self) -> None:
        self.acts: list[tuple[Act, str]] = []
        self.refused: RefusedError | None = None
        self.audit = [Audited(time_ns=1, who="eve", act="shelve", about="rack=r08", was_done=True, result="shelved")]

    async def act(self, act: Act, who: str) -> Done:
        if self.refused is not None:
            raise self.refused
        self.acts.append((act, who))
        return Done("done: it", "abcd2345")

    async def rules(self) -> list[RuleView]:
        return [
            RuleView(
                number=23, name="leak", title="is wet", is_enabled=True, is_own=False, severities=(Severity.CRITICAL,),
                targets=1, examples=("device rope",), standing=0, observed=0, observed_until_ns=0, why="",
            )
        ]  # fmt: skip

    def holds(self) -> list[HoldView]:
        said = {"about": "node=ups-a", "owner": "eve", "reason": "battery", "begins_ns": 1, "ends_ns": 2}
        return [HoldView(id=kind, kind=kind, is_now=True, **said) for kind in ("shelf", "maintenance")]

    def work_preview(self, target: Selector) -> FailoverCase | None:
        return FAILOVER if target == parse("node=ups-a") else None

    def would_have(self) -> list[WouldHave]:
        return [
            WouldHave(
                key="k", rule="leak", target_kind="device", target_id="rope", title="rope is wet",
                severity=Severity.CRITICAL, count=3, longest_s=61.04, cause="", children=2, setting="leak: {on: 3m}",
            )
        ]  # fmt: skip

    def quality(self, days: int) -> AlarmQuality:
        return AlarmQuality(
            since_ns=days, told=13, per_ten_minutes=0.5, most_in_ten_minutes=12, flood_ratio=0.01, chattering=1,
            stale=2, by_severity={Severity.CRITICAL: 1, Severity.WARNING: 12}, by_rule={"leak": 1, "blind": 12},
            top_ratio=1.0,
        )  # fmt: skip

    async def audited(self, limit: int) -> list[Audited]:
        return self.audit[:limit]


class FakeSource:
    """Gives what a test puts into it."""

    def __init__(self, http: HttpSettings) -> None:
        self.desk = FakeDesk()
        devices = {
            name: Device(id=name, site="dal1", kind="pdu", driver="modbus", address="tcp://127.0.0.1:502", rack="r08",
                         feed=name[-1], nameplate_watts=20_000.0)
            for name in ("pdu-r08-a", "pdu-r08-b", "pdu-r08-c")
        }  # fmt: skip
        self.settings = Settings(
            site=Site(name="dal1", timezone="America/Toronto", devices=devices, racks={"r08": Rack(id="r08")}),
            http=http,
            timings_note="demo timings",
        )
        self.health = Health(started_mono_ns=time.monotonic_ns() - 3_600_000_000_000, polls=1234, readings=56_789)
        self.health.outages[Outage.TIMEOUT] = 7
        self.health.points_stored["influx"] = 4567
        self.health.points_acknowledged = 4600
        self._live = Live(devices.values())
        self.fanout = Fanout()
        self.latest = self._live.latest
        self.stuck: list[str] = []
        self.waiting: list[str] = []
        self.reloads = 0
        self.reload_problem = ""
        self.asked: list[tuple[Any, ...]] = []
        self.view_age_s = 0.0
        self.seen: dict[str, Any] = {"alarms": (ALARM,)}
        self.ordered: tuple[OrderView, ...] = ()
        self._poll(devices)

    def _poll(self, devices: dict[str, Device]) -> None:
        now, wall = time.monotonic_ns(), 1_795_402_380_123_000_000
        good = (Reading(POWER, 16_900.0), Reading(CURRENT, 27.8, "L2"))
        well, ill, _ = devices.values()
        self._live.record(Batch(well, wall, now - 2_000_000_000, good, interval_s=1.0))
        self.latest[well.id].info["model"] = HOSTILE
        self._live.record(Batch(ill, wall, now - 95_000_000_000, good))
        self._live.record(Batch(ill, wall, now, outage=Outage.TIMEOUT, detail="no answer in 3 s"))

    def site_view(self) -> SiteView:
        node = NodeView(
            kind="power_node",
            id="a3-12",
            label="",
            draw=GOOD,
            verdict=Verdict.OK,
            judgements=(
                Judgement(target_kind="power_node", target_id="a3-12", constraint="current/L2", unit="A", limit=57.0,
                          base="breaker 60 A x 0.95 environment", value=Interval(27.7, 27.8, 27.9), verdict=Verdict.OK),
            ),
        )  # fmt: skip
        time_ns = time.time_ns() - int(self.view_age_s * 1e9)
        total = Interval(91_000.0, None, 230_000.0, 0.61, Quality.ESTIMATED)
        return SiteView(time_ns=time_ns, draw=total, racks=racks(), nodes=(node,), **self.seen)

    def findings(self) -> list[str]:
        return ["2 racks with power that nothing measures: r03, <b>r04</b>"]

    def device(self, name: str) -> Latest | None:
        return self.latest.get(name)

    def queue(self) -> Queue:
        return Queue(spool_files=2, spool_points=33, spool_bytes=4096, spool_oldest_s=1.5, messages={"hook": 1},
                     buffered={"spool": 4}, dropped={"mqtt": 0})  # fmt: skip

    def alive(self) -> list[str]:
        return self.stuck

    def ready(self) -> list[str]:
        return self.waiting

    async def headroom(self, rack_id: str | None) -> list[Headroom]:
        return [room for room in HEADROOMS if rack_id in (None, room.rack)]

    async def failover(self, rack_id: str) -> list[FailoverCase]:
        return [FAILOVER] if rack_id == "r08" else []

    async def transitions(self, limit: int, since_ns: int) -> Sequence[Transition]:
        self.asked.append((limit, since_ns))
        return [MOVE]

    async def history(self, kind: str, name: str, metric: Metric, part: str, *, since_ns: int) -> Sequence[Minute]:
        self.asked.append((kind, name, metric, part, since_ns))
        return [Minute(1_795_402_380_000_000_000, 1.0, 2.0, 3.0)]

    def subscribe(self, name: str, limit: int, wanted: Callable[[Batch], bool]) -> Subscription:
        return self.fanout.subscribe(name, limit, wanted)

    def unsubscribe(self, subscription: Subscription) -> None:
        self.fanout.unsubscribe(subscription)

    def orders(self) -> tuple[OrderView, ...]:
        return self.ordered

    async def rack_moves(self, rack: str, limit: int) -> list[RackMove]:
        return [
            RackMove(rack=rack, before="mining", after="ai", time_ns=ALARM.since_ns, owner="ana", reason=HOSTILE,
                     configured="ai")
        ]  # fmt: skip

    async def reload(self) -> None:
        self.reloads += 1
        if self.reload_problem:
            raise ConfigError([Problem("keeld.yaml:3:5", self.reload_problem, "write it right")])


@pytest.fixture
def source(tmp_path: Path) -> FakeSource:
    return FakeSource(HttpSettings(port=0, socket=tmp_path / "api.sock"))


@pytest.fixture
def busy(source: FakeSource) -> FakeSource:
    """A source at which everything goes on."""
    source.seen, source.ordered = FULL, (ORDER,)
    return source


@pytest.fixture
def cap() -> DemandView:
    return CAP


@pytest.fixture
def forecasts() -> tuple[Forecast, ...]:
    return FORECASTS


@pytest.fixture
async def server(source: FakeSource) -> AsyncIterator[Server]:
    it = Server(source)
    await it.start()
    yield it
    await it.stop()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield session


@pytest.fixture
async def local(server: Server, source: FakeSource) -> AsyncIterator[aiohttp.ClientSession]:
    """A client on the unix socket."""
    connector = aiohttp.UnixConnector(str(source.settings.http.socket))
    async with aiohttp.ClientSession("http://keeld", connector=connector) as session:
        yield session

"""Event lines: each is read as what it says, or refused with what to write."""

from __future__ import annotations

import pytest

from keeld.alerts.acts import Acknowledge, Close, EndMaintenance, GoLive, Maintain, Shelve
from keeld.alerts.selector import parse
from keeld.batch_json import BadBatchError
from keeld.contract import CurtailOrder
from keeld.replay.events import CancelOrder, ClockStep, RackMove, Restart, read_event

T_S = 1_795_348_800
T_NS = T_S * 10**9
HOUR_NS = 3600 * 10**9


def event(name, **fields):
    return read_event({"time": T_S, "event": name, **fields})


def test_every_event_is_read():
    assert event("restart") == Restart(0.0)
    assert event("restart", down="2m") == Restart(120.0)
    assert event("clock_step", step_s=-3600) == ClockStep(-3600.0)
    assert event("rack_state", rack="r07", state="mining") == RackMove("r07", "mining")
    assert event("acknowledge", alert="abcd", owner="ada") == Acknowledge(alert="abcd", owner="ada")
    assert event("acknowledge", rule="leak", target="rack:r1").alert == "leak:rack:r1"
    assert event("close", alert="abcd", reason="dry") == Close(alert="abcd", owner="replay", reason="dry")
    assert event("live", selector="rack=r07") == GoLive(selector=parse("rack=r07"), owner="replay")
    shelf = event("shelve", selector={"rack": "r07"}, reason="test", **{"for": "4h"})
    assert shelf == Shelve(owner="replay", reason="test", until_ns=T_NS + 4 * HOUR_NS, selector=parse("rack=r07"))
    work = event("maintenance", target="power_node:panel-a", **{"for": "1h"})
    assert isinstance(work, Maintain)
    assert (work.target, work.begins_ns, work.ends_ns) == (parse("node=panel-a"), T_NS, T_NS + HOUR_NS)
    assert event("maintenance", end="abcd") == EndMaintenance(work="abcd", owner="replay")


def test_an_order_to_draw_less_is_read_with_its_times():
    order = event("curtail", target="node:panel-a", most_watts=5e4, within="5m", id="dr", **{"for": "1h"})
    assert isinstance(order, CurtailOrder)
    assert (order.target_kind, order.target_id, order.most_watts) == ("power_node", "panel-a", 5e4)
    assert (order.begins_ns, order.met_by_ns, order.ends_ns) == (T_NS, T_NS + 300 * 10**9, T_NS + HOUR_NS)
    assert event("curtail", cancel="dr") == CancelOrder("dr")


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("restrat", {}, "did you mean restart"),
        (7, {}, "no event"),
        ("restart", {"down": "soon"}, "down is no span"),
        ("restart", {"down": -1}, "down is no span"),
        ("clock_step", {}, "step_s is missing"),
        ("rack_state", {"rack": "r07", "state": "broken"}, "no rack state 'broken'"),
        ("acknowledge", {}, "rule is missing"),
        ("acknowledge", {"alert": ["x"]}, "alert is missing or no word"),
        ("shelve", {"alert": "abcd"}, "neither until nor for"),
        ("shelve", {"selector": "rack", "for": "1h"}, "selector: "),
        ("maintenance", {"target": "planet=mars", "for": "1h"}, "target: "),
        ("curtail", {"target": "site", "most_watts": -1, "for": "1h"}, "out of order"),
        ("curtail", {"target": "site", "most_watts": 1, "within": "2h", "for": "1h"}, "out of order"),
    ],
)
def test_an_event_that_says_nothing_is_refused(name, fields, says):
    with pytest.raises(BadBatchError, match=says):
        event(name, **fields)

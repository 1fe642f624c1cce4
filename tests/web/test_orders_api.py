from __future__ import annotations

import getpass
import time
from dataclasses import replace

import pytest

from keeld.contract import CurtailOrder
from keeld.model import Interval, Rack
from keeld.state.orders import RackMove
from keeld.views import OrderView
from keeld.web.orders import BadOrderError, read_order

NOW = 1_795_402_380 * 10**9
SPOKEN = {"target": "rack:r08", "most_watts": 5000, "met_by": "10m", "ends": "2h"}


class Desk:
    """Takes what the routes hand on, as the daemon would."""

    def __init__(self, source):
        self.taken: list = []
        self.is_kept: bool | None = True
        source.desk = getattr(source, "desk", None)  # of acknowledging and its kin, which these tests leave alone
        source.orders = self.orders
        source.curtail = self.curtail
        source.cancel_order = self.cancel_order
        source.move_rack = self.move_rack
        source.rack_moves = self.rack_moves

    def orders(self):
        order = read_order(SPOKEN, site="dal1", owner="ana", now_ns=NOW)
        return (OrderView(order=order, compliance="over", draw=Interval(6000.0, 6100.0, 6200.0), allowed_watts=5000.0),)

    async def curtail(self, order: CurtailOrder):
        self.taken.append(order)
        return self.is_kept

    async def cancel_order(self, order_id):
        self.taken.append(order_id)
        return self.is_kept

    async def move_rack(self, rack, state, *, owner, reason):
        self.taken.append((rack, state, owner, reason))
        return self.is_kept

    async def rack_moves(self, rack, limit):
        return [
            RackMove(rack=rack, before="mining", after="ai", time_ns=NOW, owner="ana", reason="sold", configured="ai")
        ]


@pytest.fixture
def desk(source):
    site = replace(source.settings.site, racks={"r08": Rack(id="r08")})
    source.settings = replace(source.settings, site=site)
    return Desk(source)


async def said(response, status):
    form = await response.json()
    assert response.status == status, form
    return form


async def test_an_order_is_taken_on_the_socket_from_whom_the_system_says(desk, local):
    form = await said(await local.post("/api/v1/curtail", json=SPOKEN), 201)
    (order,) = desk.taken
    assert form == {"id": order.id, "is_kept": True}
    assert (order.target_kind, order.target_id, order.most_watts) == ("rack", "r08", 5000.0)
    assert order.source == getpass.getuser()
    assert order.begins_ns == pytest.approx(time.time_ns(), abs=5e9)
    assert order.ends_ns - order.begins_ns == pytest.approx(7200e9, abs=1e9)


async def test_nothing_is_ordered_over_tcp(desk, client):
    for path in ("/api/v1/curtail", "/api/v1/racks/r08/state"):
        await said(await client.post(path, json=SPOKEN), 405)
    await said(await client.delete("/api/v1/curtail/o1"), 405)
    assert desk.taken == []


async def test_orders_and_states_can_be_read_over_tcp(desk, client):
    (order,) = (await said(await client.get("/api/v1/curtail"), 200))["orders"]
    assert (order["compliance"], order["most_watts"], order["draw_watts"]["best"]) == ("over", 5000.0, 6100.0)
    (move,) = (await said(await client.get("/api/v1/racks/r08/states"), 200))["states"]
    assert (move["from"], move["to"], move["owner"], move["reason"]) == ("mining", "ai", "ana", "sold")
    await said(await client.get("/api/v1/racks/r99/states"), 404)


async def test_what_concerns_nothing_is_not_found(desk, local):
    desk.is_kept = None
    await said(await local.post("/api/v1/curtail", json=SPOKEN), 404)
    await said(await local.delete("/api/v1/curtail/o1"), 404)
    await said(await local.post("/api/v1/racks/r99/state", json={"state": "ai", "reason": "x"}), 404)
    await said(await local.post("/api/v1/racks/r08/state", json={"state": "ai", "reason": "x"}), 409)


async def test_a_rack_changes_its_state_with_a_reason(desk, local):
    await said(await local.post("/api/v1/racks/r08/state", json={"state": "emptying", "reason": "sold\x1b[31m"}), 200)
    assert desk.taken == [("r08", "emptying", getpass.getuser(), "sold [31m")]


@pytest.mark.parametrize(
    "body",
    [{}, {"state": "ai"}, {"state": "ai", "reason": ""}, {"state": "gone", "reason": "x"}, [], "ai", None,
     {"state": ["ai"], "reason": "x"}, {"state": "ai", "reason": 5}, {"state": "ai", "reason": "x", "stat": 1}],
)  # fmt: skip
async def test_a_wrong_change_of_state_is_refused(desk, local, body):
    form = await said(await local.post("/api/v1/racks/r08/state", json=body), 400)
    assert form["error"]
    assert desk.taken == []


async def test_what_is_no_json_is_refused(desk, local):
    for raw in (b"", b"{", b"\xff\xfe", b"[" * 1000, b'{"most_watts": NaN}'):
        await said(await local.post("/api/v1/curtail", data=raw), 400)
    assert desk.taken == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": "planet"}, "target"),
        ({"target": "rack:"}, "target"),
        ({"target": None}, "target"),
        ({"most_watts": -1}, "most_watts"),
        ({"most_watts": "5 MW"}, "most_watts"),
        ({"most_watts": True}, "most_watts"),
        ({"most_watts": float("inf")}, "most_watts"),
        ({"most_watts": float("nan")}, "most_watts"),
        ({"ends": None}, "ends is missing"),
        ({"ends": "0s"}, "out of order"),
        ({"ends": "5m"}, "out of order"),
        ({"ends": "60d"}, "31 days"),
        ({"ends": "2026-13-01T00:00:00Z"}, "ends is no time"),
        ({"ends": "2026-11-24T00:00:00"}, "ends is no time"),
        ({"begins": "20m"}, "out of order"),
        ({"begins": 5}, "begins is no time"),
        ({"id": "a b"}, "id"),
        ({"id": 7}, "id"),
        ({"note": ["x"]}, "note"),
    ],
)
def test_a_wrong_order_says_what_is_wrong(change, says):
    with pytest.raises(BadOrderError) as caught:
        read_order(SPOKEN | change, site="dal1", owner="ana", now_ns=NOW)
    assert says in caught.value.args[0]
    assert caught.value.args[1]


def test_an_order_for_the_site_may_name_its_times():
    order = read_order(
        {"target": "site", "most_watts": 0, "begins": "2026-11-23T00:00:00-05:00", "ends": "2026-11-23T06:00:00+00:00",
         "met_by": "2026-11-23T00:10:00-05:00", "id": "ercot:7", "source": "ERCOT", "note": "EEA 2"},
        site="dal1", owner="ana", now_ns=NOW,
    )  # fmt: skip
    assert (order.target_kind, order.target_id, order.most_watts) == ("site", "dal1", 0.0)
    assert order.ends_ns - order.met_by_ns == 50 * 60 * 10**9
    assert (order.id, order.source, order.note) == ("ercot:7", "ERCOT", "EEA 2")

from __future__ import annotations

import time
from dataclasses import replace

from keeld.contract import CurtailOrder
from keeld.fanout import Fanout
from keeld.health import Health
from keeld.judge import Judge, moment_now
from keeld.live import Live
from keeld.model import Device, Rack, RackBudget, Site
from keeld.ordering import Ordering
from keeld.settings import Settings
from keeld.state import State
from keeld.state.orders import OrderDesk
from keeld.trees import PowerNode
from keeld.watch import Watch

BUDGETS = {"": RackBudget(power_watts=40e3), "ai": RackBudget(power_watts=33e3)}
SITE = Site(
    name="s",
    power={"f": PowerNode(id="f", limit_watts=50e3)},
    racks={"r1": Rack(id="r1", state="mining", feeds={"a": "f"}, budget=BUDGETS[""], budgets=BUDGETS)},
    devices={
        "p": Device(id="p", site="s", kind="pdu", driver="modbus", address="tcp://10.0.0.1:502", rack="r1", feed="a")
    },
)


class Keeld:
    """The parts that orders concern, as the daemon puts them together."""

    def __init__(self, path, site=SITE):
        self.settings = Settings(site=site)
        self.state = State(path / "state.db")
        self.desk = OrderDesk(self.state, time.time_ns())
        site_now = self.desk.book.applied(site, time.time_ns())
        self.watch = Watch(site_now, {}, now=moment_now())
        self.judge = Judge(self.watch, self.state, Fanout(), Live(site.devices.values()), Health())
        self.ordering = Ordering(self.desk, self.judge, lambda: self.settings)

    def rack(self):
        (view,) = self.watch.view(moment_now()).racks
        return view.rack


def order(**facts):
    now = time.time_ns()
    return CurtailOrder(
        **{"id": "o1", "target_kind": "rack", "target_id": "r1", "most_watts": 1.0, "begins_ns": now, "met_by_ns": now,
           "ends_ns": now + 10**12, "source": "ana"} | facts
    )  # fmt: skip


async def test_a_rack_state_takes_effect_at_once_and_after_a_restart(tmp_path):
    keeld = Keeld(tmp_path)
    assert await keeld.ordering.move_rack("r1", "ai", owner="ana", reason="converted") is True
    assert (keeld.rack().state, keeld.rack().budget.power_watts) == ("ai", 33e3)
    assert await keeld.ordering.move_rack("r1", "ai", owner="ana", reason="again") is None
    await keeld.state.close()
    after = Keeld(tmp_path)
    assert (after.rack().state, after.rack().budget.power_watts) == ("ai", 33e3)
    assert await after.ordering.move_rack("r1", "mining", owner="bo", reason="back") is True
    assert after.rack().budget.power_watts == 40e3
    assert [(move.before, move.after, move.owner) for move in await after.ordering.moves("r1", 10)] == [
        ("ai", "mining", "bo"), ("mining", "ai", "ana"),
    ]  # fmt: skip
    await after.state.close()


async def test_a_reload_keeps_a_state_unless_the_file_says_another(tmp_path):
    keeld = Keeld(tmp_path)
    await keeld.ordering.move_rack("r1", "emptying", owner="ana", reason="sold")
    keeld.ordering.follow(keeld.settings)
    assert keeld.rack().state == "emptying"
    changed = replace(SITE, racks={"r1": SITE.racks["r1"].in_state("ai")})
    keeld.settings = Settings(site=changed)
    keeld.ordering.follow(keeld.settings)
    assert keeld.rack().state == "ai"
    assert (await keeld.ordering.moves("r1", 1))[0].owner == "configuration"
    await keeld.state.close()


async def test_an_order_holds_over_a_restart_until_it_is_cancelled(tmp_path):
    keeld = Keeld(tmp_path)
    assert await keeld.ordering.curtail(order()) is True
    assert await keeld.ordering.curtail(order(id="o2", target_id="r9")) is None
    await keeld.state.close()
    after = Keeld(tmp_path)
    assert [view.order.id for view in after.watch.orders(moment_now())] == ["o1"]
    assert await after.ordering.cancel("o1") is True
    assert await after.ordering.cancel("o9") is None
    assert after.watch.orders(moment_now()) == ()
    after.ordering.follow(after.settings)
    assert after.watch.orders(moment_now()) == ()
    await after.state.close()
    assert Keeld(tmp_path).watch.orders(moment_now()) == ()

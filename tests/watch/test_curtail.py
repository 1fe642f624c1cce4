from __future__ import annotations

from dataclasses import replace

import pytest

from keeld.budgets.curtail import Compliance, allowed_watts, compliance
from keeld.contract import Contract, CurtailOrder
from keeld.errors import Outage
from keeld.metrics import CURTAIL_LIMIT, POWER
from keeld.model import Reading

SECOND = 1_000_000_000


def order(kit, begins_s=0.0, met_by_s=300.0, ends_s=3600.0, *, kind="rack", name="r21", most=5_000.0, order_id="o1"):
    return CurtailOrder(
        id=order_id, target_kind=kind, target_id=name, most_watts=most, source="grid operator",
        begins_ns=kit.at(begins_s).wall_ns, met_by_ns=kit.at(met_by_s).wall_ns, ends_ns=kit.at(ends_s).wall_ns,
    )  # fmt: skip


def mine(kit, **orders):
    return kit.drive(kit.site(racks=1, miners=8)).run(60, kit.steady())


def told(drive):
    return [notice for notice in drive.notices if notice[1] == "curtail_noncompliance"]


def test_an_order_that_is_kept_tells_nobody(kit):
    drive = mine(kit)
    assert drive.watch.curtail(order(kit), kit.at(60))
    drive.run(200, kit.steady()).run(4000, kit.steady(miner_watts=400.0))
    assert told(drive) == []


def test_a_missing_drop_pages_once_after_its_grace_and_ends_with_the_order(kit):
    drive = mine(kit)
    drive.watch.curtail(order(kit), kit.at(60))
    drive.run(300 - 60 + 65, kit.steady())
    assert told(drive) == []
    drive.run(20, kit.steady())
    (page,) = [page for page in drive.pages if page.rule == "curtail_noncompliance"]
    assert page.severity == "critical"
    assert "grid operator ordered no more than 5 kW" in page.text
    drive.run(3600, kit.steady())
    assert [notice for notice, _, _ in told(drive)] == ["trigger", "resolve"]


def test_a_drop_that_comes_late_ends_the_alarm(kit):
    drive = mine(kit)
    drive.watch.curtail(order(kit), kit.at(60))
    drive.run(500, kit.steady()).run(400, kit.steady(miner_watts=400.0))
    assert [notice for notice, _, _ in told(drive)] == ["trigger", "resolve"]


def test_a_load_that_comes_back_too_early_pages(kit):
    drive = mine(kit)
    drive.watch.curtail(order(kit), kit.at(60))
    drive.run(900, kit.steady(miner_watts=400.0))
    assert told(drive) == []
    drive.run(120, kit.steady())
    assert [notice for notice, _, _ in told(drive)] == ["trigger"]


def test_silence_is_neither_a_breach_nor_obedience(kit):
    drive = mine(kit)
    drive.watch.curtail(order(kit), kit.at(60))
    drive.run(1200, lambda device, at_s: Outage.TIMEOUT if device.kind == "miner" else kit.steady()(device, at_s))
    assert told(drive) == []
    (view,) = drive.watch.orders(kit.at(drive.now_s))
    assert view.compliance == "can't tell"


@pytest.mark.parametrize(
    ("kind", "name", "covers"),
    [("site", "s", True), ("power_node", "panel-a", True), ("power_node", "ups-b", False), ("row", "c", True),
     ("row", "a", False), ("rack", "r21", True), ("rack", "r01", False)],
)  # fmt: skip
def test_an_order_explains_a_low_load_of_the_racks_it_covers(kit, kind, name, covers):
    drive = mine(kit)
    assert drive.watch.curtail(order(kit, kind=kind, name=name), kit.at(60))
    orders = drive.watch._state.orders
    assert orders.is_curtailed("r21", kit.at(100).wall_ns) is covers
    assert orders.is_curtailed("r21", kit.at(3600 + 600).wall_ns) is covers
    assert not orders.is_curtailed("r21", kit.at(3600 + 901).wall_ns)


@pytest.mark.parametrize(
    ("kind", "name"), [("rack", "r99"), ("row", "z"), ("tenant", "acme"), ("planet", "s"), ("site", "t")]
)
def test_an_order_about_nothing_is_refused(kit, kind, name):
    assert not mine(kit).watch.curtail(order(kit, kind=kind, name=name), kit.at(60))


def test_an_order_that_is_over_is_refused(kit):
    assert not mine(kit).watch.curtail(order(kit, ends_s=30.0), kit.at(60))


def test_a_cancelled_order_withdraws_its_alarm(kit):
    drive = mine(kit)
    drive.watch.curtail(order(kit), kit.at(60))
    drive.run(500, kit.steady())
    moves = drive.watch.cancel_order("o1", kit.at(drive.now_s))
    assert [(move.rule, move.ended) for move in moves] == [("curtail_noncompliance", "withdrawn")]
    assert drive.watch.orders(kit.at(drive.now_s)) == ()


def test_a_restart_in_an_order_pages_nothing_twice(kit):
    drive = mine(kit)
    given = order(kit)
    drive.watch.curtail(given, kit.at(60))
    drive.run(500, kit.steady())
    site = replace(drive.site, orders=(given,))
    after = kit.drive(site, restored=drive.watch.snapshot(), start_s=drive.now_s + 20).run(300, kit.steady())
    assert told(after) == []
    after.run(300, kit.steady(miner_watts=400.0))
    assert [notice for notice, _, _ in told(after)] == ["resolve"]


def test_a_reload_keeps_order_and_alarm(kit):
    drive = mine(kit)
    drive.watch.curtail(order(kit), kit.at(60))
    drive.run(500, kit.steady())
    assert drive.watch.reload(drive.site, {}, kit.at(drive.now_s)) == ()
    drive.run(100, kit.steady())
    assert [notice for notice, _, _ in told(drive)] == ["trigger"]


def test_a_site_order_is_judged_at_the_contracts_node(kit):
    site = replace(kit.site(racks=1, miners=0), contract=Contract(node="utility"))
    drive = kit.drive(site).run(60, kit.steady(10_000.0))
    drive.watch.curtail(order(kit, kind="site", name="s", most=15_000.0), kit.at(60))
    drive.run(600, kit.steady(10_000.0))
    assert [page.rule for page in drive.pages] == ["curtail_noncompliance"]
    stored = [
        reading.value for _, batch in drive.batches if batch.device.kind == "site" for reading in batch.readings
        if reading.metric is CURTAIL_LIMIT
    ]  # fmt: skip
    assert stored[-1] == 15_000.0


def test_an_order_to_draw_nothing_is_kept_by_nothing_alone(kit):
    drive = mine(kit)
    drive.watch.curtail(order(kit, most=0.0), kit.at(60))
    drive.run(600, lambda device, _: (Reading(POWER, 0.0),) if device.kind == "miner" else None)
    assert told(drive) == []
    drive.run(120, lambda device, _: (Reading(POWER, 20.0),) if device.kind == "miner" else None)
    assert [notice for notice, _, _ in told(drive)] == ["trigger"]


def test_the_ramp_is_a_line(kit):
    given = order(kit, begins_s=0, met_by_s=600, most=2e6)
    assert allowed_watts(given, 10e6, kit.at(300).wall_ns) == pytest.approx(6e6)
    assert allowed_watts(given, 10e6, kit.at(-10).wall_ns) == 10e6
    assert allowed_watts(given, 1e6, kit.at(300).wall_ns) == 2e6
    assert allowed_watts(given, 10e6, kit.at(601).wall_ns) == 2e6
    at_once = order(kit, begins_s=0, met_by_s=0, most=2e6)
    assert allowed_watts(at_once, 10e6, kit.at(0).wall_ns) == 2e6


@pytest.mark.parametrize(
    ("lo", "hi", "at_s", "word"),
    [
        (9e6, 9e6, -1, Compliance.AHEAD),
        (9e6, 9e6, 100, Compliance.RAMP),
        (1e6, 1e6, 100, Compliance.COMPLIED),
        (9e6, 9e6, 369, Compliance.RAMP),
        (9e6, 9e6, 370, Compliance.OVER),
        (2e6, 2e6, 370, Compliance.COMPLIED),
        (1e6, 9e6, 370, Compliance.CANT_TELL),
        (9e6, 9e6, 3600, Compliance.ENDED),
    ],
)
def test_compliance_is_judged_as_an_interval(kit, lo, hi, at_s, word):
    assert compliance(order(kit, most=2e6), lo, hi, time_ns=kit.at(at_s).wall_ns, grace_s=70.0) is word

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from keeld.contract import CurtailOrder
from keeld.model import Rack, RackBudget, Site
from keeld.state import State
from keeld.state.orders import CONFIGURATION, OrderBook, OrderDesk, RackMove

NOW = 1_760_000_000 * 10**9
HOUR = 3600 * 10**9
ORDER = CurtailOrder(
    id="o1", target_kind="site", target_id="s", most_watts=8e6, begins_ns=NOW, met_by_ns=NOW + HOUR // 4,
    ends_ns=NOW + HOUR, source="grid",
)  # fmt: skip


def move(rack="r1", before="mining", after="emptying", at=NOW, configured="mining"):
    return RackMove(
        rack=rack, before=before, after=after, time_ns=at, owner="ana", reason="conversion", configured=configured
    )


async def reopened(path):
    state = State(path)
    desk = OrderDesk(state, NOW)
    await state.close()
    return desk.book


async def test_orders_and_states_survive_a_restart(tmp_path):
    state = State(tmp_path / "state.db")
    desk = OrderDesk(state, NOW)
    desk.book.note_order(ORDER)
    desk.book.note_move(move())
    desk.book.note_move(move(before="emptying", after="empty", at=NOW + 1))
    assert await desk.save(NOW)
    assert [found.after for found in await desk.moves("r1", 10)] == ["empty", "emptying"]
    assert await desk.moves("r2", 10) == []
    await state.close()
    book = await reopened(tmp_path / "state.db")
    assert book.orders == {"o1": ORDER}
    assert book.states["r1"].after == "empty"
    assert not book.is_unsaved


async def test_a_changed_order_replaces_the_old_one_and_an_ended_one_does_not_come_back(tmp_path):
    state = State(tmp_path / "state.db")
    desk = OrderDesk(state, NOW)
    desk.book.note_order(ORDER)
    await desk.save(NOW)
    desk.book.note_order(replace(ORDER, most_watts=5e6))
    await desk.save(NOW)
    assert (await orders_on_disk(tmp_path))["o1"].most_watts == 5e6
    assert desk.book.end_order("o1", NOW - 1)
    assert not desk.book.end_order("o2", NOW)
    await desk.save(NOW)
    await state.close()
    assert (await reopened(tmp_path / "state.db")).orders == {}


async def orders_on_disk(tmp_path):
    return (await reopened(tmp_path / "state.db")).orders


async def test_what_the_disk_refuses_holds_and_is_written_later(tmp_path):
    state = State(tmp_path / "away" / "state.db")
    desk = OrderDesk(state, NOW)
    desk.book.note_order(ORDER)
    desk.book.note_move(move())
    assert not await desk.save(NOW)
    assert desk.book.applied(Site(name="s"), NOW).orders == (ORDER,)
    assert [found.after for found in await desk.moves("r1", 10)] == ["emptying"]
    (tmp_path / "away").mkdir()
    assert await desk.save(NOW)
    assert len(await desk.moves("r1", 10)) == 1
    await state.close()
    assert (await reopened(tmp_path / "away" / "state.db")).orders == {"o1": ORDER}


async def test_a_file_of_an_older_keeld_is_taken_over(tmp_path):
    path = tmp_path / "state.db"
    await State(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO curtail (name, target, begins_ns, ends_ns, body) VALUES ('x','site:s',0,?,'{')", (NOW * 2,)
        )
    connection.close()
    assert (await reopened(path)).orders == {}


BUDGETS = {"": RackBudget(power_watts=1.0), "mining": RackBudget(power_watts=128e3), "ai": RackBudget(power_watts=33e3)}


def site(state="mining"):
    return Site(name="s", racks={"r1": Rack(id="r1", state=state, budget=BUDGETS[state], budgets=BUDGETS)})


def test_a_move_selects_state_and_budget():
    book = OrderBook({}, {}, [])
    book.note_move(move(after="ai"))
    rack = book.applied(site(), NOW).racks["r1"]
    assert (rack.state, rack.budget.power_watts) == ("ai", 33e3)
    book.note_move(move(before="ai", after="empty"))
    assert book.applied(site(), NOW).racks["r1"].budget.power_watts == 1.0


def test_the_configuration_counts_again_once_it_is_changed():
    book = OrderBook({}, {"r1": move(after="emptying", configured="mining")}, [])
    rack = book.applied(site("ai"), NOW).racks["r1"]
    assert (rack.state, rack.budget.power_watts) == ("ai", 33e3)
    (noted,) = book.pending
    assert (noted.before, noted.after, noted.owner) == ("emptying", "ai", CONFIGURATION)
    assert book.applied(site("ai"), NOW).racks["r1"].state == "ai"
    assert len(book.pending) == 1


def test_a_configuration_that_catches_up_makes_no_move():
    book = OrderBook({}, {"r1": move(after="ai", configured="mining")}, [])
    assert book.applied(site("ai"), NOW).racks["r1"].state == "ai"
    assert book.pending == []


@pytest.mark.parametrize("rack", ["r1", "gone"])
def test_a_rack_that_has_gone_is_left_out(rack):
    book = OrderBook({}, {rack: move(rack=rack, after="ai")}, [])
    assert set(book.applied(site(), NOW).racks) == {"r1"}

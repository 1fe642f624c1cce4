"""What power nodes carry and what feeds them, driven in simulated time: rules 2, 10, 11, 12, 30, 35, 39, 45, 47."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from keeld.errors import Outage
from keeld.metrics import (
    APPARENT_POWER,
    BREAKER,
    CURRENT,
    FUEL,
    GENERATOR,
    POWER,
    POWER_SOURCE,
    REACTIVE_POWER,
    TEMPERATURE,
    UNIT_ALARM,
    VOLTAGE,
)
from keeld.model import Device, Rack, RackBudget, Reading, Site
from keeld.trees import PowerNode, PowerSource
from keeld.views import Verdict

Answer = tuple[Reading, ...] | Outage | None
VOLTS = 415.0
LINES = ("L1", "L2", "L3")


def meter(name: str, node: str | None = None, **more: object) -> Device:
    return Device(id=name, site="s", kind="meter", driver="modbus", address=name, node=node, **more)


def site_of(*nodes: PowerNode, devices: Sequence[Device], racks: Sequence[Rack] = ()) -> Site:
    return Site(
        name="s",
        power={node.id: node for node in nodes},
        devices={device.id: device for device in devices},
        racks={rack.id: rack for rack in racks},
    )


def three(name: str, **more: object) -> PowerNode:
    fields = {"voltage_volts": VOLTS, "phases": 3, "breaker_amperes": 100.0, "limit_watts": None} | more
    return PowerNode(id=name, **fields)


def amperes(*lines: float) -> tuple[Reading, ...]:
    return tuple(Reading(CURRENT, value, phase) for phase, value in zip(LINES, lines, strict=True))


def rules_of(drive: Any) -> list[tuple[str, str]]:
    return [(move.rule, move.severity.value) for move in drive.pages]


def always(answer: Answer) -> Callable[[Device, float], Answer]:
    return lambda device, at_s: answer


def test_far_too_much_pages_on_the_second_sample(kit: type):
    drive = kit.drive(site_of(three("q"), devices=[meter("m", "q")]))
    drive.run(60, always(amperes(50, 50, 50)))
    drive.run(9, always(amperes(130, 50, 50)))
    assert ("breaker_severe", "critical") not in rules_of(drive)
    drive.run(12, always(amperes(130, 50, 50)))
    assert ("breaker_severe", "critical") in rules_of(drive)
    drive.run(400, always(amperes(50, 50, 50)))
    assert ("resolve", "breaker_severe", "q") in drive.notices


def test_one_sample_and_machines_that_start_are_no_surge(kit: type):
    drive = kit.drive(site_of(three("q"), devices=[meter("m", "q")]))
    drive.run(60, always(amperes(50, 50, 50)))
    drive.run(10, always(amperes(140, 50, 50)))
    drive.run(60, always(amperes(50, 50, 50)))
    drive.run(60, always(amperes(0, 0, 0)))
    drive.run(25, always(amperes(140, 140, 140)))
    drive.run(60, always(amperes(60, 60, 60)))
    assert rules_of(drive) == []


def test_a_surge_outlives_a_silent_meter(kit: type):
    drive = kit.drive(site_of(three("q"), devices=[meter("m", "q")]))
    drive.run(30, always(amperes(50, 50, 50)))
    drive.run(30, always(amperes(130, 130, 130)))
    drive.run(600, always(Outage.TIMEOUT))
    assert ("resolve", "breaker_severe", "q") not in drive.notices


def test_uneven_phases_are_a_finding_on_a_panel_and_a_warning_on_a_ups(kit: type):
    for name, severity in (("panel-a", "info"), ("ups-a", "warning")):
        drive = kit.drive(site_of(three(name), three("below", parent=name), devices=[meter("m", name)]))
        drive.run(1500, always(amperes(70, 40, 40)))
        assert rules_of(drive) == [("phase_unbalance", severity)]
        assert "L1" in drive.pages[0].text
        drive.run(3600, always(amperes(50, 50, 50)))
        assert drive.ends() == ["resolved"]


def test_uneven_phases_of_a_small_load_or_of_a_racks_own_pdu_are_nothing(kit: type):
    drive = kit.drive(site_of(three("panel-a"), three("below", parent="panel-a"), devices=[meter("m", "panel-a")]))
    drive.run(2000, always(amperes(20, 5, 5)))
    pdu = Device(id="p", site="s", kind="pdu", driver="modbus", address="p", rack="r", feed="a")
    rack = Rack(id="r", feeds={"a": "a-r"}, budget=RackBudget(power_watts=60e3))
    own = kit.drive(site_of(three("a-r"), devices=[pdu], racks=[rack]))
    own.run(2000, always((Reading(POWER, 30e3), *amperes(70, 30, 30))))
    assert drive.pages == own.pages == []


def mining_site(**more: object) -> Site:
    pdu = Device(id="p", site="s", kind="pdu", driver="modbus", address="p", rack="r", feed="a")
    rack = Rack(id="r", row="c", state="mining", feeds={"a": "q"}, budget=RackBudget(power_watts=90e3))
    return site_of(three("q", **more), devices=[pdu, meter("m", "q")], racks=[rack])


def test_a_measured_neutral_warns_and_a_computed_one_informs(kit: type):
    measured = kit.drive(mining_site(neutral_amperes=30.0))
    measured.run(900, always((*amperes(40, 38, 39), Reading(CURRENT, 28.0, "N"))))
    assert rules_of(measured) == [("neutral_current", "warning")]
    computed = kit.drive(mining_site(neutral_amperes=30.0))
    computed.run(900, always(amperes(60, 10, 30)))
    assert ("neutral_current", "info") in rules_of(computed)
    assert "without harmonics" in next(page.text for page in computed.pages if page.rule == "neutral_current")
    delta = kit.drive(mining_site(wiring="delta"))
    delta.run(900, always((*amperes(60, 58, 59), Reading(CURRENT, 90.0, "N"))))
    assert "neutral_current" not in [rule for rule, _ in rules_of(delta)]


def kva_site(name: str) -> Site:
    return site_of(PowerNode(id=name, limit_volt_amperes=100e3), devices=[meter("m", name)])


def test_a_ups_over_its_rating_pages_within_a_minute_and_a_half(kit: type):
    load = (Reading(POWER, 90e3), Reading(APPARENT_POWER, 104e3))
    ups = kit.drive(kva_site("ups-a"))
    ups.run(95, always(load))
    assert rules_of(ups) == [("kva_over", "critical")]
    assert "104 of 100 kVA ups rating" in ups.pages[0].text
    transformer = kit.drive(kva_site("tx-1"))
    transformer.run(800, always(load))
    assert transformer.pages == []
    transformer.run(140, always(load))
    assert rules_of(transformer) == [("kva_over", "warning")]


def test_a_ups_that_swings_over_its_rating_is_not_over_it(kit: type):
    ups = kit.drive(kva_site("ups-a"))
    for _ in range(30):
        ups.run(20, always((Reading(POWER, 50e3), Reading(APPARENT_POWER, 50e3))))
        ups.run(20, always((Reading(POWER, 101e3), Reading(APPARENT_POWER, 102e3))))
    assert ups.pages == []


def test_apparent_power_is_summed_as_vectors(kit: type):
    pdus = [meter("m-1", "q-1"), meter("m-2", "q-2")]
    nodes = [PowerNode(id="ups-a", limit_volt_amperes=110e3)]
    nodes += [PowerNode(id=f"q-{n}", parent="ups-a", limit_watts=80e3) for n in (1, 2)]
    drive = kit.drive(site_of(*nodes, devices=pdus))

    def poll(device: Device, at_s: float) -> Answer:
        watts, factor = (60e3, 0.98) if device.id == "m-1" else (40e3, 0.80)
        return (Reading(POWER, watts), Reading(REACTIVE_POWER, watts * (1 / factor**2 - 1) ** 0.5))

    drive.run(700, poll)
    node = next(node for node in drive.watch.view(kit.at(drive.now_s)).nodes if node.id == "ups-a")
    judged = next(item for item in node.judgements if item.constraint == "apparent_power")
    assert judged.verdict is Verdict.OK
    assert round(judged.value.best) == 108_533
    assert drive.pages == []


def test_single_phase_circuits_load_the_lines_they_are_on(kit: type):
    nodes = [
        three("panel", breaker_amperes=100.0),
        PowerNode(id="one", parent="panel", breaker_amperes=80.0, voltage_volts=240.0, lines=("L1",)),
        PowerNode(id="two", parent="panel", breaker_amperes=80.0, voltage_volts=415.0, lines=("L1", "L2")),
    ]
    drive = kit.drive(site_of(*nodes, devices=[meter("m-1", "one"), meter("m-2", "two")]))
    drive.run(60, always((Reading(CURRENT, 30.0), Reading(POWER, 7e3))))
    panel = next(node for node in drive.watch.view(kit.at(drive.now_s)).nodes if node.id == "panel")
    best = {item.constraint: item.value.best for item in panel.judgements}
    assert round(best["current/L1"], 2) == round(((30 + 30 * 3**0.5 / 2) ** 2 + 15**2) ** 0.5, 2)
    assert (round(best["current/L2"], 6), round(best["current/L3"], 6)) == (30.0, 0.0)


def test_the_breaker_is_judged_where_it_stands(kit: type):
    node = three("q", breaker_kind="thermal_40c", ambient_device="t", ambient_celsius=30.0)
    sensor = Device(id="t", site="s", kind="sensor", driver="modbus", address="t", node="q")
    drive = kit.drive(site_of(node, devices=[meter("m", "q"), sensor]))

    def poll(device: Device, at_s: float) -> Answer:
        if device.id == "m":
            return amperes(92, 92, 92)
        return (Reading(TEMPERATURE, 55.0, "intake"),) if at_s < 500 else Outage.TIMEOUT

    drive.run(300, poll)
    assert ("breaker_overload", "critical") in rules_of(drive)
    overload = next(page for page in drive.pages if page.rule == "breaker_overload")
    assert "environment at 55 °C measured" in overload.text
    drive.run(1200, poll)
    view = next(node for node in drive.watch.view(kit.at(drive.now_s)).nodes if node.id == "q")
    assert "t is silent" in view.judgements[0].base


def branch_site() -> Site:
    parts = (("branch/1", "b-1"), ("branch/2", "b-2"))
    branches = [
        PowerNode(id=name, parent="panel", breaker_amperes=32.0, voltage_volts=240.0, lines=("L1",))
        for name in ("b-1", "b-2")
    ]
    return site_of(three("panel"), *branches, devices=[meter("m", None, measures=parts)])


def branches(one: float, two: float) -> tuple[Reading, ...]:
    return (Reading(CURRENT, one, "branch/1"), Reading(CURRENT, two, "branch/2"))


def test_a_branch_that_carries_nothing_while_its_sibling_does_has_tripped(kit: type):
    drive = kit.drive(branch_site())
    drive.run(60, always(branches(20, 18)))
    drive.run(9, always(branches(0, 18)))
    assert drive.pages == []
    drive.run(12, always(branches(0, 18)))
    assert rules_of(drive) == [("breaker_tripped", "critical")]
    assert drive.pages[0].target_id == "b-1"
    assert "20.0 A before" in drive.pages[0].text
    drive.run(300, always(branches(0, 0)))
    drive.run(300, always(Outage.TIMEOUT))
    assert ("resolve", "breaker_tripped", "b-1") not in drive.notices
    drive.run(200, always(branches(19, 18)))
    assert ("resolve", "breaker_tripped", "b-1") in drive.notices


def test_branches_that_stop_together_or_run_down_have_not_tripped(kit: type):
    together = kit.drive(branch_site())
    together.run(60, always(branches(20, 18)))
    together.run(120, always(branches(0, 0)))
    down = kit.drive(branch_site())
    down.run(60, always(branches(20, 18)))
    down.run(30, always(branches(0.4, 18)))
    down.run(120, always(branches(0, 18)))
    spare = kit.drive(branch_site())
    spare.run(300, always(branches(0, 18)))
    assert together.pages == down.pages == spare.pages == []


def test_contacts_tell_a_trip_at_once_and_a_spare_is_none(kit: type):
    drive = kit.drive(branch_site())
    closed = (Reading(BREAKER, 1.0, "branch/1"), Reading(BREAKER, 0.0, "branch/2"))
    drive.run(60, always(closed))
    assert drive.pages == []
    drive.run(11, always((Reading(BREAKER, 2.0, "branch/1"), Reading(BREAKER, 0.0, "branch/2"))))
    assert [(page.rule, page.target_id) for page in drive.pages] == [("breaker_tripped", "b-1")]


def test_a_restart_neither_repeats_nor_forgets_a_trip(kit: type):
    drive = kit.drive(branch_site())
    drive.run(60, always(branches(20, 18)))
    drive.run(40, always(branches(0, 18)))
    after = kit.drive(branch_site(), restored=drive.watch.snapshot(), start_s=drive.now_s + 5)
    after.run(300, always(branches(0, 18)))
    assert after.notices == []
    after.run(300, always(branches(20, 18)))
    assert after.notices == [("resolve", "breaker_tripped", "b-1")]


def test_a_pdu_that_reports_a_fault_is_believed_and_its_warnings_are_not_passed_on(kit: type):
    drive = kit.drive(site_of(three("q"), devices=[meter("m", "q")]))
    drive.run(60, always((*amperes(1, 1, 1), Reading(UNIT_ALARM, 2.0))))
    assert drive.pages == []
    drive.run(60, always((*amperes(1, 1, 1), Reading(UNIT_ALARM, 3.0))))
    assert rules_of(drive) == [("pdu_alarm_passthrough", "critical")]


def ups_site() -> Site:
    ups = Device(id="u", site="s", kind="ups", driver="modbus", address="u", node="ups-a")
    return site_of(PowerNode(id="ups-a", limit_watts=100e3), devices=[ups])


def on_source(number: float) -> tuple[Reading, ...]:
    return (Reading(POWER, 40e3), Reading(POWER_SOURCE, number))


def test_a_ups_on_battery_is_critical_and_on_bypass_a_warning(kit: type):
    battery = kit.drive(ups_site())
    battery.run(60, always(on_source(1.0)))
    battery.run(90, always(on_source(2.0)))
    assert [page.severity.value for page in battery.pages] == ["warning"]
    assert [notice for notice, _, _ in battery.notices] == ["trigger", "escalate"]
    assert "on battery" in battery.pages[0].text
    battery.run(120, always(on_source(1.0)))
    assert battery.ends() == ["resolved"]
    bypass = kit.drive(ups_site())
    bypass.run(60, always(on_source(1.0)))
    bypass.run(600, always(on_source(3.0)))
    assert [notice for notice, _, _ in bypass.notices] == ["trigger"]


def test_what_one_device_told_of_a_supply_does_not_end_by_another(kit: type):
    tank = Device(id="tank", site="s", kind="meter", driver="modbus", address="t", node="ups-a")
    site = ups_site()
    site = replace(site, devices={**site.devices, "tank": tank})
    full = (Reading(FUEL, 0.9),)

    def poll(answer):
        return lambda device, _: full if device.id == "tank" else answer

    drive = kit.drive(site).run(60, poll(on_source(1.0))).run(120, poll(on_source(2.0))).run(900, poll(Outage.TIMEOUT))
    assert "source_changed" in {alarm.rule for alarm in drive.watch.snapshot()}
    after = kit.drive(site, restored=drive.watch.snapshot(), start_s=drive.now_s + 5).run(300, poll(Outage.TIMEOUT))
    assert [move for _, move in after.moves if move.rule == "source_changed"] == []
    after.run(120, poll(on_source(1.0)))
    assert ("resolve", "source_changed", "ups-a") in after.notices


def test_a_generator_that_fails_and_a_tank_that_empties_are_told(kit: type):
    drive = kit.drive(ups_site())
    drive.run(120, always((Reading(GENERATOR, 2.0), Reading(FUEL, 0.05))))
    text = drive.moves[-1][1].text
    assert "its generator has failed" in text
    assert "5 % of its fuel is left" in text


def test_the_generator_carries_the_load_and_sets_the_limit(kit: type):
    sources = {"utility": PowerSource(100e3), "generator": PowerSource(30e3, "genset")}
    nodes = [
        PowerNode(id="utility", limit_watts=200e3),
        PowerNode(id="genset", limit_watts=50e3),
        PowerNode(id="ats", parent="utility", sources=sources),
    ]
    teller = Device(id="u", site="s", kind="ups", driver="modbus", address="u", node="ats")
    drive = kit.drive(site_of(*nodes, devices=[teller]))

    def draws() -> dict[str, tuple[float, float]]:
        return {node.id: (node.draw.lo, node.draw.hi) for node in drive.watch.view(kit.at(drive.now_s)).nodes}

    drive.run(60, always(on_source(1.0)))
    assert draws()["utility"] == (40e3, 40e3)
    drive.run(400, always(on_source(4.0)))
    assert draws()["genset"] == (40e3, 40e3)
    ats = next(node for node in drive.watch.view(kit.at(drive.now_s)).nodes if node.id == "ats")
    assert ats.verdict is Verdict.OVER
    drive.run(400, always(Outage.TIMEOUT))
    now = draws()
    assert now["utility"][0] == now["genset"][0] == 0.0
    assert now["utility"][1] > 40e3


def pdu_hall(kit: type, volts: Callable[[str], float]) -> Any:
    nodes = [three("panel", breaker_amperes=400.0)]
    devices, racks = [], []
    for n in (1, 2, 3):
        nodes.append(three(f"a-{n}", parent="panel"))
        devices.append(
            Device(id=f"p-{n}", site="s", kind="pdu", driver="modbus", address=f"p{n}", rack=f"r{n}", feed="a")
        )
        racks.append(Rack(id=f"r{n}", feeds={"a": f"a-{n}"}, budget=RackBudget(power_watts=60e3)))
    drive = kit.drive(site_of(*nodes, devices=devices, racks=racks))

    def poll(device: Device, at_s: float) -> Answer:
        return (Reading(POWER, 5e3), *(Reading(VOLTAGE, volts(device.id), phase) for phase in LINES))

    drive.run(200, poll)
    return drive


def test_one_low_voltage_is_its_circuits_and_all_of_them_are_the_panels(kit: type):
    assert pdu_hall(kit, lambda name: 240.0).pages == []
    one = pdu_hall(kit, lambda name: 205.0 if name == "p-2" else 240.0)
    assert [(page.rule, page.target_id) for page in one.pages] == [("voltage_band", "a-2")]
    everywhere = pdu_hall(kit, lambda name: 205.0)
    assert [(page.rule, page.target_id) for page in everywhere.pages] == [("voltage_band", "panel")]
    assert "all 3 measured circuits" in everywhere.pages[0].text
    dead = pdu_hall(kit, lambda name: 3.0 if name == "p-2" else 240.0)
    assert [page.rule for page in dead.pages] == ["feed_dead"]


def test_what_may_be_over_its_limit_unseen_is_told_after_half_an_hour(kit: type):
    pdu = Device(id="p", site="s", kind="pdu", driver="modbus", address="p", rack="r", feed="a")
    other = Device(id="p2", site="s", kind="pdu", driver="modbus", address="p2", rack="r", feed="b")
    rack = Rack(id="r", feeds={"a": "a-r", "b": "b-r"}, redundancy="2N", budget=RackBudget(power_watts=40e3))
    drive = kit.drive(site_of(three("a-r"), three("b-r"), devices=[pdu, other], racks=[rack]))
    drive.run(300, always((Reading(POWER, 12e3), *amperes(17, 17, 17))))

    def half(device: Device, at_s: float) -> Answer:
        return Outage.TIMEOUT if device.id == "p" else (Reading(POWER, 12e3), *amperes(17, 17, 17))

    drive.run(1700, half)
    assert "possible_breach" not in [rule for rule, _ in rules_of(drive)]
    drive.run(1500, half)
    told = [page for page in drive.pages if page.rule == "possible_breach"]
    assert len(told) <= 1
    assert all("CAN'T TELL" in page.text and "no data from p" in page.text for page in told)


def test_reload_keeps_what_a_breaker_carried(kit: type):
    drive = kit.drive(branch_site())
    drive.run(60, always(branches(20, 18)))
    site = branch_site()
    site.power["b-2"] = replace(site.power["b-2"], label="spare")
    drive.watch.reload(site, {}, kit.at(drive.now_s))
    drive.run(30, always(branches(0, 18)))
    assert [(page.rule, page.target_id) for page in drive.pages] == [("breaker_tripped", "b-1")]

"""Conservation and consequences: power in is heat out, and a dead feed moves its load."""

from dataclasses import replace

import pytest

from keeld.simulate.effects import NOTHING
from keeld.simulate.machines import MinerMode, Pace
from keeld.simulate.plant import Plant
from keeld.simulate.quantities import measure

PACE = Pace(controller_boot_s=4, miner_boot_s=10, miner_ramp_s=20)


@pytest.fixture
def plant(quiet_site):
    return Plant(quiet_site, seed=3, pace=PACE)


def run(plant, seconds, **effects):
    plant.effects = replace(NOTHING, **effects)
    for _ in range(int(seconds / 0.25)):
        plant.step(0.25)


def wall_watts(plant, kind=""):
    return sum(load.machine.wall_watts for load in plant.loads.values() if kind in load.device.kind)


def test_what_taps_carry_is_what_machines_draw(plant):
    run(plant, 30)
    assert sum(tap.power.watts for tap in plant.taps.values()) == pytest.approx(wall_watts(plant))


def test_the_root_carries_everything_and_the_losses_on_the_way(plant):
    run(plant, 30)
    nodes = plant.nodes
    assert nodes["panel-a"].watts == pytest.approx(nodes["g-a"].watts + nodes["m-a"].watts)
    assert nodes["utility"].watts == pytest.approx(nodes["panel-a"].watts / 0.97 + nodes["panel-b"].watts)


def test_a_root_that_gives_only_a_limit_has_the_phases_of_what_hangs_on_it(plant):
    run(plant, 10)
    assert plant.site.power["utility"].phases == 1
    assert plant.nodes["utility"].phases == 3


def test_power_in_is_heat_out(plant):
    run(plant, 600)
    node = plant.loads["node"].machine
    heat = plant.zones["hall"].heat_watts + plant.loops["loop"].heat_watts
    assert heat == pytest.approx(node.wall_watts)
    assert plant.loops["loop"].heat_watts == pytest.approx(0.8 * node.wall_watts)


def test_a_supply_turns_the_rest_into_heat(plant):
    run(plant, 10)
    node = plant.loads["node"].machine
    output = 0.23 * node.nameplate_watts + sum(gpu.power_watts for gpu in node.gpus)
    assert 0.94 < output / node.wall_watts < 0.97


def test_energy_is_power_over_time(plant):
    run(plant, 20)
    meter = plant.taps["m1", "a"].power
    before, watts = meter.energy_watt_hours, 0.0
    for _ in range(400):
        watts += meter.watts
        plant.step(0.25)
    assert meter.energy_watt_hours - before == pytest.approx(watts * 0.25 / 3600)


def test_training_swings_between_two_loads(plant):
    node = plant.loads["node"].machine
    seen = []
    for _ in range(40):
        plant.step(0.25)
        seen.append(node.wall_watts)
    assert min(seen) == pytest.approx(5634, rel=0.02)
    assert max(seen) == pytest.approx(8228, rel=0.02)


def test_a_meter_shows_a_mean_of_the_swing(plant):
    run(plant, 20)
    seen = []
    for _ in range(40):
        plant.step(0.25)
        seen.append(measure(plant, plant.site.devices["pdu-a"])["power_watts", ""])
    assert max(seen) - min(seen) < 700
    assert sum(seen) / 40 == pytest.approx(6931 / 2, rel=0.02)


def test_a_dead_feed_moves_its_load_to_the_other(plant):
    run(plant, 20, training_load={"node": 1.0})
    before = plant.taps["g1", "b"].power.watts
    run(plant, 2, training_load={"node": 1.0}, dead_nodes=frozenset({"g-a"}))
    assert plant.taps["g1", "a"].power.watts == 0
    # three of six supplies carry all of it, each nearer to its full load and a little less efficient
    assert plant.taps["g1", "b"].power.watts == pytest.approx(2 * before, rel=0.02)
    assert plant.loads["node"].machine.answers


def test_too_few_supplies_brake_the_gpus(quiet_site):
    node = replace(quiet_site.devices["node"], psus_needed=4)
    plant = Plant(replace(quiet_site, devices={**quiet_site.devices, "node": node}), seed=3, pace=PACE)
    run(plant, 10, training_load={"node": 1.0}, dead_nodes=frozenset({"g-a"}))
    assert plant.loads["node"].machine.wall_watts <= 3 * 2550 * 1.001
    assert plant.loads["node"].machine.gpus[0].throttle_brake_s > 8


def test_a_pdu_dies_with_its_inlet_and_boots_after_it(plant):
    pdu = plant.site.devices["pdu-a"]
    run(plant, 2)
    assert plant.answers(pdu)
    run(plant, 5, dead_nodes=frozenset({"panel-a"}))
    assert not plant.answers(pdu)
    run(plant, 3)
    assert not plant.answers(pdu)
    run(plant, 2)
    assert plant.answers(pdu)


def test_a_link_powered_pdu_reads_no_volts(quiet_site):
    plant = Plant(quiet_site, pace=PACE, link_powered=frozenset({"pdu-a"}))
    run(plant, 5, dead_nodes=frozenset({"g-a"}))
    pdu = plant.site.devices["pdu-a"]
    assert plant.answers(pdu)
    found = measure(plant, pdu)
    assert (found["voltage_volts", ""], found["power_watts", ""], found["current_amperes", ""]) == (0, 0, 0)


def test_miners_die_with_the_feed_and_come_back_slowly(plant):
    miner = plant.loads["ant-1"].machine
    run(plant, 2, dead_nodes=frozenset({"m-a"}))
    assert (miner.mode, miner.wall_watts, miner.answers) == (MinerMode.OFF, 0, False)
    run(plant, 5)
    assert miner.mode is MinerMode.BOOTING
    run(plant, 10)
    assert miner.mode is MinerMode.RAMPING
    assert 0 < miner.hashrate < 0.9 * miner.rated_hashrate
    run(plant, 25)
    assert miner.mode is MinerMode.MINING
    assert miner.wall_watts == pytest.approx(0.96 * 3250, rel=0.02)


def test_stopped_by_power_leaves_the_meter_alive(plant):
    run(plant, 5, unpowered=frozenset({"ant-1", "ant-2", "ant-3", "what-1", "what-2"}))
    meter = plant.site.devices["meter"]
    assert plant.answers(meter)
    assert measure(plant, meter)["power_watts", ""] == pytest.approx(0, abs=600)
    assert measure(plant, meter)["voltage_volts", "L1"] == pytest.approx(239.6, rel=0.02)


def test_stopped_by_network_leaves_the_load(plant):
    before = wall_watts(plant, "miner")
    run(plant, 5, silent=frozenset({"ant-1"}))
    assert not plant.answers(plant.site.devices["ant-1"])
    assert wall_watts(plant, "miner") == pytest.approx(before, rel=0.02)


def test_stopped_by_pool_leaves_idle_machines_that_answer(plant):
    run(plant, 5, poolless=frozenset({"ant-1"}))
    miner = plant.loads["ant-1"].machine
    assert (miner.mode, miner.answers, miner.hashrate) == (MinerMode.IDLE, True, 0)
    assert miner.wall_watts == pytest.approx(0.04 * 3250)


def test_a_hot_hall_slows_miners_and_then_stops_them(quiet_site):
    racks = {**quiet_site.racks, "m1": replace(quiet_site.racks["m1"], cooling_air="hall")}
    plant = Plant(replace(quiet_site, racks=racks), pace=PACE)
    full = wall_watts(plant, "miner")
    plant.zones["hall"].return_celsius = 43.0
    run(plant, 1, failed_cooling={"hall": 1.0})
    assert 0.7 * full < wall_watts(plant, "miner") < 0.9 * full
    plant.zones["hall"].return_celsius = 50.0
    run(plant, 1, failed_cooling={"hall": 1.0})
    assert wall_watts(plant, "miner") < 0.1 * full


def test_gpus_slow_down_when_the_coolant_stops(plant):
    run(plant, 900, lost_flow={"loop": 0.98}, training_load={"node": 1.0})
    gpu = plant.loads["node"].machine.gpus[0]
    assert gpu.throttle_thermal_s > 10
    assert gpu.celsius < 100


def test_the_same_seed_gives_the_same_site(quiet_site):
    first, second = Plant(quiet_site, seed=5), Plant(quiet_site, seed=5)
    run(first, 10)
    run(second, 10)
    assert measure(first, quiet_site.devices["meter"]) == measure(second, quiet_site.devices["meter"])


def test_phases_are_filled_in_turn(plant):
    run(plant, 10)
    found = measure(plant, plant.site.devices["meter"])
    # ant-1 and what-1 on L1, ant-2 and what-2 on L2, ant-3 on L3
    assert found["current_amperes", "L1"] == pytest.approx(found["current_amperes", "L2"], rel=0.05)
    assert found["current_amperes", "L3"] == pytest.approx(3120 / 0.99 / 239.6, rel=0.03)
    assert found["current_amperes", "N"] > 5

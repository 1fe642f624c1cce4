import pytest

from keeld.simulate.cooling import AirZone, LiquidLoop


def run(thing, heat_watts, seconds):
    for _ in range(int(seconds)):
        thing.step(heat_watts, 1.0)


def test_zone_stays_where_it_settled():
    zone = AirZone(90e3)
    zone.settle(45e3)
    before = zone.return_celsius
    run(zone, 45e3, 600)
    assert zone.return_celsius == pytest.approx(before, abs=0.01)
    assert zone.output_watts == pytest.approx(45e3, rel=1e-3)


def test_zone_removes_what_flows_in():
    zone = AirZone(90e3)
    zone.settle(20e3)
    run(zone, 60e3, 1800)
    assert zone.output_watts == pytest.approx(60e3, rel=1e-3)
    assert zone.return_celsius - zone.supply_celsius == pytest.approx(12, rel=1e-3)


def test_fans_slow_down_to_keep_the_rise_but_not_below_their_least():
    zone = AirZone(90e3)
    zone.settle(18e3)
    assert zone.return_celsius - zone.supply_celsius == pytest.approx(18e3 * 12 / (0.4 * 90e3))


def test_a_failed_zone_warms_by_the_heat_it_keeps():
    zone = AirZone(90e3)
    zone.settle(45e3)
    before = zone.return_celsius
    zone.failed_share = 1.0
    run(zone, 45e3, 60)
    assert zone.output_watts == 0
    assert zone.return_celsius - before == pytest.approx(45e3 * 60 / (90e3 * 15), rel=0.02)
    assert zone.intake_celsius == zone.return_celsius


def test_zone_with_half_its_units_removes_at_most_half():
    zone = AirZone(90e3, failed_share=0.5)
    zone.settle(40e3)
    run(zone, 80e3, 600)
    assert zone.output_watts == pytest.approx(45e3)


def test_loop_carries_heat_by_flow_and_rise():
    loop = LiquidLoop(115e3)
    loop.settle(115e3)
    assert loop.return_celsius - loop.supply_celsius == pytest.approx(10)
    assert loop.flow_litres_per_minute == pytest.approx(164.19, rel=1e-3)  # G15: PG25, 115 kW at 10 K
    assert loop.output_watts == pytest.approx(115e3)


def test_less_flow_means_warmer_return_and_less_grip():
    loop = LiquidLoop(40e3)
    loop.settle(20e3)
    before = loop.return_celsius
    loop.lost_flow_share = 0.7
    run(loop, 20e3, 120)
    assert loop.return_celsius > before + 10
    assert loop.flow_litres_per_minute == pytest.approx(0.3 * loop.design_flow_litres_per_minute)
    assert loop.grip == pytest.approx(0.6)


def test_loop_without_flow_does_not_boil_the_arithmetic():
    loop = LiquidLoop(40e3, lost_flow_share=1.0)
    run(loop, 20e3, 600)
    assert loop.return_celsius <= loop.supply_celsius + 60
    assert loop.output_watts == 0

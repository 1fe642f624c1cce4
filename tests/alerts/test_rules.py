from __future__ import annotations

import pytest

from keeld.alerts.rules import AI, MINING, PLANT, RANK, tuned
from keeld.alerts.shipped import SHIPPED
from keeld.model import Severity
from keeld.settings import RuleSettings

DENSITY = SHIPPED["rack_density_power"]


NUMBERS = {
    "breaker_overload": 1, "breaker_severe": 2, "continuous_over": 3, "redundancy_lost_load": 4,
    "redundancy_will_trip": 5, "redundancy_peak": 6, "feed_dead": 7, "psu_survivability": 8, "phase_unbalance": 10,
    "neutral_current": 11, "kva_over": 12, "rack_density_power": 13, "rack_density_air": 14, "rack_density_liquid": 15,
    "zone_cooling_n1": 16, "inlet_high": 17, "inlet_rate": 18, "dew_margin": 19, "tcs_supply_dev": 20, "flow_low": 21,
    "cdu_pump_lost": 22, "leak": 23, "loop_pressure": 24, "approach_rise": 25, "site_cap": 26, "demand_projected": 27,
    "curtail_noncompliance": 28, "forecast_breach": 29, "possible_breach": 30, "blind": 31, "source_stale": 32,
    "sensor_suspect": 33, "meter_mismatch": 34, "pdu_alarm_passthrough": 35, "keeld_delivery": 36,
    "keeld_heartbeat": 37, "alarm_quality": 38, "breaker_tripped": 39, "row_stopped": 40, "hashrate_low": 41,
    "pool_lost": 42, "gpu_missing": 43, "xid": 43, "gpu_braked": 44, "source_changed": 45, "cooling_unit_fault": 46,
    "voltage_band": 47, "redundancy_not_restored": 48, "unexpected_load": 49, "identity_changed": 50, "keeld_host": 51,
    "smoke": 52, "epo": 52, "door": 52,
}  # fmt: skip
JUDGED_RARELY = {"redundancy_peak", "alarm_quality"}
"""Once a day and once a week: the next judgement ends them, there is nothing to wait for. A door is open or shut."""


def test_what_ships_is_numbered_as_in_the_table():
    assert {rule.name: rule.number for rule in SHIPPED.values()} == NUMBERS


def test_every_number_ships_but_that_of_single_cords_which_are_findings():
    assert {rule.number for rule in SHIPPED.values()} == set(range(1, 53)) - {9}


@pytest.mark.parametrize("rule", SHIPPED.values(), ids=lambda rule: rule.name)
def test_every_rule_clears_on_the_good_side_of_its_limit_and_says_what_to_do(rule):
    assert 0.0 <= rule.deadband < 1.0
    assert rule.hysteresis >= 0.0
    assert rule.off_s > 0.0 or rule.name in JUDGED_RARELY | {"door"}
    assert rule.advice
    for levels in rule.levels.values():
        ranks = [RANK[level.severity] for level in levels]
        assert ranks == sorted(ranks)


@pytest.mark.parametrize("rule", SHIPPED.values(), ids=lambda rule: rule.name)
def test_a_rule_holds_back_rules_that_ship_and_itself_only_where_one_failure_means_many(rule):
    assert rule.inhibits <= set(SHIPPED)
    assert rule.name not in rule.inhibits or rule.name == "keeld_delivery"


def test_continuous_load_is_never_critical_and_mines_have_no_early_warning():
    assert all(level.severity is not Severity.CRITICAL for level in SHIPPED["continuous_over"].levels[PLANT])
    assert min(level.limit for level in DENSITY.levels[MINING]) == 1.0
    assert min(level.limit for level in DENSITY.levels[AI]) == 0.9
    assert MINING not in SHIPPED["rack_density_air"].levels


def test_untouched_settings_change_nothing():
    assert tuned(DENSITY, None) is DENSITY
    assert tuned(DENSITY, RuleSettings()) == DENSITY


def test_levels_keep_their_proportion_to_what_the_operator_set():
    rule = tuned(DENSITY, RuleSettings(limit=0.8, window_s=60.0, on_s=100.0, off_s=50.0, deadband=0.1))
    assert [round(level.limit, 6) for level in rule.levels[AI]] == [0.72, 0.8]
    assert [level.on_s for level in rule.levels[MINING]] == [100.0, 100.0, 300.0]
    assert {level.window_s for level in rule.levels[AI]} == {60.0}
    assert (rule.off_s, rule.deadband) == (50.0, 0.1)
    slow = tuned(SHIPPED["continuous_over"], RuleSettings(window_s=600.0))
    assert [level.window_s for level in slow.levels[PLANT]] == [600.0, 21_600.0]


@pytest.mark.parametrize(
    ("name", "set_name", "wanted", "expected"),
    [
        ("rack_density_power", AI, "warning", ["warning", "warning"]),
        ("rack_density_power", AI, "info", ["info", "info"]),
        ("continuous_over", PLANT, "critical", ["info", "critical"]),
        ("breaker_overload", PLANT, "critical", ["warning", "critical", "critical"]),
    ],
)
def test_severity_is_the_worst_that_a_rule_may_become(name, set_name, wanted, expected):
    rule = tuned(SHIPPED[name], RuleSettings(severity=Severity(wanted)))
    assert [level.severity.value for level in rule.levels[set_name]] == expected

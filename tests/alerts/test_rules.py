from __future__ import annotations

import pytest

from keeld.alerts.rules import AI, MINING, PLANT, RANK, tuned
from keeld.alerts.shipped import SHIPPED
from keeld.model import Severity
from keeld.settings import RuleSettings

DENSITY = SHIPPED["rack_density_power"]


def test_what_ships_is_numbered_as_in_the_table():
    numbers = {rule.name: rule.number for rule in SHIPPED.values()}
    assert numbers == {
        "breaker_overload": 1,
        "continuous_over": 3,
        "feed_dead": 7,
        "rack_density_power": 13,
        "rack_density_air": 14,
        "blind": 31,
        "source_stale": 32,
    }


@pytest.mark.parametrize("rule", SHIPPED.values(), ids=str)
def test_every_rule_clears_below_its_limit_and_says_what_to_do(rule):
    assert 0.0 <= rule.deadband < 1.0
    assert rule.off_s > 0.0
    assert rule.advice
    assert rule.name not in rule.inhibits
    for levels in rule.levels.values():
        ranks = [RANK[level.severity] for level in levels]
        assert ranks == sorted(ranks)


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

"""Rules in the configuration: where they hold, rules of one's own, routes, and how long to observe first."""

from __future__ import annotations

import pytest

from keeld.metrics import FAN_SPEED
from keeld.model import OwnRule, RuleSettings, Severity

SITE = """
site: {name: s}
power: {u: {limit_kw: 100}}
racks: {r1: {row: c, feeds: {a: u}, budget: {power_kw: 10}, tenant: acme}}
devices: {p1: {driver: modbus, profile: raritan_px, address: "tcp://10.0.0.1:502", rack: r1, feed: a}}
"""


@pytest.fixture
def told(check_text):
    """Problems of the site with a section of rules."""
    return lambda rules: [str(problem) for problem in check_text(SITE + rules).problems]


def test_rules_of_every_form_are_read(check_text):
    settings = check_text(
        SITE
        + """
rules:
  rack_density_power: {window: 10m}
  tight: {rule: rack_density_power, select: {row: c, tenant: "ac*"}, limit_ratio: 0.9}
  slow-fan: {metric: fan_rpm, part: "fan/*", select: {row: c}, below: 1000, clear: 1200, on: 2m, severity: critical}
observe: off
"""
    ).settings
    assert settings.observe_s == 0.0
    assert settings.rules["rack_density_power"] == RuleSettings(window_s=600.0)
    tight = settings.rules["tight"]
    assert (tight.of, dict(tight.select), tight.limit) == ("rack_density_power", {"row": "c", "tenant": "ac*"}, 0.9)
    own = settings.rules["slow-fan"]
    assert own.own == OwnRule(
        metric=FAN_SPEED, part="fan/*", limit=1000.0, is_floor=True, title="fan_rpm below 1000", hysteresis=200.0
    )
    assert (own.on_s, own.severity) == (120.0, Severity.CRITICAL)


@pytest.mark.parametrize(("written", "span_s"), [("", 72 * 3600.0), ("observe: 24h", 86400.0), ("observe: 'off'", 0.0)])
def test_what_is_new_is_observed_for_three_days_unless_said_otherwise(check_text, written, span_s):
    assert check_text(SITE + written).settings.observe_s == span_s


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("rules: {leek: {on: 5m}}", "unknown rule 'leek'; did you mean `leak`?"),
        ("rules: {x: {rule: leek, select: {row: c}}}", "unknown rule 'leek'"),
        ("rules: {x: {rule: leak}}", "x changes leak nowhere in particular; add `select`"),
        ("rules: {leak: {select: {rwo: c}}}", "nothing is selected by 'rwo'; did you mean `row`?"),
        ("rules: {leak: {select: {row: d}}}", "no row 'd' in this configuration"),
        ("rules: {leak: {select: {rack: r9}}}", "no rack 'r9' in this configuration"),
        ("rules: {leak: {below: 5}}", "`below` is for rules with a `metric`"),
        ("rules: {leak: {metric: fan_rpm, below: 5}}", "'leak' is a rule that ships"),
        ("rules: {x: {metric: fan_rmp, below: 5}}", "no metric 'fan_rmp'; did you mean `fan_rpm`?"),
        ("rules: {x: {metric: fan_rpm}}", "x needs `above` or `below`"),
        ("rules: {x: {metric: fan_rpm, above: 5, below: 3}}", "x needs `above` or `below`"),
        ("rules: {x: {metric: fan_rpm, below: 5, clear: 4}}", "x would clear at 4, below its limit 5; write 5 or more"),
        ("rules: {x: {metric: fan_rpm, above: 5, clear: 6}}", "x would clear at 6, above its limit 5; write 5 or less"),
        ("rules: {x: {metric: fan_rpm, above: 5, limit_ratio: 1}}", "`limit_ratio` is for rules that ship"),
        ("rules: {x: {metric: fan_rpm, above: .nan}}", "not finite"),
        ("rules: {leak: {route: pagr}}\nnotify: [{kind: pagerduty, routing_key_file: k}]", "no channel 'pagr'"),
        ("observe: 40d", "out of bounds"),
        ("observe: never", "is no duration"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_and_a_remedy(told, rules, words):
    problems = told(rules)
    assert [problem for problem in problems if words in problem], problems
    assert all(":" in problem and ";" in problem for problem in problems)

"""The page on alerts says what the rules say; run this file to print the table it should hold."""

from __future__ import annotations

import sys
from pathlib import Path

from keeld.alerts.rules import Level, Rule
from keeld.alerts.shipped import SHIPPED
from keeld.config.rulebook import RULES

UNITS = {name: limit.unit for name, limit in RULES.items() if limit is not None}
UNIT_OF = {"forecast_breach": "min", "inlet_high": "K", "inlet_rate": "K/min"}
PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"


def span(seconds: float) -> str:
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def figure(rule: Rule, value: float) -> str:
    """A limit or a distance in the unit that the rule judges in."""
    if rule.name in UNIT_OF:
        return f"{value:.3g} {UNIT_OF[rule.name]}"
    return f"{value:.3g} K" if UNITS.get(rule.name) == "k" else f"{value * 100:g} %"


def level(rule: Rule, found: Level, *, is_state: bool) -> str:
    side = "<" if rule.is_floor else ">"
    words = (
        str(found.severity) if is_state or not found.limit else f"{found.severity} {side} {figure(rule, found.limit)}"
    )
    if found.window_s:
        words += f", mean of {span(found.window_s)}"
    if found.on_s:
        words += f", for {span(found.on_s)}"
    return f"{words}, with {found.needs}" if found.needs else words


def distance_of(rule: Rule) -> str:
    """How far beyond its limit a value must be for the alarm to clear; empty where the limit itself is enough."""
    if rule.hysteresis:
        return figure(rule, rule.hysteresis).replace(" %", " points").replace("1 points", "1 point")
    return f"{rule.deadband * 100:g} %" if rule.deadband else ""


def row(rule: Rule) -> str:
    is_state = rule.base == 0.5  # half-way between "it is not so" and "it is so"
    levels = "; ".join(
        f"**{name}**: {'; '.join(level(rule, each, is_state=is_state) for each in found)}"
        for name, found in rule.levels.items()
    )
    back = ", ".join(sorted(rule.inhibits)) or "-"
    side = "above" if rule.is_floor else "below"
    distance = f"{distance_of(rule)} {side}, " if distance_of(rule) and not is_state else ""
    clears = f"{distance}for {span(rule.off_s)}" if rule.off_s else "at once"
    if rule.is_latched:
        clears = "when closed by hand"
    return f"| {rule.number} | `{rule.name}` | {levels} | {clears} | {back} |"


def expected_rows() -> list[str]:
    return [row(rule) for rule in sorted(SHIPPED.values(), key=lambda rule: rule.number)]


def test_the_table_of_rules_is_what_ships() -> None:
    lines = PAGE.read_text().splitlines()

    assert [line for line in lines if line.startswith("| ") and "`" in line] == expected_rows()


if __name__ == "__main__":
    sys.stdout.write("\n".join(expected_rows()) + "\n")

"""The page on alerts says what the rules say; run this file to print the table it should hold."""

from __future__ import annotations

import sys
from pathlib import Path

from keeld.alerts.rules import Level, Rule
from keeld.alerts.shipped import SHIPPED

PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"


def span(seconds: float) -> str:
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def level(found: Level, *, is_state: bool) -> str:
    words = str(found.severity) if is_state else f"{found.severity} > {found.limit:.0%}"
    if found.window_s:
        words += f", mean of {span(found.window_s)}"
    if found.on_s:
        words += f", for {span(found.on_s)}"
    return f"{words}, with {found.needs}" if found.needs else words


def row(rule: Rule) -> str:
    is_state = rule.base == 0.5  # half-way between "it is not so" and "it is so"
    levels = "; ".join(
        f"{name}: {', '.join(level(each, is_state=is_state) for each in found)}" for name, found in rule.levels.items()
    )
    back = ", ".join(sorted(rule.inhibits)) or "-"
    clears = f"for {span(rule.off_s)}" if is_state else f"{rule.deadband:.0%} below for {span(rule.off_s)}"
    return f"| {rule.number} | `{rule.name}` | {levels} | {clears} | {back} |"


def expected_rows() -> list[str]:
    return [row(rule) for rule in sorted(SHIPPED.values(), key=lambda rule: rule.number)]


def test_the_table_of_rules_is_what_ships() -> None:
    lines = PAGE.read_text().splitlines()

    assert [line for line in lines if line.startswith("| ") and "`" in line] == expected_rows()


if __name__ == "__main__":
    sys.stdout.write("\n".join(expected_rows()) + "\n")

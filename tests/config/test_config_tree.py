"""How power nodes may hang on one another, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keeld.config import Checked

CheckText = Callable[..., Checked]

TREE = """\
site: {name: s}
power:
  utility: {limit_kw: 1000}
  genset: {limit_kw: 400}
  ats: {parent: utility, sources: {utility: {limit_kw: 900}, generator: {limit_kw: 400, parent: genset}}}
  panel: {parent: ats, breaker_a: 400, voltage_v: 415, phases: 3}
  q1: {parent: panel, breaker_a: 32, voltage_v: 240, lines: L1, neutral_a: 1}
racks:
  r1: {feeds: {a: q1}}
devices:
  - {name: p1, driver: modbus, profile: raritan_px, address: "tcp://10.0.0.1:502", rack: r1, feed: a}
  - {name: t1, driver: modbus, profile: probe, address: "tcp://10.0.0.2:502", at: panel}
"""
SOUND = TREE.replace(", neutral_a: 1", "")

ERRORS = [
    ("lines: L1", "lines: L1, neutral_a: 30", "`neutral_a` of 'q1' without three phases"),
    ("lines: L1", "lines: L1, wiring: delta", "`wiring` of 'q1' without three phases"),
    ("phases: 3}", "phases: 3, wiring: delta, neutral_a: 300}", "'panel' is a delta with a neutral"),
    ("phases: 3}", "phases: 3, lines: L1-L2}", "'panel' has `lines` and three phases"),
    (
        "400, voltage_v: 415, phases: 3",
        "400, voltage_v: 240, phases: 1",
        "'q1' is on L1 of 'panel', which has no three",
    ),
    ("phases: 3}", "phases: 3, current: dc}", "'panel' is direct current with phases"),
    ("lines: L1", "current: dc, power_factor: 0.9", "'q1' is direct current with a power factor"),
    ("lines: L1", "current: dc, limit_kva: 9", "'q1' is direct current rated in kVA"),
    ("phases: 3}", "phases: 3, breaker_kind: thermal_40c, ambient: t9}", "told by 't9', which is no device"),
    ("parent: genset", "parent: gensett", "comes from 'gensett', which is no power node"),
    ("parent: genset", "parent: ats", "source 'generator' of 'ats' comes from itself"),
    ("parent: genset", "parent: q1", "source 'generator' of 'ats' comes from 'q1', which 'ats' itself feeds"),
    ("{parent: utility, sources", "{parent: utility, source: mains, sources", "source 'mains' of 'ats' is none of"),
    ("lines: L1", "lines: L1, share: 0", "share"),
    ("lines: L1", "lines: L1, derate: 1.2", "derate"),
    ("lines: L1", "lines: L4", "lines"),
    ("rack: r1, feed: a", "rack: r1, feed: a, meter_class: 1", "meter_class"),
]
WARNINGS = [
    (", lines: L1", "", "'q1' does not say which lines of 'panel' it is on"),
    ("voltage_v: 240, lines: L1", "voltage_v: 240, lines: L1-L2", "between two lines of 'panel' there are 415 V"),
    ("phases: 3}", "phases: 3, ambient: t1}", "'panel' has an ambient sensor and an electronic breaker"),
    ("  genset:", "  x7: {parent: utility, limit_kva: 500}\n  genset:", "'x7' has a kVA rating and is taken as"),
]


def lines_of(checked: Checked) -> list[str]:
    return [str(problem) for problem in (*checked.problems, *checked.warnings)]


def test_a_tree_with_sources_and_lines_is_sound(check_text: CheckText) -> None:
    checked = check_text(SOUND)
    assert [str(problem) for problem in checked.problems] == []
    power = checked.settings.site.power
    assert power["q1"].lines == ("L1",)
    assert power["ats"].sources["generator"].parent == "genset"
    assert power["ats"].sources["generator"].limit_watts == 400e3


@pytest.mark.parametrize(("right", "wrong", "line"), ERRORS, ids=[error[1][:50] for error in ERRORS])
def test_what_cannot_be_meant_is_refused(check_text: CheckText, right: str, wrong: str, line: str) -> None:
    assert right in SOUND
    checked = check_text(SOUND.replace(right, wrong, 1))
    assert checked.settings is None
    found = [str(problem) for problem in checked.problems]
    assert any(line in problem and problem.startswith("k.yaml:") for problem in found), found


@pytest.mark.parametrize(("right", "odd", "line"), WARNINGS, ids=[warning[2][:40] for warning in WARNINGS])
def test_what_is_probably_not_meant_is_a_warning(check_text: CheckText, right: str, odd: str, line: str) -> None:
    assert right in SOUND
    checked = check_text(SOUND.replace(right, odd, 1))
    assert any(line in str(warning) for warning in checked.warnings), lines_of(checked)

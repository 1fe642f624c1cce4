"""What is allowed and probably not meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keeld.config.unbuilt import is_channel_built
from keeld.notify import BUILT

Lines = Callable[..., list[str]]

WARNINGS = [
    ("limit_kw: 1000", "limit_kw: 50", "k.yaml:3:3: what hangs on 'u' is rated 1.73 times its own rating;"),
    ("limit_kw: 1000", "limit_kw: 40", "k.yaml:4:3: 'f1' may carry 43.13 kVA, more than its parent 'u' with 40 kVA;"),
    ("voltage_v: 415", "voltage_v: 230", "k.yaml:4:45: 230 V looks like line to neutral;"),
    ("voltage_v: 415, phases: 3", "voltage_v: 208", "k.yaml:4:45: 208 V without `phases` at 'f1' is taken as 1;"),
    ("limit_kw: 1000", "limit_kw: 1000, voltage_v: 415", "k.yaml:3:23: voltage of 'u' has no breaker;"),
    ("limit_kw: 1000", "limit_kw: 1000, breaker_kind: thermal_40c", "'u' has a breaker_kind and no breaker;"),
    ("2N}", "2N, budget: {power_kw: 40}}", "k.yaml:9:66: budget of 40 kW; at 2N its feeds carry 34.5 kW (derated);"),
    ("2N}", "2N, budget: {air_kw: 70}, cooling: {air: z}}", "the racks on 'z' may give off 70 kW; it removes 60 kW"),
    ("2N}", "2N, budget: {liquid_kw: 70}}", "rack 'r1' has a liquid budget and no liquid loop;"),
    ("f2: {parent: u", "f2: {parent: f1", "k.yaml:9:15: all feeds of rack 'r1' hang on 'f1': one failure there"),
    ("rack: r1, feed: a}", "rack: r1, feed: a, timeout: 11s}", "'p1' may take longer to time out than its interval;"),
    ("devices:\n", "devices:\n  - {name: m, driver: antminer, address: h, rack: r1, feed: b}\n", "'m' has one cord"),
    ("devices:\n", "devices:\n  - {name: m, driver: antminer, address: h}\n", "k.yaml:11:5: 'm' belongs nowhere:"),
    ("devices:\n", "http: {listen: '0.0.0.0:80'}\ndevices:\n", "the page is open to the network, without a login;"),
    ("devices:\n", "poll: {interval: 1s, timeout: 2s}\ndevices:\n", "timeout is longer than interval:"),
    ("devices:\n", "notify: [{kind: slack, url_file: hook}]\ndevices:\n", "secret 'hook' is not here, and there is no"),
    ("devices:\n", "mqtt: {url: 'mqtt://b'}\ndevices:\n", "k.yaml:10:1: mqtt is not used yet:"),
    ("devices:\n", "mqtt: {url: 'mqtt://b', publish: true}\nnotify: [{kind: mqtt}]\ndevices:\n", "mqtt is not used"),
    ("devices:\n", "devices:\n  - {name: g, driver: agent, rack: r1}\n", "k.yaml:11:23: readings of agents are not"),
    ("feed: a}", "feed: a, username: u, password_file: p}", "no driver logs in yet: the login of 'p1' is not used;"),
]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["webhook", "pagerduty", "alertmanager", "slack", "teams", "ntfy", "email", "mqtt", "apprise", "outbox/no such"],
)
def test_channels_built_are_those_that_send(kind: str) -> None:
    assert is_channel_built(kind) == (kind in BUILT)


@pytest.mark.parametrize(("right", "odd", "line"), WARNINGS, ids=[warning[1][:40] for warning in WARNINGS])
def test_odd_setting_is_a_warning(site: str, warnings_of: Lines, right: str, odd: str, line: str) -> None:
    assert right in site
    lines = warnings_of(site.replace(right, odd, 1))
    assert any(line in found for found in lines), lines


def test_sound_site_has_no_warning(site: str, warnings_of: Lines) -> None:
    assert warnings_of(site) == []


def test_node_that_does_not_survive_a_feed(site: str, warnings_of: Lines) -> None:
    node = "  - {name: g, driver: agent, rack: r1, cords: {a: {psus: 4}, b: {psus: 2}}, psus_needed: 4}\n"
    _of_agents, line = warnings_of(site + node)
    assert "'g' does not survive feed a: 2 of 6 supplies remain and it needs 4" in line


def test_nameplates_over_the_budget(site: str, warnings_of: Lines) -> None:
    text = site.replace("2N}", "2N, budget: {power_kw: 10}}").replace("feed: a}", "feed: a, nameplate_w: 25000}")
    (line,) = warnings_of(text)
    assert "nameplates in rack 'r1' add up to 25 kW, 2.50 times its budget" in line


SOURCES = [
    ("", True),
    ("  - {name: t, driver: modbus, profile: probe, address: 'tcp://h', rack: r2}\n", True),
    ("  - {name: t, driver: modbus, profile: probe, address: 'tcp://h', rack: r2, nameplate_w: 900}\n", False),
    ("  - {name: m, driver: antminer, address: h, rack: r2}\n", False),
    ("  - {name: b, driver: modbus, profile: eaton_rpp, address: 'tcp://h', measures: {branch/1: f3}}\n", False),
    ("  - {name: b, driver: modbus, profile: eaton_rpp, address: 'tcp://h', at: f3}\n", False),
]


@pytest.mark.parametrize(("device", "is_wrong"), SOURCES)
def test_rack_needs_something_that_tells_its_draw(site: str, problems_of: Lines, device: str, is_wrong: bool) -> None:  # noqa: FBT001 - a table's column
    text = site.replace("cooling:", "  f3: {parent: u, limit_kw: 5}\ncooling:").replace(
        "devices:", "  r2: {feeds: {a: f3}}\ndevices:"
    )
    lines = problems_of(text + device)
    assert any("rack 'r2' has no power source" in line for line in lines) == is_wrong
    assert len(lines) == is_wrong


def test_empty_rack_needs_no_source(site: str, problems_of: Lines) -> None:
    assert problems_of(site.replace("devices:", "  r2: {feeds: {a: f1}, state: empty}\ndevices:")) == []


@pytest.mark.parametrize(("extra", "is_wrong"), [("", True), (", nameplate_w: 3500", False)])
def test_draw_without_a_ceiling_is_an_error(problems_of: Lines, extra: str, is_wrong: bool) -> None:  # noqa: FBT001 - a table's column
    lines = problems_of(
        "site: {name: s}\nracks: {r: {budget: {power_kw: 9}}}\n"
        f"devices: [{{name: m, driver: antminer, address: h, rack: r{extra}}}]\n"
    )
    assert [("'m' has no ceiling" in line) for line in lines] == [True] * is_wrong


TWINS = [
    ("modbus, profile: raritan_px", "tcp://10.0.0.1", "", True),
    ("modbus, profile: raritan_px", "tcp://10.0.0.1:502", ", unit: 1", True),
    ("modbus, profile: raritan_px", "tcp://10.0.0.1:502", ", unit: 2", False),
    ("modbus, profile: raritan_px", "tcp://10.0.0.1:1502", "", False),
    ("antminer", "10.0.0.1", "", False),
]


@pytest.mark.parametrize(("driver", "address", "unit", "is_twin"), TWINS)
def test_two_devices_with_one_address_and_unit(
    site: str,
    problems_of: Lines,
    driver: str,
    address: str,
    unit: str,
    is_twin: bool,  # noqa: FBT001 - a table's column
) -> None:
    lines = problems_of(site + f"  - {{name: p2, driver: {driver}, address: '{address}', rack: r1, feed: b{unit}}}\n")
    assert [("'p2' has the same address and unit as 'p1' (k.yaml:11:62)" in line) for line in lines] == [True] * is_twin

"""A right configuration becomes frozen values in SI units, every default filled in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keeld.alerts import shipped
from keeld.config import Checked, check, load
from keeld.config.known import Known
from keeld.config.rulebook import RULES
from keeld.errors import ConfigError
from keeld.model import Cord, Device, Severity
from keeld.settings import RuleSettings, Settings

EXAMPLE = Path(__file__).parents[2] / "config" / "keeld.yaml"
Check = Callable[..., Checked]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The shipped example, with the drivers and profiles that ship, as the service loads it."""
    for name in ("influx-token", "pd-key"):
        (tmp_path / name).write_text(f"{name}-value\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return load(EXAMPLE)


def test_example_loads_with_no_warning_but_of_what_is_not_built_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: Settings
) -> None:
    checked = check(EXAMPLE)
    assert checked.problems == ()
    assert [warning.wrong.rsplit(": ", 1)[0] for warning in checked.warnings] == [
        "readings of agents are not received yet",
    ]
    assert checked.settings == example


def test_example_has_its_power_in_si_units(example: Settings) -> None:
    power = example.site.power
    assert power["utility"].limit_watts == 12_000_000.0
    assert power["ups-a"].limit_volt_amperes == 2_000_000.0
    panel = power["panel-a3"]
    assert (panel.breaker_amperes, panel.voltage_volts, panel.phases) == (800.0, 415.0, 3)
    assert (panel.breaker_kind, panel.ambient_celsius, panel.derate) == ("thermal_40c", 30.0, 0.8)
    assert example.site.cooling["crah-hall-1"].units_watts == (60_000.0,) * 4


def test_example_has_its_racks(example: Settings) -> None:
    rack = example.site.racks["r07"]
    assert rack.feeds == {"a": "a3-12", "b": "b3-12"}
    assert (rack.budget.power_watts, rack.budget.air_watts, rack.budget.liquid_watts) == (33e3, 12e3, 28e3)
    assert (rack.cooling_air, rack.cooling_liquid, rack.liquid_ratio) == ("crah-hall-1", "cdu-1", (0.80, 0.87))
    assert example.site.racks["r21"].state == "mining"


def test_example_has_its_devices(example: Settings) -> None:
    devices = example.site.devices
    assert len(devices) == 41
    pdu, miner, node = devices["pdu-r07-b"], devices["m-07"], devices["gpu-node-3"]
    assert (pdu.kind, pdu.address, pdu.feed, pdu.row, pdu.unit) == ("pdu", "tcp://10.0.7.12:502", "b", "a", 1)
    assert (miner.kind, miner.address, miner.nameplate_watts) == ("miner", "10.1.3.7:4028", 3500.0)
    assert (miner.interval_s, miner.timeout_s, miner.via, miner.site) == (10.0, 3.0, "sw-c1", "sherbrooke")
    assert (node.cords, node.psus_needed) == ((Cord("a", 3), Cord("b", 3)), 3)
    assert devices["bcm-c1"].measures == (("branch/7", "a3-12"), ("branch/9", "c-row"))
    assert devices["cdu-1-plc"].node == "cdu-1"
    assert devices["cdu-1-plc"].kind == "cooling"


def test_example_has_its_services(example: Settings) -> None:
    (influx,) = example.influx
    assert (influx.name, influx.url, influx.api, influx.org) == (
        "127-0-0-1-8086",
        "http://127.0.0.1:8086",
        "v2",
        "keel",
    )
    assert influx.token is not None
    assert influx.token.reveal() == "influx-token-value"
    assert (example.http.host, example.http.port) == ("127.0.0.1", 9780)
    assert example.storage.spool_max_bytes == 4 << 30
    assert example.rules["rack_density_power"] == RuleSettings(window_s=300.0, on_s=300.0, off_s=900.0)
    pager, webhook, broker = example.channels
    assert (broker.kind, broker.options, example.heartbeat) == ("mqtt", {"topic": "keeld/alerts"}, None)
    assert (pager.kind, pager.severities) == ("pagerduty", frozenset({Severity.CRITICAL}))
    assert pager.secrets["routing_key"].reveal() == "pd-key-value"
    assert webhook.url is not None
    assert webhook.url.reveal() == "https://hooks.site/keeld"
    assert "pd-key-value" not in repr(example)
    assert "hooks.site" not in repr(example)


def test_least_configuration_gets_every_default(check_text: Check) -> None:
    settings = check_text("site: {name: s}").settings
    assert settings is not None
    assert (settings.site.timezone, settings.poll.interval_s, settings.http.port) == ("UTC", 10.0, 9780)
    assert (settings.influx, settings.mqtt, settings.channels) == ((), None, ())


def test_devices_inherit_and_override_times(site: str, check_text: Check) -> None:
    text = site.replace("feed: a}", "feed: a, interval: 1s, options: {depth: 2, deep: true}}")
    text += "  - {name: p2, driver: modbus, profile: raritan_px, address: 'tcp://h', unit: 0, rack: r1, feed: b,"
    text += " timeout: 500ms}\n"
    settings = check_text(f"{text}poll: {{interval: 5s, slow_interval: 1m}}\n").settings
    assert settings is not None
    first, second = settings.site.devices["p1"], settings.site.devices["p2"]
    assert (first.interval_s, first.slow_interval_s, first.timeout_s) == (1.0, 60.0, 1.0)
    assert first.options == {"depth": "2", "deep": "true"}
    assert (second.interval_s, second.timeout_s, second.unit) == (5.0, 0.5, 0)


def test_rule_limits_and_clear_levels_become_deadbands(check_text: Check) -> None:
    settings = check_text(
        "site: {name: s}\nrules:\n"
        "  kva_over: {limit_ratio: 1.0, clear_ratio: 0.95, severity: warning, enabled: false, runbook: 'https://w/k'}\n"
        "  dew_margin: {limit_k: 2, clear_k: 3}\n"
        "  rack_density_air: {deadband_ratio: 0.05}\n"
    ).settings
    assert settings is not None
    kva = settings.rules["kva_over"]
    assert (kva.limit, kva.severity, kva.enabled) == (1.0, Severity.WARNING, False)
    assert kva.deadband == pytest.approx(0.05)
    assert settings.rules["dew_margin"].deadband == pytest.approx(0.5)
    assert settings.rules["rack_density_air"].deadband == 0.05


def test_channels_of_every_kind(check_text: Check) -> None:
    files = {name: f"https://hidden/{name}" for name in ("hook", "key", "pass")}
    checked = check_text(
        "site: {name: s}\n"
        "mqtt: {url: 'mqtts://b:8883', username: k, password_file: ./pass}\n"
        "influx: [{name: near, url: 'http://h:8086/', api: v1, bucket: db, username: k, password_file: ./pass},"
        " {name: far, url: 'https://far', api: v3, token_file: ./key, timeout: 20s}]\n"
        "notify:\n"
        "  - {kind: slack, url_file: ./hook}\n"
        "  - {kind: teams, url_file: ./hook, severities: [warning, critical]}\n"
        "  - {kind: webhook, url_file: ./hook, secret_file: ./key, name: signed}\n"
        "  - {kind: alertmanager, url: 'http://am:9093'}\n"
        "  - {kind: ntfy, topic: mine, token_file: ./key}\n"
        "  - {kind: email, server: 'smtps://mx:465', sender: k@s, to: [a@s, b@s], username: k, password_file: ./pass}\n"
        "  - {kind: mqtt, topic: site/alerts}\n"
        "  - {kind: pagerduty, routing_key_file: ./key}\n",
        **files,
    )
    assert checked.settings is not None, checked.problems
    channels = {channel.name: channel for channel in checked.settings.channels}
    assert list(channels) == ["slack", "teams", "signed", "alertmanager", "ntfy", "email", "mqtt", "pagerduty"]
    assert channels["signed"].secrets["secret"].reveal() == "https://hidden/key"
    assert channels["email"].options == {"server": "smtps://mx:465", "sender": "k@s", "to": "a@s, b@s", "username": "k"}
    assert channels["mqtt"].options == {"topic": "site/alerts", "username": "k"}
    assert channels["pagerduty"].severities == {Severity.CRITICAL}
    assert "hidden" not in repr(checked.settings)
    assert [influx.name for influx in checked.settings.influx] == ["near", "far"]


def test_device_password_travels_apart_from_the_device(site: str, check_text: Check) -> None:
    settings = check_text(site.replace("feed: a}", "feed: a, username: k, password_file: ./pw}"), pw="hunter2").settings
    assert settings is not None
    assert settings.passwords["p1"].reveal() == "hunter2"
    assert settings.site.devices["p1"].username == "k"


def test_load_raises_all_problems(tmp_path: Path, known: Known) -> None:
    path = tmp_path / "k.yaml"
    path.write_text("site: {nam: s}\npoll: {interval: 1}\n")
    with pytest.raises(ConfigError) as caught:
        load(path, known=known)
    assert len(caught.value.problems) == 3
    assert str(caught.value).startswith(f"{path}:1:7: ")


def test_kind_that_a_profile_cannot_tell_is_a_problem(tmp_path: Path, site: str) -> None:
    path = tmp_path / "k.yaml"
    path.write_text(site.replace("raritan_px", "./mine.yaml"))
    (tmp_path / "mine.yaml").write_text("title: [")
    problems = check(path).problems
    assert problems
    assert all(problem.where.startswith(f"{path}:11:") for problem in problems)


def test_five_thousand_devices_check_in_under_a_second(tmp_path: Path, known: Known) -> None:
    lines = ["site: {name: s}", "network: {sw: {address: 10.0.0.1}}", "power:"]
    lines += [f"  n{n}: {{breaker_a: 600, voltage_v: 415, phases: 3}}" for n in range(100)]
    lines += ["racks:", *(f"  r{n}: {{row: a, state: mining, feeds: {{a: n{n}}}}}" for n in range(100)), "devices:"]
    lines += [
        f"  - {{name: m-{n:04d}, driver: antminer, address: 10.1.{n // 250}.{n % 250 + 1}, rack: r{n % 100}, feed: a,"
        f" nameplate_w: 3500, via: sw}}"
        for n in range(5000)
    ]
    path = tmp_path / "k.yaml"
    path.write_text("\n".join(lines))
    began_s = time.process_time()
    checked = check(path, known=known)
    took_s = time.process_time() - began_s
    assert checked.settings is not None
    assert len(checked.settings.site.devices) == 5000
    assert took_s < 1.0


def test_thousands_of_wrong_references_do_not_take_minutes(tmp_path: Path, known: Known) -> None:
    lines = ["site: {name: s}", "racks:", *(f"  r-{n}: {{state: empty}}" for n in range(1000)), "devices:"]
    lines += [f"  - {{name: m-{n}, driver: antminer, address: h{n}, rack: rr_{n}}}" for n in range(1000)]
    path = tmp_path / "k.yaml"
    path.write_text("\n".join(lines))
    began_s = time.process_time()
    assert len(check(path, known=known).problems) == 1000
    assert time.process_time() - began_s < 5.0


def test_drivers_that_ship_tell_the_kind_of_their_devices() -> None:
    known = Known()
    for driver, profile, kind in (
        ("antminer", None, "miner"),
        ("modbus", "raritan_px", "pdu"),
        ("agent", None, "accelerator"),
    ):
        device = Device(id="d", site="s", kind="", driver=driver, address="", profile=profile)
        assert known.can_tell(device)
        assert known.kind_of(device) == kind


def test_every_rule_that_ships_can_be_tuned() -> None:
    assert set(shipped.SHIPPED) <= set(RULES)

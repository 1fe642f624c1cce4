"""What the page says to type is what the command line takes, and it reaches the route that does it."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keeld import cli
from keeld.settings import HttpSettings
from keeld.views import Alarm
from keeld.web.commands import _USUAL_FILE, commands_form, live_commands_form, rack_commands_form

FILE = Path("/srv/my site/keeld.yaml")
REACHED = {
    "open": ["alerts/7f3a/acknowledge", "alerts/7f3a/shelve"],
    "in hand": ["alerts/7f3a/shelve"],
    "latched": ["alerts/7f3a/acknowledge", "alerts/7f3a/shelve", "alerts/7f3a/close"],
    "follows": ["alerts/7f3a/shelve"],
    "pending": ["alerts/7f3a/shelve"],
    "observed": ["rules/live", "alerts/7f3a/shelve"],
    "shelved": ["shelves/sh3lf"],
    "maintenance": ["maintenance/w0rk"],
    "flood": ["alerts/7f3a/acknowledge", "alerts/7f3a/shelve"],
    "shelf that has just ended": [],
}


@pytest.fixture
def settings(source):
    return dataclasses.replace(source.settings, source=FILE)


@pytest.fixture
def alarms(busy) -> dict[str, Alarm]:
    alarm = dataclasses.replace(busy.seen["alarms"][0], owner="")
    of = {each.quiet or each.rule: dataclasses.replace(each, alert_id="7f3a") for each in busy.seen["alarms"]}
    return {
        "open": alarm,
        "in hand": dataclasses.replace(alarm, owner="eve"),
        "latched": dataclasses.replace(alarm, is_latched=True),
        "pending": of["waiting"],
        "shelf that has just ended": dataclasses.replace(of["shelved"], quiet_id=""),
        **{name: of[name] for name in ("follows", "observed", "shelved", "maintenance", "flood")},
    }


def reached(monkeypatch: pytest.MonkeyPatch, forms: list[dict[str, str]]) -> list[str]:
    """Type every command; give the routes that were asked, with the file that each was asked by."""
    asked: list[str] = []

    def change(config_path: Path, path: str, form: dict[str, Any], *, method: str = "POST") -> dict[str, Any]:
        assert config_path == FILE
        assert method in ("POST", "DELETE")
        asked.append(path.removeprefix("/api/v1/"))
        return {"done": "done", "id": "x", "failover": None, "is_kept": True} | form

    monkeypatch.setattr("keeld.cli.running.change", change)
    for form in forms:
        argv = shlex.split(form["command"].replace("STATE", "empty"))
        assert argv[0] == "keeld"
        result = CliRunner().invoke(cli.keeld, argv[1:], input="y\n")
        assert result.exit_code == 0, (form, result.output)
    return asked


@pytest.mark.parametrize("standing", REACHED)
def test_each_command_about_an_alarm_reaches_its_route(monkeypatch, settings, alarms, standing):
    assert reached(monkeypatch, commands_form(alarms[standing], settings)) == REACHED[standing]


def test_commands_about_a_rack_and_the_site(monkeypatch, settings):
    assert reached(monkeypatch, rack_commands_form("r08", settings)) == [
        "racks/r08/state", "maintenance/preview", "maintenance",
    ]  # fmt: skip
    assert reached(monkeypatch, live_commands_form(settings)) == ["rules/live"]


def test_the_usual_file_is_not_spelled_out(settings, alarms):
    assert str(_USUAL_FILE) == cli.DEFAULT_CONFIG
    usual = dataclasses.replace(settings, source=_USUAL_FILE)
    assert commands_form(alarms["open"], usual)[0] == {"does": "take it in hand", "command": "keeld ack 7f3a"}
    assert "--config '/srv/my site/keeld.yaml'" in commands_form(alarms["open"], settings)[0]["command"]


def test_without_a_socket_there_is_nothing_to_type(settings, alarms):
    deaf = dataclasses.replace(settings, http=HttpSettings(port=0))
    assert commands_form(alarms["open"], deaf) == rack_commands_form("r08", deaf) == live_commands_form(deaf) == []

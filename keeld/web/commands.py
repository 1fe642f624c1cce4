"""What to type about an alarm: the page only reads, and what changes something goes to the unix socket."""

from __future__ import annotations

import shlex
from pathlib import Path

from keeld.settings import Settings
from keeld.views import Alarm
from keeld.web.forms import Form, standing

_USUAL_FILE = Path("/etc/keeld/keeld.yaml")
"""Where commands look by themselves."""


def commands_form(alarm: Alarm, settings: Settings) -> list[Form]:
    """List what may be done about an alarm, each with the command to type; nothing where no socket takes any."""
    return _forms(settings, _choices(alarm, _config(settings)))


def rack_commands_form(rack_id: str, settings: Settings) -> list[Form]:
    """List what may be done about a rack."""
    config = _config(settings)
    return _forms(
        settings,
        [
            ("take it into another state", f"rack-state {rack_id} STATE --reason 'WHY'{config}"),
            ("announce work on it", f"maintenance begin rack={rack_id} --for 2h --reason 'WHY'{config}"),
        ],
    )


def live_commands_form(settings: Settings) -> list[Form]:
    """Give the command that ends the time in which a whole site is only observed."""
    return _forms(settings, [("send from now on", f"rules{_config(settings)} live all")])


def _forms(settings: Settings, choices: list[tuple[str, str]]) -> list[Form]:
    if settings.http.socket is None:
        return []
    return [{"does": does, "command": f"keeld {words}"} for does, words in choices]


def _config(settings: Settings) -> str:
    file = settings.source
    return "" if file is None or file == _USUAL_FILE else f" --config {shlex.quote(str(file))}"


def _choices(alarm: Alarm, config: str) -> list[tuple[str, str]]:
    """Give what fits an alarm as it stands, with what it does in words."""
    name = alarm.alert_id
    shelve = ("keep it quiet for 4 h", f"shelve {name} --for 4h --reason 'WHY'{config}")
    found = {
        "open": [("take it in hand", f"ack {name}{config}"), shelve],
        "flood": [("take it in hand", f"ack {name}{config}"), shelve],
        "follows": [shelve],
        "pending": [shelve],
        "observed": [("send what this rule finds from now on", f"rules{config} live rule={alarm.rule}"), shelve],
        "shelved": [("take it off the shelf", f"shelve --end {alarm.quiet_id}{config}")] if alarm.quiet_id else [],
        "maintenance": [("say that the work is over", f"maintenance end {alarm.quiet_id}{config}")]
        if alarm.quiet_id
        else [],
    }[standing(alarm)]
    if alarm.owner:
        found = [choice for choice in found if not choice[1].startswith("ack ")]
    if alarm.is_latched:
        found = [*found, ("end it, once it is over", f"close {name} --reason 'WHY'{config}")]
    return found

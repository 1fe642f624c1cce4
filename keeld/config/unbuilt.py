"""What a configuration may say already and this version does nothing with: checked like the rest, and warned of.

Nobody may believe that a channel pages them because `keeld check` found nothing wrong with it.
"""

from __future__ import annotations

from pathlib import Path

from keeld.config.draft import Draft
from keeld.config.known import AGENT
from keeld.config.report import Report

_CHANNELS = Path(__file__).parents[1] / "notify"

_LATER = "it may stay for a later version"


def is_channel_built(kind: str) -> bool:
    """Whether channels of this kind send: a kind is a file of its name in `keeld.notify`, which is unknown here."""
    return (_CHANNELS / f"{kind}.py").is_file()


def note_unbuilt(draft: Draft, report: Report) -> None:
    """Warn of every key that is accepted and not used yet."""
    document = draft.document
    speaks_mqtt = any(channel.kind == "mqtt" for channel in document.notify)
    if document.mqtt is not None and (document.mqtt.publish or not speaks_mqtt):
        report.warn(draft.origin.key("mqtt"), "mqtt is not used yet: nothing is published", _LATER)
    for at, channel in enumerate(document.notify):
        if not is_channel_built(channel.kind):
            wrong = f"channels of kind {channel.kind} are not built yet: this one tells nobody anything"
            report.warn(draft.origin.at(*draft.member("notify", at)), wrong, "add a channel of kind webhook beside it")
    for name, device in document.devices.items():
        if device.driver == AGENT:
            wrong = f"readings of agents are not received yet: {name!r} stays unknown"
            report.warn(draft.place("devices", name, "driver"), wrong, _LATER)
        if device.password_file is not None:
            wrong = f"no driver logs in yet: the login of {name!r} is not used"
            report.warn(draft.key("devices", name, "password_file"), wrong, _LATER)

"""The keys of what keeld does with the site: poll, store, show, judge, tell people; and the file as a whole."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from keeld.config.fields import (
    AtLeast,
    Between,
    Bytes,
    Filled,
    Flag,
    Id,
    Seconds,
    Section,
    Text,
    Whole,
)
from keeld.config.rule_schema import ObserveSpan, RuleKeys, SeverityWord
from keeld.config.site_schema import (
    CoolingEntry,
    DemandSection,
    DeviceEntry,
    NetworkEntry,
    PowerEntry,
    RackEntry,
    SiteSection,
    ThermalClassEntry,
)


class PollSection(Section):
    """Defaults for every device, and the bound on connections opened at once."""

    interval: Annotated[Seconds, AfterValidator(Between("100ms", "1h"))] = 10.0
    slow_interval: Annotated[Seconds, AfterValidator(Between("1s", "1d"))] = 60.0
    once_interval: Annotated[Seconds, AfterValidator(Between("1m", "1w"))] = 3600.0
    timeout: Annotated[Seconds, AfterValidator(Between("50ms", "5m"))] = 3.0
    concurrency: Annotated[Whole, Field(ge=1, le=10_000)] = 256


class InfluxSection(Section):
    """A database to write to."""

    name: Id | None = None
    url: Filled
    api: Literal["v1", "v2", "v3"] = "v2"
    org: Text = ""
    bucket: Annotated[Filled, Field(description="Bucket, or database under v1 and v3.")] = "telemetry"
    token_file: Filled | None = None
    username: Filled | None = None
    password_file: Filled | None = None
    timeout: Annotated[Seconds, AfterValidator(Between("1s", "2m"))] = 10.0


class StorageSection(Section):
    """Where keeld keeps what must survive, and how much of the disk it may take."""

    directory: Filled = "/var/lib/keeld"
    spool_max: Annotated[Bytes, AfterValidator(AtLeast("1MiB"))] = 4 << 30
    spool_max_age: Annotated[Seconds, AfterValidator(Between("1h", "520w"))] = 14 * 86400.0
    linger: Annotated[Seconds, AfterValidator(Between("1s", "1d"))] = 60.0
    keep_free: Bytes = 256 << 20
    history_max: Annotated[Bytes, AfterValidator(AtLeast("16MiB"))] = 512 << 20
    history_max_age: Annotated[Seconds, AfterValidator(Between("1h", "520w"))] = 72 * 3600.0


class MqttSection(Section):
    """The broker to publish to."""

    url: Filled
    publish: Flag = False
    username: Filled | None = None
    password_file: Filled | None = None


class HttpSection(Section):
    """Where API and page listen, and the socket for calls that change something."""

    listen: Filled = "127.0.0.1:9780"
    socket: Filled | None = None


class _Channel(Section):
    """What every channel has."""

    name: Id | None = None
    severities: Annotated[list[SeverityWord], Field(min_length=1)] | None = None


class WebhookKeys(_Channel):
    """JSON by POST; `secret_file` signs it."""

    kind: Literal["webhook"]
    url: Filled | None = None
    url_file: Filled | None = None
    secret_file: Filled | None = None
    token_file: Filled | None = None


class PagerdutyKeys(_Channel):
    """PagerDuty's events API."""

    kind: Literal["pagerduty"]
    routing_key_file: Filled
    url: Filled | None = None


class AlertmanagerKeys(_Channel):
    """An Alertmanager's API."""

    kind: Literal["alertmanager"]
    url: Filled
    username: Filled | None = None
    password_file: Filled | None = None
    token_file: Filled | None = None
    watchdog: Annotated[
        Flag,
        Field(description="Also send the alert Watchdog, which fires as long as keeld works, for a dead man's switch."),
    ] = False


class SlackKeys(_Channel):
    """A Slack webhook: its URL is the secret."""

    kind: Literal["slack"]
    url_file: Filled


class TeamsKeys(_Channel):
    """A Teams workflow webhook: its URL is the secret."""

    kind: Literal["teams"]
    url_file: Filled


class NtfyKeys(_Channel):
    """An ntfy topic."""

    kind: Literal["ntfy"]
    url: Filled = "https://ntfy.sh"
    topic: Filled | None = None
    topic_file: Filled | None = None
    token_file: Filled | None = None


class EmailKeys(_Channel):
    """Mail through an SMTP server."""

    kind: Literal["email"]
    server: Annotated[Filled, Field(description="smtp://host:port or smtps://host:port")]
    sender: Filled
    to: Annotated[list[Filled], Field(min_length=1, max_length=50)]
    username: Filled | None = None
    password_file: Filled | None = None


class MqttKeys(_Channel):
    """A topic on the broker of the section `mqtt`."""

    kind: Literal["mqtt"]
    topic: Filled = "keeld/alerts"


class AppriseKeys(_Channel):
    """Any service that Apprise knows: its URL is the secret."""

    kind: Literal["apprise"]
    url_file: Filled


Channel = Annotated[
    WebhookKeys
    | PagerdutyKeys
    | AlertmanagerKeys
    | SlackKeys
    | TeamsKeys
    | NtfyKeys
    | EmailKeys
    | MqttKeys
    | AppriseKeys,
    Field(discriminator="kind"),
]


class HeartbeatSection(Section):
    """A sign of life for a dead man's switch outside of this host, which tells people when the signs stop."""

    url: Filled | None = None
    url_file: Filled | None = None
    interval: Annotated[Seconds, AfterValidator(Between("5s", "1h"))] = 30.0


DASHBOARD_FIELDS = frozenset({"site", "kind", "target", "rule", "since_ms"})
"""What may stand in braces in the address of a dashboard."""


class MessagesSection(Section):
    """Where messages point people to. These addresses are shown to everybody who is told: no secret belongs in them."""

    page_url: Annotated[Filled | None, Field(description="keeld's own page, as people reach it.")] = None
    dashboard_url: Annotated[
        Filled | None,
        Field(description="May hold {site}, {kind}, {target}, {rule} and {since_ms}: what the message is about."),
    ] = None
    runbooks_url: Annotated[
        Filled | None, Field(description="A page with a heading for each rule, or a folder (ending in /) of pages.")
    ] = None


class Document(Section):
    """The whole of keeld.yaml, once ranges and tables are unfolded."""

    site: SiteSection
    poll: PollSection = PollSection()
    influx: list[InfluxSection] = Field(default_factory=list)
    storage: StorageSection = StorageSection()
    mqtt: MqttSection | None = None
    http: HttpSection = HttpSection()
    power: dict[str, PowerEntry] = Field(default_factory=dict)
    cooling: dict[str, CoolingEntry] = Field(default_factory=dict)
    racks: dict[str, RackEntry] = Field(default_factory=dict)
    thermal_classes: dict[Filled, ThermalClassEntry] = Field(default_factory=dict)
    demand: DemandSection | None = None
    network: dict[str, NetworkEntry] = Field(default_factory=dict)
    devices: dict[str, DeviceEntry] = Field(default_factory=dict)
    rules: dict[str, RuleKeys] = Field(default_factory=dict)
    observe: ObserveSpan = 72 * 3600.0
    notify: list[Channel] = Field(default_factory=list)
    heartbeat: HeartbeatSection | None = None
    messages: MessagesSection = MessagesSection()
    timings_note: Text = ""


UNFOLDED: dict[str, type[Section]] = {
    "power": PowerEntry,
    "cooling": CoolingEntry,
    "racks": RackEntry,
    "network": NetworkEntry,
    "devices": DeviceEntry,
}
"""Sections whose entries may be written as ranges and CSV files."""

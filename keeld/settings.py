"""The configuration once it has been read: frozen values in SI units, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from keeld.credentials import Secret
from keeld.model import RuleSettings, Severity, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSettings:
    """Defaults for every device, and the bound on connections opened at once."""

    interval_s: float = 10.0
    slow_interval_s: float = 60.0
    once_interval_s: float = 3600.0
    timeout_s: float = 3.0
    concurrency: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxSettings:
    """One database to write to. `api` is v1 (`/write`), v2 (`/api/v2/write`) or v3 (`/api/v3/write_lp`)."""

    name: str
    url: str
    api: str = "v2"
    org: str = ""
    bucket: str = "telemetry"
    """Bucket, or database under v1 and v3."""
    token: Secret | None = None
    username: str = ""
    password: Secret | None = None
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where keeld keeps what must survive, and how much of the disk it may take."""

    directory: Path = Path("/var/lib/keeld")
    spool_max_bytes: int = 4 << 30
    spool_max_age_s: float = 14 * 86400.0
    linger_s: float = 60.0
    keep_free_bytes: int = 256 << 20
    history_max_bytes: int = 512 << 20
    history_max_age_s: float = 72 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """The broker that keeld will publish to."""

    url: str
    publish: bool = False
    username: str = ""
    password: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where the API and the status page listen, and the socket for calls that change something."""

    host: str = "127.0.0.1"
    port: int = 9780
    socket: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """One way to reach people. `url` is a Secret because chat webhooks carry their key in it."""

    kind: str
    name: str
    url: Secret | None = None
    secrets: Mapping[str, Secret] = field(default_factory=lambda: MappingProxyType({}))
    severities: frozenset[Severity] = frozenset(Severity)
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatSettings:
    """Where a sign of life goes, and how often. `url` is a Secret because such an address is its own key."""

    url: Secret
    interval_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of keeld.yaml."""

    site: Site
    poll: PollSettings = PollSettings()
    influx: tuple[InfluxSettings, ...] = ()
    storage: StorageSettings = StorageSettings()
    mqtt: MqttSettings | None = None
    http: HttpSettings = HttpSettings()
    rules: Mapping[str, RuleSettings] = field(default_factory=lambda: MappingProxyType({}))
    channels: tuple[ChannelSettings, ...] = ()
    heartbeat: HeartbeatSettings | None = None
    passwords: Mapping[str, Secret] = field(default_factory=lambda: MappingProxyType({}))
    """Device id to its password, apart from the Device so that no batch carries a secret."""
    observe_s: float = 72 * 3600.0
    """How long what is new is judged and shown, but not sent; 0 sends at once."""
    timings_note: str = ""
    """Shown on page and terminal, e.g. `demo timings`, so that nobody takes shortened windows for the defaults."""
    source: Path | None = None

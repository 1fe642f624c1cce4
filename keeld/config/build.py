"""Frozen settings from a document that has passed every check; what has a unit is turned into SI on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from keeld.config.addresses import Address
from keeld.config.cooling_values import cooling_node, thermal_class
from keeld.config.draft import Draft
from keeld.config.known import is_profile_file
from keeld.config.power_values import contract_of, power_node, rack_of
from keeld.config.rule_schema import RuleKeys
from keeld.config.secrets import SecretPath
from keeld.config.service_checks import influx_name, split_listen
from keeld.config.service_schema import Channel, Document, InfluxSection
from keeld.config.site_schema import DeviceEntry, RackEntry
from keeld.credentials import Secret
from keeld.message_urls import MessageUrls
from keeld.metrics import CATALOGUE
from keeld.model import Cord, Device, Identity, OwnRule, RuleSettings, Severity, Site
from keeld.settings import (
    ChannelSettings,
    HeartbeatSettings,
    HttpSettings,
    InfluxSettings,
    MqttSettings,
    PollSettings,
    Settings,
    StorageSettings,
)

Secrets = Mapping[SecretPath, Secret]


def build_settings(draft: Draft, devices: Mapping[str, Device], secrets: Secrets, source: Path) -> Settings:
    """Give the frozen settings of a document that has passed every check."""
    document, folder = draft.document, source.parent
    return Settings(
        site=_site(document, devices),
        poll=_poll(document),
        influx=tuple(_influx(at, influx, secrets) for at, influx in enumerate(document.influx)),
        storage=_storage(document, folder),
        mqtt=_mqtt(document, secrets),
        http=_http(document, folder),
        rules=MappingProxyType({name: _rule(rule) for name, rule in document.rules.items()}),
        channels=tuple(_channel(at, document, secrets) for at in range(len(document.notify))),
        heartbeat=_heartbeat(document, secrets),
        passwords=MappingProxyType({str(path[1]): secret for path, secret in secrets.items() if path[0] == "devices"}),
        observe_s=document.observe,
        timings_note=document.timings_note,
        source=source,
    )


def build_devices(draft: Draft, addresses: Mapping[str, Address], folder: Path) -> dict[str, Device]:
    """Give the devices that are sound; their kind is left to whom knows drivers."""
    return {
        name: _device(name, device, addresses, document=draft.document, folder=folder)
        for name, device in draft.document.devices.items()
    }


def _device(
    name: str, device: DeviceEntry, addresses: Mapping[str, Address], *, document: Document, folder: Path
) -> Device:
    poll = document.poll
    rack = document.racks.get(device.rack or "")
    interval_s = device.interval or poll.interval
    return Device(
        id=name,
        site=document.site.name,
        kind=device.kind or "",
        driver=device.driver,
        address=addresses[name].text if name in addresses else "",
        label=device.label,
        unit=1 if device.unit is None else device.unit,
        profile=_profile(device.profile, folder),
        rack=device.rack,
        row=None if rack is None else rack.row,
        node=device.at,
        feed=device.feed or _only_feed(device, rack),
        cords=tuple(Cord(feed, cord.psus) for feed, cord in device.cords.items()),
        psus_needed=device.psus_needed,
        gpus=device.gpus,
        rack_unit=device.u,
        measures=tuple(device.measures.items()),
        meter_class_ratio=device.meter_class,
        nameplate_watts=device.nameplate_w,
        interval_s=interval_s,
        slow_interval_s=max(interval_s, device.slow_interval or poll.slow_interval),
        once_interval_s=poll.once_interval,
        timeout_s=device.timeout or min(poll.timeout, interval_s),
        identity=Identity(_mac(device.identity.mac), device.identity.serial),
        via=device.via,
        tenant=device.tenant or (None if rack is None else rack.tenant),
        username=device.username,
        options=MappingProxyType(dict(device.options)),
    )


def _only_feed(device: DeviceEntry, rack: RackEntry | None) -> str | None:
    """Give the feed that needs no saying: that of a rack that has one."""
    if rack is None or len(rack.feeds) != 1 or device.cords:
        return None
    return next(iter(rack.feeds))


def _profile(profile: str | None, folder: Path) -> str | None:
    return str(folder / profile) if profile is not None and is_profile_file(profile) else profile


def _mac(mac: str | None) -> str | None:
    return None if mac is None else mac.lower().replace("-", ":")


def with_kind(device: Device, kind: str) -> Device:
    """Give the device with the measurement that its readings are stored under."""
    return device if device.kind == kind else replace(device, kind=kind)


def _site(document: Document, devices: Mapping[str, Device]) -> Site:
    return Site(
        name=document.site.name,
        timezone=document.site.timezone,
        altitude_metres=document.site.altitude_m,
        power=MappingProxyType(
            {name: power_node(name, node, altitude_m=document.site.altitude_m) for name, node in document.power.items()}
        ),
        cooling=MappingProxyType({name: cooling_node(name, node) for name, node in document.cooling.items()}),
        racks=MappingProxyType({name: rack_of(name, rack) for name, rack in document.racks.items()}),
        devices=MappingProxyType(dict(devices)),
        network=MappingProxyType({name: entry.address for name, entry in document.network.items()}),
        channels=tuple(channel.name or channel.kind for channel in document.notify),
        contract=contract_of(document),
        thermal_classes=MappingProxyType(
            {name: thermal_class(entry) for name, entry in document.thermal_classes.items()}
        ),
        urls=MessageUrls(
            page=document.messages.page_url or "",
            dashboard=document.messages.dashboard_url or "",
            runbooks=document.messages.runbooks_url or "",
        ),
    )


def _poll(document: Document) -> PollSettings:
    poll = document.poll
    return PollSettings(
        interval_s=poll.interval,
        slow_interval_s=max(poll.interval, poll.slow_interval),
        once_interval_s=poll.once_interval,
        timeout_s=poll.timeout,
        concurrency=poll.concurrency,
    )


def _influx(at: int, influx: InfluxSection, secrets: Secrets) -> InfluxSettings:
    return InfluxSettings(
        name=influx_name(influx),
        url=influx.url.rstrip("/"),
        api=influx.api,
        org=influx.org,
        bucket=influx.bucket,
        token=secrets.get(("influx", at, "token_file")),
        username=influx.username or "",
        password=secrets.get(("influx", at, "password_file")),
        timeout_s=influx.timeout,
    )


def _storage(document: Document, folder: Path) -> StorageSettings:
    storage = document.storage
    return StorageSettings(
        directory=folder / storage.directory,
        spool_max_bytes=storage.spool_max,
        spool_max_age_s=storage.spool_max_age,
        linger_s=storage.linger,
        keep_free_bytes=storage.keep_free,
        history_max_bytes=storage.history_max,
        history_max_age_s=storage.history_max_age,
    )


def _mqtt(document: Document, secrets: Secrets) -> MqttSettings | None:
    mqtt = document.mqtt
    if mqtt is None:
        return None
    password = secrets.get(("mqtt", "password_file"))
    return MqttSettings(url=mqtt.url, publish=mqtt.publish, username=mqtt.username or "", password=password)


def _http(document: Document, folder: Path) -> HttpSettings:
    host, port = split_listen(document.http.listen)
    socket = document.http.socket
    return HttpSettings(host=host, port=port, socket=None if socket is None else folder / socket)


def _rule(rule: RuleKeys) -> RuleSettings:
    limit = rule.limit_ratio if rule.limit_ratio is not None else rule.limit_k
    clear = rule.clear_ratio if rule.clear_ratio is not None else rule.clear_k
    deadband = rule.deadband_ratio
    if limit is not None and clear is not None:
        deadband = abs(limit - clear) / limit
    return RuleSettings(
        of=rule.rule or "",
        select=tuple(rule.select.items()),
        own=_own_rule(rule),
        enabled=rule.enabled,
        limit=limit,
        window_s=rule.window,
        on_s=rule.on,
        off_s=rule.off,
        deadband=deadband,
        severity=None if rule.severity is None else Severity(rule.severity),
        runbook=rule.runbook,
        route=rule.route,
    )


def _own_rule(rule: RuleKeys) -> OwnRule | None:
    if rule.metric is None:
        return None
    limit = rule.above if rule.above is not None else rule.below or 0.0
    side = "above" if rule.above is not None else "below"
    return OwnRule(
        metric=CATALOGUE[rule.metric],
        part=rule.part,
        limit=limit,
        is_floor=rule.above is None,
        title=rule.title or f"{rule.metric} {side} {limit:g}",
        hysteresis=0.0 if rule.clear is None else abs(limit - rule.clear),
    )


def _heartbeat(document: Document, secrets: Secrets) -> HeartbeatSettings | None:
    heartbeat = document.heartbeat
    if heartbeat is None:
        return None
    url = secrets.get(("heartbeat", "url_file")) or Secret(heartbeat.url or "")
    return HeartbeatSettings(url=url, interval_s=heartbeat.interval)


def _channel(at: int, document: Document, secrets: Secrets) -> ChannelSettings:
    channel = document.notify[at]
    own = {str(path[2]): secret for path, secret in secrets.items() if path[:2] == ("notify", at)}
    if channel.kind == "mqtt":
        return _mqtt_channel(channel, _mqtt(document, secrets))
    url = getattr(channel, "url", None)
    return ChannelSettings(
        kind=channel.kind,
        name=channel.name or channel.kind,
        url=own.get("url_file") or (Secret(url) if url is not None else None),
        secrets=MappingProxyType({key.removesuffix("_file"): own[key] for key in own if key != "url_file"}),
        severities=_severities(channel),
        options=MappingProxyType(_options(channel)),
    )


def _mqtt_channel(channel: Channel, broker: MqttSettings | None) -> ChannelSettings:
    """Give a channel on the broker of the section `mqtt`, with that section's address and login."""
    broker = broker or MqttSettings(url="")
    return ChannelSettings(
        kind=channel.kind,
        name=channel.name or channel.kind,
        url=Secret(broker.url),
        secrets=MappingProxyType({"password": broker.password} if broker.password else {}),
        severities=_severities(channel),
        options=MappingProxyType(_options(channel) | ({"username": broker.username} if broker.username else {})),
    )


def _severities(channel: Channel) -> frozenset[Severity]:
    if channel.severities is not None:
        return frozenset(Severity(word) for word in channel.severities)
    # A pager wakes people; unless told otherwise it gets only what needs a person within minutes.
    return frozenset({Severity.CRITICAL}) if channel.kind == "pagerduty" else frozenset(Severity)


def _options(channel: Channel) -> dict[str, str]:
    options: dict[str, str] = {}
    for key in type(channel).model_fields:
        value = getattr(channel, key)
        if key in {"kind", "name", "severities", "url"} or key.endswith("_file") or value is None:
            continue
        options[key] = ", ".join(value) if isinstance(value, list) else _word(value)
    return options


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

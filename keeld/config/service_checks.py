"""Everything that is not the site: databases, broker, page, rules, channels, clocks."""

from __future__ import annotations

import difflib
import ipaddress
import zoneinfo

from keeld.config.addresses import AddressError, parse_host_port
from keeld.config.draft import Draft
from keeld.config.report import Report
from keeld.config.service_schema import DASHBOARD_FIELDS, InfluxSection
from keeld.config.urls import UrlError, check_url

_WEB = frozenset({"http", "https"})
_MAIL = frozenset({"smtp", "smtps"})
_BROKER = frozenset({"mqtt", "mqtts"})


def check_services(draft: Draft, report: Report) -> None:
    """Check the sections that do not describe the site itself."""
    _check_timezone(draft, report)
    _check_poll(draft, report)
    _check_influx(draft, report)
    _check_listen(draft, report)
    mqtt = draft.document.mqtt
    if mqtt is not None:
        _check_url(mqtt.url, _BROKER, ("mqtt", "url"), draft=draft, report=report)
        _check_pair(mqtt.username, mqtt.password_file, ("mqtt",), draft=draft, report=report)
    _check_channels(draft, report)
    _check_heartbeat(draft, report)
    _check_messages(draft, report)


def _check_timezone(draft: Draft, report: Report) -> None:
    name = draft.document.site.timezone
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        words = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1, cutoff=0.5)
        remedy = f"did you mean {words[0]}?" if words else "write an IANA name, as America/Toronto, or UTC"
        report.error(draft.origin.at("site", "timezone"), f"unknown timezone {name!r}", remedy)


def _check_poll(draft: Draft, report: Report) -> None:
    poll = draft.document.poll
    if poll.slow_interval < poll.interval:
        place = draft.origin.at("poll", "slow_interval")
        report.error(place, "slow_interval is shorter than interval", "write at least the interval")
    if "timeout" in poll.model_fields_set and poll.timeout > poll.interval:
        place = draft.origin.at("poll", "timeout")
        report.warn(place, "timeout is longer than interval: a silent device misses its next poll", "shorten it")


def influx_name(influx: InfluxSection) -> str:
    """Give a database's name: its own, or one made of host and port, which survive a change of order."""
    if influx.name is not None:
        return influx.name
    authority = influx.url.partition("://")[2].partition("/")[0].lower()
    return "".join(letter if letter.isalnum() else "-" for letter in authority).strip("-")[:64] or "influx"


def _check_influx(draft: Draft, report: Report) -> None:
    names: set[str] = set()
    for at, influx in enumerate(draft.document.influx):
        path = draft.member("influx", at)
        _check_url(influx.url, _WEB, (*path, "url"), draft=draft, report=report)
        _check_pair(influx.username, influx.password_file, path, draft=draft, report=report)
        if influx.token_file and influx.username:
            place = draft.origin.at(*path, "username")
            report.error(place, "a token and a username", "keep token_file, or username and password_file")
        name = influx_name(influx)
        if name in names:
            place = draft.origin.at(*path)
            report.error(place, f"two databases are named {name!r}", "give each its own `name`")
        names.add(name)


def _check_listen(draft: Draft, report: Report) -> None:
    place = draft.origin.at("http", "listen")
    try:
        host, _ = split_listen(draft.document.http.listen)
    except AddressError as error:
        report.error(place, f"`listen`: {error.wrong}", error.remedy)
        return
    if host != "localhost" and not _is_loopback(host):
        report.warn(place, "the page is open to the network, without a login", "listen on 127.0.0.1 behind a proxy")


def split_listen(text: str) -> tuple[str, int]:
    """Split host and port to listen on; port 0 takes a free one. Raises AddressError."""
    remedy = "write HOST:PORT, as 127.0.0.1:9780"
    if text.endswith(":0"):
        return parse_host_port(f"{text[:-2]}:1", None, remedy)[0], 0
    return parse_host_port(text, None, remedy)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_channels(draft: Draft, report: Report) -> None:
    names: set[str] = set()
    for at, channel in enumerate(draft.document.notify):
        path = draft.member("notify", at)
        name = channel.name or channel.kind
        if name in names:
            report.error(draft.origin.at(*path), f"two channels are named {name!r}", "give each its own `name`")
        names.add(name)
        url = getattr(channel, "url", None)
        if url is not None:
            _check_url(url, _WEB, (*path, "url"), draft=draft, report=report)
        if channel.kind == "webhook" and (url is None) == (channel.url_file is None):
            wrong = "a webhook needs `url` or `url_file`, and only one of them"
            report.error(draft.origin.at(*path), wrong, "write url_file where the URL holds a key")
        if channel.kind == "ntfy" and (channel.topic is None) == (channel.topic_file is None):
            wrong = "ntfy needs `topic` or `topic_file`, and only one of them"
            report.error(draft.origin.at(*path), wrong, "a topic is its own password: topic_file keeps it secret")
        if channel.kind == "email":
            _check_url(channel.server, _MAIL, (*path, "server"), draft=draft, report=report)
            for address in (channel.sender, *channel.to):
                if address.count("@") != 1 or " " in address:
                    report.error(draft.origin.at(*path), f"{address!r} is no mail address", "write name@host")
        if channel.kind == "mqtt":
            _check_topic(channel.topic, path, draft, report)
        username, password = getattr(channel, "username", None), getattr(channel, "password_file", None)
        _check_pair(username, password, path, draft=draft, report=report)


def _check_topic(topic: str, path: tuple[str | int, ...], draft: Draft, report: Report) -> None:
    if draft.document.mqtt is None:
        report.error(draft.origin.at(*path), "a channel of kind mqtt without a broker", "add the section `mqtt`")
    if set(topic) & set("+#") or "" in topic.split("/"):
        remedy = "write plain levels with a slash between them, as keeld/alerts"
        report.error(draft.origin.at(*path, "topic"), f"{topic!r} is no topic to publish under", remedy)


def _check_heartbeat(draft: Draft, report: Report) -> None:
    heartbeat = draft.document.heartbeat
    if heartbeat is None:
        return
    if (heartbeat.url is None) == (heartbeat.url_file is None):
        wrong = "heartbeat needs `url` or `url_file`, and only one of them"
        report.error(draft.origin.key("heartbeat"), wrong, "write url_file where the URL holds a key")
    if heartbeat.url is not None:
        _check_url(heartbeat.url, _WEB, ("heartbeat", "url"), draft=draft, report=report)


def _check_messages(draft: Draft, report: Report) -> None:
    messages = draft.document.messages
    for name in ("page_url", "dashboard_url", "runbooks_url"):
        url = getattr(messages, name)
        if url is None:
            continue
        _check_url(url, _WEB, ("messages", name), draft=draft, report=report)
        known = DASHBOARD_FIELDS if name == "dashboard_url" else frozenset[str]()
        bare = url
        for field in known:
            bare = bare.replace(f"{{{field}}}", "")
        if "{" in bare or "}" in bare:
            remedy = f"write {', '.join(sorted(f'{{{field}}}' for field in known))}" if known else "take the braces out"
            report.error(draft.origin.at("messages", name), f"`{name}`: braces around what is not known here", remedy)


def _check_url(url: str, schemes: frozenset[str], path: tuple[str | int, ...], *, draft: Draft, report: Report) -> None:
    try:
        check_url(url, schemes)
    except UrlError as error:
        report.error(draft.origin.at(*path), f"`{path[-1]}`: {error.wrong}", error.remedy)


def _check_pair(
    username: str | None, password_file: str | None, path: tuple[str | int, ...], *, draft: Draft, report: Report
) -> None:
    if username is not None and password_file is None:
        report.error(draft.origin.at(*path, "username"), "a username without password_file", "add password_file: NAME")
    elif password_file is not None and username is None:
        report.error(draft.origin.at(*path, "password_file"), "a password without a username", "add username")

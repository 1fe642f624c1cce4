"""How a device's address is written for each driver, and its one canonical form."""

from __future__ import annotations

import ipaddress
import re
import shlex
from typing import NamedTuple

from keeld.text import clean

_HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.?)+")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)", re.DOTALL)
_MINER_PORT = 4028
_MODBUS_PORT = 502
_MOST_PORT = 65535


class AddressError(Exception):
    """An address that cannot be reached as written: what is wrong and the remedy; never leaves config."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.remedy = remedy


class Address(NamedTuple):
    """An address as drivers take it, and the key by which two devices are seen to be one."""

    text: str
    key: str


def parse_address(driver: str, text: str) -> Address:
    """Check an address against its driver's syntax. Raises AddressError."""
    if "@" in text and "://" in text:
        raise AddressError("an address with a login in it", "use `username` and `password_file`")
    if driver == "modbus":
        return _modbus(text)
    if driver in {"antminer", "whatsminer"}:
        return _miner(text)
    if driver == "nvidia":
        return _worker(text)
    if not text or not text.isprintable() or " " in text:
        raise AddressError(f"{clean(text)!r} is no address", "write host, host:port or a URL")
    return Address(text, text.lower())


def _modbus(text: str) -> Address:
    example = "write tcp://HOST:502"
    match = _SCHEME.fullmatch(text)
    if match is None:
        raise AddressError(f"{clean(text)!r} names no transport", f"write tcp://{clean(text) or 'HOST:502'}")
    if match[1].lower() != "tcp":
        raise AddressError(f"transport {clean(match[1])!r} is not known", example)
    host, port = parse_host_port(match[2], _MODBUS_PORT, example)
    return Address(f"tcp://{join_host_port(host, port)}", f"{host.lower()} port {port}")


def _miner(text: str) -> Address:
    example = "write the miner's host or HOST:PORT, as 10.1.3.7"
    if _SCHEME.fullmatch(text):
        raise AddressError(f"{clean(text)!r} is a URL", example)
    host, port = parse_host_port(text, _MINER_PORT, example)
    return Address(join_host_port(host, port), f"{host.lower()} port {port}")


def _worker(text: str) -> Address:
    if text == "local":
        return Address(text, text)
    if not text.startswith("exec:"):
        raise AddressError(f"{clean(text)!r} is no place for a worker", "write local, or exec:PROGRAM ARGUMENTS")
    try:
        argv = shlex.split(text.removeprefix("exec:"))
    except ValueError as error:
        raise AddressError(f"exec: {clean(error)}", "close the quotes") from None
    if not argv:
        raise AddressError("exec: without a program", "write exec:PROGRAM ARGUMENTS")
    return Address(text, text)


def parse_host_port(text: str, default_port: int | None, remedy: str) -> tuple[str, int]:
    """Split `host`, `host:port`, `[v6]`, `[v6]:port`. Raises AddressError with `remedy`."""
    host, port_text = _split(text)
    if not _is_host(host):
        raise AddressError(_host_fault(host), remedy)
    if not port_text:
        if default_port is None or text.endswith(":"):
            raise AddressError(f"{clean(text)!r} has no port", remedy)
        return host, default_port
    if not re.fullmatch(r"[0-9]{1,5}", port_text) or not 0 < int(port_text) <= _MOST_PORT:
        raise AddressError(f"{clean(port_text)!r} is no port", f"{remedy}; ports are 1 to {_MOST_PORT}")
    return host, int(port_text)


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") if rest.startswith(":") else rest
    if text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def _is_host(host: str) -> bool:
    if re.fullmatch(r"[0-9.]+", host) or ":" in host:
        return _is_ip(host)
    return _HOST.fullmatch(host) is not None


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _host_fault(host: str) -> str:
    if not host:
        return "an address without a host"
    if "[" in host or "]" in host:
        return f"{clean(host)!r} holds a bracket that is no range"
    return f"{clean(host)!r} is no host name or IP address"


def join_host_port(host: str, port: int) -> str:
    """Write host and port as one text; IPv6 goes in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

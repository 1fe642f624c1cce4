"""Tell systemd how keeld is doing: readiness, status, reloads and the watchdog (sd_notify(3), over its socket).

Without `NOTIFY_SOCKET`, or when nobody listens there, every call does nothing.
"""

from __future__ import annotations

import os
import socket
import time


def notify(*assignments: str) -> bool:
    """Send assignments such as `READY=1` in one datagram; False when there was nobody to take them."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket: no file of that name exists
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
            sender.sendto("\n".join(assignments).encode(), address)
    except OSError:
        return False
    return True


def ready(status: str) -> bool:
    """Say that start-up or a reload is over; `status` is the line that `systemctl status` shows."""
    return notify("READY=1", _status(status))


def reloading() -> bool:
    """Say that the configuration is being read again; `ready` must follow."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping(status: str) -> bool:
    """Say that the end has begun."""
    return notify("STOPPING=1", _status(status))


def status(text: str) -> bool:
    """Change the line that `systemctl status` shows."""
    return notify(_status(text))


def feed_watchdog() -> bool:
    """Say that keeld makes progress; call it only when it does."""
    return notify("WATCHDOG=1")


def watchdog_interval_s() -> float | None:
    """Seconds between two feedings: half of what the unit allows, None where this process is not watched."""
    allowed_us = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID", "")
    if not (allowed_us.isascii() and allowed_us.isdigit() and int(allowed_us)):
        return None
    if watched and watched != str(os.getpid()):
        return None
    return int(allowed_us) / 2e6


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:200]

"""Watch over keeld itself: how late its loop runs, and whether every part of it moves.

systemd's watchdog is fed by progress, not by the loop merely turning: each part notes when it last got something done,
and when one of them has stood still for too long the feeding stops and systemd starts keeld again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from keeld import systemd
from keeld.health import Health

log = structlog.get_logger()

_LOOK_S = 0.5


async def measure_loop_lag(health: Health) -> None:
    """Note the longest time by which the loop kept a sleeper waiting, for ever."""
    while True:
        before_s = time.monotonic()
        await asyncio.sleep(_LOOK_S)
        health.loop_lag_s_max = max(health.loop_lag_s_max, time.monotonic() - before_s - _LOOK_S)


def stalled(progress: Mapping[str, int], allowed_s: Mapping[str, float], now_ns: int, since_ns: int) -> list[str]:
    """Name the parts that have made no progress for longer than they may; a new one counts from `since_ns`."""
    return [part for part, most_s in allowed_s.items() if now_ns - progress.get(part, since_ns) > most_s * 1e9]


async def feed_watchdog(
    health: Health, allowed_s: Callable[[], Mapping[str, float]], status: Callable[[], str]
) -> None:
    """Feed systemd's watchdog while every part moves, keep its status line and log what stands still, for ever."""
    interval_s = systemd.watchdog_interval_s()
    period_s = 10.0 if interval_s is None else min(10.0, interval_s)
    remedy = "restart keeld" if interval_s is None else "systemd will restart keeld"
    told: list[str] = []
    while True:
        parts = stalled(health.progress, allowed_s(), time.monotonic_ns(), health.started_mono_ns)
        if parts and parts != told:
            log.error("no progress", parts=parts, remedy=remedy)
        elif told and not parts:
            log.info("progress again", parts=told)
        if not parts:
            systemd.feed_watchdog()
        told = parts
        systemd.status(status())
        await asyncio.sleep(period_s)

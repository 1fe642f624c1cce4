"""Devices that drip, pour, babble and reset cost their neighbours nothing, and keeld no memory and no descriptor."""

import contextlib
import itertools
import socket
import struct
import time
from urllib.parse import urlsplit

import pytest

BAD = {"m1-1": "drip", "m1-2": "huge", "m1-3": "garbage", "m1-4": "reset", "m2-1": "silence", "pdu-b": "garbage"}
GOOD = ("m1-5", "m1-6", "m2-2", "m2-3", "m2-4", "pdu-a", "meter-1", "crah-1-unit")
_SECONDS = 8
_HEADROOM_BYTES = 15 << 20


@pytest.fixture(scope="module")
def daemon(site, start, sink, wait):
    started = start(site, influx=[{"name": "points", "url": sink.url, "bucket": "keeld"}])
    wait(started.is_whole, 20, "every device answers")
    return started


def reset_connections(url, count):
    """Open connections to the page, ask on each, and reset them all."""
    address = (urlsplit(url).hostname, urlsplit(url).port)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            with contextlib.suppress(ConnectionError):
                link = stack.enter_context(socket.create_connection(address, 5))
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                link.sendall(b"GET /api/v1/site HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")


@pytest.mark.slow
def test_bad_devices_cost_their_neighbours_nothing(daemon, site, sink, wait):
    time.sleep(2)
    descriptors, resident_bytes = daemon.descriptors(), daemon.resident_bytes()
    began_ms = time.time_ns() // 1_000_000
    for device, kind in BAD.items():
        site.fault(device, kind)
    end_s = time.monotonic() + _SECONDS
    while time.monotonic() < end_s:
        reset_connections(daemon.url, 100)
        time.sleep(0.5)
    ended_ms = time.time_ns() // 1_000_000
    for device in BAD:
        assert daemon.device(device)["is_out"], device
    site.clear()
    wait(lambda: min(sink.times_ms(device)[-1] for device in GOOD) > ended_ms, 10, "all of it is stored")
    gaps_ms = []
    for device in GOOD:
        times_ms = [time_ms for time_ms in sink.times_ms(device) if began_ms <= time_ms <= ended_ms]
        assert len(times_ms) >= 2 * _SECONDS - 3, device
        gaps_ms += [after - before for before, after in itertools.pairwise(times_ms)]
    gaps_ms.sort()
    assert gaps_ms[len(gaps_ms) * 99 // 100] < 750
    assert gaps_ms[-1] < 1500

    wait(daemon.is_whole, 40, "the bad ones heal")
    wait(lambda: daemon.descriptors() <= descriptors + 3, 10, "every descriptor is given back")
    assert daemon.resident_bytes() < resident_bytes + _HEADROOM_BYTES
    assert {line["event"] for line in daemon.lines() if line["level"] != "info"} <= {"device lost", "devices lost"}

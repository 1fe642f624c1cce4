"""What keeld finds out about itself and its host, for the rules to judge."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from keeld import certificates, condition, config, host
from keeld.condition import Condition, Parts, Slope
from keeld.credentials import Secret
from keeld.model import Site
from keeld.settings import ChannelSettings, HeartbeatSettings, InfluxSettings, Settings, StorageSettings

MIB = 1 << 20


class Daemon:
    """Stands in for the running parts."""

    def __init__(self, tmp_path: Path, **changed) -> None:
        storage = StorageSettings(directory=tmp_path, spool_max_bytes=1000 * MIB, keep_free_bytes=0)
        influx = (InfluxSettings(name="i", url="http://127.0.0.1:1"),)
        self.settings = Settings(site=Site(name="s"), storage=storage, influx=influx, **changed)
        self.backlog = (0, 0.0)
        self.condition = Condition(
            Parts(
                settings=lambda: self.settings,
                channels=lambda: {"mail": ""},
                heartbeat=lambda: "",
                backlog=lambda: self.backlog,
                state_trouble=lambda: "",
            )
        )


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock and the wall clock of the module, set by hand."""

    class Clock:
        mono_s, wall_s = 1_000.0, 1_700_000_000.0

        def monotonic(self) -> float:
            return self.mono_s

        def monotonic_ns(self) -> int:
            return int(self.mono_s * 1e9)

        def time_ns(self) -> int:
            return int(self.wall_s * 1e9)

        def go(self, span_s: float) -> None:
            self.mono_s += span_s
            self.wall_s += span_s

    it = Clock()
    monkeypatch.setattr(condition, "time", it)
    return it


async def look(daemon, clock, span_s: float, *, bytes_per_s: float = 0.0, age_s: float = 0.0):
    """Let time pass with a backlog that grows; give the last look."""
    own = None
    for _ in range(round(span_s / 10)):
        clock.go(10)
        daemon.backlog = (daemon.backlog[0] + round(bytes_per_s * 10), age_s)
        own = await daemon.condition.look()
    return own


async def test_a_spool_that_grows_behind_a_database_says_when_it_is_full(tmp_path, clock):
    daemon = Daemon(tmp_path)
    own = await look(daemon, clock, 600, bytes_per_s=0.1 * MIB, age_s=600.0)
    assert own.spool_full_s == pytest.approx((1000 - 60) / 0.1, rel=0.01)
    assert own.spool_words == "60 MiB wait, the oldest for 10 min."


async def test_a_spool_whose_database_takes_what_comes_is_never_full(tmp_path, clock):
    daemon = Daemon(tmp_path)
    own = await look(daemon, clock, 600, bytes_per_s=MIB, age_s=5.0)
    assert (own.spool_full_s, own.spool_words) == (None, "")


async def test_readings_that_grow_too_old_are_dropped_as_well(tmp_path, clock):
    daemon = Daemon(tmp_path)
    own = await look(daemon, clock, 600, bytes_per_s=1.0, age_s=14 * 86400.0 - 3600.0)
    assert own.spool_full_s == pytest.approx(3600.0)


async def test_a_clock_that_is_set_is_told_for_a_quarter_of_an_hour(tmp_path, clock):
    daemon = Daemon(tmp_path)
    assert (await look(daemon, clock, 30)).clock_jump_s == 0.0
    clock.wall_s += 3_600.0
    assert (await look(daemon, clock, 10)).clock_jump_s == pytest.approx(3_600.0)
    assert (await look(daemon, clock, 890)).clock_jump_s == pytest.approx(3_600.0)
    assert (await look(daemon, clock, 30)).clock_jump_s == 0.0


async def test_a_file_that_says_something_else_than_what_runs(tmp_path, clock):
    file = tmp_path / "keeld.yaml"
    file.write_text("site: {name: s}\n")
    daemon = Daemon(tmp_path)
    daemon.settings = config.load(file)
    assert (await look(daemon, clock, 20)).config_words == ""
    file.write_text("# a comment\nsite: {name: s}\n")
    assert (await look(daemon, clock, 10)).config_words == ""
    file.write_text("site: {name: s}\nhttp: {listen: '127.0.0.1:1'}\n")
    assert (await look(daemon, clock, 10)).config_words == "The file has changed since it was loaded."
    file.write_text("site: {nam: s}\n")
    assert "cannot be loaded any more: " in (await look(daemon, clock, 10)).config_words
    file.write_text("site: {name: s}\n")
    assert (await look(daemon, clock, 10)).config_words == ""


async def test_what_nobody_can_tell_is_not_known(tmp_path, clock):
    daemon = Daemon(tmp_path / "gone")
    own = await look(daemon, clock, 20)
    assert (own.disk_free_bytes, own.disk_full_s) == (None, None)


def test_a_pace_needs_five_minutes():
    slope = Slope(600.0)
    for at_s in range(0, 291, 10):
        slope.add(float(at_s), float(at_s))
    assert slope.per_s is None
    slope.add(300.0, 300.0)
    assert slope.per_s == pytest.approx(1.0)


def test_the_host_tells_of_its_disk_and_its_clock(tmp_path):
    assert (host.free_bytes(tmp_path) or 0) > 0
    assert host.is_clock_synchronised() in (True, False, None)


def test_asking_for_the_clock_sets_nothing(tmp_path):
    before_ns, mono_ns = time.time_ns(), time.monotonic_ns()
    for _ in range(50):
        host.is_clock_synchronised()
    assert abs((time.time_ns() - before_ns) - (time.monotonic_ns() - mono_ns)) < 5_000_000


def test_whom_keeld_speaks_to_over_tls():
    settings = Settings(
        site=Site(name="s"),
        influx=(InfluxSettings(name="i", url="https://influx.site:8086"), InfluxSettings(name="j", url="http://x")),
        channels=(
            ChannelSettings(kind="slack", name="slack", url=Secret("https://hooks.example/T0/secret")),
            ChannelSettings(kind="email", name="mail", options={"server": "smtps://mx.site"}),
            ChannelSettings(kind="mqtt", name="mqtt", url=Secret("mqtts://broker.site")),
            ChannelSettings(kind="apprise", name="odd", url=Secret("http://[broken")),
        ),
        heartbeat=HeartbeatSettings(url=Secret("https://hc.example/ping/uuid")),
    )
    found = certificates.endpoints(settings)
    assert found == {
        *(("influx.site", 8086), ("hooks.example", 443), ("mx.site", 465)),
        *(("broker.site", 8883), ("hc.example", 443)),
    }


def certificate(directory: Path, days: int) -> Path:
    file = directory / "it.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
         str(days), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(file), "-out", str(directory / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + (directory / "cert.pem").read_text())
    return file


@pytest.mark.engine("openssl")
async def test_a_certificate_says_how_long_it_is_good(tmp_path, monkeypatch):
    file = certificate(tmp_path, 10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    assert await certificates.seconds_left("127.0.0.1", port) is None  # nobody vouches for it
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert await certificates.seconds_left("127.0.0.1", port) == pytest.approx(10 * 86400.0, rel=0.01)
    server.close()
    await server.wait_closed()
    assert await certificates.seconds_left("127.0.0.1", port) is None
    assert os.environ["SSL_CERT_FILE"]

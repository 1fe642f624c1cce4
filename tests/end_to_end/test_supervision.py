"""What systemd is told: readiness once keeld watches, progress, reloads, the end; nothing while a part stands still."""

import itertools
import re
import signal
import socket
import sys
import time

import pytest


class Systemd:
    """The other end of sd_notify."""

    def __init__(self, path):
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self.heard = []

    def listen(self):
        """Give all assignments so far, with the time of each."""
        while True:
            try:
                said = self._socket.recv(4096).decode()
            except BlockingIOError:
                return self.heard
            self.heard += [(time.monotonic(), line) for line in said.splitlines()]

    def close(self):
        self._socket.close()

    def words(self):
        return [line for _, line in self.listen()]


@pytest.fixture
def systemd(tmp_path):
    listening = Systemd(tmp_path / "notify")
    yield listening
    listening.close()


@pytest.fixture
def config(site, start, free_ports):
    (port,) = free_ports(1)
    text = site.config.replace("127.0.0.1:9780", f"127.0.0.1:{port}")
    return start.write("supervised", text), f"http://127.0.0.1:{port}/"


def test_life_as_systemd_sees_it(config, start, systemd, wait):
    daemon = start.run(*config, environment=systemd.environment)
    wait(lambda: "READY=1" in systemd.words(), 5, "ready")
    assert daemon.lines("watching")
    wait(lambda: systemd.words().count("WATCHDOG=1") >= 5, 5, "the watchdog is fed")
    fed_s = [at_s for at_s, line in systemd.heard if line == "WATCHDOG=1"]
    assert max(after - before for before, after in itertools.pairwise(fed_s)) < 1.0
    status = [line for line in systemd.words() if line.startswith("STATUS=")]
    assert re.fullmatch(r"STATUS=17 devices, 0 out; \d+ polls; 0 waiting", status[-1])

    del systemd.heard[:]
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("configuration taken over")
    told = [line for line in systemd.words() if not line.startswith(("STATUS", "WATCHDOG"))]
    assert told[0] == "RELOADING=1"
    assert re.fullmatch(r"MONOTONIC_USEC=\d+", told[1])
    wait(lambda: "READY=1" in systemd.words(), 5, "the reload is over")

    assert daemon.stop() == 0
    assert "STOPPING=1" in systemd.words()
    assert not any("NOTIFY_SOCKET" in line for line in systemd.words())


STALL = """
import asyncio, runpy, sys, time
from keeld import judge
async def stand_still(self):
    await asyncio.sleep(3600)
judge.Judge.run = stand_still
import keeld.app
keeld.app._JUDGE_STALL_S = 1.0
sys.argv = ["keeld", "run", "--config", sys.argv[1]]
runpy.run_module("keeld", run_name="__main__")
"""


def test_watchdog_starves_while_a_part_stands_still(config, start, systemd, wait):
    path, url = config
    daemon = start.run(path, url, environment=systemd.environment, program=(sys.executable, "-c", STALL))
    stuck = daemon.wait_for("no progress", 10)
    assert stuck["parts"] == ["judge"]
    fed = systemd.words().count("WATCHDOG=1")
    assert fed >= 1
    time.sleep(1.5)
    assert systemd.words().count("WATCHDOG=1") == fed
    assert daemon.status("livez") == (503, {"alive": False, "stuck": ["judge"]})
    assert len(daemon.lines("no progress")) == 1
    assert daemon.stop() == 0

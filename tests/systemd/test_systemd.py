"""What systemd is told, on real sockets, and the units it is given."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from keeld import systemd

UNITS = Path(__file__).parents[2] / "systemd"


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path, monkeypatch):
    name = str(tmp_path / "notify") if request.param == "file" else f"@keeld-test-{os.getpid()}"
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(name.replace("@", "\0", 1))
    receiver.settimeout(2)
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    yield receiver
    receiver.close()


def test_each_word_is_one_datagram(manager):
    before_us = time.monotonic_ns() // 1000
    assert systemd.ready("12 devices\nREADY=0")
    assert systemd.reloading()
    assert systemd.status("late")
    assert systemd.feed_watchdog()
    assert systemd.stopping("bye")
    said = [manager.recv(4096).decode() for _ in range(5)]
    assert said[0] == "READY=1\nSTATUS=12 devices READY=0"
    reloading, stamp = said[1].split("\n")
    assert reloading == "RELOADING=1"
    assert before_us <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert said[2:] == ["STATUS=late", "WATCHDOG=1", "STOPPING=1\nSTATUS=bye"]


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all", "@nobody-listens-here"])
def test_without_a_manager_nothing_happens(monkeypatch, address):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not systemd.ready("x")


def test_a_manager_that_does_not_read_holds_up_nothing(manager):
    began = time.monotonic()
    assert not all(systemd.status("x" * 190) for _ in range(5000))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("allowed_us", "pid", "interval_s"),
    [
        ("30000000", None, 15.0),
        ("30000000", "self", 15.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("", None, None),
        ("soon", None, None),
        ("-5", None, None),
    ],
)
def test_watchdog_interval(monkeypatch, allowed_us, pid, interval_s):
    monkeypatch.setenv("WATCHDOG_USEC", allowed_us)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "self" else pid)
    assert systemd.watchdog_interval_s() == interval_s


@pytest.fixture(params=[(), ("gpu-serial.conf",)], ids=["site host", "gpu node"])
def unit(request, tmp_path):
    """The unit as an operator would install it, its program present, with its drop-ins beside it."""
    program = tmp_path / "keeld"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = (UNITS / "keeld.service").read_text()
    assert "/opt/keeld/bin/keeld" in text
    installed = tmp_path / "keeld.service"
    installed.write_text(text.replace("/opt/keeld/bin/keeld", str(program)))
    for name in request.param:
        (tmp_path / "keeld.service.d").mkdir(exist_ok=True)
        shutil.copy(UNITS / "drop-ins" / name, tmp_path / "keeld.service.d")
    return installed, 15 if request.param else 12


@pytest.mark.engine("systemd-analyze")
def test_unit_is_valid(unit):
    checked = subprocess.run(["systemd-analyze", "verify", unit[0]], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.engine("systemd-analyze")
def test_unit_is_as_closed_as_promised(unit):
    installed, threshold = unit
    score = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={threshold}", installed]
    checked = subprocess.run(score, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.engine("systemd-analyze")
def test_the_score_can_fail(tmp_path):
    (tmp_path / "open.service").write_text("[Service]\nExecStart=/bin/true\n")
    score = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", tmp_path / "open.service"]
    assert subprocess.run(score, capture_output=True, check=False).returncode == 1


def test_unit_says_what_the_daemon_relies_on():
    unit = (UNITS / "keeld.service").read_text().splitlines()
    for line in (
        "Type=notify",
        "WatchdogSec=30s",
        "DynamicUser=yes",
        "StateDirectory=keeld",
        "RuntimeDirectory=keeld",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=always",
        "PrivateDevices=yes",
    ):
        assert line in unit
    assert not any(line.startswith(("IPAddress", "Environment=", "User=root")) for line in unit)

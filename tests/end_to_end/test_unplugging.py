"""Unplug anything: exactly one clear line says so, one says that it is back, and nothing else of keeld notices."""

import itertools
import os
import signal
import time
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def daemon(site, start, hook, sink, wait):
    influx = [{"name": "points", "url": sink.url, "bucket": "keeld"}]
    started = start(site, influx=influx, notify=[{"kind": "webhook", "name": "hook", "url": hook.url}])
    wait(started.is_whole, 20, "every device answers")
    return started


@pytest.fixture
def said(daemon, site, wait):
    """The events that this test has caused, alarms apart; before it, everything was plugged in and answered."""
    site.clear()
    wait(daemon.is_whole, 40, "every device answers")
    time.sleep(1.1)  # what came back is logged at most a second later
    before = len(daemon.lines())
    return lambda: [line["event"] for line in daemon.lines()[before:] if line["event"] != "alarm moved"]


def test_one_miner(daemon, site, said):
    site.fault("m1-3", "stop")
    lost = daemon.wait_for("device lost", device="m1-3")
    assert (lost["level"], lost["reason"]) == ("warning", "refused")
    assert lost["detail"].endswith(".1.3 port 4028: Connection refused")
    site.clear()
    daemon.wait_for("device back", 30, device="m1-3")
    assert said() == ["device lost", "device back"]


def test_one_unit_behind_a_gateway(daemon, site, said):
    site.fault("meter-2", "exception", amount=11)
    lost = daemon.wait_for("device lost", device="meter-2")
    assert (lost["reason"], lost["detail"]) == ("unit_down", "unit 2: no response behind the gateway")
    before = daemon.device("meter-1")["batches"]["fast"]["time"]
    time.sleep(1.2)
    assert daemon.device("meter-1")["batches"]["fast"]["time"] > before
    site.clear()
    daemon.wait_for("device back", 40, device="meter-2")
    assert said() == ["device lost", "device back"]


def test_worker_of_the_gpus(daemon, said, wait):
    (worker,) = daemon.children()
    os.kill(worker, signal.SIGKILL)
    lost = daemon.wait_for("device lost", device="gpu-1")
    assert (lost["reason"], lost["detail"]) == ("unreachable", "worker was ended from outside by SIGKILL")
    daemon.wait_for("device back", 20, device="gpu-1")
    wait(lambda: not Path(f"/proc/{worker}").exists(), 5, "no zombie stays")
    assert said() == ["device lost", "device back"]


def test_database(daemon, sink, said, wait):
    sink.close()
    lost = daemon.wait_for("sink lost")
    assert (lost["sink"], lost["reason"]) == ("points", "Connection refused")
    wait(lambda: daemon.balance()["spool_points"] > 100, 10, "readings wait")
    assert not daemon.ask("api/v1/site")["not_ready"]
    sink.open()
    daemon.wait_for("sink back", 20)
    wait(lambda: daemon.balance()["spool_files"] <= 1, 10, "the backlog is sent")
    assert said() == ["sink lost", "sink back"]
    for device in daemon.ask("api/v1/devices")["devices"]:
        times_ms = sink.times_ms(device["id"])[-10:]
        assert max(after - before for before, after in itertools.pairwise(times_ms)) < 1500, device["id"]


def test_receiver_of_messages(daemon, site, hook, said, wait):
    hook.close()
    heard = len(hook.messages)
    site.incident("g1-a", "feed-loss")
    lost = daemon.wait_for("channel lost", 30)
    assert (lost["channel"], lost["reason"]) == ("hook", "http://127.0.0.1: Connection refused")
    time.sleep(1)
    assert len(hook.messages) == heard
    hook.open()
    daemon.wait_for("channel back", 40)
    wait(lambda: not daemon.balance()["messages_waiting"], 10, "nothing waits")
    assert hook.told("feed_dead") == ["trigger"]
    assert said() == ["device lost", "channel lost", "channel back"]


@pytest.mark.slow
def test_gateway_while_a_driver_call_hangs(daemon, site, hook, said, wait):
    for name in ("meter-1", "meter-2", "meter-panel"):
        site.fault(name, "stop")
    lost = daemon.wait_for("devices lost", count=3)
    assert (lost["devices"], lost["reasons"]) == (["meter-1", "meter-2", "meter-panel"], {"refused": 3})
    (worker,) = daemon.children()
    os.kill(worker, signal.SIGSTOP)
    hung = daemon.wait_for("device lost", device="gpu-1", reason="hung")
    assert hung["detail"] == f"a driver call in worker process {worker} does not return"
    wait(lambda: hook.told("source_stale", "path:"), 50, "the gateway's alarm")
    message = hook.messages[-1].body
    assert message["title"].startswith(f"gateway {site.prefix}20.1:1502 silent")
    assert "meter-1, meter-2, meter-panel" in message["text"]
    site.clear()
    wait(lambda: not daemon.device("gpu-1")["is_out"], 40, "the worker was replaced")
    assert not Path(f"/proc/{worker}").exists()
    wait(daemon.is_whole, 60, "all are back")
    assert hook.told("source_stale") == ["trigger"]
    assert sorted(said()[:2]) == ["device lost", "devices lost"]
    assert set(said()[2:]) <= {"device back", "devices back"}

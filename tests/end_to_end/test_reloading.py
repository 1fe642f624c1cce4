"""SIGHUP takes a configuration over as a whole or not at all; SIGTERM ends keeld at once and loses nothing."""

import itertools
import os
import re
import signal
import time

import pytest


@pytest.fixture(scope="module")
def daemon(site, start, hook, sink, wait):
    influx = [{"name": "points", "url": sink.url, "bucket": "keeld"}]
    started = start(site, influx=influx, notify=[{"kind": "webhook", "name": "hook", "url": hook.url}])
    wait(started.is_whole, 20, "every device answers")
    return started


@pytest.fixture(scope="module")
def original(daemon):
    return daemon.config.read_text()


def reload(daemon, text):
    daemon.config.write_text(text)
    daemon.signal(signal.SIGHUP)


def test_bad_configuration_changes_nothing(daemon, site, original):
    pdu = daemon.ports_towards(f"{site.prefix}10.1", 1502)
    assert len(pdu) == 1
    polls = daemon.balance()["polls"]
    reload(daemon, original.replace("nameplate_w: 3250", "namplate_w: 3250"))
    daemon.wait_for("configuration not taken over")
    time.sleep(0.5)
    problems = [line["problem"] for line in daemon.lines("configuration not taken over")]
    assert len(problems) == 1
    assert "did you mean `nameplate_w`?" in problems[0]
    place = 1 + original[: original.index("nameplate_w: 3250")].count("\n")
    assert problems[0].startswith(f"{daemon.config}:{place}:")
    reload(daemon, original.replace("127.0.0.1:", "127.0.0.2:"))
    refused = daemon.wait_for(
        "configuration not taken over", problem=f"{daemon.config}: 'http' has changed; restart keeld to change it"
    )
    assert refused["level"] == "error"
    assert daemon.ports_towards(f"{site.prefix}10.1", 1502) == pdu
    assert daemon.balance()["polls"] > polls
    assert len(daemon.ask("api/v1/devices")["devices"]) == 17


def test_good_configuration_keeps_what_is_unchanged(daemon, site, original, sink, hook, wait):
    site.fault("meter-2", "stop")
    wait(lambda: "trigger" in hook.told("source_stale", "path:"), 30, "the gateway's alarm")
    pdu = daemon.ports_towards(f"{site.prefix}10.1", 1502)
    (worker,) = daemon.children()
    changed = re.sub(r"  - .name: meter-.*20\.1:1502.*\n(     rack: .*\n)?", "", original)
    changed = changed.replace('"m1-[1-6]"', '"m1-[1-5]"').replace("1.[1-6]:", "1.[1-5]:")
    began_ms = time.time_ns() // 1_000_000
    reload(daemon, changed)
    taken = daemon.wait_for("configuration taken over")
    assert taken["devices"] == 13
    assert {device["id"] for device in daemon.ask("api/v1/devices")["devices"]}.isdisjoint({"m1-6", "meter-2"})
    wait(lambda: hook.told("source_stale", "path:") == ["trigger", "resolve"], 10, "the alarm is withdrawn")
    assert hook.messages[-1].body["ended"] == "withdrawn"
    assert daemon.ask("api/v1/alerts")["alerts"] == []

    site.clear()
    reload(daemon, original)
    daemon.wait_for("configuration taken over", devices=17)
    wait(daemon.is_whole, 20, "what was added is polled")
    assert daemon.ports_towards(f"{site.prefix}10.1", 1502) == pdu
    assert daemon.children() == [worker]
    wait(lambda: sink.times_ms("pdu-a")[-1] > began_ms + 3000, 10, "some seconds have passed")
    times_ms = [time_ms for time_ms in sink.times_ms("pdu-a") if time_ms > began_ms - 2000]
    assert max(after - before for before, after in itertools.pairwise(times_ms)) < 1200


def test_end_is_quick_clean_and_loses_nothing(daemon, sink, start, site):
    polls = daemon.balance()["polls"]
    began_s = time.monotonic()
    worker = daemon.children()
    assert daemon.stop() == 0
    assert time.monotonic() - began_s < 5
    assert daemon.lines()[-1]["event"] == "stopped"
    assert daemon.lines()[-1]["polls"] >= polls
    assert daemon.troubles().count("configuration not taken over") == 2
    for pid in worker:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

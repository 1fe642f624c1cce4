"""What people do about alarms: by command, over the socket, kept through a kill, and written down with their name."""

from __future__ import annotations

import getpass
import json
import subprocess
import sys


def keeld(config, *words, code=0):
    """Run a command against the running keeld; gives what it printed."""
    called = [sys.executable, "-m", "keeld", *words, "--config", str(config)]
    done = subprocess.run(called, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_acts_by_command_survive_a_kill_and_are_audited(site, start, hook, wait, tmp_path_factory):
    socket = tmp_path_factory.mktemp("s") / "api.sock"
    text = site.config.replace("row-1: {parent: panel, breaker_a: 125", "row-1: {parent: panel, breaker_a: 20")
    text = text.replace('listen: "127.0.0.1:9780"', f'listen: "127.0.0.1:9780", socket: "{socket}"')
    first = start(site, text=text, notify=[{"kind": "webhook", "name": "hook", "url": hook.url}])
    wait(lambda: hook.told("breaker_overload"), 30, "the breaker's alarm")
    (alarm,) = (found for found in first.ask("api/v1/alerts")["alerts"] if found["rule"] == "breaker_overload")
    config = first.config

    assert "acknowledged: " in keeld(config, "ack", alarm["alert_id"][:5], "--owner", "eve")
    wait(lambda: "acknowledge" in hook.told("breaker_overload"), 10, "the channel knows who has it")
    shelved = keeld(config, "shelve", "--select", "rule=source_stale", "--for", "4h", "--reason", "rewiring")
    assert "shelved until" in shelved
    work = ("maintenance", "begin", "node=g1-a", "--for", "2h", "--reason", "breaker swap", "--yes")
    assert "announced: work on node=g1-a" in keeld(config, *work)
    assert "no alarm" in keeld(config, "close", "nothere1", "--reason", "x", code=1)
    assert "at most 24 h" in keeld(config, "shelve", alarm["alert_id"], "--for", "48h", "--reason", "x", code=1)
    told = hook.told("breaker_overload")
    first.kill()

    second = start.run(config, first.url)
    (kept,) = (found for found in second.ask("api/v1/alerts")["alerts"] if found["rule"] == "breaker_overload")
    assert (kept["owner"], kept["state"]) == ("eve", "firing")
    (shelf,) = json.loads(keeld(config, "shelve", "--list", "--json"))["shelves"]
    (announced,) = second.ask("api/v1/maintenance")["maintenance"]
    assert (shelf["about"], shelf["reason"], announced["is_now"]) == ("rule=source_stale", "rewiring", True)
    wait(lambda: second.balance()["polls"] > 60, 20, "it has looked again for seconds")
    assert hook.told("breaker_overload") == told

    assert "over: work on node=g1-a" in keeld(config, "maintenance", "end", announced["id"])
    assert "off the shelf" in keeld(config, "shelve", "--end", shelf["id"])
    audit = json.loads(keeld(config, "audit", "--json"))["audit"]
    assert [(entry["act"], entry["was_done"]) for entry in audit] == [
        ("unshelve", True), ("endmaintenance", True), ("shelve", False), ("close", False), ("maintain", True),
        ("shelve", True), ("acknowledge", True),
    ]  # fmt: skip
    assert {entry["who"] for entry in audit} == {getpass.getuser()}
    rules = {rule["name"]: rule for rule in json.loads(keeld(config, "rules", "--json"))["rules"]}
    assert rules["breaker_overload"]["standing"] == 1
    assert rules["breaker_overload"]["observed"] == 0
    assert second.stop() == 0


def test_a_new_site_sends_nothing_and_says_what_it_would_have_sent(site, start, hook, wait, tmp_path_factory):
    socket = tmp_path_factory.mktemp("s") / "api.sock"
    text = site.config.replace("row-1: {parent: panel, breaker_a: 125", "row-1: {parent: panel, breaker_a: 20")
    text = text.replace('listen: "127.0.0.1:9780"', f'listen: "127.0.0.1:9780", socket: "{socket}"')
    text = text.replace("observe: off", "observe: 72h").replace("/data, linger", "/new, linger")
    before = len(hook.messages)
    daemon = start(site, "observed", text=text, notify=[{"kind": "webhook", "name": "hook", "url": hook.url}])

    def observed():
        alerts = daemon.ask("api/v1/alerts")["alerts"]
        return [found for found in alerts if found["rule"] == "breaker_overload" and found["state"] == "firing"]

    (alarm,) = wait(observed, 30, "the breaker's alarm")
    assert alarm["quiet"] == "observed"
    assert "quiet with  rules: {breaker_overload:" in keeld(daemon.config, "rules", "--would-have")
    assert not [message for message in hook.messages[before:] if message.body["rule"] == "breaker_overload"]
    socket_rules = keeld(daemon.config, "rules")
    assert "observed at" in socket_rules
    live = [sys.executable, "-m", "keeld", "rules", "--config", str(daemon.config), "live", "rule=breaker_overload"]
    assert "live: " in subprocess.run(live, capture_output=True, text=True, timeout=30, check=True).stdout
    wait(lambda: [m for m in hook.messages[before:] if m.body["rule"] == "breaker_overload"], 10, "its message")
    assert daemon.stop() == 0

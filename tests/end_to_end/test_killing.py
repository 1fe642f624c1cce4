"""Kill -9 again and again while alarms come and go: none is lost, none ends wrongly, none gets a second id.

20 kills by default; `KEELD_KILLS=200` for more.
"""

from __future__ import annotations

import collections
import itertools
import os
import random
import time

import pytest

KILLS = int(os.environ.get("KEELD_KILLS", "20"))
PHASES = 4
OVERLOAD = "breaker_overload:power_node:row-1"


@pytest.mark.timeout(240 + 8 * KILLS)
def test_kills_lose_nothing_and_repeat_nothing(site, start, hook, wait):
    draw = random.Random(KILLS)
    text = site.config.replace("row-1: {parent: panel, breaker_a: 125", "row-1: {parent: panel, breaker_a: 20")
    daemon = start(site, text=text, notify=[{"kind": "webhook", "name": "hook", "url": hook.url}])
    heard = []
    for phase in range(PHASES):
        is_over = phase % 2 == 0
        if is_over:
            site.clear("m1")
        else:
            site.incident("m1", "miner-row-stop", cause="power")
        for number in range(KILLS // PHASES):
            known, end_s = len(hook.messages), time.monotonic() + draw.uniform(0.2, 4.0)
            while time.monotonic() < end_s and not (number % 2 and len(hook.messages) > known):
                time.sleep(0.002)  # half of the kills come just when a message has: it may not be settled yet
            daemon.kill()
            daemon = start.run(daemon.config, daemon.url)
            if is_over and told(hook)[-1:] == ["trigger"]:
                assert stands(daemon) == {"firing"}
        heard.append("trigger" if is_over else "resolve")
        wait(lambda: len(told(hook)) >= len(heard), 90, f"what people must hear after phase {phase}: {told(hook)}")
        assert told(hook) == heard
    wait(lambda: not daemon.balance()["messages_waiting"], 20, "all is settled")
    assert daemon.stop() == 0
    check_every_story(hook)


def stands(daemon) -> set[str]:
    alarms = daemon.ask("api/v1/alerts")["alerts"]
    return {alarm["state"] for alarm in alarms if alarm["rule"] == "breaker_overload"}


def told(hook) -> list[str]:
    """What a receiver that drops repeats by their id has heard of the overload."""
    first = {message.body["id"]: message.body for message in hook.messages if message.body["key"].endswith(OVERLOAD)}
    return [body["notice"] for body in first.values()]


def check_every_story(hook) -> None:
    """Repeats are the same to the letter, at most one for each kill; what is told of an alarm begins and ends once."""
    by_id = collections.defaultdict(list)
    for message in hook.messages:
        by_id[message.body["id"]].append(message.body)
    assert all(body == bodies[0] for bodies in by_id.values() for body in bodies)
    assert sum(len(bodies) - 1 for bodies in by_id.values()) <= KILLS
    stories = collections.defaultdict(list)
    for bodies in by_id.values():
        stories[bodies[0]["key"]].append(bodies[0])
    for key, story in stories.items():
        notices = [body["notice"] for body in story if body["notice"] != "escalate"]
        assert notices == list(itertools.islice(itertools.cycle(("trigger", "resolve")), len(notices))), key
        assert all(body["ended"] == "resolved" for body in story if body["notice"] == "resolve"), key

"""An alarm that fires while keeld is killed is not sent again, stays listed, and ends with fresh evidence, once."""


def test_alarm_survives_a_kill(site, start, hook, wait):
    text = site.config.replace("row-1: {parent: panel, breaker_a: 125", "row-1: {parent: panel, breaker_a: 20")
    first = start(site, text=text, notify=[{"kind": "webhook", "name": "hook", "url": hook.url}])
    wait(lambda: hook.told("breaker_overload"), 30, "the breaker's alarm")
    wait(lambda: not first.balance()["messages_waiting"], 10, "it is settled")
    told = hook.told("breaker_overload")
    (alarm,) = (found for found in first.ask("api/v1/alerts")["alerts"] if found["rule"] == "breaker_overload")
    assert alarm["state"] == "firing"
    first.kill()

    second = start.run(first.config, first.url)
    (kept,) = (found for found in second.ask("api/v1/alerts")["alerts"] if found["rule"] == "breaker_overload")
    assert (kept["state"], kept["alert_id"], kept["since"]) == ("firing", alarm["alert_id"], alarm["since"])
    wait(lambda: second.balance()["polls"] > 150, 20, "it has looked again for seconds")
    assert hook.told("breaker_overload") == told

    site.incident("m1", "miner-row-stop", cause="power")
    wait(lambda: "resolve" in hook.told("breaker_overload"), 30, "its end")
    assert hook.told("breaker_overload") == [*told, "resolve"]
    assert hook.messages[-1].body["ended"] == "resolved"
    wait(lambda: not second.balance()["messages_waiting"], 10, "it is settled")
    assert second.stop() == 0
    assert len({message.body["id"] for message in hook.messages}) == len(hook.messages)

"""A running keeld says of a rack what would happen if one of its feeds died, and no longer of one that is dead."""


def cases(daemon, rack):
    return {case["target"]["id"]: case for case in daemon.ask(f"api/v1/racks/{rack}")["failover"]}


def test_a_rack_says_what_the_loss_of_its_feeds_would_do(site, start, wait):
    daemon = start(site)
    wait(daemon.is_whole, 20, "every device answers")
    wait(lambda: cases(daemon, "g1")["g1/a"]["survivors"], 20, "a prediction for feed B")
    found = cases(daemon, "g1")
    assert set(found) == {"g1/a", "g1/b", "panel", "utility"}
    case = found["g1/a"]
    assert case["text"].startswith("If feed A dies now, g1-b goes to ")
    assert {item["node"] for item in case["survivors"]} == {"g1-b"}
    assert case["dead_watts"]["hi"] == 0.0
    assert cases(daemon, "m1")["m1/a"]["dead_devices_total"] == 6
    site.incident("g1-a", "feed-loss")
    wait(lambda: "g1/a" not in cases(daemon, "g1"), 30, "feed A is known to be dead")

"""Every mistake an operator makes: one line, at its place, with its remedy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Problems = Callable[..., list[str]]
DEVICE = '{name: p1, driver: modbus, profile: raritan_px, address: "tcp://10.0.0.1:502", rack: r1, feed: a}'

# What of the sound site is replaced, by what, and the one line that follows.
MISTAKES = [
    ("site: {name: s}", "sight: 1\nsite: {name: s}", "k.yaml:1:1: unknown key `sight`; did you mean `site`?"),
    ("name: s}", "name: S 1}", "k.yaml:1:14: `name`: 'S 1' cannot be an id; write 1 to 64"),
    ("name: s}", "name: s, timezone: America/Torronto}", "k.yaml:1:27: unknown timezone 'America/Torronto'; did you"),
    ("name: s}", "name: 7}", "k.yaml:1:14: `name`: '7' is read as a number here; put it in quotes"),
    ("limit_kw: 1000", "limit_kW: 1000, limit_kva: 1", "k.yaml:3:7: unknown key `limit_kW`; did you mean `limit_kw`?"),
    ("limit_kw: 1000", "limit_kw: -1", "k.yaml:3:17: `limit_kw` must be over 0;"),
    ("limit_kw: 1000", "limit_kw: 0", "k.yaml:3:17: `limit_kw` must be over 0;"),
    ("limit_kw: 1000", "limit_kw: .nan", "k.yaml:3:17: `limit_kw`: a number that is not finite;"),
    ("limit_kw: 1000", "limit_kw: -.inf", "k.yaml:3:17: `limit_kw`: a number that is not finite;"),
    ("limit_kw: 1000", "limit_kw: 1e999", "k.yaml:3:17: `limit_kw`: a number that is not finite;"),
    ("limit_kw: 1000", f"limit_kw: {'9' * 5000}", "k.yaml:3:17: `limit_kw`: a number that is not finite;"),
    ("limit_kw: 1000", f"limit_kw: {'9' * 40}", "k.yaml:3:17: `limit_kw` must be at most 1e+09;"),
    ("limit_kw: 1000", "limit_kw: 1 000", "k.yaml:3:17: `limit_kw`: '1 000' is no number; write digits alone"),
    ("limit_kw: 1000", "limit_kw: yes", "k.yaml:3:17: `limit_kw`: 'yes' is no number;"),
    ("limit_kw: 1000", "limit_kw: true", "k.yaml:3:17: `limit_kw`: 'True' is no number;"),
    ("limit_kw: 1000", "limit_kw: [1]", "k.yaml:3:17: `limit_kw`: '[1]' is no number;"),
    (
        "{limit_kw: 1000}",
        "{label: x}",
        "k.yaml:3:3: power node 'u' has no rating; add limit_kw, limit_kva, or breaker_a",
    ),
    ("u: {limit_kw: 1000}", "u:", "k.yaml:3:5: `u` has no keys; write `u: {key: value}`"),
    ("f1: {parent: u,", "f1: {parent: v1,", "k.yaml:4:16: parent 'v1' is no power node; there is f2, u"),
    ("f1: {parent: u,", "f1: {parent: f1,", "k.yaml:4:16: power node 'f1' is its own parent; name the node"),
    ("u: {limit_kw", "u: {parent: f1, limit_kw", "power nodes feed one another in a circle: "),
    ("breaker_a: 60, voltage_v: 415", "breaker_a: 60", "k.yaml:4:19: breaker of 'f1' has no voltage; add voltage_v"),
    ("voltage_v: 415, phases: 3", "voltage_v: 415", "k.yaml:4:45: 415 V without `phases` at 'f1'; add phases: 3"),
    ("phases: 3", "phases: 2", "k.yaml:4:58: 2 phases; write 1 or 3"),
    (
        "phases: 3",
        "phases: 3, derate: 80",
        "k.yaml:4:69: `derate` must be at most 1; write a share of one: 0.8 is 80 %",
    ),
    ("phases: 3", "phases: 3, derate: 0", "k.yaml:4:69: `derate` must be over 0;"),
    (
        "phases: 3",
        "phases: 3, breaker_kind: thermal",
        "`breaker_kind`: 'thermal' is not known here; did you mean therm",
    ),
    ("N+1}", "N+2}", "k.yaml:7:50: 'z' is N+2 with 2 units; list every unit in units_kw"),
    ("kind: air, ", "", "k.yaml:7:3: `kind` is missing; add `kind: ...`"),
    ("[60, 60]", "[]", "k.yaml:7:28: `units_kw` is an empty list; write at least one"),
    ("[60, 60]", "[60, 0]", "k.yaml:7:33: `units_kw[1]` must be over 0;"),
    ("[60, 60]", "60", "k.yaml:7:28: `units_kw`: '60' is no list; write a list: [60, 60]"),
    ("r1: {feeds", "R1: {feeds", "k.yaml:9:3: 'R1' cannot be an id; write 1 to 64 of a-z 0-9 . _ -"),
    (
        "a: f1, b",
        "a: f9, b",
        "k.yaml:9:19: feed a of rack 'r1' comes from 'f9', which is no power node; there is f1, f2",
    ),
    ("a: f1, b", "a: f2, b", "k.yaml:9:26: feeds a and b of rack 'r1' both come from 'f2'; name the node of each"),
    (", b: f2}", "}", "k.yaml:9:36: rack 'r1' is 2N with one feed; add its other feed, or redundancy: N"),
    ("redundancy: 2N", "redundancy: 2n", "k.yaml:9:43: `redundancy`: '2n' is not known here; did you mean 2N?"),
    ("2N}", "2N, cooling: {air: y}}", "k.yaml:9:62: rack 'r1' is cooled by 'y', which is no cooling node; there is z"),
    ("2N}", "2N, cooling: {liquid: z}}", "k.yaml:9:65: 'z' is of kind air, not liquid; write cooling: {air: z}"),
    ("2N}", "2N, state: AI}", "k.yaml:9:54: `state`: 'AI' is not known here; did you mean ai?"),
    ("2N}", "2N, liquid_ratio: [0.9, 0.8]}", "k.yaml:9:61: `liquid_ratio`: a range needs its lower and its upper end"),
    ("2N}", "2N, liquid_ratio: [80, 87]}", "`liquid_ratio[0]` must be at most 1; write a share of one: 0.8 is 80 %"),
    (DEVICE, "{}", "k.yaml:11:5: an entry without `name`; give it a name"),
    (DEVICE, "p1", "k.yaml:11:5: an entry that is no mapping; write `- {name: ..., ...}`"),
    ("name: p1", "name: 71", 'k.yaml:11:12: the name is no text; put it in quotes: name: "7"'),
    ("name: p1", "name: p 1", "k.yaml:11:5: 'p 1' cannot be an id;"),
    ("name: p1", f"name: {'p' * 65}", "cannot be an id;"),
    ("driver: modbus", "driver: modbuss", "k.yaml:11:24: unknown driver 'modbuss'; did you mean `modbus`?"),
    ("driver: modbus, ", "", "k.yaml:11:5: `driver` is missing; add `driver: ...`"),
    ("profile: raritan_px, ", "", "k.yaml:11:5: 'p1' has no profile: its registers have no meaning without one;"),
    ("raritan_px", "raritan", "k.yaml:11:41: unknown profile 'raritan'; did you mean `raritan_px`?"),
    ("tcp://10.0.0.1:502", "10.0.0.1", "k.yaml:11:62: 'p1': '10.0.0.1' names no transport; write tcp://10.0.0.1"),
    ("tcp://10.0.0.1:502", "udp://10.0.0.1:502", "k.yaml:11:62: 'p1': transport 'udp' is not known; write tcp://HOST"),
    ("tcp://10.0.0.1:502", "tcp://10.0.0.256:502", "k.yaml:11:62: 'p1': '10.0.0.256' is no host name or IP address;"),
    ("tcp://10.0.0.1:502", "tcp://10.0.0.1:65536", "k.yaml:11:62: 'p1': '65536' is no port; write tcp://HOST:502;"),
    ("tcp://10.0.0.1:502", "tcp://", "k.yaml:11:62: 'p1': an address without a host; write tcp://HOST:502"),
    (
        "tcp://10.0.0.1:502",
        "tcp://10.0.0.[1-:502",
        "'p1': '10.0.0.[1-' holds a bracket that is no range; write tcp://HOST:502",
    ),
    ('address: "tcp://10.0.0.1:502", ', "", "k.yaml:11:5: 'p1' has no address; add address: tcp://HOST:502"),
    ("rack: r1,", "rack: r11,", "k.yaml:11:90: `rack` of 'p1' is 'r11', which is no rack; did you mean `r1`?"),
    ("feed: a", "feed: c", "k.yaml:11:100: 'p1' is on feed 'c', which rack 'r1' does not have; there is a, b"),
    ("feed: a", "feed: [a-b]", "k.yaml:11:100: `feed`: a list where one text belongs; put a text with [ ] in quotes"),
    (", feed: a", "", "k.yaml:11:5: 'p1' is in a rack with 2 feeds and does not say which one it is on; add feed: a"),
    ("feed: a", "feed: a, at: z", "k.yaml:11:103: 'p1' is both in a rack and at a node; keep `rack` or `at`"),
    ("feed: a", "feed: a, cords: {a: {psus: 2}}", "k.yaml:11:94: 'p1' has `feed` and `cords`;"),
    (
        "feed: a",
        "cords: {c: {psus: 2}}",
        "k.yaml:11:102: a cord of 'p1' is on feed 'c', which rack 'r1' does not have;",
    ),
    ("feed: a", "cords: {a: {psus: 1}, b: {psus: 1}}, psus_needed: 3", "'p1' needs 3 of 2 supplies; write 2 or fewer"),
    ("feed: a", "feed: a, gpus: 8", "`gpus` of 'p1', which is a pdu; leave it out;"),
    ("feed: a", "feed: a, psus_needed: 3", "k.yaml:11:116: psus_needed of 'p1' without cords; add cords:"),
    ("feed: a", "feed: a, via: sw", "`via` of 'p1' is 'sw', which is no network entry; there is no network entry yet"),
    ("feed: a", "feed: a, measures: {branch/1: f3}", "branch/1 of 'p1' measures 'f3', which is no power node;"),
    ("feed: a", "feed: a, measures: {branch 1: f1}", "'branch 1' is no part of a device; write branch/7"),
    ("feed: a", "feed: a, identity: {mac: 00-11}", "'00-11' is no MAC address; write"),
    ("feed: a", "feed: a, unit: 256", "`unit` must be at most 255;"),
    ("feed: a", "feed: a, unit: 1.5", "`unit`: 1.5 is no whole number;"),
    ("feed: a", "feed: a, nameplate_w: 3.5kW", "`nameplate_w`: '3.5kW' is no number; write digits alone"),
    ("feed: a", "feed: a, nameplate: 3500", "unknown key `nameplate`; did you mean `nameplate_w`?"),
    ("feed: a", "feed: a, interval: 10", "`interval`: '10' is no duration; add the unit: 10s"),
    ("feed: a", "feed: a, interval: 10 sec", "`interval`: '10 sec' is no duration; write 10s, 5m, 72h or 250ms"),
    ("feed: a", "feed: a, interval: 1ms", "`interval`: 1ms is out of bounds; write 100ms to 1h"),
    ("feed: a", "feed: a, username: root", "'p1' has a username and no password_file; add password_file: NAME"),
    ("feed: a", "feed: a, password: hunter2", "unknown key `password`; put the value in a file and write `password_"),
    ("feed: a", "feed: a, options: {x: [1]}", "`options`: option `x` is no single value;"),
    ("rack: r1, feed: a", "feed: a, at: z", "`feed` of 'p1' without a rack; add rack, or leave it out"),
    ("rack: r1, feed: a", "at: zz", "`at` of 'p1' is 'zz', which is no power or cooling node; did you mean `z`?"),
    ("  z:", "  u:", "'u' is a power node and a cooling node: `at: u` could mean either; rename one"),
]


@pytest.mark.parametrize(("right", "wrong", "line"), MISTAKES, ids=[mistake[1][:40] for mistake in MISTAKES])
def test_mistake_is_one_line_with_place_and_remedy(
    site: str, problems_of: Problems, right: str, wrong: str, line: str
) -> None:
    assert right in site
    lines = problems_of(site.replace(right, wrong, 1))
    assert any(found.startswith(line) or (not line.startswith("k.yaml") and line in found) for found in lines), lines
    assert all(": " in found and "; " in found for found in lines)


def test_sound_site_has_no_problem(site: str, problems_of: Problems) -> None:
    assert problems_of(site) == []


SERVICES = [
    ("heartbeat: {interval: 30s}", "heartbeat needs `url` or `url_file`, and only one of them;"),
    ("heartbeat: {url: 'http://h', url_file: ./f}", "heartbeat needs `url` or `url_file`, and only one of them;"),
    ("heartbeat: {url: 'ftp://h'}", "'ftp' is not a transport for this"),
    ("heartbeat: {url: 'http://h', interval: 1s}", "1s is out of bounds; write 5s to 1h"),
    ("messages: {page_url: 'https://eve:x@h'}", "12:22: `page_url`: a URL with a login in it;"),
    (
        "messages: {dashboard_url: 'https://h/d?var-rack={target}&token=x'}",
        "`dashboard_url`: a URL with a secret in its",
    ),
    (
        "messages: {dashboard_url: 'https://h/d?var-rack={rack}'}",
        "`dashboard_url`: braces around what is not known here;",
    ),
    (
        "messages: {runbooks_url: 'https://h/{rule}'}",
        "`runbooks_url`: braces around what is not known here; take the br",
    ),
    ("messages: {runbooks_url: docs/runbooks.md}", "`runbooks_url`: no URL; write http://HOST:PORT or https://HOST"),
    ("mqtt: {url: 'mqtt://h'}\nnotify: [{kind: mqtt, topic: 'a/#'}]", "'a/#' is no topic to publish under;"),
    ("mqtt: {url: 'mqtt://h'}\nnotify: [{kind: mqtt, topic: /a}]", "'/a' is no topic to publish under;"),
    ("rules: {rack_densty_power: {on: 5m}}", "12:9: unknown rule 'rack_densty_power'; did you mean `rack_density_pow"),
    ("rules: {blind: {limit_ratio: 1}}", "12:17: `limit_ratio`: rule blind has no limit of its own; leave it out"),
    ("rules: {dew_margin: {limit_ratio: 1}}", "12:22: `limit_ratio`: rule dew_margin has a limit in k; write limit_k"),
    (
        "rules: {dew_margin: {limit_k: 2, clear_k: 1}}",
        "dew_margin would clear at 1, below its limit 2; write 2 or more",
    ),
    ("rules: {kva_over: {limit_ratio: 1, clear_ratio: 2}}", "kva_over would clear at 2, above its limit 1; write 1"),
    ("rules: {kva_over: {clear_ratio: 2}}", "a clear level of kva_over without its limit; add limit_ratio"),
    ("rules: {kva_over: {enabled: yes}}", "`enabled`: 'yes' is neither true nor false; write true or false"),
    ("rules: {kva_over: {window: 1s}}", "`window`: 1s is out of bounds; write 10s to 1w"),
    ("http: {listen: 9780}", "12:16: `listen`: '9780' is read as a number here; put it in quotes"),
    ("http: {listen: ':9780'}", "12:16: `listen`: an address without a host; write HOST:PORT, as 127.0.0.1:9780"),
    ("http: {listen: localhost}", "12:16: `listen`: 'localhost' has no port; write HOST:PORT"),
    ("influx: {url: 'ftp://h'}", "12:15: `url`: 'ftp' is not a transport for this; write http://HOST:PORT or https"),
    ("influx: {url: h}", "12:15: `url`: no URL; write http://HOST:PORT"),
    ("influx: {url: 'http://a:hunter2@h'}", "12:15: `url`: a URL with a login in it; write `username`"),
    ("influx: {url: 'http://h/?token=hunter2'}", "12:15: `url`: a URL with a secret in its query;"),
    ("influx: {url: 'http://h', api: 2}", "12:32: `api`: '2' is not known here; did you mean v2?"),
    ("influx: {url: 'http://h', token: hunter2}", "unknown key `token`; put the value in a file and write `token_file"),
    ("influx: {url: 'http://h', username: a}", "12:37: a username without password_file; add password_file: NAME"),
    ("influx: [{url: 'http://h:1'}, {url: 'http://h:1'}]", "12:31: two databases are named 'h-1'; give each its own"),
    ("mqtt: {url: 'http://h'}", "12:13: `url`: 'http' is not a transport for this; write mqtt://HOST:PORT"),
    ("storage: {spool_max: 4}", "12:22: `spool_max`: '4' is no size; write 4GiB, 500MB or 64KiB"),
    ("storage: {spool_max: 4KiB}", "12:22: `spool_max`: too small to work with; write 1MiB or more"),
    ("poll: {interval: 10s, slow_interval: 5s}", "12:38: slow_interval is shorter than interval;"),
    ("notify: [{kind: webhook}]", "12:10: a webhook needs `url` or `url_file`, and only one of them;"),
    ("notify: [{kind: pager}]", "12:10: unknown kind 'pager'; did you mean `pagerduty`?"),
    ("notify: [{url: 'http://h'}]", "12:10: a channel without `kind`; add kind: webhook, pagerduty,"),
    (
        "notify: [{kind: slack, url: 'https://hunter2'}]",
        "12:24: unknown key `url`; put the value in a file and write `ur",
    ),
    ("notify: [{kind: mqtt}]", "12:10: a channel of kind mqtt without a broker; add the section `mqtt`"),
    ("notify: [{kind: ntfy}]", "12:10: ntfy needs `topic` or `topic_file`, and only one of them;"),
    ("notify: [{kind: email, server: 'smtp://h', sender: a, to: [b@c]}]", "'a' is no mail address; write name@host"),
    ("notify: [{kind: mqtt, severities: [high]}]", "`severities[0]`: 'high' is not known here; write info, warning or"),
    ("notify: {kind: webhook}", "12:9: `notify` must be a list; write [a, b] or one entry a line"),
    ("network: {sw: {address: 'http://sw'}}", "12:25: not a host or IP address; write 10.1.3.254"),
]


@pytest.mark.parametrize(("section", "line"), SERVICES, ids=[service[0][:40] for service in SERVICES])
def test_service_section_mistake(site: str, problems_of: Problems, section: str, line: str) -> None:
    lines = problems_of(f"{site}{section}\n")
    assert any(line in found for found in lines), lines
    assert not any("hunter2" in found for found in lines)


def test_all_problems_come_in_one_run_in_the_order_of_the_file(site: str, problems_of: Problems) -> None:
    broken = (
        site.replace("name: s}", "nam: s}").replace("breaker_a: 60", "breaker_a: -60", 1).replace("rack: r1", "rack: x")
    )
    broken += "rules: {nosuch: {on: 5}}\nnotify: [{kind: x}, {kind: webhook, url: ftp://h}, 3]\n"
    lines = problems_of(broken)
    places = [tuple(int(number) for number in line.split(": ")[0].split(":")[1:]) for line in lines]
    assert places == sorted(places)
    assert {place[0] for place in places} == {1, 4, 9, 11, 12, 13}
    assert sum(place[0] == 13 for place in places) == 3


def test_one_range_entry_wrong_many_times_is_not_many_lines(site: str, problems_of: Problems) -> None:
    lines = problems_of(
        site + '  - {name: "m-[1-300]", driver: antminer, address: "10.0.0.[1-300]", rack: r1, feed: a}\n'
    )
    assert len(lines) == 4
    assert lines[-1] == "k.yaml:12:52: and 42 more like this from the same entry; mend this one first"


def test_wrong_entry_is_still_known_to_those_that_name_it(site: str, problems_of: Problems) -> None:
    lines = problems_of(site.replace("r1: {feeds: {a: f1, b: f2}, redundancy: 2N}", "r1: {feed: {a: f1}}"))
    assert lines == ["k.yaml:9:8: unknown key `feed`; did you mean `feeds`?"]

"""`keeld replay`: lines in, one JSON line per notification out, and complaints with their numbers."""

from __future__ import annotations

import gzip
import json

import pytest
from click.testing import CliRunner

from keeld.cli import keeld

CONFIG = """
site: {name: s}
power: {main: {breaker_a: 100, voltage_v: 400, phases: 3}}
racks:
  "r[1-2]": {state: mining, feeds: {a: main}, budget: {power_kw: 30}}
devices:
  - {name: "pdu-[1-2]", driver: modbus, profile: raritan_px, address: "tcp://10.0.0.[1-2]:502", rack: "r[1-2]", feed: a}
"""
T0_S = 1_795_348_800.0


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def replay(site, tmp_path):
    def run(lines, *options, name="batches.jsonl", stdin=None):
        path = tmp_path / name
        body = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines).encode()
        path.write_bytes(gzip.compress(body) if name.endswith(".gz") else body)
        source = "-" if stdin else str(path)
        arguments = ["replay", "--config", str(site), "--input", source, *options]
        return CliRunner().invoke(keeld, arguments, input=body if stdin else None)

    return run


def line(at_s, watts=20_000.0, device="pdu-1", **more):
    return {"time": T0_S + at_s, "device": device, "readings": {"power_watts": watts}} | more


def over(begin_s=0, end_s=1200, watts=34_000.0):
    return [line(at_s, watts) for at_s in range(begin_s, end_s, 10)]


def told(done):
    return [json.loads(each) for each in done.stdout.splitlines()]


def test_a_notification_is_one_line_with_what_was_promised(replay):
    done = replay(over())
    assert done.exit_code == 0
    (form, *_) = told(done)
    assert form["kind"] == "firing"
    assert form["rule"] == "rack_density_power"
    assert form["target"] == "rack:r1"
    assert form["severity"] in ("warning", "critical")
    assert form["time"].startswith("2026-11-22T12:")
    assert form["children"] == []
    assert {"title", "cause"} <= form.keys()
    assert done.stderr.endswith("120 batches and 0 events judged, 0 older than the newest, 0 refused\n")


def test_every_change_of_state_is_shown_on_request(replay):
    states = [(form["from"], form["to"]) for form in told(replay(over(), "--transitions"))]
    assert states[0] == ("ok", "pending")
    assert ("pending", "firing") in states


@pytest.mark.parametrize("how", [{"name": "day.jsonl.gz"}, {"stdin": True}])
def test_a_packed_file_and_standard_input_are_read_too(replay, how):
    assert told(replay(over(), **how)) == told(replay(over()))


def test_bad_lines_are_told_with_their_numbers_and_stop_nothing(replay):
    lines = over()
    lines[5:5] = [
        "\n",
        "no json\n",
        line(50, device="pdu-3"),
        line(20, 999_999.0),
        {"time": T0_S + 50, "event": "earthquake"},
        line(50, float("nan")),
        "x" * (3 << 20) + "\n",
        line(9e9, 999_999.0),
        line(86_400 * 400, 999_999.0),
    ]
    done = replay(lines)
    assert told(done) == told(replay(over()))
    complaints = [each.split("batches.jsonl", 1)[1] for each in done.stderr.splitlines()[:-1]]
    assert [each.split(":")[1] for each in complaints] == ["7", "8", "9", "10", "11", "12", "13", "14"]
    for words, complaint in zip(
        ("no JSON", "no device 'pdu-3'", "older than the newest", "no event 'earthquake'", "no JSON", "no JSON",
         "between 1970 and 2100", "7 days from the lines before and after"), complaints, strict=True,
    ):  # fmt: skip
        assert words in complaint


def test_what_repeats_is_not_told_without_end(replay):
    done = replay([line(0), *(line(1, device="stranger") for _ in range(1500)), line(2)])
    assert done.stderr.count("no device 'stranger'") == 1001
    assert "and 500 more lines" in done.stderr


def test_time_ends_at_the_last_line_unless_it_is_to_run_on(replay):
    lines = over(0, 300)
    assert told(replay(lines)) == []
    rules = {form["rule"] for form in told(replay([*over(0, 200, 20_000.0)], "--run-on", "30m"))}
    assert rules == {"source_stale"}


def test_a_reading_counts_when_it_was_received(replay):
    """A poll that ended after others is older than they are, and judged all the same."""
    lines = []
    for number, at_s in enumerate(range(0, 1200, 10)):
        lines.append(line(at_s, device="pdu-2", received=T0_S + at_s))
        lines.append(line(at_s - 2, 34_000.0, received=T0_S + at_s + 1 if number else T0_S + at_s))
    done = replay(lines)
    assert {form["target"] for form in told(done)} == {"rack:r1"}
    assert " 0 older than the newest" in done.stderr


def test_what_is_new_is_only_observed_on_request(replay):
    assert told(replay(over(), "--observe", "72h")) == []
    assert told(replay(over(), "--observe", "off")) != []


def test_one_file_that_begins_with_a_mangled_time(replay):
    done = replay([line(86_400 * 3000, 1.0), *over()])
    assert told(done) == told(replay(over()))
    assert ":1: its time is more than 7 days" in done.stderr


def test_two_recordings_a_month_apart_are_one_after_the_other(replay):
    month_s = 30 * 86_400
    lines = [*over(0, 600, 20_000.0), *over(month_s, month_s + 1200)]
    times = [form["time"] for form in told(replay(lines)) if form["rule"] == "rack_density_power"]
    assert times[0].startswith("2026-12-22")


def test_calls_that_cannot_be_followed_are_refused(replay, tmp_path):
    assert replay([line(0)], "--run-on", "soon").exit_code == 2
    assert replay([line(0)], "--observe", "a while").exit_code == 2
    assert replay(["nothing\n"]).exit_code == 1
    missing = ["replay", "--config", str(tmp_path / "no.yaml"), "--input", str(tmp_path / "batches.jsonl")]
    assert CliRunner().invoke(keeld, missing).exit_code == 2


def test_the_same_lines_give_the_same_words(replay):
    assert replay(over(), "--transitions").stdout == replay(over(), "--transitions").stdout

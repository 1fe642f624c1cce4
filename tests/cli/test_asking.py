"""The commands that ask a running keeld, and the demo's table, on the API's own forms."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from keeld.cli import keeld
from keeld.demo import table
from keeld.model import AlertState, Interval, Notice, Rack, Severity, Transition
from keeld.views import Alarm, Judgement, RackView, Verdict
from keeld.web import forms

ALARM = Alarm(
    key="s:rack_density_power:rack:r07",
    alert_id="33yz43u2",
    rule="rack_density_power",
    target_kind="rack",
    target_id="r07",
    state=AlertState.FIRING,
    severity=Severity.CRITICAL,
    since_ns=1_700_000_000_000_000_000,
    lo=33_900.0,
    best=33_900.0,
    hi=33_900.0,
    limit=33_000.0,
    unit="W",
    title="r07 over its power budget: 33.9 of 33 kW budget = 103 %",
    text="r07 over its power budget\nwhat to do: move load",
    cause="",
)
MOVE = Transition(
    key=ALARM.key,
    alert_id=ALARM.alert_id,
    rule=ALARM.rule,
    target_kind="rack",
    target_id="r07",
    before=AlertState.PENDING,
    after=AlertState.FIRING,
    severity=Severity.CRITICAL,
    notice=Notice.TRIGGER,
    title=ALARM.title,
)
DRAW = Interval(33_900.0, 33_900.0, 33_900.0)
UNSURE = Interval(10_000.0, None, 40_000.0, coverage=0.3, lost=("pdu-r07-b",))
JUDGED = Judgement(
    target_kind="rack",
    target_id="r07",
    constraint="power",
    unit="W",
    limit=33_000.0,
    base="budget",
    value=DRAW,
    verdict=Verdict.OVER,
)


def rack(draw: Interval, verdict: Verdict) -> dict[str, Any]:
    view = RackView(
        rack=Rack(id="r07", row="a"),
        draw=draw,
        air=draw,
        liquid=None,
        verdict=verdict,
        binding=JUDGED if verdict is Verdict.OVER else None,
        judgements=(JUDGED,),
        feeds={},
    )
    return json.loads(json.dumps(forms.rack_form(view), default=str))  # type: ignore[no-any-return]


BALANCE = {
    "uptime_s": 12.0,
    "devices": 2,
    "polls": 100,
    "outages": 3,
    "readings": 1000,
    "points_acknowledged": 40,
    "points_stored": {"site": 30},
    "points_in_history": 50,
    "points_dead": 1,
    "points_evicted": 2,
    "spool_points": 7,
    "messages_sent": 4,
    "messages_waiting": 5,
    "messages_dead": 6,
}
SITE: dict[str, Any] = {
    "site": "s",
    "time": "2026-11-22T18:00:00.000Z",
    "timings_note": "demo timings",
    "racks": [rack(DRAW, Verdict.OVER), rack(UNSURE, Verdict.CANT_TELL)],
    "alerts": [json.loads(json.dumps(forms.alarm_form(ALARM), default=str))],
    "balance": BALANCE,
    "findings": ["1 rack with power that nothing measures: r9"],
    "not_ready": [],
}
ANSWERS: dict[str, Any] = {
    "/api/v1/site": SITE,
    "/api/v1/alerts": {"alerts": SITE["alerts"]},
    "/api/v1/transitions?limit=5": {"transitions": [json.loads(json.dumps(forms.transition_form(MOVE), default=str))]},
    "/api/v1/devices": {
        "devices": [
            {"id": "pdu-a", "is_out": False, "outage_reason": None, "outage_detail": None},
            {"id": "pdu-b", "is_out": True, "outage_reason": "timeout", "outage_detail": "no answer"},
        ]
    },
}


HISTORY = "/api/v1/history?kind=rack&id=r07&metric=power_watts&part=&since=15m"
ANSWERS[HISTORY] = {
    "kind": "rack",
    "id": "r07",
    "minutes": [{"time": "2026-11-22T18:00:00.000Z", "min": 1000.0, "mean": 1500.5, "max": 2000.0}],
}
ANSWERS[HISTORY.replace("r07", "r99")] = {"error": "no rack r99; did you mean r07?"}


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(ANSWERS[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    server = HTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    path = tmp_path / "keeld.yaml"
    path.write_text(f'site: {{name: s}}\nhttp: {{listen: "127.0.0.1:{server.server_port}"}}\n')
    yield path
    server.shutdown()
    server.server_close()
    thread.join()


def run(*argv: str) -> tuple[int, str]:
    result = CliRunner().invoke(keeld, argv)
    return result.exit_code, result.output


def test_alerts_shows_what_is_wrong_and_what_to_do(config: Path) -> None:
    code, output = run("alerts", "--config", str(config))

    assert code == 0
    assert output.splitlines() == [f"33yz43u2  critical firing    {ALARM.title}", "    what to do: move load"]


def test_alerts_as_json_and_as_history(config: Path) -> None:
    assert json.loads(run("alerts", "--config", str(config), "--json")[1])["alerts"][0]["alert_id"] == "33yz43u2"

    code, output = run("alerts", "--config", str(config), "--history", "5")
    assert code == 0
    assert "pending -> firing" in output


def test_status_names_what_is_out_and_keeps_the_books(config: Path) -> None:
    code, output = run("status", "--config", str(config))

    assert code == 0
    assert "2 devices, 1 out" in output
    assert "40 acknowledged, 7 waiting, 1 refused, 2 dropped" in output
    assert "out      pdu-b: timeout no answer" in output
    assert "finding  1 rack with power that nothing measures: r9" in output


def test_status_fails_when_keeld_is_not_ready(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "/api/v1/site", SITE | {"not_ready": ["judge makes no progress"]})

    code, output = run("status", "--config", str(config))

    assert code == 1
    assert "trouble  judge makes no progress" in output


def test_history_shows_the_minutes_there_are(config: Path) -> None:
    code, output = run("history", "rack", "r07", "--since", "15m", "--config", str(config))

    assert code == 0
    assert output.split() == ["2026-11-22T18:00:00.000Z", "min", "1000", "mean", "1500.5", "max", "2000"]


def test_history_of_what_there_is_not_is_one_line(config: Path) -> None:
    code, output = run("history", "rack", "r99", "--since", "15m", "--config", str(config))

    assert (code, output) == (1, "keeld: no rack r99; did you mean r07?\n")


def test_a_keeld_that_does_not_run_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "keeld.yaml"
    path.write_text('site: {name: s}\nhttp: {listen: "127.0.0.1:1"}\n')

    code, output = run("status", "--config", str(path))

    assert code == 1
    assert output.count("\n") == 1
    assert "no keeld answers at 127.0.0.1:1" in output


def test_the_demos_screen_shows_racks_alarms_and_books() -> None:
    console = Console(file=StringIO(), width=200)
    console.print(table.live(SITE, "http://127.0.0.1:1/", ["trigger: r07 over"]))
    screen = console.file.getvalue()  # type: ignore[attr-defined]

    for expected in ("demo timings", "OVER", "CAN'T TELL", "10.0..40.0", "33yz43u2", "trigger: r07 over", "103%"):
        assert expected in screen


def test_the_demos_lines_say_the_same() -> None:
    lines = table.plain(SITE)

    assert len(lines) == 3
    assert "OVER" in lines[0]
    assert "103% of 33 kW budget" in lines[0]
    assert "30 points stored" in lines[2]


def test_help_lists_every_command_without_importing_them() -> None:
    code, output = run("--help")

    assert code == 0
    for name in ("run", "check", "poll", "capture", "drivers", "profiles", "simulate", "demo", "alerts", "status"):
        assert f"  {name} " in output


def test_an_unknown_command_names_the_nearest() -> None:
    code, output = run("chek")

    assert code == 2
    assert "did you mean 'check'" in output


def test_lists_for_people_and_for_programs() -> None:
    assert "antminer" in run("drivers")[1]
    assert {row["name"] for row in json.loads(run("drivers", "--json")[1])} >= {"modbus", "antminer", "whatsminer"}
    assert "verified:" in run("profiles")[1]
    assert len(json.loads(run("profiles", "--json")[1])) >= 8

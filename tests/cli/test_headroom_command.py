"""`keeld headroom`: what it prints, and whether a load fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keeld.cli import headroom, running

ROOM = {
    "rack": "r07",
    "label": "R07",
    "usable_watts": 13_000.0,
    "usable_at_peak_watts": 9_800.0,
    "binding": {"constraint": "failover", "target": "b3-12", "watts": 13_000.0, "base": "60 A breaker"},
    "rooms": [],
    "lost": ["pdu-r07-a"],
}
BARE = {
    "rack": "r09",
    "label": "",
    "usable_watts": None,
    "usable_at_peak_watts": None,
    "binding": None,
    "rooms": [],
    "lost": [],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    paths: list[str] = []

    def ask(config_path: Path, path: str) -> dict[str, Any]:
        paths.append(path)
        return {"racks": [ROOM, BARE] if path == "/api/v1/headroom" else [ROOM]}

    monkeypatch.setattr(running, "ask", ask)
    return paths


def test_every_rack_has_a_line(asked: list[str]) -> None:
    result = CliRunner().invoke(headroom.command, [])
    assert result.exit_code == 0, result.output
    first, second = result.output.splitlines()
    assert "13.0 kW" in first
    assert "9.8 kW at peaks" in first
    assert "failover of b3-12 (60 A breaker)" in first
    assert "no data from pdu-r07-a" in first
    assert second.endswith("no limit is configured")


@pytest.mark.parametrize(
    ("added", "code", "word"), [("9.5kW", 0, "9.5 kW more fits"), ("10.2kW", 1, "10.2 kW more does NOT fit")]
)
def test_what_fits_must_fit_at_peaks_as_well(asked: list[str], added: str, code: int, word: str) -> None:
    result = CliRunner().invoke(headroom.command, ["r07", "--add", added])
    assert result.exit_code == code, result.output
    assert word in result.output
    assert asked == ["/api/v1/headroom?rack=r07"]


def test_json_says_whether_it_fits(asked: list[str]) -> None:
    result = CliRunner().invoke(headroom.command, ["r07", "--add", "800W", "--json"])
    rack = json.loads(result.output)["racks"][0]
    assert (rack["added_watts"], rack["fits"]) == (800.0, True)


@pytest.mark.parametrize("text", ["10", "ten kW", "-3kW", "1e3W", "10 kVA", ""])
def test_a_power_needs_its_unit(asked: list[str], text: str) -> None:
    result = CliRunner().invoke(headroom.command, ["--add", text])
    assert result.exit_code == 2
    assert "write 10.2kW" in result.output
    assert asked == []

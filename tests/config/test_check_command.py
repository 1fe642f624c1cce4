from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from keeld.cli.check import command
from keeld.config import json_schema

SCHEMA = Path(__file__).parents[2] / "config" / "keeld.schema.json"
SOUND = """\
site: {name: s}
devices: [{name: m, driver: antminer, address: h, rack: r}]
racks: {r: {feeds: {a: f}}}
power: {f: {limit_kw: 5}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "keeld.yaml"
    path.write_text(SOUND)
    return path


def test_sound_configuration_is_one_line(config: Path) -> None:
    result = CliRunner().invoke(command, ["--config", str(config)])
    assert result.exit_code == 0
    assert result.output == f"{config}: ok: 1 rack, 1 device, 1 power node, 0 cooling nodes, 0 warnings\n"


def test_problems_go_to_stderr_one_a_line(config: Path) -> None:
    config.write_text(SOUND.replace("limit_kw: 5", "limit_kw: five").replace("rack: r}", "rack: q}"))
    result = CliRunner().invoke(command, ["--config", str(config)])
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{config}:2:57: `rack` of 'm' is 'q', which is no rack; there is r")
    assert lines[-1] == f"{config}: 3 errors, not usable"
    assert len(lines) == 4


def test_warnings_leave_the_exit_code_at_zero(config: Path) -> None:
    config.write_text(SOUND + "http: {listen: '0.0.0.0:80'}\n")
    result = CliRunner().invoke(command, ["--config", str(config)])
    assert result.exit_code == 0
    assert result.stderr.startswith(f"{config}:5:16: warning: the page is open to the network")
    assert result.stdout.endswith("1 warning\n")


def test_json_has_the_same_facts(config: Path) -> None:
    config.write_text(SOUND.replace("limit_kw: 5", "limit_kv: 5"))
    result = CliRunner().invoke(command, ["--config", str(config), "--json"])
    facts = json.loads(result.stdout)
    assert result.exit_code == 2
    assert facts["ok"] is False
    assert facts["problems"] == [
        {"where": f"{config}:4:13", "wrong": "unknown key `limit_kv`", "remedy": "did you mean `limit_kva`?"}
    ]


def test_place_of_the_configuration_comes_from_the_environment(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEELD_CONFIG", str(config))
    assert CliRunner().invoke(command, []).exit_code == 0


@pytest.mark.parametrize("name", ["", "nope.yaml"])
def test_what_is_no_file_is_one_line(tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(command, ["--config", str(tmp_path / name)])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2
    assert "Traceback" not in result.output


def test_published_schema_is_the_current_one() -> None:
    result = CliRunner().invoke(command, ["--schema"])
    assert result.exit_code == 0
    assert SCHEMA.read_text() == result.stdout, "run: keeld check --schema > config/keeld.schema.json"


def test_schema_knows_every_key_and_form() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == {
        *("site", "poll", "influx", "storage", "mqtt", "http", "timings_note"),
        *("power", "cooling", "racks", "network", "devices", "rules", "observe", "notify", "heartbeat"),
        *("thermal_classes", "demand", "messages"),
    }
    assert schema["required"] == ["site"]
    definitions = schema["$defs"]
    assert definitions["DeviceEntryRow"]["required"] == ["name", "driver"]
    assert definitions["DeviceEntryTable"]["required"] == ["csv"]
    assert definitions["PollSection"]["properties"]["interval"]["type"] == "string"
    references = {part.split('"')[0] for part in orjson.dumps(schema).decode().split("#/$defs/")[1:]}
    assert references <= set(definitions)

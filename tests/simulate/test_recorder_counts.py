import io
import json

import pytest

from keeld.simulate import recorder
from keeld.simulate.recorder import Recorder, miner_is_read, modbus_is_read


@pytest.mark.parametrize("function", [1, 2, 3, 4])
def test_modbus_reads(function):
    assert modbus_is_read(function, b"\0\0\0\1")


@pytest.mark.parametrize("function", [0, 5, 6, 7, 8, 15, 16, 20, 21, 22, 23, 24, 43, 90, 131, 255])
def test_everything_else_is_no_read(function):
    assert not modbus_is_read(function, b"\0\0\0\1")


def test_identification_reads_and_its_neighbours_do_not():
    assert modbus_is_read(43, b"\x0e\x01\x00")
    assert not modbus_is_read(43, b"\x0d\x01\x00")
    assert not modbus_is_read(43, b"")


@pytest.mark.parametrize(
    "command",
    [
        *("restart", "quit", "addpool", "switchpool", "enablepool", "disablepool", "removepool", "setconfig", "save"),
        *("ascset", "ascenable", "zero", "privileged", "get_token", "power_off", "power_on", "reboot", "set_led"),
        *("update_firmware", "adjust_power_limit", "curtail", "frequencyset", "logon", "SUMMARY", ""),
    ],
)
def test_no_command_that_could_change_a_miner_is_a_read(command):
    assert not miner_is_read([command])
    assert not miner_is_read(["summary", command])


def test_no_command_at_all_is_no_read():
    assert not miner_is_read([])
    assert miner_is_read(["summary", "pools"])


def test_totals_are_exact_and_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(recorder, "_DISTINCT_LIMIT", 4)
    file = io.StringIO()
    records = Recorder(file)
    records.opened("d")
    for number in range(20_000):
        records.received("d", f"what {number}", b"x" * 1000, is_read=number != 3)
    records.closed("d")
    totals = records.totals()
    assert (totals["requests"], totals["reads"], totals["writes"]) == (20_000, 19_999, 1)
    assert (totals["received_bytes"], totals["connections"]) == (20_000_000, 1)
    assert len(records.recent) == 10_000
    assert all(len(entry.data) <= 300 for entry in records.recent)
    assert records.tally("d").distinct.total() == 20_000
    assert len(records.tally("d").distinct) == 5
    lines = file.getvalue().splitlines()
    assert len(lines) == 20_000
    assert json.loads(lines[3]) | {"time": 0} == {
        "time": 0,
        "device": "d",
        "what": "what 3",
        "read": False,
        "data": ("x" * 300).encode().hex(),
    }

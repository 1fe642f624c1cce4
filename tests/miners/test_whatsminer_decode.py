"""WhatsMiner answers, decoded: right values, or absence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from keeld.answers import parse
from keeld.errors import Outage, PollError
from keeld.miners import cgminer, whatsminer
from keeld.model import Reading


def flat(readings: Iterable[Reading]) -> dict[str, float]:
    listed = list(readings)
    found = {f"{metric}/{part}" if part else str(metric): value for metric, value, part in listed}
    assert len(found) == len(listed), "two readings for one metric and part"
    return found


def summary(**fields: Any) -> dict[str, float]:
    return flat(whatsminer.decode_summary({key.replace("_", " "): value for key, value in fields.items()}))


def test_a_joined_answer(fixture_bytes: Callable[[str], bytes]) -> None:
    answer = parse(fixture_bytes("whatsminer_summary_edevs.json"))
    machine = whatsminer.decode_summary(cgminer.first_row(answer, "SUMMARY", joined_as="summary"))
    boards = whatsminer.decode_boards(cgminer.rows(answer, "DEVS", joined_as="edevs"))
    expected = {
        "power_watts": 3325,
        "power_limit_watts": 3400,
        "hashrate_hashes_per_second": 97600000.75e6,
        "hashrate_nominal_hashes_per_second": 100000e9,
        "uptime_seconds": 7200,
        "temperature_celsius/intake": 24.5,
        "fan_rpm/fan/1": 4980,
        "fan_rpm/fan/2": 5010,
        "fan_rpm/psu/1": 8400,
        "shares_accepted": 812,
        "shares_rejected": 3,
        "hardware_errors": 0,
        "boards_found": 3,
    }
    for slot in range(3):
        expected |= {
            f"chips_found/board/{slot}": 148,
            f"hashrate_hashes_per_second/board/{slot}": 32500000.25e6,
            f"temperature_celsius/board/{slot}": 60.5 + slot,
            f"temperature_celsius/chip/{slot}": 86.5 + slot,
            f"hardware_errors/board/{slot}": slot,
        }
    assert flat(machine + boards) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Power_RT": 3427, "Power": 3417}, 3427),
        ({"Power_RT": -1, "Power": 3417}, 3417),
        ({"Power": -1}, None),
        ({"Power": 0}, None),
        ({"Power": "3200W"}, 3200),
        ({"Power": "3.2kW"}, None),
        ({"Power": 4_000_000}, None),
        ({}, None),
    ],
)
def test_power_is_the_supplys_or_nothing(fields: dict[str, Any], expected: float | None) -> None:
    assert flat(whatsminer.decode_summary(fields)).get("power_watts") == expected


def test_rates_fall_back_on_short_means_only() -> None:
    assert summary(HS_RT=100, MHS_1m=90)["hashrate_hashes_per_second"] == 100e6
    assert summary(HS_RT="", MHS_1m=90)["hashrate_hashes_per_second"] == 90e6
    assert summary(MHS_av=90) == {}
    assert summary(Factory_GHS=-3) == {}
    assert summary(Factory_GHS=0) == {}


def test_the_environment_of_a_liquid_cooled_machine_is_not_its_intake() -> None:
    assert summary(Env_Temp=31.5, Liquid_Cooling=False) == {"temperature_celsius/intake": 31.5}
    assert summary(Env_Temp=31.5, Liquid_Cooling=True) == {}
    assert summary(Env_Temp=0) == summary(Env_Temp=-273.0) == summary(Env_Temp="n/a") == {}


def test_fans_that_all_stand_belong_to_liquid_cooling_and_one_that_stands_has_failed() -> None:
    assert summary(Fan_Speed_In=0, Fan_Speed_Out=0) == {}
    assert summary(Fan_Speed_In=0, Fan_Speed_Out=5000) == {"fan_rpm/fan/1": 0, "fan_rpm/fan/2": 5000}


def test_boards_by_slot_dead_ones_uncounted() -> None:
    found = flat(
        whatsminer.decode_boards(
            [
                {"Slot": 2, "Status": "Alive", "Effective Chips": 148, "MHS av": 9},
                {"ASC": 1, "Status": "Alive", "Effective Chips": 0, "Temperature": -273.0},
                {"ID": 0, "Status": "Dead", "Temperature": "61.5"},
                {"Slot": 2, "Status": "Alive", "Effective Chips": 1},
            ]
        )
    )
    assert found == {
        "chips_found/board/2": 148,
        "chips_found/board/1": 0,
        "temperature_celsius/board/0": 61.5,
        "boards_found": 1,
    }
    assert flat(whatsminer.decode_boards([])) == {"boards_found": 0}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"mineroff": "true"}, [0.0]),
        ({"mineroff": "false"}, [1.0]),
        ({"btmineroff": "false"}, [1.0]),
        ({"mineroff": False}, [1.0]),
        ({"mineroff": ""}, []),
        ({}, []),
    ],
)
def test_status(message: dict[str, Any], expected: list[float]) -> None:
    answer = {"STATUS": "S", "Code": 131, "Msg": message}
    assert [reading.value for reading in whatsminer.decode_status(answer)] == expected


def test_own_commands_refused_or_of_another_shape() -> None:
    with pytest.raises(PollError) as caught:
        whatsminer.own_message({"STATUS": "E", "Code": 45, "Msg": "permission denied"})
    assert caught.value.outage is Outage.DENIED
    with pytest.raises(PollError) as caught:
        whatsminer.own_message({"STATUS": "S", "Msg": "text"})
    assert caught.value.outage is Outage.GARBLED


def test_what_it_says_of_itself() -> None:
    def own(**message: str) -> dict[str, Any]:
        return {"STATUS": "S", "Msg": message}

    assert whatsminer.describe_version(own(fw_ver="20230803.11.REL", api_ver="2.0.5")) == {
        "firmware": "20230803.11.REL",
        "api": "2.0.5",
    }
    assert whatsminer.describe_machine(own(mac="C4:08", minersn="")) == {"mac": "C4:08"}
    assert whatsminer.describe_supply(own(model="P222B", name="P222B")) == {"psu": "P222B"}
    assert whatsminer.describe_model({"DEVDETAILS": [{"Model": "M60S_VK40"}]}) == {"model": "M60S_VK40"}
    said = whatsminer.describe_summary({"SUMMARY": [{"MAC": "C4:08", "Firmware Version": "'20210322.22.REL'"}]})
    assert said == {"mac": "C4:08", "firmware": "20210322.22.REL"}

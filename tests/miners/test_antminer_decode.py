"""Antminer answers, decoded: right values, or absence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from keeld.answers import parse
from keeld.errors import Outage, PollError
from keeld.miners import antminer, cgminer
from keeld.model import Reading

BOARD = {"chain_acn1": 76, "Elapsed": 10}


def flat(readings: Iterable[Reading]) -> dict[str, float]:
    listed = list(readings)
    found = {f"{metric}/{part}" if part else str(metric): value for metric, value, part in listed}
    assert len(found) == len(listed), "two readings for one metric and part"
    return found


def stats_of(raw: bytes) -> dict[str, float]:
    return flat(antminer.decode_stats(antminer.split_stats(parse(raw))))


def decoded(
    body: dict[str, Any], *, model: str = "Antminer S19", description: str = "cgminer 1.0.0"
) -> dict[str, float]:
    answer = {
        "STATUS": [{"STATUS": "S", "Description": description}],
        "STATS": [{"Type": model}, {"Elapsed": 10} | body],
    }
    return flat(antminer.decode_stats(antminer.split_stats(answer)))


def test_stock_with_a_dead_board_and_a_stalled_fan(fixture_bytes: Callable[[str], bytes]) -> None:
    assert stats_of(fixture_bytes("stock_two_of_three_boards.json")) == {
        "uptime_seconds": 3605,
        "hashrate_hashes_per_second": 64210.5e9,
        "hashrate_nominal_hashes_per_second": 95000e9,
        "boards_found": 2,
        "chips_found/board/0": 76,
        "hashrate_hashes_per_second/board/0": 32110.25e9,
        "hardware_errors/board/0": 7,
        "temperature_celsius/board/0": 61,
        "temperature_celsius/chip/0": 70,
        "chips_found/board/2": 76,
        "hashrate_hashes_per_second/board/2": 32100.25e9,
        "hardware_errors/board/2": 21,
        "temperature_celsius/board/2": 59,  # 255 is a sensor that does not answer, 0 one that is not there
        "temperature_celsius/chip/2": 68,
        "fan_rpm/fan/1": 5760,
        "fan_rpm/fan/2": 0,
        "fan_rpm/fan/3": 5640,
        "fan_rpm/fan/4": 5700,
    }


def test_s9_with_chains_6_to_8_and_invalid_json(fixture_bytes: Callable[[str], bytes]) -> None:
    raw = fixture_bytes("s9_chains_6_to_8_invalid.json")
    assert b"}{" in raw
    expected = {
        "uptime_seconds": 86400,
        "hashrate_hashes_per_second": 13512.25e9,
        "boards_found": 3,
        "fan_rpm/fan/5": 5880,
        "fan_rpm/fan/6": 4920,
    }
    for slot in (6, 7, 8):
        board = f"board/{slot - 1}"
        expected |= {
            f"chips_found/{board}": 63,
            f"hashrate_hashes_per_second/{board}": float(f"45{slot}0.25") * 1e9,
            f"hardware_errors/{board}": slot,
            f"temperature_celsius/{board}": 50 + slot,
            f"temperature_celsius/chip/{slot - 1}": 70 + slot,
        }
    assert stats_of(raw) == expected


def test_vnish_in_immersion_has_estimates_and_no_fans(fixture_bytes: Callable[[str], bytes]) -> None:
    found = stats_of(fixture_bytes("vnish_immersion_stats.json"))
    assert found["power_est_watts"] == 1101 + 1102 + 1103
    assert found["power_est_watts/board/2"] == 1103
    assert found["temperature_celsius/board/0"] == 47
    assert found["miner_state"] == 1
    assert not [key for key in found if key.startswith(("fan_rpm", "power_watts", "temperature_celsius/chip"))]


def test_an_estimate_that_lacks_a_board_is_no_total() -> None:
    found = decoded(BOARD | {"chain_acn2": 76, "chain_consumption1": 800, "chain_consumption2": "m"})
    assert found["power_est_watts/board/0"] == 800
    assert "power_est_watts" not in found


def test_luxos_fields_that_only_look_like_stock_are_left_out(fixture_bytes: Callable[[str], bytes]) -> None:
    found = stats_of(fixture_bytes("luxos_stats.json"))
    assert found["hashrate_hashes_per_second"] == 66000.5e9
    assert found["temperature_celsius/board/0"] == 61
    absent = ("hashrate_nominal", "hashrate_hashes_per_second/board", "temperature_celsius/chip")
    assert not [key for key in found if key.startswith(absent)]


def test_luxos_power_is_an_estimate_unless_the_supply_measures() -> None:
    def power(**row: Any) -> dict[str, float]:
        return flat(antminer.decode_power({"POWER": [row]}))

    assert power(PSU=False, Watts=1051) == {"power_est_watts": 1051}
    assert power(PSU=True, Watts="1051 W") == {"power_watts": 1051}
    assert power(Watts=1051) == {"power_est_watts": 1051}
    assert power(PSU=True, Watts=0) == {}
    assert power(PSU=True) == {}


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        ("Antminer S7", {"GHS 5s": 5000}, 5000e9),
        ("Antminer T21", {"GHS 5s": "190000.5", "rate_unit": "GH"}, 190000.5e9),
        ("Antminer S21", {"GHS 5s": 200, "rate_unit": "TH"}, 200e12),
        ("Antminer L3+", {"GHS 5s": "415.25"}, 415.25e6),
        ("Antminer L7", {"GHS 5s": 9500, "rate_unit": "MH"}, 9500e6),
        ("Antminer L9", {"GHS 5s": 16.5, "rate_unit": "GH"}, None),
        ("Antminer Z15", {"GHS 5s": 420}, None),
        ("Antminer Z15", {"GHS 5s": 420, "rate_unit": "KSol"}, None),
        ("Antminer KS5", {"GHS 5s": 20000, "rate_unit": "GH/s"}, 20000e9),
        ("Antminer E9", {"GHS 5s": 2400}, None),
        ("", {"GHS 5s": 5000}, None),
        ("Hammer D10", {"MHS 5s": "4686.4886"}, 4686.4886e6),
        ("DG1+", {"rate_5s": 14000.5, "rate_unit": "MH/s"}, 14000.5e6),
        ("Antminer S19", {"GHS 5s": ""}, None),
        ("Antminer S19", {"GHS 5s": "inf"}, None),
        ("Antminer S19", {"GHS 5s": -1}, None),
        ("Antminer S19", {"GHS 5s": 0}, 0),
        ("Antminer S19", {"GHS 5s": 1e300}, None),
        ("Antminer S19", {"GHS av": 5000, "total rate": 5000}, None),
    ],
)
def test_a_rate_is_reported_only_where_its_unit_is_certain(
    model: str, body: dict[str, Any], expected: float | None
) -> None:
    assert decoded(body, model=model).get("hashrate_hashes_per_second") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("78-50-69-70", 78),
        ("0-0-0-0", None),
        ("m-m-m-m", None),
        ("m-65-m-60", 65),
        ("-5-60-61", 61),
        ("12--55-3", 12),
        ("45.5-46.25", 46.25),
        ("78-255-69", 78),
        ("78-", 78),
        ("", None),
        ("-", None),
        ("1_0-2_0", None),
        ("\u0667\u0668-\u0665\u0660", None),
        ("9" * 40 + "-70", 70),
        ("70-" * 100, None),
        ([47, "46", "", None, 0], 47),
        (["", ""], None),
        (["25687"], None),
        (61, 61),
        ("61.5", 61.5),
        (-273.0, None),
        (0, None),
        (True, None),
        ({"a": 70}, None),
    ],
)
def test_the_hottest_of_a_slots_sensors(value: object, expected: float | None) -> None:
    assert antminer.hottest_joined(value) == expected


def test_hydro_sensors_of_stock_firmware_are_not_guessed_at() -> None:
    body = BOARD | {"temp_pcb1": "30-35-36-37", "temp_chip1": "40-45-0-0"}
    assert "temperature_celsius/board/0" not in decoded(body, model="Antminer S21 Hyd.")
    assert decoded(body, model="Antminer S21")["temperature_celsius/board/0"] == 37


def test_no_board_at_all_is_a_count_of_zero_and_no_slots_is_no_count() -> None:
    assert decoded({"chain_acn1": 0, "chain_acn2": 0})["boards_found"] == 0
    assert "boards_found" not in decoded({"fan1": 3000})


def test_the_list_shape_with_absent_boards() -> None:
    chains = [
        {"index": 0, "asic_num": 0, "rate_real": 0, "temp_pcb": [47, 46]},
        {"index": 3, "asic_num": 120, "rate_real": 3000.5, "hw": 9, "temp_pcb": [47, 46], "temp_chip": ["25687", ""]},
        {"index": 3, "asic_num": 99},
        {"index": 99, "asic_num": 120},
        "rubbish",
    ]
    body = {
        "chain": chains,
        "fan": ["420", "0", "x"],
        "fan_num": 4,
        "rate_unit": "MH/s",
        "rate_5s": 3000.5,
        "elapsed": 7,
    }
    assert decoded(body, model="DG-Home1") == {
        "uptime_seconds": 10,
        "hashrate_hashes_per_second": 3000.5e6,
        "chips_found/board/3": 120,
        "hashrate_hashes_per_second/board/3": 3000.5e6,
        "hardware_errors/board/3": 9,
        "temperature_celsius/board/3": 47,
        "boards_found": 1,
        "fan_rpm/fan/1": 420,
    }


@pytest.mark.parametrize(
    ("watts", "expected"),
    [("456.78 (AB)", 456.78), ("3250 W", 3250), (562.48, 562.48), ("3.2 kW", None), (0, None), (-1, None)],
)
def test_a_chain_power_is_an_estimate(watts: object, expected: float | None) -> None:
    found = decoded(BOARD | {"chain_power": watts})
    assert found.get("power_est_watts") == expected
    assert "power_watts" not in found


@pytest.mark.parametrize(
    ("answer", "outage"),
    [
        ({"STATUS": [{"STATUS": "E", "Code": 45, "Msg": "Access denied to 'stats' command"}]}, Outage.DENIED),
        ({"STATUS": [{"STATUS": "E", "Code": 14, "Msg": "Invalid command"}]}, Outage.UNSUPPORTED),
        ({"STATUS": {"STATUS": "F", "Msg": None}}, Outage.UNSUPPORTED),
        ({"STATUS": "E", "Code": "45", "Msg": "permission denied"}, Outage.DENIED),
        ({}, Outage.GARBLED),
        ({"STATS": None}, Outage.GARBLED),
        ({"STATS": []}, Outage.GARBLED),
        ({"STATS": [1, "x", None]}, Outage.GARBLED),
        ({"STATS": [{"Type": "Antminer S19"}]}, Outage.GARBLED),
        ({"STATS": [{"Elapsed": "soon"}]}, Outage.GARBLED),
    ],
)
def test_what_is_no_answer_says_why(answer: dict[str, Any], outage: Outage) -> None:
    with pytest.raises(PollError) as caught:
        antminer.decode_stats(antminer.split_stats(answer))
    assert caught.value.outage is outage


def test_the_software_is_told_by_its_own_mark_before_the_makers_name() -> None:
    def software(description: str, **identity: str) -> str:
        answer = {"STATUS": [{"STATUS": "S", "Description": description}], "STATS": [identity, {"Elapsed": 1}]}
        return antminer.split_stats(answer).software

    assert software("LUXminer 2025.4.8", Type="Antminer S19k Pro") == "LuxOS"
    assert software("cgminer 4.11.1", Type="Antminer S21 Pro (Vnish 1.2.7)") == "VNish"
    assert software("bmminer 1.0.0", Type="Antminer S19JPRO Hiveon", BMMiner="4.11.1 rwglr") == "Hiveon"
    assert software("bmminer 1.0.0", Type="Antminer L3+", BMMiner="4.11.1 rwglr") == "MSKMINER"
    assert software("cgminer 1.0.0", Type="Antminer S19") == "stock"


def test_summary_pools_and_nameplate(fixture_bytes: Callable[[str], bytes]) -> None:
    counters = flat(antminer.decode_summary(parse(fixture_bytes("summary.json"))))
    assert counters == {"shares_accepted": 901, "shares_rejected": 4, "hardware_errors": 35}
    # Two of three are alive, but one of them is the firmware's fee.
    assert flat(cgminer.decode_pools(parse(fixture_bytes("pools.json")))) == {"pools_alive": 1}
    assert cgminer.decode_pools({"POOLS": []}) == ()
    assert flat(antminer.decode_nameplate(parse(fixture_bytes("luxos_config.json")))) == {
        "hashrate_nominal_hashes_per_second": 90.5e12
    }


def test_what_a_miner_says_of_itself_is_cleaned_and_bounded() -> None:
    answer = {"STATS": [{"Type": "Antminer\x1b[31m S19\n" + "x" * 500, "Miner": True}, {"Elapsed": 1}]}
    info = antminer.describe_stats(antminer.split_stats(answer))
    assert info["model"].startswith("Antminer [31m S19 xxx")
    assert len(info["model"]) <= 64
    assert set(info) == {"model", "software"}

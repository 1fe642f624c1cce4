"""Answers that real machines gave (folder in KEELD_CAPTURES), against values read off them by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from keeld.answers import parse
from keeld.errors import Outage, PollError
from keeld.miners import antminer, cgminer, whatsminer
from keeld.miners.redaction import anonymise
from keeld.model import Reading

CAPTURES = Path(os.environ.get("KEELD_CAPTURES", "/nonexistent"))

pytestmark = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="CAPTURES MISSING: set KEELD_CAPTURES to the folder of captured answers"
)

Decode = Callable[[Mapping[str, Any]], Iterable[Reading]]


def stats(answer: Mapping[str, Any]) -> Iterable[Reading]:
    return antminer.decode_stats(antminer.split_stats(answer))


def machine(answer: Mapping[str, Any]) -> Iterable[Reading]:
    return whatsminer.decode_summary(cgminer.first_row(answer, "SUMMARY", joined_as="summary"))


def boards(answer: Mapping[str, Any]) -> Iterable[Reading]:
    return whatsminer.decode_boards(cgminer.rows(answer, "DEVS", joined_as="edevs"))


def nothing(_answer: Mapping[str, Any]) -> Iterable[Reading]:
    return ()


DECODERS: dict[str, Decode] = {
    "stats": stats,
    "summary": antminer.decode_summary,
    "power": antminer.decode_power,
    "nameplate": antminer.decode_nameplate,
    "pools": cgminer.decode_pools,
    "machine": machine,
    "boards": boards,
    "status": whatsminer.decode_status,
}
DESCRIBERS: tuple[Callable[[Mapping[str, Any]], Mapping[str, str]], ...] = (
    lambda answer: antminer.describe_stats(antminer.split_stats(answer)),
    antminer.describe_version,
    antminer.describe_config,
    whatsminer.describe_summary,
    whatsminer.describe_version,
    whatsminer.describe_machine,
    whatsminer.describe_supply,
    whatsminer.describe_model,
)


def per_board(prefix: str, first: int, *values: float) -> dict[str, float]:
    return {f"{prefix}/{slot}": value for slot, value in enumerate(values, start=first)}


def fans(*speeds_rpm: float) -> dict[str, float]:
    return per_board("fan_rpm/fan", 1, *speeds_rpm)


EXPECTED: list[tuple[str, str, dict[str, float]]] = [
    (
        "antminer-s19pro-stock-2022.12/stats.json",
        "stats",
        {
            "uptime_seconds": 50474,
            "hashrate_hashes_per_second": 110.56689e12,
            "hashrate_nominal_hashes_per_second": 110e12,
            "boards_found": 3,
            **per_board("chips_found/board", 0, 114, 114, 114),
            **per_board("hashrate_hashes_per_second/board", 0, 37.6033e12, 35.53622e12, 37.42738e12),
            **per_board("hardware_errors/board", 0, 183, 195, 184),
            **per_board("temperature_celsius/board", 0, 73, 66, 64),
            **per_board("temperature_celsius/chip", 0, 78, 71, 69),
            **fans(6000, 5880, 5040, 5040),
        },
    ),
    (
        "antminer-s19pro-stock-2022.12/summary.json",
        "summary",
        {"shares_accepted": 4057, "shares_rejected": 11, "hardware_errors": 562},
    ),
    ("antminer-s19pro-stock-2022.12/pools.json", "pools", {"pools_alive": 3}),
    (
        "antminer-s7-stock-3.5.3.0/stats.json",
        "stats",
        {
            "uptime_seconds": 83764,
            "hashrate_hashes_per_second": 5.13011e12,
            "boards_found": 3,
            **per_board("chips_found/board", 0, 45, 45, 45),
            **per_board("temperature_celsius/board", 0, 54, 56, 62),
            "fan_rpm/fan/1": 4200,
            "fan_rpm/fan/3": 4080,
        },
    ),
    (
        "vnish-s21pro-1.2.7/rpc_stats.json",
        "stats",
        {
            "uptime_seconds": 4423,
            "hashrate_hashes_per_second": 173.87094e12,
            "hashrate_nominal_hashes_per_second": 196.51717e12,
            "miner_state": 3,
            "boards_found": 3,
            **per_board("chips_found/board", 0, 65, 65, 65),
            **per_board("hashrate_hashes_per_second/board", 0, 60.79719e12, 57.766645e12, 55.3071e12),
            **per_board("hardware_errors/board", 0, 29, 20, 8),
            **per_board("temperature_celsius/board", 0, 50, 49, 49),
            **per_board("temperature_celsius/chip", 0, 65, 64, 64),
            **per_board("power_est_watts/board", 0, 861, 861, 861),
            "power_est_watts": 2583,
            **fans(5850, 5850, 5940, 5940),
        },
    ),
    (
        "vnish-s21pro-1.2.7/rpc_summary.json",
        "summary",
        {"shares_accepted": 1823, "shares_rejected": 10, "hardware_errors": 57},
    ),
    ("vnish-s21pro-1.2.7/rpc_pools.json", "pools", {"pools_alive": 2}),
    (
        "luxos-s19kpro-2025.4.8/stats.json",
        "stats",
        {
            "uptime_seconds": 3453,
            "hashrate_hashes_per_second": 59.75606e12,
            "boards_found": 3,
            **per_board("chips_found/board", 0, 77, 77, 77),
            **per_board("hardware_errors/board", 0, 0, 0, 0),
            **per_board("temperature_celsius/board", 0, 47, 47, 47),
            **fans(1920, 1920, 2340, 2340),
        },
    ),
    ("luxos-s19kpro-2025.4.8/power.json", "power", {"power_est_watts": 1051}),
    ("luxos-s19kpro-2025.4.8/config.json", "nameplate", {"hashrate_nominal_hashes_per_second": 121.8e12}),
    ("luxos-s19kpro-2025.4.8/pools.json", "pools", {"pools_alive": 2}),
    (
        "luxos-s19kpro-2025.4.8/summary.json",
        "summary",
        {"shares_accepted": 1483, "shares_rejected": 1, "hardware_errors": 0},
    ),
    (
        "hammer-d10-2023-05-28/rpc_stats.json",
        "stats",
        {
            "uptime_seconds": 119161,
            "hashrate_hashes_per_second": 4686.4886e6,
            "boards_found": 3,
            **per_board("chips_found/board", 0, 108, 108, 108),
            **per_board("hashrate_hashes_per_second/board", 0, 1578.2742e6, 1594.3646e6, 1513.8498e6),
            **per_board("hardware_errors/board", 0, 2133, 2942, 2903),
            **per_board("temperature_celsius/board", 0, 45, 42, 40),
            **fans(4650, 4500, 3870, 3930),
        },
    ),
    (
        "hammer-d10-2023-05-28/rpc_summary.json",
        "summary",
        {"shares_accepted": 156, "shares_rejected": 156, "hardware_errors": 7977},
    ),
    (
        "elphapex-dg-home1-1.0.5/stats.json",
        "stats",
        {
            "uptime_seconds": 0,
            "hashrate_hashes_per_second": 0,
            "hashrate_nominal_hashes_per_second": 3003.75e6,
            "boards_found": 1,
            "chips_found/board/3": 120,
            "hashrate_hashes_per_second/board/3": 0,
            "hardware_errors/board/3": 120,
            "temperature_celsius/board/3": 67,
            **fans(420, 420, 420, 1020),
        },
    ),
    ("elphapex-dg-home1-1.0.5/pools.json", "pools", {"pools_alive": 0}),
    (
        "whatsminer-m20s-h3-btminer1.4-2021/summary.json",
        "machine",
        {
            "power_watts": 3427,
            "power_limit_watts": 3500,
            "hashrate_hashes_per_second": 67.39480097e12,
            "hashrate_nominal_hashes_per_second": 68.796e12,
            "uptime_seconds": 10154,
            **fans(6450, 6480),
            "fan_rpm/psu/1": 9060,
            "shares_accepted": 2338,
            "shares_rejected": 0,
            "hardware_errors": 69,
        },
    ),
    (
        "whatsminer-m20s-h3-btminer1.4-2021/devs.json",
        "boards",
        {
            **per_board("chips_found/board", 0, 105, 105, 105),
            **per_board("hashrate_hashes_per_second/board", 0, 22.10378984e12, 22.71979979e12, 22.55473792e12),
            **per_board("temperature_celsius/board", 0, 70, 69.5, 71.5),
            **per_board("temperature_celsius/chip", 0, 90, 90.11, 92.5),
            **per_board("hardware_errors/board", 0, 15, 47, 7),
            "boards_found": 3,
        },
    ),
    ("whatsminer-m20s-h3-btminer1.4-2021/status.json", "status", {"miner_state": 1}),
    ("whatsminer-m20s-h3-btminer1.4-2021/pools.json", "pools", {"pools_alive": 3}),
    (
        "whatsminer-v2api-2.0.5-h616/summary.json",
        "machine",
        {
            "power_watts": 3200,
            "power_limit_watts": 3300,
            "hashrate_hashes_per_second": 124.5e12,
            "hashrate_nominal_hashes_per_second": 126e12,
            "uptime_seconds": 25000,
            "temperature_celsius/intake": 28.5,
            **fans(5400, 5280),
            "shares_accepted": 5412,
        },
    ),
    (
        "whatsminer-v2api-2.0.5-h616/devs.json",
        "boards",
        {
            **per_board("chips_found/board", 0, 135, 135, 135),
            **per_board("temperature_celsius/board", 0, 65, 66, 67),
            **per_board("temperature_celsius/chip", 0, 80, 81, 81),
            "boards_found": 3,
        },
    ),
    ("whatsminer-v2api-2.0.5-h616/status.json", "status", {"miner_state": 1}),
]


@pytest.mark.parametrize(("name", "decoder", "expected"), EXPECTED, ids=[f"{row[0]}:{row[1]}" for row in EXPECTED])
def test_a_capture_decodes_to_what_it_says(name: str, decoder: str, expected: dict[str, float]) -> None:
    found = {
        f"{metric}/{part}" if part else str(metric): value
        for metric, value, part in DECODERS[decoder](parse((CAPTURES / name).read_bytes()))
    }
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("antminer-s19pro-stock-2022.12/version.json", {"model": "Antminer S19 Pro", "firmware": "49.0.1.3"}),
        ("antminer-s19jpro-hiveon-4.11.1rwglr/version.json", {"model": "Antminer S19JPRO Hiveon"}),
        ("luxos-s19kpro-2025.4.8/version.json", {"firmware": "2025.4.8.220305-57b389c7"}),
        ("luxos-s19kpro-2025.4.8/config.json", {"serial": "JYZZB0UBDJABF06RB", "mac": "62:f7:5e:b7:10:46"}),
        ("vnish-s21pro-1.2.7/rpc_stats.json", {"software": "VNish", "firmware": "1.2.7"}),
        (
            "whatsminer-m20s-h3-btminer1.4-2021/summary.json",
            {"firmware": "20210322.22.REL", "platform": "ALLWINNER_H3"},
        ),
        ("whatsminer-v2api-2.0.5-h616/get_miner_info.json", {"mac": "D4:01:02:03:04:05"}),
        ("whatsminer-v2api-2.0.5-h616/get_psu.json", {"psu": "P222B"}),
    ],
)
def test_a_capture_says_who_it_is(name: str, expected: dict[str, str]) -> None:
    answer = parse((CAPTURES / name).read_bytes())
    info: dict[str, str] = {}
    for describe in DESCRIBERS:
        try:
            info |= describe(answer)
        except PollError:
            continue
    assert info.items() >= expected.items()


def test_refusals_in_captures() -> None:
    for name, outage in (
        ("antminer-s19jpro-hiveon-4.11.1rwglr/devdetails.json", Outage.DENIED),
        ("vnish-s21pro-1.2.7/rpc_version.json", Outage.UNSUPPORTED),
    ):
        with pytest.raises(PollError) as caught:
            cgminer.check_status(parse((CAPTURES / name).read_bytes()))
        assert caught.value.outage is outage


def numbers_in(answer: object) -> set[float]:
    """Every number in an answer, in and out of text, and each with its thousands shifted as units shift them."""
    import re

    text = json.dumps(answer)
    return {float(digits) for digits in re.findall(r"(?<![0-9.])-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", text)}


COUNTED = {"boards_found", "pools_alive", "miner_state"}


def test_every_capture_through_every_decoder_invents_nothing() -> None:
    paths = sorted(CAPTURES.glob("*/*.json"))
    assert len(paths) > 90
    decoded = 0
    for path in paths:
        try:
            answer = parse(path.read_bytes())
        except PollError:
            assert not isinstance(json.loads(path.read_bytes()), dict)
            continue
        present = numbers_in(answer)
        for decode in DECODERS.values():
            try:
                readings = list(decode(answer))
            except PollError:
                continue
            for metric, value, part in readings:
                decoded += 1
                if metric.name in COUNTED or (metric.name == "power_est_watts" and not part):
                    continue
                scales = (1e6, 1e9, 1e12) if metric.name.startswith("hashrate") else (1.0, -1.0)
                assert any(
                    abs(value - number * scale) <= 1e-9 * abs(value) for number in present for scale in scales
                ), (path, metric, value)
        for describe in DESCRIBERS:
            try:
                info = describe(answer)
            except PollError:
                continue
            assert all(len(text) <= 64 and text.isprintable() for text in info.values())
    assert decoded > 150


def test_every_capture_is_published_without_accounts_and_decodes_the_same() -> None:
    for name, decoder, _expected in EXPECTED:
        raw = (CAPTURES / name).read_bytes()
        published = anonymise(raw)
        for owner in ("satokierepair", "luxor.tech", "braiins.com", "asic-rs", "proto_mining", "62:f7", "C4:08:28"):
            assert owner not in published
        if name.startswith("luxos") and decoder == "stats":
            continue  # its MAC stands where a MAC is not expected, and is gone
        assert list(DECODERS[decoder](parse(published.encode()))) == list(DECODERS[decoder](parse(raw)))

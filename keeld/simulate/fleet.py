"""A site without a file, for the benchmark: `pdus=500,antminers=1000,whatsminers=1000` as a configuration."""

from __future__ import annotations

from keeld.simulate.derive import WRITTEN_DIRECTORY
from keeld.simulate.network import WRITTEN_PREFIX, SimulatorError

_KINDS = ("pdus", "antminers", "whatsminers")
_MOST = 50_000
_MINERS_PER_RACK = 40
_PER_SUBNET = 200


def parse_fleet(text: str) -> dict[str, int]:
    """Read `kind=count,...`. Raises SimulatorError."""
    counts = dict.fromkeys(_KINDS, 0)
    for part in text.split(","):
        kind, _, count = part.strip().partition("=")
        if kind not in counts or not count.isascii() or not count.isdigit() or int(count) > _MOST:
            raise SimulatorError(f"--fleet: {part!r} is not one of {', '.join(_KINDS)} with a count up to {_MOST}")
        counts[kind] = int(count)
    if not any(counts.values()):
        raise SimulatorError("--fleet: no devices: write pdus=500,antminers=1000,whatsminers=1000")
    return counts


def fleet_config(counts: dict[str, int]) -> str:
    """Write the configuration of a site with so many devices: PDUs every second, miners every ten."""
    lines = [
        "site: {name: fleet}",
        "poll: {interval: 10s, timeout: 3s}",
        f"storage: {{directory: {WRITTEN_DIRECTORY}/data}}",
        "power:",
        "  utility: {limit_kw: 200000}",
        *_power(counts),
        "racks:",
        *_racks(counts),
        "devices:",
        *_pdus(counts["pdus"]),
        *_miners(counts),
    ]
    return "\n".join(lines) + "\n"


def _power(counts: dict[str, int]) -> list[str]:
    nodes = [f"pdu-{number}" for number in range(counts["pdus"])]
    nodes += [f"row-{number}" for number in range(_rows(counts))]
    return [f"  {node}: {{parent: utility, breaker_a: 400, voltage_v: 415, phases: 3}}" for node in nodes]


def _racks(counts: dict[str, int]) -> list[str]:
    racks = [f"  r{number:04}: {{feeds: {{a: pdu-{number}}}, redundancy: N}}" for number in range(counts["pdus"])]
    rows = range(_rows(counts))
    racks += [f"  m{number:04}: {{state: mining, feeds: {{a: row-{number}}}, redundancy: N}}" for number in rows]
    return racks


def _rows(counts: dict[str, int]) -> int:
    return -(-(counts["antminers"] + counts["whatsminers"]) // _MINERS_PER_RACK)


def _pdus(count: int) -> list[str]:
    return [
        f"  - {{name: pdu-{number:04}, driver: modbus, profile: eastron_sdm630, kind: pdu, interval: 1s,"
        f' address: "tcp://{_address(1, number)}:1502", rack: r{number:04}, feed: a, nameplate_w: 17000}}'
        for number in range(count)
    ]


def _miners(counts: dict[str, int]) -> list[str]:
    drivers = ["antminer"] * counts["antminers"] + ["whatsminer"] * counts["whatsminers"]
    return [
        f'  - {{name: miner-{number:05}, driver: {driver}, address: "{_address(100, number)}",'
        f" rack: m{number // _MINERS_PER_RACK:04}, feed: a, nameplate_w: 3400}}"
        for number, driver in enumerate(drivers)
    ]


def _address(subnet: int, number: int) -> str:
    return f"{WRITTEN_PREFIX}{subnet + number // _PER_SUBNET}.{number % _PER_SUBNET + 1}"

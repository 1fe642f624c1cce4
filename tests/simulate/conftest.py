"""A small site with a bit of everything, on loopback addresses that belong to this run alone."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keeld import config
from keeld.model import Site
from keeld.simulate.derive import derive
from keeld.simulate.network import claim_subnet

SITE = """
site: {name: bench}
power:
  utility: {limit_kw: 900}
  panel-a: {parent: utility, breaker_a: 400, voltage_v: 415, phases: 3, efficiency: 0.97}
  panel-b: {parent: utility, breaker_a: 400, voltage_v: 415, phases: 3}
  g-a: {parent: panel-a, breaker_a: 60, voltage_v: 415, phases: 3}
  g-b: {parent: panel-b, breaker_a: 60, voltage_v: 415, phases: 3}
  m-a: {parent: panel-a, breaker_a: 250, voltage_v: 415, phases: 3}
cooling:
  hall: {kind: air, units_kw: [40]}
  loop: {kind: liquid, units_kw: [20], coolant: pg25}
racks:
  g1: {state: ai, feeds: {a: g-a, b: g-b}, redundancy: 2N, cooling: {air: hall, liquid: loop}}
  m1: {state: mining, row: m, feeds: {a: m-a}}
devices:
  - {name: node, driver: nvidia, address: "exec:python3 -m keeld.simulate.nvml --state /run/keeld-simulated/node.json",
     rack: g1, nameplate_w: 10200, cords: {a: {psus: 3}, b: {psus: 3}}, psus_needed: 3}
  - {name: pdu-a, driver: modbus, profile: raritan_px, address: "tcp://127.77.1.1:1502", rack: g1, feed: a}
  - {name: pdu-b, driver: modbus, profile: raritan_px, address: "tcp://127.77.1.2:1502", rack: g1, feed: b}
  - {name: meter, driver: modbus, profile: eastron_sdm630, address: "tcp://127.77.1.3:1502", unit: 7, rack: m1, feed: a}
  - {name: top, driver: modbus, profile: carlo_gavazzi_em340, address: "tcp://127.77.1.3:1502", unit: 8, at: panel-a}
  - {name: panel, driver: modbus, profile: eaton_rpp, address: "tcp://127.77.1.4:1502", unit: 1,
     measures: {branch/1: g-a}}
  - {name: air, driver: modbus, profile: apc_inrow_sc, address: "tcp://127.77.1.5:1502", at: hall}
  - {name: cdu, driver: modbus, profile: meta_orv3_rpu, address: "tcp://127.77.1.6:1502", unit: 12, at: loop}
  - {name: "ant-[1-3]", driver: antminer, address: "127.77.2.[1-3]:4028", rack: m1, feed: a, nameplate_w: 3250}
  - {name: "what-[1-2]", driver: whatsminer, address: "127.77.2.[4-5]:4028", rack: m1, feed: a, nameplate_w: 3400}
"""


@pytest.fixture
def load_site(tmp_path: Path) -> Callable[[str, str], Site]:
    def load(text: str, prefix: str = "127.77.") -> Site:
        path = tmp_path / "site.yaml"
        path.write_text(derive(text, prefix=prefix, directory=tmp_path))
        return config.load(path).site

    return load


@pytest.fixture
def quiet_site(load_site: Callable[[str], Site]) -> Site:
    """For tests without sockets."""
    return load_site(SITE)


@pytest.fixture
def subnet() -> Iterator[tuple[str, socket.socket]]:
    prefix, held = claim_subnet()
    yield prefix, held
    held.close()


@pytest.fixture
def site(load_site: Callable[[str, str], Site], subnet: tuple[str, socket.socket]) -> Site:
    """For tests that serve it."""
    return load_site(SITE, subnet[0])

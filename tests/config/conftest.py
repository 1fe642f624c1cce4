from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keeld.config import Checked, check
from keeld.config.known import Known
from keeld.model import Device

KINDS = {"antminer": "miner", "whatsminer": "miner", "nvidia": "accelerator", "agent": "accelerator"}
PROFILE_KINDS = {"raritan_px": "pdu", "eaton_rpp": "meter", "meta_orv3_rpu": "cooling", "probe": "sensor"}

SITE = """\
site: {name: s}
power:
  u: {limit_kw: 1000}
  f1: {parent: u, breaker_a: 60, voltage_v: 415, phases: 3}
  f2: {parent: u, breaker_a: 60, voltage_v: 415, phases: 3}
cooling:
  z: {kind: air, units_kw: [60, 60], redundancy: N+1}
racks:
  r1: {feeds: {a: f1, b: f2}, redundancy: 2N}
devices:
  - {name: p1, driver: modbus, profile: raritan_px, address: "tcp://10.0.0.1:502", rack: r1, feed: a}
"""
"""A small site with nothing wrong; its lines are numbered in the tests that break it."""


class FixedKnown(Known):
    """Drivers and profiles that these tests may name, whatever is installed."""

    def kind_of(self, device: Device) -> str:
        return KINDS.get(device.driver) or PROFILE_KINDS[device.profile or ""]


@pytest.fixture
def known() -> Known:
    return FixedKnown(drivers=frozenset({"modbus", *KINDS}), profiles=frozenset(PROFILE_KINDS))


@pytest.fixture
def site() -> str:
    return SITE


@pytest.fixture
def check_text(tmp_path: Path, known: Known, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Checked]:
    """Check a text as the file `k.yaml`, beside it the files given by name; places are without the folder."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(text: str | bytes, *, credentials_required: bool = False, **files: str) -> Checked:
        for name, content in files.items():
            Path(name.replace("_csv", ".csv")).write_text(content)
        path = Path("k.yaml")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return check(path, known=known, credentials_required=credentials_required)

    return run


@pytest.fixture
def problems_of(check_text: Callable[..., Checked]) -> Callable[..., list[str]]:
    """The lines an operator would read."""

    def run(text: str | bytes, **files: str) -> list[str]:
        return [str(problem) for problem in check_text(text, **files).problems]

    return run


@pytest.fixture
def warnings_of(check_text: Callable[..., Checked]) -> Callable[..., list[str]]:
    """The warnings of a text that is otherwise right."""

    def run(text: str, **files: str) -> list[str]:
        checked = check_text(text, **files)
        assert checked.problems == ()
        return [str(warning) for warning in checked.warnings]

    return run

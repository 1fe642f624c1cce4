"""keeld.yaml, read once into frozen values: every error at once, each with its place and its remedy.

`check` is the whole path; `load` is the same path for a daemon, which cannot go on without its secrets.
The order: document (YAML with places) -> entries (ranges and tables unfolded) -> draft (every value valid) -> checks of
one thing against another -> build (frozen, in SI units).
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keeld.config.build import build_devices, build_settings, with_kind
from keeld.config.contract_checks import check_contract
from keeld.config.cooling_checks import check_cooling
from keeld.config.device_checks import check_devices
from keeld.config.document import read_document
from keeld.config.draft import Draft, draft
from keeld.config.entries import Unfolder
from keeld.config.known import Known
from keeld.config.placement_checks import check_placement
from keeld.config.power_checks import check_power
from keeld.config.rack_checks import check_racks
from keeld.config.report import Report
from keeld.config.rule_checks import check_rules
from keeld.config.schema import json_schema
from keeld.config.secrets import read_secrets
from keeld.config.service_checks import check_services
from keeld.config.tree_checks import check_tree
from keeld.config.unbuilt import note_unbuilt
from keeld.errors import ConfigError, Problem
from keeld.model import Device
from keeld.settings import Settings

__all__ = ["Checked", "check", "json_schema", "load", "rehearse"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found; `settings` is None when there is any problem."""

    settings: Settings | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def load(path: Path, *, known: Known | None = None) -> Settings:
    """Read the configuration for a run. Raises ConfigError with every problem."""
    checked = check(path, known=known, credentials_required=True)
    if checked.settings is None:
        raise ConfigError(list(checked.problems))
    return checked.settings


def rehearse(path: Path) -> Settings:
    """Read the configuration where nothing is polled or sent: without its secrets. Raises ConfigError."""
    report = Report()
    with _collector_paused():
        settings = _read(path, Known(), report, credentials_required=False, reads_secrets=False)
    if settings is None or report.problems:
        raise ConfigError(list(report.problems))
    return settings


def check(path: Path, *, known: Known | None = None, credentials_required: bool = False) -> Checked:
    """Read the configuration and say everything that is wrong with it; never raises for what the file holds.

    Systemd's credentials are missing in an operator's shell; there that is a warning unless `credentials_required`.
    """
    report = Report()
    with _collector_paused():
        settings = _read(path, known or Known(), report, credentials_required=credentials_required)
    problems = tuple(report.problems)
    return Checked(None if problems else settings, problems, tuple(report.warnings))


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking a large document's nodes again and again: it doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read(
    path: Path, known: Known, report: Report, *, credentials_required: bool, reads_secrets: bool = True
) -> Settings | None:
    read = read_document(path, report)
    if read is None:
        return None
    drafted = draft(*read, unfolder=Unfolder(report, path.parent))
    if drafted is None:
        return None
    check_services(drafted, report)
    check_rules(drafted, report)
    check_power(drafted, report)
    check_tree(drafted, report)
    check_racks(drafted, report)
    check_cooling(drafted, report)
    check_contract(drafted, report)
    addresses = check_devices(drafted, known, report)
    devices = _with_kinds(build_devices(drafted, addresses, path.parent), drafted, known=known, report=report)
    check_placement(drafted, {name: device.kind for name, device in devices.items()}, report)
    note_unbuilt(drafted, report)
    secrets = {}
    if reads_secrets:
        secrets = read_secrets(drafted, path.parent, report, credentials_required=credentials_required)
    return None if report.problems else build_settings(drafted, devices, secrets, path)


def _with_kinds(devices: dict[str, Device], drafted: Draft, *, known: Known, report: Report) -> dict[str, Device]:
    """Give each device the kind that its entry, its driver or its profile says; empty where those are wrong."""
    unusable: set[str | None] = set()
    for name, device in devices.items():
        if device.kind or device.profile in unusable or not known.can_tell(device):
            continue
        try:
            devices[name] = with_kind(device, known.kind_of(device))
        except ConfigError as error:
            unusable.add(device.profile)
            for problem in error.problems:
                report.error(
                    drafted.place("devices", name, "profile"),
                    f"profile: {problem.where}: {problem.wrong}",
                    problem.remedy,
                )
    return devices

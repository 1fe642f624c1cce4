"""What this installation can poll: the drivers and profiles that a configuration may name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keeld import drivers, profiles
from keeld.model import Device

AGENT = "agent"
"""A node that publishes for itself: named in the configuration, polled by nobody here."""

_AGENT_KIND = "accelerator"


@dataclass(slots=True)
class Known:
    """Names of drivers and profiles; drivers are imported only to tell the kind of a device that uses them."""

    drivers: frozenset[str] = field(default_factory=lambda: frozenset({*drivers.names(), AGENT}))
    profiles: frozenset[str] = field(default_factory=lambda: frozenset(profiles.names()))
    _kinds: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def can_tell(self, device: Device) -> bool:
        """Whether driver and profile of the device exist."""
        if device.driver not in self.drivers:
            return False
        return device.driver != "modbus" or (device.profile is not None and self.has_profile(device.profile))

    def has_profile(self, name: str) -> bool:
        """Whether the name is a profile that ships, or a file that would hold one."""
        return name in self.profiles or is_profile_file(name)

    def kind_of(self, device: Device) -> str:
        """Give the measurement that a device's readings are stored under, from its driver and profile.

        Raises ConfigError when the profile cannot be used.
        """
        key = device.driver, device.profile
        if key not in self._kinds:
            self._kinds[key] = _ask(device)
        return self._kinds[key]


def is_profile_file(profile: str) -> bool:
    """Whether a profile is named by the file it stands in."""
    return Path(profile).suffix in {".yaml", ".yml"}


def _ask(device: Device) -> str:
    if device.driver == AGENT:
        return _AGENT_KIND
    kind: Any = drivers.load(device.driver).kind
    return str(kind(device) if callable(kind) else kind)

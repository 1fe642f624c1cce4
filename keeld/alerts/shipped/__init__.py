"""The rules as they ship, after the table of default rules: one file for each field, one entry for each rule."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from keeld.alerts.rules import Rule
from keeld.alerts.shipped import (
    accelerators,
    contacts,
    cooling,
    inventory,
    miners,
    own,
    plant,
    power,
    quality,
    racks,
    redundancy,
    silence,
    supply,
)

_FIELDS = (
    power,
    supply,
    redundancy,
    cooling,
    racks,
    plant,
    miners,
    accelerators,
    silence,
    contacts,
    inventory,
    own,
    quality,
)

SHIPPED: Mapping[str, Rule] = MappingProxyType({rule.name: rule for field in _FIELDS for rule in field.RULES})
"""By name."""

"""Rules about keeld itself."""

from __future__ import annotations

from keeld.alerts.rules import Rule

RULES: tuple[Rule, ...] = ()

"""Rules about the site as a whole: caps, demand, orders, contacts."""

from __future__ import annotations

from keeld.alerts.rules import Rule

RULES: tuple[Rule, ...] = ()

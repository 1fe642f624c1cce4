"""Observe first: what is new (the site, a rack, a rule) is judged, stored and shown, and not sent for some days.

Invariant: a name's first sight is never later than now, so that a clock that was ahead for a while delays nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from keeld.alerts.rules import SET_OF_STATE
from keeld.alerts.selector import Selector, SelectorError, parse

LIVE_AT_ONCE = frozenset({"breaker_severe", "leak", "smoke", "epo", "door"})
"""Rules 2, 23 and 52: what they say cannot wait for anybody to get used to it."""
_SECOND_NS = 1_000_000_000
_MOST_SELECTORS = 1000


class Observing:
    """When each name was first seen, and what was put live by hand. `span_s` 0 observes nothing."""

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._first_ns: dict[str, int] = {}
        self._live: list[Selector] = []

    def note(self, names: Iterable[str], wall_ns: int) -> None:
        """Remember names seen now for the first time, and forget those that are gone."""
        before = self._first_ns
        self._first_ns = {name: min(before.get(name, wall_ns), wall_ns) for name in names}

    def go_live(self, selector: Selector) -> None:
        """End the observation of what a selector means, for good."""
        if selector not in self._live:
            self._live = [*self._live[-_MOST_SELECTORS + 1 :], selector]

    def until_ns(self, rule: str, tags: Iterable[str], wall_ns: int) -> int | None:
        """Give the time until which a rule at a target is only observed; None where it is live."""
        if not self.span_s or rule in LIVE_AT_ONCE:
            return None
        newest_ns = max(self._first_ns.get(name, wall_ns) for name in names_of(rule, tags))
        until_ns = newest_ns + int(self.span_s * _SECOND_NS)
        if wall_ns >= until_ns or any(selector.matches(rule, tags) for selector in self._live):
            return None
        return until_ns

    def site_until_ns(self, wall_ns: int) -> int:
        """Give the time until which the whole site is only observed; 0 where it is live."""
        if not self.span_s or "site" not in self._first_ns or any(not live.patterns for live in self._live):
            return 0
        until_ns = self._first_ns["site"] + int(self.span_s * _SECOND_NS)
        return until_ns if wall_ns < until_ns else 0

    def dump(self) -> Mapping[str, bytes]:
        """Give what must survive a restart."""
        live = [str(selector) for selector in self._live]
        return {
            "first": json.dumps(self._first_ns, separators=(",", ":"), sort_keys=True).encode(),
            "live": json.dumps(live).encode(),
        }

    def load(self, notes: Mapping[str, bytes]) -> None:
        """Take back what `dump` gave; what cannot be read counts as new."""
        try:
            first = json.loads(notes.get("first", b"{}"))
            self._first_ns = {str(name): int(time_ns) for name, time_ns in first.items()}
            self._live = [parse(text) for text in json.loads(notes.get("live", b"[]"))]
        except (ValueError, TypeError, AttributeError, SelectorError):
            return


def names_of(rule: str, tags: Iterable[str]) -> list[str]:
    """Name what must have been seen for long: the site, the rule, and each rack under the set of rules it is under."""
    known = list(tags)
    state = next((tag.removeprefix("state:") for tag in known if tag.startswith("state:")), "")
    set_name = SET_OF_STATE.get(state, "")
    return ["site", f"rule:{rule}", *(f"{tag}/{set_name}" for tag in known if tag.startswith("rack:"))]

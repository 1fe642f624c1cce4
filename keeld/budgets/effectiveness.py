"""How much energy a site spends for each unit of what its machines use, over whole hours (ISO/IEC 30134-2 and kin).

A ratio of sums, never a mean of ratios: an hour of little load must not count as much as one of much
(power-cooling-alarms.md 3.5; G21, G22).
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import astuple
from zoneinfo import ZoneInfo

from keeld.budgets.demand import step_start_s
from keeld.budgets.energy import Energy, Load

_HOUR_S = 3600
_HOURS = 24
_COMPLETE = 0.95
"""Share of a window's time that must be measured before its ratio says anything."""


def per_it_energy(amount: float, it_energy: float) -> float | None:
    """Give an amount per unit of the machines' energy: PUE of the site's energy, WUE of water, CUE of carbon.

    None where the machines used nothing.
    """
    return amount / it_energy if it_energy > 0.0 else None


class Effectiveness:
    """Energy of a site and of its machines by the hour. Only slots in which both are measured count, for both."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._start_s: int | None = None
        self._site = Energy()
        self._it = Energy()
        self._hours: deque[tuple[float, float, float]] = deque(maxlen=_HOURS)
        """Energy of the site and of its machines, in W s, over the measured seconds of each whole hour."""

    def add(self, site: Load, machines: Load, *, end_s: float, span_s: float) -> None:
        """Take a slot that ended at a wall time."""
        start_s = step_start_s(int(end_s - span_s / 2), _HOUR_S, self._zone)
        if start_s != self._start_s:
            self._begin(start_s)
        if site.is_measured and machines.is_measured:
            self._site.add(site, span_s)
            self._it.add(machines, span_s)

    def _begin(self, start_s: int) -> None:
        began_s, self._start_s = self._start_s, start_s
        if began_s is not None and start_s > began_s:
            self._hours.append((self._site.best, self._it.best, self._site.best_s))
            unseen = (start_s - began_s) // _HOUR_S - 1
            self._hours.extend([(0.0, 0.0, 0.0)] * min(unseen, _HOURS))
        self._site, self._it = Energy(), Energy()

    def ratio(self, hours: int) -> float | None:
        """Give the PUE of the last whole hours; None where they are not measured nearly in full.

        May be below 1, which no site can be: then one of the meters is wrong, and the caller says so.
        """
        chosen = list(self._hours)[-hours:]
        if sum(measured_s for _, _, measured_s in chosen) < _COMPLETE * hours * _HOUR_S:
            return None
        return per_it_energy(sum(site for site, _, _ in chosen), sum(machines for _, machines, _ in chosen))

    def dump(self) -> bytes:
        """Give all that a restart needs, as JSON."""
        return json.dumps([self._start_s, astuple(self._site), astuple(self._it), list(self._hours)]).encode()

    def load(self, note: bytes) -> None:
        """Take up what `dump` gave; raises ValueError, and changes nothing, for anything else."""
        try:
            start_s, site, machines, hours = json.loads(note)
            loaded = Energy(*site), Energy(*machines), [(float(a), float(b), float(c)) for a, b, c in hours]
        except TypeError as error:
            raise ValueError(f"no stored energy: {error}") from None
        self._start_s = start_s
        self._site, self._it = loaded[0], loaded[1]
        self._hours.extend(loaded[2])

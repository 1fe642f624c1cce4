"""What would be if something died or were added now: answers to questions, worked out as they are asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keeld.budgets.aftermath import FailoverCase
from keeld.budgets.headroom import Headroom
from keeld.budgets.source import Look
from keeld.model import Moment
from keeld.watch.failover import Failover
from keeld.watch.headroom import HeadroomWatch
from keeld.watch.redundancy import Redundancy
from keeld.watch.state import SiteState


def failover_cases(state: SiteState, now: Moment, rack_id: str | None) -> Iterator[FailoverCase]:
    """Say what would happen if a feed or node died: every case, or those that take a feed from one rack."""
    found = _current(state, now)
    peaks = next(duty for duty in state.duties if isinstance(duty, Redundancy))
    return map(peaks.with_peak, found.tell_all() if rack_id is None else found.tell_of(rack_id))


def failover_without(state: SiteState, targets: Sequence[tuple[str, str]], now: Moment) -> FailoverCase | None:
    """Say what would happen if these died together; None where nothing would take anything over."""
    return _current(state, now).without(targets)


def headroom_of(state: SiteState, now: Moment, rack_id: str | None) -> Iterator[Headroom | None]:
    """Say what may be added to each rack, or to one; None between two where a caller may let others run."""
    found = next(duty for duty in state.duties if isinstance(duty, HeadroomWatch))
    look = Look(now.mono_ns)
    state.see(look)
    return found.tell(look, rack_id)


def _current(state: SiteState, now: Moment) -> Failover:
    """Give the cases as of the last slot; before the first has closed, as of now."""
    found = state.failover
    if found.look is None:
        look = Look(now.mono_ns)
        state.see(look)
        for _ in found.refresh(look):
            pass
    return found

"""The contract with the supplier and what the site spends beside its machines, as people see them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keeld.budgets.demand import Demand, Projection
from keeld.model import Interval, Quality
from keeld.views import DemandView
from keeld.watch.demand import SupplyContract
from keeld.watch.duty import Duty
from keeld.watch.effectiveness import EnergySpent


def demand_views(duties: Iterable[Duty]) -> Iterator[DemandView]:
    """Give every limit of the contract as it stands."""
    contracts = (duty for duty in duties if isinstance(duty, SupplyContract))
    for account in (account for duty in contracts for account in duty.accounts.values()):
        projection = account.projection
        yield DemandView(
            name=account.part,
            interval_s=account.limit.interval_s,
            is_rolling=account.limit.is_rolling,
            limit_watts=account.limit.limit_watts,
            last=_demand(account.meter.last),
            projected=_demand(projection),
            allowed_watts=None if projection is None else projection.allowed_watts,
            shed_watts=None if projection is None else projection.shed_watts,
            left_s=None if projection is None else projection.left_s,
            peak=_demand(account.meter.peak),
        )


def _demand(known: Demand | Projection | None) -> Interval | None:
    """Give a mean of an interval; what was partly unmeasured says so."""
    if known is None:
        return None
    quality = Quality.ESTIMATED if known.is_estimated else Quality.GOOD
    return Interval(known.lo, known.best, known.hi, 0.0 if known.is_estimated else 1.0, quality)


def site_figures(duties: Iterable[Duty]) -> dict[str, float]:
    """Give what is known of the site as a whole, by metric and part."""
    told = (duty.readings("site", "") for duty in duties if isinstance(duty, EnergySpent))
    return {
        f"{metric.name}/{part}" if part else metric.name: value for readings in told for metric, value, part in readings
    }

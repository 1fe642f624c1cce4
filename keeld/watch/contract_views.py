"""The contract with the supplier and what the site spends beside its machines, as people see them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keeld.budgets.demand import Demand, Projection
from keeld.views import DemandView, MeanPower
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
            last=_mean(account.meter.last),
            projected=_mean(projection),
            allowed_watts=None if projection is None else projection.allowed_watts,
            shed_watts=None if projection is None else projection.shed_watts,
            left_s=None if projection is None else projection.left_s,
            peak=_mean(account.meter.peak),
        )


def _mean(known: Demand | Projection | None) -> MeanPower | None:
    return None if known is None else MeanPower(known.lo, known.best, known.hi, known.is_estimated)


def site_figures(duties: Iterable[Duty]) -> dict[str, float]:
    """Give what is known of the site as a whole, by metric and part."""
    told = (duty.readings("site", "") for duty in duties if isinstance(duty, EnergySpent))
    return {
        f"{metric.name}/{part}" if part else metric.name: value for readings in told for metric, value, part in readings
    }

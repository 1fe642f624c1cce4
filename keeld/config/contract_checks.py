"""The contract with the supplier against the power tree and the clock."""

from __future__ import annotations

from keeld.config.draft import Draft
from keeld.config.power_checks import capacity_volt_amperes
from keeld.config.report import Report
from keeld.config.scalars import duration
from keeld.config.service_schema import Document
from keeld.config.site_schema import DemandSection, TariffKeys
from keeld.config.wording import suggest

_HOUR_S = 3600
_SLOT_S = 10
USUAL_STEP_S = 300.0
"""Step of a rolling demand where none is written."""
_NOISE = 1.0001
_DIVIDES = "write 5m, 10m, 15m, 20m, 30m or 1h"


def check_contract(draft: Draft, report: Report) -> None:
    """Check the section `demand`."""
    demand = draft.document.demand
    if demand is None:
        return
    if demand.cap is None and demand.tariff is None and not report.errors:  # else one may have been dropped
        wrong = "demand has neither a cap nor a tariff: there is nothing to judge it by"
        report.error(draft.origin.key("demand"), wrong, "add cap: {limit_kw: ...} or tariff: {target_kw: ...}")
    _check_node(demand, draft, report)
    if demand.cap is not None:
        _check_interval(demand.cap.interval, ("demand", "cap", "interval"), draft, report)
    if demand.tariff is not None:
        _check_interval(demand.tariff.interval, ("demand", "tariff", "interval"), draft, report)
        _check_step(demand.tariff, draft, report)
    _check_sizes(demand, draft, report)


def roots(document: Document) -> list[str]:
    """Name the power nodes that nothing feeds."""
    return [name for name, node in document.power.items() if node.parent is None]


def _check_node(demand: DemandSection, draft: Draft, report: Report) -> None:
    found = roots(draft.document)
    if demand.node is not None:
        if demand.node not in draft.entries["power"]:
            wrong = f"demand is measured at {demand.node!r}, which is no power node"
            remedy = suggest(demand.node, draft.entries["power"], what="power node")
            report.error(draft.origin.at("demand", "node"), wrong, remedy)
    elif len(found) != 1 and "power" not in draft.broken:
        wrong = f"demand names no node, and {len(found) or 'no'} power nodes stand at the top"
        remedy = f"write node: {found[0]}" if found else "add the supply to `power`"
        report.error(draft.origin.key("demand"), wrong, remedy)


def _check_interval(interval_s: float, path: tuple[str, ...], draft: Draft, report: Report) -> None:
    if interval_s % _SLOT_S or _HOUR_S % interval_s:
        report.error(draft.origin.at(*path), f"an interval of {duration(interval_s)} does not divide an hour", _DIVIDES)


def _check_step(tariff: TariffKeys, draft: Draft, report: Report) -> None:
    if tariff.method == "block":
        if tariff.subinterval is not None:
            place = draft.origin.key("demand", "tariff", "subinterval")
            report.error(place, "a block has no subintervals", "add method: rolling, or leave subinterval out")
        return
    step_s = tariff.subinterval or USUAL_STEP_S
    if step_s % _SLOT_S or tariff.interval % step_s or step_s >= tariff.interval:
        place = draft.origin.at("demand", "tariff", "subinterval")
        wrong = f"an interval of {duration(tariff.interval)} is not made of several steps of {duration(step_s)}"
        report.error(place, wrong, f"write subinterval: {duration(tariff.interval / 3)}")


def _check_sizes(demand: DemandSection, draft: Draft, report: Report) -> None:
    cap_kw = None if demand.cap is None else demand.cap.limit_kw
    if demand.tariff is not None and cap_kw is not None and demand.tariff.target_kw > cap_kw * _NOISE:
        place = draft.origin.at("demand", "tariff", "target_kw")
        wrong = f"a target of {demand.tariff.target_kw:g} kW above the cap of {cap_kw:g} kW can never be used"
        report.warn(place, wrong, "check both")
    node = draft.document.power.get(demand.node or next(iter(roots(draft.document)), ""))
    carries = None if node is None else capacity_volt_amperes(node)
    if carries is not None and cap_kw is not None and cap_kw * 1000 > carries * _NOISE:
        place = draft.origin.at("demand", "cap", "limit_kw")
        wrong = f"a cap of {cap_kw:g} kW is more than the supply carries, {carries / 1000:g} kVA"
        report.warn(place, wrong, "check both")

"""The contract, power nodes and racks as the core takes them: kW and kVA of YAML become W and VA here."""

from __future__ import annotations

from types import MappingProxyType

from keeld.config.contract_checks import USUAL_STEP_S, roots
from keeld.config.service_schema import Document
from keeld.config.site_schema import BudgetKeys, PowerEntry, RackEntry, SourceKeys, TariffKeys
from keeld.contract import Contract, DemandLimit
from keeld.model import Rack, RackBudget
from keeld.trees import PowerNode, PowerSource

_KILO = 1000.0


def contract_of(document: Document) -> Contract | None:
    """Give the contract with the supplier; None without one."""
    demand = document.demand
    if demand is None:
        return None
    cap, tariff = demand.cap, demand.tariff
    if tariff is not None and not tariff.active:
        tariff = None
    return Contract(
        node=demand.node or roots(document)[0],
        cap=None if cap is None else _demand_limit(cap.limit_kw, cap.interval),
        tariff=None if tariff is None else _demand_limit(tariff.target_kw, tariff.interval, _step_s(tariff)),
    )


def _step_s(tariff: TariffKeys) -> float:
    return tariff.interval if tariff.method == "block" else tariff.subinterval or USUAL_STEP_S


def _demand_limit(limit_kw: float, interval_s: float, step_s: float | None = None) -> DemandLimit:
    return DemandLimit(limit_watts=limit_kw * _KILO, interval_s=round(interval_s), step_s=round(step_s or interval_s))


def _kilo(value: float | None) -> float | None:
    return None if value is None else value * _KILO


def power_node(name: str, node: PowerEntry, *, altitude_m: float) -> PowerNode:
    """Give a power node in SI units."""
    return PowerNode(
        id=name,
        parent=node.parent,
        label=node.label,
        kind=node.kind or "",
        limit_watts=_kilo(node.limit_kw),
        limit_volt_amperes=_kilo(node.limit_kva),
        breaker_amperes=node.breaker_a,
        voltage_volts=node.voltage_v,
        phases=node.phases or 1,
        wiring=node.wiring or "wye",
        lines=tuple(node.lines.split("-")) if node.lines else (),
        is_direct_current=node.current == "dc",
        neutral_amperes=node.neutral_a,
        power_factor=node.power_factor,
        derate=node.derate,
        share=node.share,
        breaker_kind=node.breaker_kind,
        ambient_celsius=node.ambient_c,
        ambient_device=node.ambient,
        altitude_metres=altitude_m,
        efficiency=node.efficiency,
        sources=MappingProxyType({source: _power_source(keys) for source, keys in node.sources.items()}),
        source=node.source,
    )


def _power_source(keys: SourceKeys) -> PowerSource:
    return PowerSource(keys.limit_kw * _KILO, keys.parent)


def rack_of(name: str, rack: RackEntry) -> Rack:
    """Give a rack with the budget of its state."""
    by_state = {"": _budget(rack.budget)} | {state: _budget(keys) for state, keys in rack.budgets.items()}
    return Rack(
        id=name,
        label=rack.label,
        kind=rack.kind,
        row=rack.row,
        state=rack.state,
        feeds=MappingProxyType(dict(rack.feeds)),
        redundancy=rack.redundancy,
        thermal_class=rack.thermal_class,
        budget=by_state.get(rack.state, by_state[""]),
        cooling_air=rack.cooling.air,
        cooling_liquid=rack.cooling.liquid,
        liquid_ratio=None if rack.liquid_ratio is None else (rack.liquid_ratio[0], rack.liquid_ratio[1]),
        tenant=rack.tenant,
        budgets=MappingProxyType(by_state if rack.budgets else {}),
    )


def _budget(keys: BudgetKeys) -> RackBudget:
    return RackBudget(_kilo(keys.power_kw), _kilo(keys.air_kw), _kilo(keys.liquid_kw))

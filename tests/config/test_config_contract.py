from __future__ import annotations

import pytest

from keeld.contract import Contract, DemandLimit


def problems(checked):
    return [str(problem) for problem in checked.problems]


def test_a_contract_is_read_with_the_only_supply_as_its_node(check_text, site):
    checked = check_text(
        f"{site}demand:\n  cap: {{limit_kw: 900}}\n  tariff: {{target_kw: 800, interval: 30m, method: rolling}}\n"
    )
    assert problems(checked) == []
    assert checked.settings.site.contract == Contract(
        node="u",
        cap=DemandLimit(limit_watts=900e3, interval_s=900, step_s=900),
        tariff=DemandLimit(limit_watts=800e3, interval_s=1800, step_s=300),
    )


def test_a_tariff_that_is_not_active_is_no_limit(check_text, site):
    checked = check_text(f"{site}demand:\n  tariff: {{target_kw: 800, active: false}}\n")
    assert checked.settings.site.contract == Contract(node="u")


def test_no_contract_is_none(check_text, site):
    assert check_text(site).settings.site.contract is None
    assert check_text(f"{site}demand:\n").settings.site.contract is None


@pytest.mark.parametrize(
    ("demand", "place", "wrong"),
    [
        ("demand: {}", "12:1", "neither a cap nor a tariff"),
        ("demand: {node: uu, cap: {limit_kw: 9}}", "12:16", "'uu', which is no power node; did you mean `u`?"),
        ("demand: {cap: {limit_kw: 9, interval: 7m}}", "12:39", "an interval of 7m does not divide an hour"),
        ("demand: {cap: {limit_kw: 9, interval: 2h}}", "12:39", "out of bounds"),
        ("demand: {cap: {limit_kw: 9, interval: 15}}", "12:39", "no duration"),
        ("demand: {cap: {limit_kw: 0}}", "12:26", "must be over 0"),
        ("demand: {cap: {}}", "12:15", "missing"),
        ("demand: {tariff: {target_kw: 9, method: slide}}", "12:41", "'slide' is not known"),
        ("demand: {tariff: {target_kw: 9, subinterval: 5m}}", "12:33", "a block has no subintervals"),
        (
            "demand: {tariff: {target_kw: 9, method: rolling, subinterval: 4m}}",
            "12:63",
            "not made of several steps of 4m",
        ),
        ("demand: {tariff: {target_kw: 9, method: rolling, subinterval: 15m}}", "12:63", "not made of several steps"),
        ("demand: {kap: {limit_kw: 9}}", "12:10", "unknown key `kap`; did you mean `cap`?"),
    ],
)
def test_what_is_wrong_with_a_contract_is_said_with_its_place(check_text, site, demand, place, wrong):
    found = problems(check_text(f"{site}{demand}\n"))
    assert len(found) >= 1
    assert found[0].startswith(f"k.yaml:{place}: ")
    assert wrong in found[0]


def test_with_two_supplies_the_node_must_be_named(check_text, site):
    two = site.replace("  f1:", "  u2: {limit_kw: 500}\n  f1:")
    (found,) = problems(check_text(f"{two}demand: {{cap: {{limit_kw: 9}}}}\n"))
    assert "demand names no node, and 2 power nodes stand at the top; write node: u" in found
    assert problems(check_text(f"{two}demand: {{node: u2, cap: {{limit_kw: 9}}}}\n")) == []


@pytest.mark.parametrize(
    ("demand", "wrong"),
    [
        ("demand: {cap: {limit_kw: 1200}}", "a cap of 1200 kW is more than the supply carries, 1000 kVA"),
        ("demand: {cap: {limit_kw: 900}, tariff: {target_kw: 950}}", "a target of 950 kW above the cap of 900 kW"),
    ],
)
def test_figures_that_cannot_be_meant_are_warned_of(check_text, site, demand, wrong):
    checked = check_text(f"{site}{demand}\n")
    assert checked.settings is not None
    assert any(wrong in str(warning) for warning in checked.warnings)


def test_a_rack_has_the_budget_of_its_state(check_text, site):
    states = "state: mining, budget: {power_kw: 40}, budgets: {mining: {power_kw: 30}, ai: {power_kw: 33, air_kw: 9}}"
    rack = check_text(site.replace("redundancy: 2N", f"redundancy: 2N, {states}")).settings.site.racks["r1"]
    assert rack.budget.power_watts == 30e3
    assert rack.in_state("ai").budget.air_watts == 9e3
    assert rack.in_state("empty").budget.power_watts == 40e3
    assert rack.in_state("ai").in_state("mining") == rack


def test_a_budget_of_no_state_is_refused(check_text, site):
    (found,) = problems(check_text(site.replace("redundancy: 2N", "redundancy: 2N, budgets: {minig: {power_kw: 30}}")))
    assert "minig" in found

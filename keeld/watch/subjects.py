"""Everything that can have an alarm here: it decides what survives a reload or a restart, and what is withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from keeld.alerts.alarm import Target
from keeld.alerts.board import Key
from keeld.alerts.rules import AI, MINING, PLANT, Level, Rule
from keeld.budgets.topology import Topology
from keeld.watch.feeds import NAME as FEED_DEAD
from keeld.watch.feeds import FeedWatch
from keeld.watch.naming import blind_target, device_target
from keeld.watch.nodes import CONTINUOUS, OVERLOAD, NodeState
from keeld.watch.racks import RackState
from keeld.watch.rulebook import Rulebook
from keeld.watch.silence import BLIND, STALE, Silence


class Subject(NamedTuple):
    """One rule at one target."""

    rule: Rule
    levels: tuple[Level, ...]
    target: Target

    @property
    def key(self) -> Key:
        """Its place on the board."""
        return self.rule.name, self.target.kind, self.target.id


def subjects(
    rules: Rulebook,
    topology: Topology,
    *,
    racks: dict[str, RackState],
    nodes: dict[str, NodeState],
    feeds: FeedWatch,
    silence: Silence,
) -> Iterator[Subject]:
    """List every rule that is switched on, with each of its targets."""
    found = _racks(rules, racks), _power(rules, nodes, feeds), _silence(rules, topology, silence)
    for group in found:
        for subject in group:
            if subject.levels:
                yield subject


def _racks(rules: Rulebook, racks: dict[str, RackState]) -> Iterator[Subject]:
    for state in racks.values():
        budget = state.plan.rack.budget
        for name, limit in (
            ("rack_density_power", budget.power_watts),
            ("rack_density_air", budget.air_watts),
            ("rack_density_liquid", budget.liquid_watts),
        ):
            if limit:
                yield Subject(rules.rule(name), rules.levels(name, state.set_name, state.target), state.target)
        if state.set_name == AI:
            yield Subject(rules.rule(BLIND), rules.levels(BLIND, AI, state.target), blind_target(state))


def _power(rules: Rulebook, nodes: dict[str, NodeState], feeds: FeedWatch) -> Iterator[Subject]:
    dead = rules.rule(FEED_DEAD)
    for state in nodes.values():
        if state.rating_amperes is not None:
            for name in (OVERLOAD, CONTINUOUS):
                yield Subject(rules.rule(name), rules.levels(name, PLANT, state.target), state.target)
        yield Subject(dead, rules.levels(FEED_DEAD, AI), feeds.node_target(state.plan.node.id))
    for feed in feeds.states.values():
        yield Subject(dead, rules.levels(FEED_DEAD, AI), feed.target)


def _silence(rules: Rulebook, topology: Topology, silence: Silence) -> Iterator[Subject]:
    for row in silence.rows.values():
        for name in (BLIND, STALE):
            yield Subject(rules.rule(name), rules.levels(name, MINING, row.target), row.target)
    for _, target in silence.paths:
        yield Subject(rules.path_down, rules.levels_of(rules.path_down, PLANT, target), target)
    yield Subject(rules.site_blind, rules.levels_of(rules.site_blind, MINING, silence.site_target), silence.site_target)
    for intake in topology.intakes.values():
        if intake.device.kind != "miner":
            target = device_target(intake)
            yield Subject(rules.rule(STALE), rules.levels(STALE, PLANT, target), target)

"""Readings that cannot be believed (rule 33): every meter, probe and machine, checked as `budgets.validity` says.

New samples of meters and probes are checked at the end of each slot, all else once a minute, a sixth of the site in
each slot. What is doubted is listed with its reason; the rule is an information, one for the whole site at a time, and
only for what has been wrong for a quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import PLANT
from keeld.budgets.intake import UNHEARD_DRIVERS, Intake
from keeld.budgets.source import MINUTE_NS, SECOND_NS
from keeld.budgets.topology import Load
from keeld.budgets.validity import ANYTHING, BUSY_RATIO, CLOCK_AHEAD_S, NAMEPLATE_RATIO, SPLIT_RATIO, SPLIT_S
from keeld.budgets.window import SLOT_S
from keeld.metrics import POWER, TEMPERATURE
from keeld.model import Batch, Moment
from keeld.views import Suspect
from keeld.watch.circuit_checks import circuits
from keeld.watch.doubts import Doubts
from keeld.watch.duty import Duty, Ground, Slot
from keeld.watch.naming import device_target
from keeld.watch.probe_checks import KINDS, Probe, probes_of
from keeld.watch.racks import SLOT_CAP_S, RackState
from keeld.watch.subjects import Subject

RULE = "sensor_suspect"
_TURNS = round(60.0 / SLOT_S)
_GROUP = "suspect readings"
_BEGUN_NS = MINUTE_NS
"""What is wrong for less than this is listed, and begins no alarm."""
_FRESH_NS = 2 * MINUTE_NS
_REASONS_SHOWN = 4
_TWO = 2
_WRONG, _RIGHT = Span(1.0, 1.0), Span(0.0, 0.0)


class Validity(Duty):
    """All that a site reads, under check."""

    name: ClassVar[str] = "validity"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        topology = ground.topology
        self.doubts = Doubts()
        self._circuits = circuits(topology)
        self._intakes = [intake for intake in topology.intakes.values() if intake.device.kind in KINDS]
        self._probes = {intake.device.id: probes_of(intake) for intake in self._intakes}
        self._thermometers = _thermometers(self._probes)
        self._shown = {intake.device.id: len(intake.sources) for intake in self._intakes}
        self._loads = [load for plan in topology.racks.values() for load in plan.loads]
        self._neighbours = _neighbours(self._intakes)
        self._racks = list(ground.racks.values())
        self._split_since: dict[str, int] = {}
        for load in self._loads:
            _bound(load)

    def subjects(self) -> Iterator[Subject]:
        """List the rule at every device."""
        rules = self.ground.rules
        for intake in self.ground.topology.intakes.values():
            target = _target(intake)
            levels = rules.levels(RULE, PLANT, target)
            if levels:
                yield Subject(rules.rule(RULE), levels, target)

    def devices(self) -> Iterable[str]:
        """Name those that put a time of their own on what they send."""
        return [i.device.id for i in self.ground.topology.intakes.values() if i.device.driver in UNHEARD_DRIVERS]

    def arrive(self, intake: Intake, batch: Batch, board: Board, now: Moment) -> None:
        """Check the sender's clock against the host's."""
        del board
        ahead_s = (batch.time_ns - now.wall_ns) / SECOND_NS
        if ahead_s > CLOCK_AHEAD_S:
            self.doubts.accuse(intake.device.id, None, "", "clock", f"its clock is {ahead_s:.1f} s ahead", now)
        else:
            self.doubts.acquit(intake.device.id, None, "", "clock")

    def close(self, slot: Slot, board: Board) -> Iterator[int]:
        """Check new samples, and a sixth of all else."""
        now = Moment(slot.now.wall_ns, slot.look.mono_ns)
        turn = slot.look.mono_ns // int(SLOT_S * SECOND_NS) % _TURNS
        for index, circuit in enumerate(self._circuits):
            circuit.look_at_samples(self.doubts, now)
            if index % _TURNS == turn:
                circuit.look(self.doubts, now)
                yield 10
        for index, intake in enumerate(self._intakes):
            if index % _TURNS == turn:
                self._look_at_probes(intake, now)
                yield 4
        for probe in self._thermometers:
            probe.look_at_samples(self.doubts, now)
        yield from self._look_at_machines(turn, now)
        yield from self._look_at_splits(turn, now)
        if turn == 0:
            self.doubts.sweep(now)
        self._judge(board, slot.now)

    def _look_at_probes(self, intake: Intake, now: Moment) -> None:
        name = intake.device.id
        if self._shown[name] != len(intake.sources):
            self._shown[name] = len(intake.sources)
            known = {id(probe.source): probe for probe in self._probes[name]}
            self._probes[name] = [known.get(id(probe.source), probe) for probe in probes_of(intake)]
            self._thermometers = _thermometers(self._probes)
        for probe in self._probes[name]:
            probe.look(self.doubts, self._beside(intake, probe), now)

    def _beside(self, intake: Intake, probe: Probe) -> list[Probe]:
        """Give the probes of the same kind at the same place."""
        names = self._neighbours.get(_place(intake), ())
        return [
            other
            for name in names
            for other in self._probes[name]
            if other is not probe and other.metric is probe.metric and other.part == probe.part
        ]

    def _look_at_machines(self, turn: int, now: Moment) -> Iterator[int]:
        """List the machines whose own figure was refused."""
        for load in self._loads[turn::_TURNS]:
            refusal, device = load.power.refusal, load.intake.device
            if refusal is None:
                continue
            if now.mono_ns - refusal.mono_ns > _FRESH_NS:
                self.doubts.acquit(device.id, POWER, "", "range")
                continue
            nameplate = f"a nameplate of {device.nameplate_watts or 0.0:.0f} W"
            reason = f"{refusal.samples} samples refused, the last of {refusal.value:.0f} W at {nameplate}"
            self.doubts.accuse(device.id, POWER, "", "range", reason, now)
        yield 1 + len(self._loads) // 600

    def _look_at_splits(self, turn: int, now: Moment) -> Iterator[int]:
        """Find racks of dual-corded machines whose feeds share the load worse than 70 to 30 for half an hour."""
        for state in self._racks[turn::_TURNS]:
            share = _split(state, self.ground)
            self._settle_split(state, share if share and max(share.values()) > SPLIT_RATIO else None, now)
            yield 2

    def _settle_split(self, state: RackState, share: Mapping[str, float] | None, now: Moment) -> None:
        rack_id = state.plan.rack.id
        if share is None:
            if self._split_since.pop(rack_id, None) is not None:
                for letter in state.plan.feeds:
                    self.doubts.acquit(_first_pdu(state, letter), POWER, "", "split")
            return
        since_ns = self._split_since.setdefault(rack_id, now.mono_ns)
        if now.mono_ns - since_ns >= SPLIT_S * SECOND_NS:
            light = min(share, key=share.__getitem__)
            reason = f"feed {light} carries only {share[light]:.0%} of a rack of machines with two cords"
            self.doubts.accuse(_first_pdu(state, light), POWER, "", "split", reason.replace("%", " %"), now)

    def _judge(self, board: Board, now: Moment) -> None:
        rule = self.ground.rules.rule(RULE)
        intakes = self.ground.topology.intakes
        wrong = self.doubts.active_for(_BEGUN_NS, now)
        firing = [key[2] for key in board.alarms if key[0] == RULE] if board.alarms else []
        for name in dict.fromkeys((*wrong, *firing)):
            if name not in intakes:
                continue
            target = _target(intakes[name])
            levels = self.ground.rules.levels(RULE, PLANT, target)
            if levels:
                reasons = wrong.get(name, [])
                span = (_WRONG if reasons else None if intakes[name].is_gone(now.mono_ns) else _RIGHT,)
                detail = "; ".join(reasons[:_REASONS_SHOWN])
                evidence = Evidence(
                    spans=span * len(levels), detail=f"{detail[:1].upper()}{detail[1:]}." if detail else ""
                )
                board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """List what is not believed, and what was not within the last half hour."""
        return self.doubts.view()

    def keep(self, before: Validity) -> None:
        """Take over what is doubted of devices that are still there."""
        intakes = self.ground.topology.intakes
        self.doubts.keep(
            before.doubts,
            {name: {id(source) for source in intake.sources.values()} for name, intake in intakes.items()},
        )
        self._split_since = {name: since for name, since in before._split_since.items() if name in self.ground.racks}


def _target(intake: Intake) -> Target:
    return replace(device_target(intake), group=_GROUP)


def _bound(load: Load) -> None:
    """Let a machine's own figures refuse what its nameplate cannot be."""
    nameplate = load.intake.device.nameplate_watts
    for source in (load.power, load.estimate):
        source.least = 0.0
        source.most = ANYTHING[1] if nameplate is None else NAMEPLATE_RATIO * nameplate


def _thermometers(probes: Mapping[str, list[Probe]]) -> list[Probe]:
    return [probe for found in probes.values() for probe in found if probe.metric is TEMPERATURE]


def _place(intake: Intake) -> str:
    return intake.device.rack or intake.device.node or ""


def _neighbours(intakes: Iterable[Intake]) -> dict[str, list[str]]:
    """Gather devices by rack or node; those of no place have no neighbours."""
    found: dict[str, list[str]] = {}
    for intake in intakes:
        if _place(intake):
            found.setdefault(_place(intake), []).append(intake.device.id)
    return found


def _split(state: RackState, ground: Ground) -> dict[str, float] | None:
    """Give each feed's share of a rack whose machines all hang on both of its feeds; None where nothing follows."""
    plan = state.plan
    if plan.rack.redundancy == "N" or len(plan.feeds) != _TWO or not plan.loads:
        return None
    if any(feed.loads or not feed.inlets for feed in plan.feeds.values()):
        return None
    if any((plan.rack.id, letter) in ground.feeds.suspects for letter in plan.feeds):
        return None
    means = {letter: windows.mean() for letter, windows in state.feeds.items()}
    watts = {letter: mean.best for letter, mean in means.items() if mean is not None and mean.best is not None}
    covered = all(feed.coverage >= 1.0 for feed in state.draw.feeds.values())
    total = sum(watts.values())
    if len(watts) != _TWO or not covered or total <= BUSY_RATIO * sum(f.ceiling_watts for f in plan.feeds.values()):
        return None
    return {letter: carried / total for letter, carried in watts.items()}


def _first_pdu(state: RackState, letter: str) -> str:
    inlets = state.plan.feeds[letter].inlets
    return inlets[0].intake.device.id if inlets else ""

"""The pool: machines that hash and get no share accepted, counted over the whole site (rule 42)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keeld.alerts.alarm import Evidence, Target
from keeld.alerts.board import Board
from keeld.alerts.machine import Span
from keeld.alerts.rules import FIVE_MINUTES_S, MINING
from keeld.alerts.shipped.miners import POOL_LOST
from keeld.model import Moment
from keeld.watch.duty import Ground
from keeld.watch.fleet import Fleet
from keeld.watch.mine_rows import Row
from keeld.watch.naming import names
from keeld.watch.racks import SLOT_CAP_S
from keeld.watch.subjects import Subject


def pool_subject(ground: Ground) -> Subject:
    """Give the rule at the site."""
    target = _target(ground)
    return Subject(ground.rules.rule(POOL_LOST.name), ground.rules.levels(POOL_LOST.name, MINING, target), target)


def _target(ground: Ground) -> Target:
    site = ground.topology.site.name
    rows = frozenset(f"row:{name}" for name in ground.silence.rows)
    return Target("site", site, f"{site} mine", frozenset({"pool"}), rows)


def judge_pool(ground: Ground, fleet: Fleet, rows: Iterable[Row], board: Board, now: Moment) -> Iterator[int]:
    """Judge the whole site; yields what each step cost.

    Machines that are curtailed or asleep count nowhere, silent ones only among those that should get shares.
    """
    rule, target = ground.rules.rule(POOL_LOST.name), _target(ground)
    levels = ground.rules.levels(rule.name, MINING, target)
    if not levels:
        return
    patience_s = levels[0].window_s or FIVE_MINUTES_S
    lost: list[int] = []
    whole = unproven = 0
    for row in rows:
        if any(ground.orders.is_curtailed(rack, now.wall_ns) for rack in row.racks):
            continue
        silent = set(row.census.silent)
        awake = [place for place in row.places if place in silent or not fleet.is_asleep(place)]
        whole += len(awake)
        heard = [place for place in awake if place not in silent]
        without = [place for place in heard if fleet.is_without_share(place, now.mono_ns, patience_s)]
        unproven += sum(map(fleet.is_unproven, heard)) - sum(map(fleet.is_unproven, without))
        lost += without
        yield 1 + len(awake) // 5
    share = len(lost) / whole if whole else 0.0
    if share <= min(level.limit for level in levels) and board.find(rule, target) is None:
        return
    listed = names([fleet.intakes[place].device.id for place in lost])
    detail = f"{len(lost)} of {whole} machines had no share accepted for {patience_s / 60:g} min"
    evidence = Evidence(
        spans=(Span(share, share + unproven / whole) if whole else None,) * len(levels),
        cause="the pool, the name server or the way to the internet",
        detail=f"{detail}: {listed}." if lost else f"{detail}.",
        is_known=bool(whole),
    )
    board.judge(rule, levels, target, evidence, now=now, cap_s=SLOT_CAP_S)

"""Do what people ask for: acknowledge, shelve, announce work, close, go live; or say why it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import singledispatch

from keeld.alerts.acts import (
    SHELF_MOST_NS,
    WORK_MOST_NS,
    Acknowledge,
    Act,
    Close,
    Done,
    EndMaintenance,
    GoLive,
    Maintain,
    RefusedError,
    Shelve,
    Unshelve,
)
from keeld.alerts.alarm import Alarm, short_id
from keeld.alerts.board import Board
from keeld.alerts.holds import Shelf
from keeld.alerts.message import local_time
from keeld.alerts.selector import Selector
from keeld.alerts.work import Work
from keeld.model import AlertState, Moment
from keeld.text import clean
from keeld.watch.subjects import Subject

_ID_LEAST = 4
_DAYS_MOST = 366
_HOLDS_MOST = 500


class Floor:
    """What an act is done on: the board, and everything that can have an alarm."""

    def __init__(self, board: Board, subjects: Callable[[], Iterable[Subject]], now: Moment) -> None:
        self.board = board
        self.subjects = subjects
        self.now = now

    def alarm(self, reference: str) -> Alarm:
        """Find an alarm by its id (or the beginning of it), its key or the end of it; raises RefusedError."""
        alarms = self.board.alarms.values()
        exact = [alarm for alarm in alarms if reference in (alarm.alert_id, alarm.key)]
        near = [alarm for alarm in alarms if _is_named(alarm, reference)]
        for found in (exact, near):
            if len(found) == 1:
                return found[0]
        shown = clean(reference, 40)
        if near:
            raise RefusedError(f"{shown!r} means {len(near)} alarms", "write the whole id, as `keeld alerts` shows it")
        raise RefusedError(f"no alarm {shown!r} stands", "`keeld alerts` lists those that do, with their ids")

    def meant(self, selector: Selector) -> int:
        """Count the rules at targets that a selector means; raises RefusedError where there are none."""
        tags_of = self.board.tags_of
        count = sum(selector.matches(subject.rule.name, tags_of(subject.target)) for subject in self.subjects())
        if not count:
            raise RefusedError(f"{selector} means no rule at any target", "`keeld rules` lists rules and targets")
        return count

    def id_for(self, *facts: object) -> str:
        """Make an id for something that is to stand."""
        return short_id(":".join(map(str, (*facts, self.now.wall_ns))))


def perform(act: Act, floor: Floor) -> Done:
    """Do an act; raises RefusedError, and then nothing has changed."""
    return _perform(act, floor)


def _is_named(alarm: Alarm, reference: str) -> bool:
    is_start = len(reference) >= _ID_LEAST and alarm.alert_id.startswith(reference)
    return is_start or alarm.key.endswith(f":{reference}")


@singledispatch
def _perform(act: Act, floor: Floor) -> Done:
    raise RefusedError(f"{type(act).__name__} is no act", f"of {floor.board.site}")


@_perform.register
def _(act: Acknowledge, floor: Floor) -> Done:
    alarm = floor.alarm(act.alert)
    if alarm.state is AlertState.PENDING:
        raise RefusedError("it is pending: nobody was told of it yet", "wait until it fires, or shelve it")
    if alarm.owner == act.owner:
        return Done(f"{alarm.title}: already acknowledged by {act.owner}", alarm.alert_id)
    floor.board.acknowledge(alarm, act.owner, floor.now)
    return Done(f"acknowledged: {alarm.title}", alarm.alert_id)


@_perform.register
def _(act: Close, floor: Floor) -> Done:
    alarm = floor.alarm(act.alert)
    _need_reason(act.reason)
    title = alarm.title
    floor.board.close(alarm, act.owner, clean(act.reason, 200), floor.now)
    return Done(f"closed: {title}; it comes back if it still holds", alarm.alert_id)


@_perform.register
def _(act: Shelve, floor: Floor) -> Done:
    _need_reason(act.reason)
    now_ns, holds = floor.now.wall_ns, floor.board.holds
    if not now_ns < act.until_ns <= now_ns + SHELF_MOST_NS:
        raise RefusedError("a shelf lasts at most 24 h from now", "write 24h or less, or announce work")
    if len(holds.shelves) >= _HOLDS_MOST:
        raise RefusedError(f"{_HOLDS_MOST} shelves stand already", "end some of them")
    if bool(act.alert) == (act.selector is not None):
        raise RefusedError("either an alert or a selector is shelved", "write one of them")
    if act.selector is None:
        alarm = floor.alarm(act.alert)
        what, key = alarm.title, alarm.key
    else:
        what, key = f"{act.selector} ({floor.meant(act.selector)} rules at targets)", ""
    shelf = Shelf(
        id=floor.id_for("shelf", key, act.selector, act.owner),
        owner=act.owner,
        reason=clean(act.reason, 200),
        begins_ns=now_ns,
        until_ns=act.until_ns,
        key=key,
        selector=act.selector,
    )
    holds.shelves[shelf.id] = shelf
    floor.board.review(floor.now)
    return Done(f"shelved until {local_time(act.until_ns, holds.timezone)}: {what}", shelf.id)


@_perform.register
def _(act: Unshelve, floor: Floor) -> Done:
    shelf = floor.board.holds.shelves.pop(act.shelf, None)
    if shelf is None:
        raise RefusedError(f"no shelf {clean(act.shelf, 40)!r} stands", "`keeld shelve --list` shows those that do")
    floor.board.review(floor.now)
    return Done(f"taken off the shelf: {shelf.key or shelf.selector}", shelf.id)


@_perform.register
def _(act: Maintain, floor: Floor) -> Done:
    _need_reason(act.reason)
    holds = floor.board.holds
    _check_times(act, floor.now)
    reach = holds.reach_of(act.target)
    if not reach.scopes:
        raise RefusedError(f"{act.target} means nothing at this site", "write node=ups-a, feed=r07/a, rack=r07, row=c")
    if len(holds.works) >= _HOLDS_MOST:
        raise RefusedError(f"{_HOLDS_MOST} works are announced already", "end some of them")
    work = Work(
        id=floor.id_for("work", act.target, act.owner),
        target=act.target,
        owner=act.owner,
        reason=clean(act.reason, 200),
        begins_ns=act.begins_ns,
        ends_ns=act.ends_ns,
        every_days=act.every_days,
    )
    holds.works[work.id] = work
    floor.board.review(floor.now)
    until = local_time(act.ends_ns, holds.timezone)
    begins = "now" if act.begins_ns <= floor.now.wall_ns else local_time(act.begins_ns, holds.timezone)
    return Done(f"announced: work on {act.target} from {begins} until {until}, {len(reach.scopes)} things out", work.id)


@_perform.register
def _(act: EndMaintenance, floor: Floor) -> Done:
    holds = floor.board.holds
    work = holds.works.get(act.work)
    if work is None:
        raise RefusedError(f"no work {clean(act.work, 40)!r} is announced", "`keeld maintenance list` shows what is")
    holds.finish(work.id, floor.now)
    if act.for_good:
        holds.works.pop(work.id, None)
    floor.board.review(floor.now)
    return Done(f"over: work on {work.target}", work.id)


@_perform.register
def _(act: GoLive, floor: Floor) -> Done:
    count = floor.meant(act.selector)
    floor.board.holds.observing.go_live(act.selector)
    floor.board.review(floor.now)
    return Done(f"live: {act.selector} ({count} rules at targets)")


def _check_times(act: Maintain, now: Moment) -> None:
    if act.ends_ns <= act.begins_ns:
        raise RefusedError("work that ends before it begins", "write an end after the begin")
    if act.ends_ns - act.begins_ns > WORK_MOST_NS:
        raise RefusedError("work of more than 14 days", "take what stays out of service out of the configuration")
    if act.ends_ns <= now.wall_ns and not act.every_days:
        raise RefusedError("work that is over already", "write an end in the future")
    if not 0 <= act.every_days <= _DAYS_MOST:
        raise RefusedError(f"work every {act.every_days} days", f"write 1 to {_DAYS_MOST}, 7 for every week")
    if act.every_days and act.ends_ns - act.begins_ns > act.every_days * 86_400 * 1_000_000_000:
        raise RefusedError("work that begins again before it ends", "shorten it, or let it come less often")


def _need_reason(reason: str) -> None:
    if not reason.strip():
        raise RefusedError("no reason is given", "say why: the next shift reads it")

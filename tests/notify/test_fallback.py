"""A critical message that its channel cannot deliver is heard elsewhere, once, and so is its end."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from keeld.model import AlertState, Notice, Severity
from keeld.notify.fallback import PATIENCE_S, Fallback
from keeld.settings import ChannelSettings

CRITICAL = frozenset({Severity.CRITICAL})


def channel(name: str, severities=CRITICAL) -> ChannelSettings:
    return ChannelSettings(kind="webhook", name=name, severities=severities)


def snapshot(*keys: str):
    return [SimpleNamespace(key=key, dump=lambda: b"{}") for key in keys]


@pytest.fixture
def fallback(state):
    broken: set[str] = set()
    woken: list[bool] = []
    it = Fallback(
        state, ("pager", "chat", "mail"), works=lambda name: name not in broken, wake=lambda: woken.append(True)
    )
    return SimpleNamespace(look=it.look, broken=broken, woken=woken)


PAGER_ONLY = (channel("pager"), channel("chat", frozenset({Severity.WARNING})), channel("mail", frozenset()))


async def begin(state, move, channels=PAGER_ONLY, **changed):
    one = move(1, **changed)
    await state.commit([one], snapshot(one.key), channels=channels)
    return one


async def test_the_next_channel_is_told_after_two_minutes(state, move, fallback):
    one = await begin(state, move)
    fallback.broken.add("pager")
    await fallback.look(0.0)
    await fallback.look(PATIENCE_S - 1)
    assert state.waiting("chat") == ()
    await fallback.look(PATIENCE_S)
    await fallback.look(PATIENCE_S + 60)
    (message,) = state.waiting("chat")
    assert (message.notice, message.transition) == (Notice.TRIGGER, one)
    assert state.waiting("mail") == ()
    assert fallback.woken == [True]
    assert len(state.waiting("pager")) == 1  # it is still to be told


async def test_what_was_passed_on_is_told_its_end(state, move, fallback):
    one = await begin(state, move)
    fallback.broken.add("pager")
    await fallback.look(0.0)
    await fallback.look(PATIENCE_S)
    end = move(1, notice=Notice.RESOLVE, after=AlertState.OK, ended="resolved", time_ns=one.time_ns + 1)
    await state.commit([end], [], channels=PAGER_ONLY)
    assert [message.notice for message in state.waiting("chat")] == [Notice.TRIGGER, Notice.RESOLVE]


async def test_a_channel_that_has_heard_it_already_will_do(state, move, fallback):
    await begin(state, move, channels=(channel("pager"), channel("chat", frozenset()), channel("mail")))
    (heard,) = state.waiting("mail")
    await state.settle(heard)
    fallback.broken.add("pager")
    await fallback.look(0.0)
    await fallback.look(PATIENCE_S)
    assert state.waiting("chat") == ()


async def test_of_others_that_fail_none_is_told_until_one_works(state, move, fallback):
    await begin(state, move)
    fallback.broken.update({"pager", "chat", "mail"})
    for now_s in (0.0, PATIENCE_S, 2 * PATIENCE_S):
        await fallback.look(now_s)
    assert (state.waiting("chat"), state.waiting("mail")) == ((), ())
    fallback.broken.discard("mail")
    await fallback.look(3 * PATIENCE_S)
    assert len(state.waiting("mail")) == 1


async def test_a_rise_reaches_who_heard_of_less(state, move, fallback):
    await begin(state, move, severity=Severity.WARNING)
    await begin(state, move, notice=Notice.ESCALATE, time_ns=1_795_402_999_000_000_000)
    fallback.broken.add("pager")
    await fallback.look(0.0)
    await fallback.look(PATIENCE_S)
    assert [message.notice for message in state.waiting("chat")] == [Notice.TRIGGER, Notice.ESCALATE]


@pytest.mark.parametrize("severity", [Severity.WARNING, Severity.INFO])
async def test_nobody_is_woken_by_what_is_not_critical(state, move, fallback, severity):
    await begin(state, move, channels=(channel("pager", frozenset(Severity)),), severity=severity)
    fallback.broken.add("pager")
    await fallback.look(0.0)
    await fallback.look(PATIENCE_S)
    assert state.waiting("chat") == ()


async def test_what_is_over_is_not_passed_on(state, move, fallback):
    one = await begin(state, move)
    end = move(1, notice=Notice.RESOLVE, after=AlertState.OK, ended="resolved", time_ns=one.time_ns + 1)
    await state.commit([end], [], channels=PAGER_ONLY)
    fallback.broken.add("pager")
    await fallback.look(0.0)
    await fallback.look(PATIENCE_S)
    assert state.waiting("chat") == ()

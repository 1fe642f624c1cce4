"""Whatever alarms do, a channel hears a beginning before an end, and an end for every beginning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.model import AlertState, Notice, Severity, Transition
from keeld.settings import ChannelSettings
from keeld.state.routing import route

CHANNELS = (
    ChannelSettings(kind="webhook", name="all"),
    ChannelSettings(kind="webhook", name="pager", severities=frozenset({Severity.CRITICAL})),
    ChannelSettings(kind="webhook", name="desk", severities=frozenset({Severity.WARNING, Severity.INFO})),
)


def alarm(key: str, notice: Notice | None, severity: Severity) -> Transition:
    return Transition(
        key=key, alert_id=key, rule="r", target_kind="rack", target_id=key, before=AlertState.PENDING,
        after=AlertState.OK if notice is Notice.RESOLVE else AlertState.FIRING, severity=severity, notice=notice,
    )  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from([None, *Notice]), st.sampled_from(list(Severity))), max_size=40
    )
)
def test_every_beginning_has_its_end(moves):
    told: set[tuple[str, str]] = set()
    for key, notice, severity in moves:
        before = set(told)
        heard = route(alarm(key, notice, severity), CHANNELS, told)
        for channel, word in heard:
            if word is Notice.TRIGGER:
                told.add((channel, key))
            else:
                assert (channel, key) in before
        if notice is Notice.RESOLVE:
            assert {channel for channel, _ in heard} == {channel for channel, about in before if about == key}
            told = {pair for pair in told if pair[1] != key}
        if notice is None:
            assert heard == []


@pytest.mark.parametrize(
    ("severity", "channels"),
    [(Severity.CRITICAL, ["all", "pager"]), (Severity.WARNING, ["all", "desk"]), (Severity.INFO, ["all", "desk"])],
)
def test_a_channel_hears_what_it_asked_for(severity, channels):
    assert [channel for channel, _ in route(alarm("a", Notice.TRIGGER, severity), CHANNELS, set())] == channels

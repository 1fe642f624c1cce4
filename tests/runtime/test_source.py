"""The daemon as the web sees it: what is worked out for one is given to all who ask soon after."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from keeld.budgets.headroom import Headroom
from keeld.source import LiveSource


def room(name, watts):
    return Headroom(rack=name, label=name, watts=watts, rooms=(), peak_watts=None)


class SlowWatch:
    """Counts what is asked of it; a view takes `view_s`."""

    def __init__(self, view_s: float = 0.0) -> None:
        self.view_s = view_s
        self.views = self.walks = 0

    def view(self, now):
        self.views += 1
        time.sleep(self.view_s)
        return object()

    def headroom(self, now, rack_id):
        self.walks += 1
        yield None
        yield from (room(*each) for each in (("r1", 5.0), ("r2", None), ("r3", -2.0)) if rack_id in (None, each[0]))


@pytest.fixture
def clock(monkeypatch):
    """Monotonic time that a test moves; what a view costs is real."""
    shift = SimpleNamespace(s=0.0)
    real = time.monotonic_ns
    monkeypatch.setattr("time.monotonic_ns", lambda: real() + int(shift.s * 1e9))
    return shift


def source_of(watch):
    return LiveSource(SimpleNamespace(judge=SimpleNamespace(watch=watch)))


async def test_headroom_is_worked_out_once_for_all_who_ask_within_ten_seconds(clock):
    watch = SlowWatch()
    source = source_of(watch)
    assert [found.rack for found in await source.headroom(None)] == ["r3", "r1", "r2"]
    assert [found.rack for found in await source.headroom("r1")] == ["r1"]
    for _ in range(5):
        await source.headroom(None)
        await source.headroom("r1")
    assert watch.walks == 2
    clock.s = 11.0
    await source.headroom("r1")
    assert watch.walks == 3


@pytest.mark.parametrize(("view_s", "later_s", "views"), [(0.0, 0.4, 1), (0.0, 0.9, 2), (0.05, 0.8, 1), (0.05, 3.1, 2)])
def test_a_view_that_is_dear_is_made_less_often_and_is_never_old(clock, view_s, later_s, views):
    watch = SlowWatch(view_s)
    source = source_of(watch)
    first = source.site_view()
    clock.s = later_s
    assert (source.site_view() is first) == (views == 1)
    assert watch.views == views

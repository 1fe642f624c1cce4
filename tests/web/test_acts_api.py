"""Acts over the socket: who may ask, what is read of the body, and what a refusal looks like."""

from __future__ import annotations

import getpass
import time

import pytest

from keeld.alerts.acts import Acknowledge, Close, EndMaintenance, GoLive, Maintain, RefusedError, Shelve, Unshelve
from keeld.alerts.selector import parse

HOUR_NS = 3600 * 1_000_000_000


async def ask(client, method, path, form=None, status=200):
    async with client.request(method, path, json=form) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


@pytest.mark.parametrize(
    ("method", "path", "form", "act"),
    [
        ("POST", "/api/v1/alerts/abcd2345/acknowledge", {"owner": "eve"}, Acknowledge(alert="abcd2345", owner="eve")),
        ("POST", "/api/v1/alerts/s:leak:device:rope/close", {"owner": "eve", "reason": "dry"},
         Close(alert="s:leak:device:rope", owner="eve", reason="dry")),
        ("DELETE", "/api/v1/shelves/abcd2345", {"owner": "eve"}, Unshelve(shelf="abcd2345", owner="eve")),
        ("DELETE", "/api/v1/maintenance/w?for_good=1", {"owner": "eve"},
         EndMaintenance(work="w", owner="eve", for_good=True)),
        ("POST", "/api/v1/rules/live", {"owner": "eve", "selector": "rack=r07"},
         GoLive(selector=parse("rack=r07"), owner="eve")),
        ("POST", "/api/v1/alerts/a/shelve", {"owner": "eve", "reason": "known", "until": "1970-01-01T01:00:00+00:00"},
         Shelve(owner="eve", reason="known", until_ns=HOUR_NS, alert="a")),
        ("POST", "/api/v1/maintenance",
         {"owner": "eve", "reason": "x", "selector": "node=a", "begins": "1970-01-01T01:00:00Z", "for": "2h",
          "every_days": 7},
         Maintain(
             target=parse("node=a"), owner="eve", reason="x", begins_ns=HOUR_NS, ends_ns=3 * HOUR_NS, every_days=7
         )),
    ],
)  # fmt: skip
async def test_every_act_is_read_whole(local, source, method, path, form, act):
    assert await ask(local, method, path, form) == {"done": "done: it", "id": "abcd2345"}
    assert source.desk.acts == [(act, getpass.getuser())]


async def test_the_system_says_who_asks_and_a_shelf_may_be_a_span(local, source):
    await ask(local, "POST", "/api/v1/shelves", {"selector": "row=c", "for": "4h", "reason": "x"})
    ((act, who),) = source.desk.acts
    assert act.owner == who == getpass.getuser()
    assert abs(act.until_ns - time.time_ns() - 4 * HOUR_NS) < 10 * 1_000_000_000


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/api/v1/shelves", {"selector": "row", "for": "4h"}),
        ("/api/v1/shelves", {"selector": "row=c"}),
        ("/api/v1/shelves", {"selector": "row=c", "for": "4h", "until": "2026-11-22T17:00:00Z"}),
        ("/api/v1/shelves", {"selector": "row=c", "for": "four"}),
        ("/api/v1/shelves", {"selector": 7, "for": "4h"}),
        ("/api/v1/shelves", {"selector": "row=c", "until": "2026-11-22T17:00:00"}),
        ("/api/v1/shelves", ["row=c"]),
        ("/api/v1/maintenance", {"selector": "node=a", "for": "2h", "every_days": "weekly"}),
        ("/api/v1/maintenance", {"selector": "node=a", "for": "2h", "begins": "tomorrow"}),
        ("/api/v1/maintenance/preview", {}),
        ("/api/v1/rules/live", {"selector": ""}),
    ],
)
async def test_a_body_that_is_no_act_is_refused_with_a_remedy(local, source, path, form):
    answer = await ask(local, "POST", path, form, 400)
    assert answer["error"]
    assert answer["remedy"]
    assert source.desk.acts == []


async def test_broken_json_is_refused(local):
    async with local.post("/api/v1/shelves", data=b"{") as answer:
        assert answer.status == 400


async def test_what_cannot_be_done_says_why(local, source):
    source.desk.refused = RefusedError("no alarm 'x' stands", "`keeld alerts` lists those that do")
    answer = await ask(local, "POST", "/api/v1/alerts/x/acknowledge", {}, 409)
    assert answer == {"error": "no alarm 'x' stands", "remedy": "`keeld alerts` lists those that do"}


async def test_nothing_is_changed_and_nobody_is_named_over_tcp(client, source):
    for method, path in (
        ("POST", "/api/v1/alerts/a/acknowledge"),
        ("POST", "/api/v1/maintenance"),
        ("DELETE", "/api/v1/shelves/a"),
        ("POST", "/api/v1/rules/live"),
    ):
        await ask(client, method, path, {"owner": "mallory"}, 405)
    await ask(client, "GET", "/api/v1/audit", None, 404)
    assert source.desk.acts == []


async def test_what_stands_can_be_read(client, local):
    (rule,) = (await ask(client, "GET", "/api/v1/rules"))["rules"]
    assert (rule["name"], rule["observed_until"]) == ("leak", None)
    (entry,) = (await ask(client, "GET", "/api/v1/rules/would-have"))["would_have"]
    assert (entry["count"], entry["longest_s"], entry["setting"]) == (3, 61.0, "leak: {on: 3m}")
    for path, name in (("shelves", "shelves"), ("maintenance", "maintenance")):
        (hold,) = (await ask(client, "GET", f"/api/v1/{path}"))[name]
        assert (hold["owner"], hold["ends"]) == ("eve", "1970-01-01T00:00:00.000Z")
    assert (await ask(client, "GET", "/api/v1/quality"))["days"]["7"]["by_rule"] == {"leak": 1, "blind": 12}
    (audited,) = (await ask(local, "GET", "/api/v1/audit"))["audit"]
    assert (audited["who"], audited["was_done"]) == ("eve", True)
    await ask(local, "GET", "/api/v1/audit?limit=0", None, 400)


async def test_work_is_shown_before_it_begins(local):
    shown = await ask(local, "POST", "/api/v1/maintenance/preview", {"selector": "node=ups-a"})
    assert shown["failover"]["text"]
    nothing = await ask(local, "POST", "/api/v1/maintenance/preview", {"selector": "node=x"})
    assert nothing["failover"] is None

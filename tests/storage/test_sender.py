from __future__ import annotations

import asyncio
import base64
import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from keeld.credentials import Secret
from keeld.errors import ConfigError
from keeld.health import Health
from keeld.model import AlertState, Severity, Transition
from keeld.sinks.reply import Answer, Reply, judge, read_retry_after
from keeld.spool import Limits, Spool


def queued(directory: Path, folder: str = "queue", sink: str = "main") -> list[Path]:
    return sorted((directory / "spool" / sink / folder).iterdir())


def leave(directory: Path, parcels: list[list[str]]) -> None:
    """Fill a spool as an earlier run would have left it."""
    spool = Spool(directory / "spool", ["main"], limits=Limits(keep_free_bytes=0), health=Health())
    spool.open(0.0)
    for lines in parcels:
        spool.append(gzip.compress("".join(f"{line}\n" for line in lines).encode()), len(lines), now_s=0.0)
    spool.close()


async def test_what_is_published_arrives_once_and_is_acknowledged_first(start, database, influx):
    run = await start(influx(database.url))
    run.publish(300)
    await run.until(lambda: run.health.points_stored["main"] == 300)
    assert len(set(database.lines)) == len(database.lines) == 300
    assert run.health.points_acknowledged == 300
    run.assert_balanced()
    header = database.headers[0]
    assert header["Content-Encoding"] == "gzip"
    assert header["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("api", "path", "query"),
    [
        ("v1", "/write", {"db": "keeld", "precision": "ms"}),
        ("v2", "/api/v2/write", {"org": "keel", "bucket": "keeld", "precision": "ms"}),
        ("v3", "/api/v3/write_lp", {"db": "keeld", "precision": "millisecond"}),
    ],
)
async def test_each_api_has_its_own_path_and_words(start, database, influx, api, path, query):
    seen = []
    database.script = lambda _lines, request: seen.append((request.path, dict(request.query)))
    run = await start(influx(database.url, api=api, org="keel"))
    run.publish(1)
    await run.until(lambda: len(database.lines) == 1)
    assert seen == [(path, query)]


async def test_secrets_go_into_one_header_and_nowhere_else(start, database, influx, logged):
    canary = "canary-4711"
    database.script = lambda _lines, _request: web.Response(status=401, text="unauthorized")
    run = await start(influx(database.url, token=Secret(canary)))
    run.publish(1)
    await run.until(lambda: len(database.requests) >= 2)
    assert database.headers[0]["Authorization"] == f"Token {canary}"
    assert canary not in str(logged)
    assert [line["event"] for line in logged] == ["sink refuses keeld, everything is kept"]


async def test_a_user_and_password_go_as_basic_authorization(start, database, influx):
    run = await start(influx(database.url, api="v1", username="keel", password=Secret("pässword")))
    run.publish(1)
    await run.until(lambda: len(database.lines) == 1)
    assert base64.b64decode(database.headers[0]["Authorization"].split()[1]).decode() == "keel:pässword"


async def test_a_token_that_no_header_can_carry_is_a_fault_and_keeps_everything(start, database, influx):
    run = await start(influx(database.url, token=Secret("two\nlines")))
    run.publish(5)
    await run.until(lambda: run.health.send_failures["main"] >= 2)
    assert database.requests == []
    assert run.store.tallies()["main"].queued == 5


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 405, 418, 408, 429, 500, 502, 503, 504])
async def test_nothing_is_lost_to_a_status_that_may_pass(start, database, influx, status):
    refusing = True

    def script(_lines, _request):
        return web.Response(status=status, text="no", headers={"Location": "/elsewhere"}) if refusing else None

    database.script = script
    run = await start(influx(database.url))
    run.publish(20)
    await run.until(lambda: run.health.send_failures["main"] >= 2)
    assert database.lines == []
    assert run.health.points_stored["main"] == 0
    refusing = False
    await run.until(lambda: run.health.points_stored["main"] == 20)
    assert sorted(set(database.lines)) == sorted(database.lines)
    run.assert_balanced()


async def test_a_redirect_is_not_followed(start, database, influx):
    paths = []

    def script(_lines, request):
        paths.append((request.method, request.path))
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    database.script = script
    run = await start(influx(database.url))
    run.publish(1)
    await run.until(lambda: len(paths) >= 3)
    assert set(paths) == {("POST", "/api/v2/write")}


async def test_one_bad_line_of_5000_is_found_and_kept_under_the_servers_words(start, database, influx, tmp_path):
    def script(lines, _request):
        if any("power_watts=1234.0" in line for line in lines):
            return web.Response(status=400, text='{"error":"unable to\nparse \x1b[31m 1234"}')
        return None

    database.script = script
    leave(tmp_path, [[f"pdu,device=a power_watts={number}.0 {number}" for number in range(5000)]])
    run = await start(influx(database.url))
    await run.until(lambda: run.health.points_stored["main"] == 4999)
    assert len(set(database.lines)) == 4999
    assert len(database.requests) <= 2 * 13 + 3
    (dead,) = queued(tmp_path, "dead")
    words, line = dead.read_text().splitlines()
    assert words == '# main: 400 {"error":"unable to parse [31m 1234"}'
    assert "power_watts=1234.0" in line
    assert run.health.points_dead["main"] == 1
    run.assert_balanced()


async def test_a_parcel_of_which_most_is_bad_costs_a_bounded_number_of_requests(start, database, influx, tmp_path):
    def script(lines, _request):
        return web.Response(status=400) if any(int(line.split()[-1]) % 2 for line in lines) else None

    database.script = script
    leave(tmp_path, [[f"pdu,device=a power_watts=1.0 {number}" for number in range(4000)]])
    run = await start(influx(database.url))
    await run.until(lambda: run.store.tallies()["main"].queued == 0)
    assert len(database.requests) <= 2 * 513
    assert run.health.points_stored["main"] > 0
    run.assert_balanced()


async def test_a_sink_that_rejects_everything_from_the_start_costs_nothing(start, database, influx, logged, tmp_path):
    rejecting = True
    database.script = lambda _lines, _request: web.Response(status=400, text="bucket?") if rejecting else None
    run = await start(influx(database.url))
    run.publish(50)
    await run.until(lambda: run.health.send_failures["main"] >= 3)
    assert queued(tmp_path, "dead") == []
    assert [line["event"] for line in logged].count("sink rejects every line, everything is kept") == 1
    rejecting = False
    await run.until(lambda: run.health.points_stored["main"] == 50)
    run.assert_balanced()


async def test_a_wholly_bad_parcel_goes_to_dead_once_the_sink_has_taken_another(start, database, influx, tmp_path):
    def script(lines, _request):
        return web.Response(status=422, text="bad") if any("device=bad" in line for line in lines) else None

    database.script = script
    run = await start(influx(database.url))
    run.publish(3, device="bad")
    await run.until(lambda: run.health.send_failures["main"] >= 1)
    run.publish(3)
    await run.until(lambda: run.health.points_dead["main"] == 3)
    assert run.health.points_stored["main"] == 3
    run.assert_balanced()


async def test_too_large_is_split_without_loss(start, database, influx):
    database.script = lambda lines, _request: web.Response(status=413) if len(lines) > 7 else None
    run = await start(influx(database.url))
    run.publish(500)
    await run.until(lambda: run.health.points_stored["main"] == 500)
    assert len(set(database.lines)) == 500
    assert run.health.points_dead["main"] == 0


async def test_an_answer_lost_after_the_upload_is_sent_again_and_counted_once(start, database, influx):
    database.after = "reset"
    run = await start(influx(database.url))
    run.publish(10)
    await run.until(lambda: run.health.send_failures["main"] >= 1)
    database.after = ""
    await run.until(lambda: run.health.points_stored["main"] == 10)
    assert len(database.lines) > len(set(database.lines)) == 10
    run.assert_balanced()


async def test_a_sink_that_does_not_answer_is_given_up_in_time(start, database, influx, logged):
    database.after = "hang"
    run = await start(influx(database.url, timeout_s=0.2))
    run.publish(3)
    await run.until(lambda: run.health.send_failures["main"] >= 2)
    assert [(line["event"], line["reason"]) for line in logged] == [("sink lost", "no answer within 0.2 s")]
    database.after = ""
    await run.until(lambda: run.health.points_stored["main"] == 3)
    assert logged[-1]["event"] == "sink back"


async def test_an_endless_answer_is_not_listened_to(start, database, influx):
    sink = influx(database.url)
    database.script = lambda _lines, _request: web.Response(status=500, body=b"y" * 50_000_000)
    reply = await sink.write(b"")
    await sink.close()
    assert reply.answer is Answer.LATER
    assert len(reply.words) <= 310


async def test_what_was_confirmed_before_a_loss_is_sent_again_after_it(start, database, influx):
    run = await start(influx(database.url, timeout_s=0.3))
    run.publish(5)
    await run.until(lambda: run.health.points_stored["main"] == 5)
    database.lines.clear()  # the database crashed, and forgot what it had confirmed
    database.after = "hang"
    run.publish(5, first=5)
    await run.until(lambda: run.health.send_failures["main"] >= 1)
    database.after = ""
    await run.until(lambda: len(set(database.lines)) == 10)
    assert run.health.points_stored["main"] == 10
    run.assert_balanced()


async def test_without_a_linger_the_same_crash_does_lose(start, database, influx):
    run = await start(influx(database.url, timeout_s=0.3), linger_s=0.0)
    run.publish(5)
    await run.until(lambda: run.health.points_stored["main"] == 5)
    database.lines.clear()
    database.after = "hang"
    run.publish(5, first=5)
    await run.until(lambda: run.health.send_failures["main"] >= 1)
    database.after = ""
    await run.until(lambda: run.health.points_stored["main"] == 10)
    await asyncio.sleep(0.3)
    assert len(set(database.lines)) == 5


async def test_a_connection_that_went_without_a_word_has_the_linger_sent_again(start, database, influx):
    def script(_lines, request):
        asyncio.get_running_loop().call_later(0.1, request.transport.abort)

    run = await start(influx(database.url))
    database.script = script
    run.publish(5)
    await run.until(lambda: run.health.points_stored["main"] == 5)
    database.script = lambda _lines, _request: None
    await asyncio.sleep(0.3)
    database.lines.clear()
    run.publish(5, first=5)
    await run.until(lambda: len(set(database.lines)) == 10)
    assert run.health.send_failures["main"] == 0


async def test_live_readings_pass_a_backlog(start, database, influx, tmp_path):
    leave(tmp_path, [[f"pdu,device=old up=1.0 {number}"] for number in range(800)])
    run = await start(influx(database.url))
    run.publish(1)
    await run.until(lambda: any("pdu-1" in line for line in database.lines))
    assert run.store.tallies()["main"].queued > 400
    await run.until(lambda: run.health.points_stored["main"] == 801)
    run.assert_balanced()


async def test_the_backlog_waits_for_the_next_start_and_the_last_second_is_spooled(start, database, influx, tmp_path):
    database.script = lambda _lines, _request: web.Response(status=503)
    run = await start(influx(database.url))
    run.publish(30)
    await run.stop()
    assert run.health.points_acknowledged == 30
    assert run.health.points_stored["main"] == 0
    assert queued(tmp_path)
    database.script = lambda _lines, _request: None
    again = await start(influx(database.url))
    await again.until(lambda: again.health.points_stored["main"] == 30)
    assert len(set(database.lines)) == 30
    again.assert_balanced()


async def test_what_was_confirmed_before_a_stop_is_sent_again_at_the_start(start, database, influx):
    run = await start(influx(database.url))
    run.publish(7)
    await run.until(lambda: run.health.points_stored["main"] == 7)
    await run.stop()
    database.lines.clear()  # one power cut took both
    again = await start(influx(database.url))
    await again.until(lambda: len(set(database.lines)) == 7)
    assert again.health.points_stored["main"] == 0
    again.assert_balanced()


async def test_two_sinks_share_one_file_and_keep_their_own_accounts(start, database, influx, tmp_path):
    dead = influx("http://127.0.0.1:1", name="dead")
    run = await start(influx(database.url), dead)
    run.publish(10)
    await run.until(lambda: run.health.points_stored["main"] == 10)
    (waiting,) = queued(tmp_path, sink="dead")
    (sent,) = queued(tmp_path, "sent")
    assert waiting.stat().st_ino == sent.stat().st_ino
    assert run.store.tallies()["dead"].queued == 10
    run.assert_balanced()


async def test_a_second_process_is_refused_in_one_clear_line(start, database, influx):
    await start(influx(database.url))
    with pytest.raises(ConfigError, match="another keeld is using this spool"):
        await start(influx(database.url))


async def test_without_sinks_nothing_is_spooled(start, tmp_path):
    run = await start()
    run.publish(10)
    run.store.offer_transition(MOVE)
    await run.stop()
    assert not (tmp_path / "spool").exists()
    assert run.health.points_acknowledged == 0


MOVE = Transition(
    key="s:rack_density_power:rack:r07", alert_id="a1", rule="rack_density_power", target_kind="rack", target_id="r07",
    before=AlertState.PENDING, after=AlertState.FIRING, severity=Severity.CRITICAL, time_ns=1_700_000_000_000_000_000,
    best=34_000.0, limit=33_000.0, title='rack "r07" over', cause="gpu load",
)  # fmt: skip


async def test_a_transition_is_stored_with_the_batches(start, database, influx):
    run = await start(influx(database.url))
    run.store.offer_transition(MOVE)
    await run.until(lambda: len(database.lines) == 1)
    assert database.lines[0].startswith("alert,rule=rack_density_power,severity=critical,site=s,target=r07")
    assert run.health.points_acknowledged == run.health.points_stored["main"] == 1


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (None, 0, 0), ("", 0, 0), ("7", 7, 7), ("2.5", 2.5, 2.5), ("-5", 0, 0), ("1e12", 300, 300), ("inf", 300, 300),
        ("nan", 0, 0), ("soon", 0, 0), ("\x00", 0, 0), ("9" * 5000, 300, 300),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300, 300), ("Fri, 99 Foo 9999 99:99:99 GMT", 0, 0),
    ],
)  # fmt: skip
def test_retry_after_is_read_and_capped(value, least, most):
    assert least <= read_retry_after(value) <= most


@pytest.mark.parametrize(("ahead_s", "least", "most"), [(100, 90, 100), (-86400, 0, 0), (86400, 300, 300)])
def test_retry_after_may_be_a_date(ahead_s, least, most):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s), usegmt=True)
    assert least <= read_retry_after(date) <= most


def test_a_sink_that_asks_for_time_is_given_it():
    assert judge(429, b"slow down", "7") == Reply(Answer.LATER, "429 slow down", 7.0)
    assert judge(204, b"", None).answer is Answer.STORED

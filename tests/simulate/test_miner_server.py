import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeld.simulate.faults import Fault, FaultKind
from keeld.simulate.miners import commands_of
from keeld.simulate.script import Cause, Incident, IncidentKind, Script
from keeld.simulate.site import SimulatedSite


async def say(site, name, request, *, timeout_s=1.0):
    """Send bytes and give everything up to the end of the connection, or None where nothing comes."""
    host, port = site.devices[name].address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        async with asyncio.timeout(timeout_s):
            return await reader.read()
    except TimeoutError:
        return None
    finally:
        writer.close()


async def ask(site, name, command):
    answer = await say(site, name, json.dumps({"command": command}).encode())
    assert answer.endswith(b"\0")
    assert answer.count(b"\0") == 1
    return json.loads(answer[:-1])


async def test_stock_antminer_tells_what_it_does_and_no_power(site):
    async with SimulatedSite(site) as served:
        miner = served.plant.loads["ant-1"].machine
        stats = (await ask(site, "ant-1", "stats"))["STATS"][1]
        assert stats["GHS 5s"] == pytest.approx(miner.hashrate / 1e9, rel=0.02)
        assert stats["total_rateideal"] == pytest.approx(3250 * 0.96 / 29.5 * 1e3, rel=1e-3)
        assert stats["chain_acn3"] == 114
        assert stats["temp_chip4"] == "0-0-0-0"
        assert not [key for key in stats if "power" in key.lower() or "watt" in key.lower()]
        assert (await ask(site, "ant-1", "version"))["VERSION"][0]["Type"].startswith("Antminer")
        assert (await ask(site, "ant-1", "summary"))["SUMMARY"][0]["Elapsed"] == stats["Elapsed"]
        assert (await ask(site, "ant-1", "devs"))["DEVS"][0]["Name"] == "BTM_SOC"
        assert (await ask(site, "ant-1", "pools"))["POOLS"][0]["Status"] == "Alive"


async def test_stock_antminer_joins_no_commands(site):
    async with SimulatedSite(site):
        assert (await ask(site, "ant-1", "summary+pools"))["STATUS"][0]["STATUS"] == "E"
        assert (await ask(site, "ant-1", "devdetails"))["STATUS"][0]["Code"] == 45


async def test_old_antminer_sends_json_that_is_none(site):
    async with SimulatedSite(site, Script(old_firmware=frozenset({"ant-2"}))):
        raw = await say(site, "ant-2", b'{"command":"stats"}')
        with pytest.raises(json.JSONDecodeError):
            json.loads(raw[:-1])
        mended = json.loads(raw[:-1].replace(b"}{", b"},{"))
        stats = mended["STATS"][1]
        assert [n for n in range(1, 17) if stats[f"chain_acn{n}"]] == [6, 7, 8]
        assert float(stats["GHS 5s"]) > 100_000
        assert (await ask(site, "ant-2", "summary"))["SUMMARY"][0]["Elapsed"] > 0


async def test_whatsminer_joins_commands_and_measures_its_power(site):
    async with SimulatedSite(site) as served:
        answer = await ask(site, "what-1", "summary+edevs")
        summary = answer["summary"][0]["SUMMARY"][0]
        watts = served.plant.loads["what-1"].machine.wall_watts
        assert summary["Power"] == pytest.approx(watts, rel=0.02)
        assert summary["HS RT"] * 1e6 == pytest.approx(served.plant.loads["what-1"].machine.hashrate, rel=0.02)
        assert summary["Env Temp"] == pytest.approx(27, abs=1)
        assert [dev["Slot"] for dev in answer["edevs"][0]["DEVS"]] == [0, 1, 2]


@pytest.mark.parametrize("command", ["status", "get_version", "get_miner_info", "get_psu", "get_error_code"])
async def test_whatsminer_sayings(site, command):
    async with SimulatedSite(site):
        answer = await ask(site, "what-2", command)
        assert answer["STATUS"] == "S"
        assert isinstance(answer["Msg"], dict)


async def test_whatsminer_answers_what_it_can_of_a_join(site):
    async with SimulatedSite(site):
        answer = await ask(site, "what-1", "summary+get_psu+devdetails+pools+devs")
        assert answer["get_psu"][0]["STATUS"][0]["STATUS"] == "E"
        assert answer["devdetails"][0]["DEVDETAILS"][0]["Model"] == "M30S+"
        assert (await ask(site, "what-1", "coin"))["STATUS"][0]["STATUS"] == "E"


@pytest.mark.parametrize("request_", [b'{"command":"restart"}', b'{"cmd":"set.miner.power_off"}', b"addpool|x,y,z"])
async def test_a_command_that_changes_something_is_recorded_and_refused(site, request_):
    async with SimulatedSite(site) as served:
        answer = json.loads((await say(site, "what-1", request_))[:-1])
        assert answer["STATUS"][0]["STATUS"] == "E"
        assert served.recorder.totals()["writes"] == 1
        assert next(served.recorder.others()).data == request_


async def test_a_write_joined_to_reads_is_no_read(site):
    async with SimulatedSite(site) as served:
        await say(site, "what-1", b'{"command":"summary+restart"}')
        assert served.recorder.totals()["writes"] == 1


async def test_only_the_first_segment_is_the_request(site):
    async with SimulatedSite(site) as served:
        host, port = site.devices["ant-1"].address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b'{"command":')
        await asyncio.sleep(0.05)
        assert json.loads((await reader.read())[:-1])["STATUS"][0]["Msg"] == "Invalid JSON"
        writer.close()
        assert served.recorder.tally("ant-1").distinct == {"garbage": 1}


@pytest.mark.parametrize(
    ("cause", "answers", "hashing"),
    [(Cause.POWER, False, False), (Cause.NETWORK, False, True), (Cause.POOL, True, False)],
)
async def test_a_row_stops_for_three_reasons(site, cause, answers, hashing):
    async with SimulatedSite(site) as served:
        await served.add(Incident(kind=IncidentKind.MINER_ROW_STOP, target="m", start_s=0, duration_s=60, cause=cause))
        await served.advance(2)
        answer = await say(site, "ant-1", b'{"command":"stats"}', timeout_s=0.2)
        assert (answer is not None) is answers
        assert (served.plant.loads["ant-1"].machine.hashrate > 0) is hashing
        if answers:
            assert json.loads(answer[:-1])["STATS"][1]["GHS 5s"] == 0
            assert (await ask(site, "ant-1", "pools"))["POOLS"][0]["Status"] == "Dead"


async def test_a_stuck_miner_repeats_itself(site):
    async with SimulatedSite(site) as served:
        before = await ask(site, "ant-1", "stats")
        await served.add(Incident(kind=IncidentKind.SENSOR_STUCK, target="ant-1", start_s=0, duration_s=60))
        await served.advance(5)
        assert await ask(site, "ant-1", "stats") == before


async def test_faults_of_miners(site):
    async with SimulatedSite(site) as served:
        whole = await say(site, "what-1", b'{"command":"summary"}')
        await served.fail("what-1", Fault(FaultKind.WRONG_LENGTH))
        cut = await say(site, "what-1", b'{"command":"summary"}')
        assert len(cut) == pytest.approx(len(whole) / 2, abs=10)
        await served.fail("what-1", Fault(FaultKind.EXCEPTION))
        assert (await ask(site, "what-1", "summary"))["STATUS"][0]["Code"] == 45
        await served.fail("what-1", Fault(FaultKind.GARBAGE))
        with pytest.raises(ValueError, match=r"."):
            json.loads(await say(site, "what-1", b'{"command":"summary"}'))
        await served.fail("what-1", Fault(FaultKind.DRIP))
        assert await say(site, "what-1", b'{"command":"summary"}', timeout_s=0.2) is None
        await served.clear("what-1")
        assert (await ask(site, "what-1", "summary"))["SUMMARY"]


async def test_a_thousand_connections_at_once(site):
    async with SimulatedSite(site) as served:
        answers = await asyncio.gather(
            *(say(site, f"ant-{n % 3 + 1}", b'{"command":"summary"}', timeout_s=20) for n in range(1000))
        )
        assert all(answer and answer.endswith(b"\0") for answer in answers)
        assert served.recorder.totals()["reads"] == 1000
        assert all(tally.open_now == 0 for tally in served.recorder.tallies.values())
        assert served.recorder.tally("ant-1").open_most > 1


@given(
    st.one_of(
        st.binary(max_size=5000), st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
    )
)
def test_any_request_is_understood_or_not(request_):
    commands = commands_of(request_)
    assert all(isinstance(command, str) for command in commands)


@pytest.mark.parametrize(
    ("request_", "commands"),
    [
        (b'{"command":"summary"}', ["summary"]),
        (b'{"command":"summary+pools","parameter":""}\n', ["summary", "pools"]),
        (b'{"cmd":"get_psu"}\0', ["get_psu"]),
        (b"summary|0", ["summary"]),
        (b"get_psu", ["get_psu"]),
        (b'{"command":1}', []),
        (b'{"command":""}', []),
        (b"{", []),
        (b"", []),
        (b"GET / HTTP/1.1", []),
    ],
)
def test_commands_of(request_, commands):
    assert commands_of(request_) == commands

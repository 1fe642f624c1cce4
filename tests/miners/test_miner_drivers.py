"""Both drivers over real sockets: how many connections, what is sent, what a refusal or a failure becomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from keeld import drivers
from keeld.drivers import antminer, whatsminer
from keeld.errors import Outage, PollError
from keeld.model import Group, Identity

Fixture = Callable[[str], bytes]


def values(answer: drivers.Answer) -> dict[str, float]:
    return {f"{metric}/{part}" if part else str(metric): value for metric, value, part in answer.readings}


def own(**message: str) -> bytes:
    return json.dumps({"STATUS": "S", "Code": 131, "Msg": message}).encode()


@pytest.fixture
def stock(miner: Any, fixture_bytes: Fixture) -> Any:
    ask = antminer.Ask
    miner.answers = {
        ask.STATS.value: fixture_bytes("stock_two_of_three_boards.json"),
        ask.SUMMARY.value: fixture_bytes("summary.json"),
        ask.POOLS.value: fixture_bytes("pools.json"),
        ask.VERSION.value: b'{"VERSION":[{"Type":"Antminer S19j","Miner":"49.0.1.3"}]}',
    }
    return miner


@pytest.fixture
def luxos(stock: Any, fixture_bytes: Fixture) -> Any:
    ask = antminer.Ask
    stock.answers |= {
        ask.STATS.value: fixture_bytes("luxos_stats.json"),
        ask.POWER.value: fixture_bytes("luxos_power.json"),
        ask.CONFIG.value: fixture_bytes("luxos_config.json"),
        ask.VERSION.value: b'{"VERSION":[{"Type":"Antminer S19j","LUXminer":"2025.1.1.000000-abcdef01"}]}',
    }
    return stock


@pytest.fixture
def whats(miner: Any, fixture_bytes: Fixture) -> Any:
    ask = whatsminer.Ask
    miner.answers |= {
        ask.SUMMARY_EDEVS.value: fixture_bytes("whatsminer_summary_edevs.json"),
        ask.SUMMARY.value: fixture_bytes("whatsminer_summary.json"),
        ask.DEVS.value: fixture_bytes("whatsminer_devs.json"),
        ask.STATUS.value: own(mineroff="false"),
        ask.POOLS.value: fixture_bytes("pools.json"),
        ask.GET_VERSION.value: own(fw_ver="20230803.11.REL"),
        ask.GET_MINER_INFO.value: own(mac="C6:07:20:00:12:34", minersn="SN-0007"),
        ask.GET_PSU.value: own(model="P222B"),
        ask.DEVDETAILS.value: b'{"DEVDETAILS":[{"Model":"M60S_VK40"}]}',
    }
    return miner


async def poll(miner: Any, name: str, *groups: Group, link: Any = None, **fields: Any) -> list[drivers.Answer]:
    driver = drivers.load(name)
    device = miner.device(name, **fields)
    link = link or driver.open_link(device)
    return [await driver.poll(link, device, group) for group in groups]


async def outage_of(miner: Any, name: str, group: Group, **fields: Any) -> Outage:
    with pytest.raises(PollError) as caught:
        await poll(miner, name, group, **fields)
    return caught.value.outage


async def test_a_stock_antminer_is_one_connection_and_has_no_power(stock: Any) -> None:
    (answer,) = await poll(stock, "antminer", Group.FAST)
    assert values(answer)["hashrate_hashes_per_second"] == 64210.5e9
    assert not [key for key in values(answer) if "watts" in key]
    assert answer.outage is None
    assert stock.received == [b'{"command":"stats"}']


async def test_the_slow_and_once_groups_of_a_stock_antminer(stock: Any) -> None:
    slow, once = await poll(stock, "antminer", Group.SLOW, Group.ONCE)
    assert values(slow) == {"shares_accepted": 901, "shares_rejected": 4, "hardware_errors": 35, "pools_alive": 1}
    assert dict(once.info) == {
        "model": "Antminer S19j",
        "firmware": "49.0.1.3",
        "built": "Mon Jan 9 10:00:00 CST 2023",
        "software": "stock",
    }
    assert stock.open_most == 1


async def test_luxos_is_asked_for_power_too_and_not_again_after_it_refused(luxos: Any) -> None:
    driver = drivers.load("antminer")
    device = luxos.device("antminer")
    link = driver.open_link(device)
    answer = await driver.poll(link, device, Group.FAST)
    assert values(answer)["power_est_watts"] == 2050
    del luxos.answers[antminer.Ask.POWER.value]
    luxos.received.clear()
    for _ in range(3):
        answer = await driver.poll(link, device, Group.FAST)
        assert (answer.outage, "power_est_watts" in values(answer)) == (None, False)
    assert luxos.received.count(antminer.Ask.POWER.value) == 1
    once = await driver.poll(link, device, Group.ONCE)
    assert values(once) == {"hashrate_nominal_hashes_per_second": 90.5e12}
    assert dict(once.info)["firmware"] == "2025.1.1.000000-abcdef01"
    assert antminer.Ask.POWER not in link.session.refused


async def test_a_power_answer_that_fails_leaves_a_partial_poll(luxos: Any) -> None:
    luxos.answers[antminer.Ask.POWER.value] = b"rubbish"
    (answer,) = await poll(luxos, "antminer", Group.FAST)
    assert answer.outage is Outage.PARTIAL
    assert "garbled" in answer.detail
    assert values(answer)["hashrate_hashes_per_second"] == 66000.5e9


async def test_a_whatsminer_that_joins_is_one_connection(whats: Any) -> None:
    (answer,) = await poll(whats, "whatsminer", Group.FAST)
    assert values(answer)["power_watts"] == 3325
    assert values(answer)["chips_found/board/2"] == 148
    assert whats.received == [b'{"command":"summary+edevs"}']


@pytest.mark.parametrize("not_joined", [None, b"rubbish", b'{"summary":[{"STATUS":[{"STATUS":"S"}]}],"id":1}', b"{}"])
async def test_a_whatsminer_that_cannot_join_is_remembered_for_the_session(
    whats: Any, not_joined: bytes | None
) -> None:
    ask = whatsminer.Ask
    del whats.answers[ask.SUMMARY_EDEVS.value]
    if not_joined is not None:
        whats.answers |= {ask.SUMMARY_EDEVS.value: not_joined, ask.SUMMARY_DEVS.value: not_joined}
    driver = drivers.load("whatsminer")
    device = whats.device("whatsminer")
    link = driver.open_link(device)
    first = await driver.poll(link, device, Group.FAST)
    second = await driver.poll(link, device, Group.FAST)
    assert values(first) == values(second)
    assert values(first)["chips_found/board/2"] == 148
    assert whats.received[-2:] == [ask.SUMMARY.value, ask.DEVS.value]
    assert len(whats.received) == 6
    await driver.poll(link, device, Group.ONCE)
    assert link.session.refused == set()


async def test_old_whatsminer_without_edevs_still_joins(whats: Any, refuse: Callable[..., bytes]) -> None:
    ask = whatsminer.Ask
    joined = json.loads(whats.answers[ask.SUMMARY_EDEVS.value])
    devs = joined.pop("edevs")
    section = json.loads(refuse("invalid cmd", code=14))
    whats.answers[ask.SUMMARY_EDEVS.value] = json.dumps(joined | {"edevs": [section]}).encode()
    whats.answers[ask.SUMMARY_DEVS.value] = json.dumps(joined | {"devs": devs}).encode()
    answer, again = await poll(whats, "whatsminer", Group.FAST, Group.FAST)
    assert values(answer)["boards_found"] == 3
    assert answer.readings == again.readings
    assert len(whats.received) == 3


async def test_boards_that_are_refused_are_absent_and_boards_that_fail_make_it_partial(
    whats: Any, refuse: Callable[..., bytes]
) -> None:
    ask = whatsminer.Ask
    del whats.answers[ask.SUMMARY_EDEVS.value]
    whats.answers[ask.DEVS.value] = refuse("Access denied to 'devs' command", code=45)
    (answer,) = await poll(whats, "whatsminer", Group.FAST)
    assert answer.outage is None
    assert "boards_found" not in values(answer)
    whats.answers[ask.DEVS.value] = b"rubbish"
    (answer,) = await poll(whats, "whatsminer", Group.FAST)
    assert answer.outage is Outage.PARTIAL
    assert values(answer)["power_watts"] == 3325


async def test_the_slow_and_once_groups_of_a_whatsminer(whats: Any) -> None:
    slow, once = await poll(whats, "whatsminer", Group.SLOW, Group.ONCE)
    assert values(slow) == {"miner_state": 1, "pools_alive": 1}
    assert dict(once.info) == {
        "mac": "C6:07:20:00:12:34",
        "serial": "SN-0007",
        "firmware": "20230803.11.REL",
        "model": "M60S_VK40",
        "psu": "P222B",
    }


async def test_an_antminer_behind_the_wrong_driver_is_no_whatsminer_with_a_dead_board(stock: Any) -> None:
    board = {"ASC": 0, "Name": "BTM_SOC", "Enabled": "Y", "Status": "Alive", "MHS 5s": 0.0, "Hardware Errors": 0}
    stock.answers[whatsminer.Ask.DEVS.value] = json.dumps({"DEVS": [board]}).encode()
    with pytest.raises(PollError, match="driver: antminer") as caught:
        await poll(stock, "whatsminer", Group.FAST)
    assert caught.value.outage is Outage.UNSUPPORTED


@pytest.mark.parametrize("name", ["antminer", "whatsminer"])
async def test_denied_refused_and_silent_miners(miner: Any, name: str, refuse: Callable[..., bytes]) -> None:
    requests = [command.value for command in (antminer if name == "antminer" else whatsminer).Ask]
    miner.answers = {request: refuse("Access denied to it", code=45) for request in requests}
    for group in Group:
        assert await outage_of(miner, name, group) is Outage.DENIED
    miner.answers = {}
    assert await outage_of(miner, name, Group.FAST) is Outage.UNSUPPORTED
    miner.answers = dict.fromkeys(requests, b"<html>404</html>")
    for group in Group:
        assert await outage_of(miner, name, group) is Outage.GARBLED

    async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    miner.talk = say_nothing
    assert await outage_of(miner, name, Group.FAST, timeout_s=0.05) is Outage.TIMEOUT


async def test_one_refused_read_is_absence_one_failed_read_is_partial(stock: Any) -> None:
    del stock.answers[antminer.Ask.POOLS.value]
    (slow,) = await poll(stock, "antminer", Group.SLOW)
    assert (slow.outage, "pools_alive" in values(slow)) == (None, False)
    stock.answers[antminer.Ask.POOLS.value] = b"{"
    (slow,) = await poll(stock, "antminer", Group.SLOW)
    assert slow.outage is Outage.PARTIAL
    assert values(slow)["shares_accepted"] == 901


async def test_a_firmware_without_version_still_says_what_it_is(stock: Any, fixture_bytes: Fixture) -> None:
    del stock.answers[antminer.Ask.VERSION.value]
    stock.answers[antminer.Ask.STATS.value] = fixture_bytes("vnish_immersion_stats.json")
    (once,) = await poll(stock, "antminer", Group.ONCE)
    assert dict(once.info)["software"] == "VNish"
    assert dict(once.info)["firmware"] == "1.2.7"


@pytest.mark.parametrize(
    ("identity", "is_known"),
    [
        (Identity(mac="c60720001234"), True),
        (Identity(mac="C6-07-20-00-12-34", serial="sn-0007"), True),
        (Identity(mac="C6:07:20:00:12:35"), False),
        (Identity(serial="SN-0008"), False),
    ],
)
async def test_a_whatsminer_must_be_who_the_configuration_says(whats: Any, identity: Identity, is_known: bool) -> None:  # noqa: FBT001  # a column of the table
    for group in (Group.FAST, Group.ONCE):
        if is_known:
            await poll(whats, "whatsminer", group, identity=identity)
        else:
            assert await outage_of(whats, "whatsminer", group, identity=identity) is Outage.IDENTITY


async def test_a_serial_is_asked_for_once_a_session(luxos: Any) -> None:
    driver = drivers.load("antminer")
    device = luxos.device("antminer", identity=Identity(mac="02:AA:BB:CC:DD:EE", serial="SN-TEST-0001"))
    link = driver.open_link(device)
    for _ in range(3):
        await driver.poll(link, device, Group.FAST)
    assert luxos.received.count(antminer.Ask.CONFIG.value) == 1
    await link.close()
    luxos.answers[antminer.Ask.CONFIG.value] = b'{"CONFIG":[{"SerialNumber":"ANOTHER"}]}'
    with pytest.raises(PollError, match="serial is ANOTHER, expected SN-TEST-0001"):
        await driver.poll(link, device, Group.FAST)
    other = luxos.device("antminer", identity=Identity(mac="02:00:00:00:00:01"))
    with pytest.raises(PollError, match="identity"):
        await driver.poll(link, other, Group.FAST)


@pytest.mark.parametrize("name", ["antminer", "whatsminer"])
async def test_a_miner_that_refuses_to_tell_its_serial_is_believed(luxos: Any, whats: Any, name: str) -> None:
    del whats.answers[whatsminer.Ask.GET_MINER_INFO.value]
    del luxos.answers[antminer.Ask.CONFIG.value]
    (answer,) = await poll(whats, name, Group.FAST, identity=Identity(serial="SN-1"))
    assert answer.outage is None


async def test_every_byte_sent_is_a_read_and_one_connection_at_a_time(luxos: Any, whats: Any) -> None:
    writes = ("restart", "quit", "addpool", "switchpool", "set", "reboot", "token", "logon", "curtail", "privileged")
    for name, module in (("antminer", antminer), ("whatsminer", whatsminer)):
        driver = drivers.load(name)
        device = luxos.device(name)
        luxos.received.clear()
        await driver.inspect(driver.open_link(device), device)
        allowed = {command.value for command in module.Ask}
        joins = {whatsminer.Ask.SUMMARY_DEVS.value, whatsminer.Ask.DEVS.value}  # not needed where the first join works
        assert set(luxos.received) == allowed - joins
        assert not [request for request in allowed if any(word in request.decode() for word in writes)]
    assert luxos.open_most == 1


async def test_inspect_shows_answers_without_accounts_and_a_fixture_without_owner(whats: Any) -> None:
    driver = drivers.load("whatsminer")
    device = whats.device("whatsminer")
    inspection = await driver.inspect(driver.open_link(device), device)
    shown = "".join(exchange.raw for exchange in inspection.exchanges)
    published = json.dumps(inspection.fixture)
    assert inspection.exchanges[0].request == '{"command":"summary+edevs"}'
    assert values(inspection.answer)["power_watts"] == 3325
    assert dict(inspection.answer.info)["serial"] == "SN-0007"
    assert "C6:07:20" in shown
    for secret in ("acct.worker", "hunter2", "pool.example", "pool2.example"):
        assert secret not in shown + published + repr(inspection.answer)
    for owner in ("C6:07:20", "SN-0007"):
        assert owner not in published


async def test_inspect_keeps_a_garbled_answer_for_people_to_see(stock: Any) -> None:
    stock.answers[antminer.Ask.STATS.value] = b'{"STATS":[oops\x1b[2J'
    driver = drivers.load("antminer")
    device = stock.device("antminer")
    inspection = await driver.inspect(driver.open_link(device), device)
    assert inspection.answer.outage is Outage.GARBLED
    assert inspection.exchanges[0].raw == '{"STATS":[oops\\u001b[2J'
    assert values(inspection.answer)["shares_accepted"] == 901


async def test_inspect_of_nobody_is_a_poll_error(miner: Any) -> None:
    driver = drivers.load("antminer")
    device = miner.device("antminer")
    device = type(device)(id="x", site="s", kind="miner", driver="antminer", address="127.0.0.1:1")
    with pytest.raises(PollError):
        await driver.inspect(driver.open_link(device), device)


def test_devices_at_one_address_share_a_link() -> None:
    from keeld.model import Device

    def key(address: str) -> str:
        return drivers.load("antminer").link_key(
            Device(id="m", site="s", kind="miner", driver="antminer", address=address)
        )

    assert key("10.1.3.7") == key("tcp://10.1.3.7:4028") == key("10.1.3.7:4028")
    assert key("10.1.3.7") != key("10.1.3.8")

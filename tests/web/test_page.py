"""The status page in a real browser, driven over its DevTools socket: what a person reads, with no error behind it."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import itertools
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from keeld import web
from keeld.views import MeanPower
from keeld.web import Server, guard

STATIC = Path(web.__file__).parent / "static"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
]
DESKTOP, PHONE, WALL = (1280, 900), (390, 844), (1920, 1080)


class Browser:
    """One tab. `errors` collects what its console and its network had to complain about."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.errors: list[str] = []

    async def listen(self) -> None:
        async for message in self._socket:
            said = message.json()
            if said.get("id") in self._answers:
                self._answers.pop(said["id"]).set_result(said)
            elif said.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(said["params"]["exceptionDetails"]))
            elif said.get("method") == "Runtime.consoleAPICalled":
                self.errors.append(str(said["params"]["args"]))
            elif said.get("method") == "Log.entryAdded":
                self.errors.append(said["params"]["entry"]["text"])

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        said = await asyncio.wait_for(self._answers[number], 20)
        assert "error" not in said, said
        return said["result"]

    async def ask(self, expression: str) -> Any:
        said = await self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def open(self, url: str, size: tuple[int, int]) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.do(f"{domain}.enable")
        width, height = size
        await self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await self.do("Page.navigate", url=url)
        await self.wait_for("document.querySelectorAll('.tile').length > 0")

    async def wait_for(self, expression: str, deadline_s: float = 20.0) -> None:
        async with asyncio.timeout(deadline_s):
            while not await self.ask(f"Boolean({expression})"):  # noqa: ASYNC110 - the page is another process
                await asyncio.sleep(0.05)

    async def text(self, selector: str = "body") -> str:
        return await self.ask(f"document.querySelector({selector!r}).innerText")

    async def press(self, key: str, code: int) -> None:
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    async def keep_picture(self, name: str) -> None:
        """Save what is seen where KEELD_SCREENSHOTS says, for a person to look at."""
        folder = os.environ.get("KEELD_SCREENSHOTS")
        shot = base64.b64decode((await self.do("Page.captureScreenshot", captureBeyondViewport=True))["data"])
        assert shot.startswith(b"\x89PNG")
        if folder:
            await asyncio.to_thread((Path(folder) / name).write_bytes, shot)


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[Path]:
    """The profile folder of a browser that runs for one test."""
    folder = tmp_path / "profile"
    argv = ["chromium", *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    environment = os.environ | {"DBUS_SESSION_BUS_ADDRESS": "disabled:", "HOME": str(tmp_path)}
    with (tmp_path / "chromium.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)
    yield folder
    process.terminate()
    process.wait(10)


@pytest.fixture
async def browser(profile: Path) -> AsyncIterator[Browser]:
    port = await _devtools_port(profile / "DevToolsActivePort")
    async with aiohttp.ClientSession() as session:
        async with session.put(f"http://127.0.0.1:{port}/json/new?about:blank") as answer:
            tab = (await answer.json())["webSocketDebuggerUrl"]
        async with session.ws_connect(tab, max_msg_size=0) as socket:
            it = Browser(socket)
            listener = asyncio.create_task(it.listen())
            yield it
            listener.cancel()


async def _devtools_port(file: Path) -> int:
    """The port that this very browser wrote into its own new profile."""
    async with asyncio.timeout(30):
        while True:
            lines = await asyncio.to_thread(lambda: file.read_text().split() if file.exists() else [])
            if lines:
                return int(lines[0])
            await asyncio.sleep(0.05)


pytestmark = pytest.mark.engine("chromium")


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
async def test_page_says_it_in_words(browser: Browser, server: Server, name, size):
    await browser.open(server.url, size)
    seen = await browser.text()
    for words in (
        "keeld dal1",
        "demo timings",
        "live,",
        "[CRIT] dal1 r08 power 33.9 kW of 30.0 kW budget = 113 %",
        "Row a",
        "R01 (old C-14)",
        "73 % of 30.0 kW budget",
        "power binds, headroom 7.9 kW",
        "113 % of 30.0 kW budget",
        "headroom none, up to 4.1 kW over",
        "CAN'T TELL",
        "no data from pdu-r02-b",
        "27.0 kW (14.0 kW to 34.0 kW)",
        "estimated, 50 % measured",
        "unknown share of 30.0 kW budget",
        "never measured",
        "no budget",
        "49 % of 57.0 A (breaker 60 A x 0.95 environment)",
        "Stored in influx",
        "4 567",
        "4 kB, oldest 2 s",
        "1 waiting, 0 given up",
        "2 racks with power that nothing measures: r03, <b>r04</b>",
    ):
        assert words in seen, words
    assert await browser.ask("document.querySelectorAll('.tile.over').length") == 1
    assert await browser.ask("document.querySelectorAll('.tile.hatched').length") == 2
    assert "NaN" not in seen
    assert "undefined" not in seen
    assert "null" not in seen
    assert await browser.ask("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    await browser.keep_picture(f"{name}.png")
    assert browser.errors == []


OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"


@pytest.mark.parametrize(("name", "size"), [("busy-wall", WALL), ("busy-phone", PHONE)])
async def test_page_says_what_lies_ahead_and_what_keeps_alerts_quiet(
    browser: Browser, server: Server, busy, name, size
):
    await browser.open(server.url, size)
    await browser.ask(OPEN_ALL)
    seen = await browser.text()
    for words in (
        "Only observed until 2026-11-25 21:47:00 GMT-5",
        "keeld rules live all",
        "1 would have paged, 1 shelved, 1 quiet for work, 1 follow, 1 in a digest, 1 not yet",
        "first of those that stand · 25 follow from it",
        "in hand: eve · stays until it is closed",
        "keeld ack 7f3a",
        "keeld shelve 7f3a --for 4h --reason 'WHY'",
        "keeld close leak --reason 'WHY'",
        "1 only observed: would have paged",
        "only observed until 22:47:00 GMT-5: it would have paged, and was not sent",
        "keeld rules live rule=observed",
        "shelved until 22:47:00 GMT-5",
        "keeld shelve --end sh3lf",
        "keeld maintenance end w0rk",
        "R01, power",
        "72 min",
        "40 min to never",
        "94 %: 9.40 MW (9.30 MW to 9.60 MW)",
        "7 min left, 10.70 MW allowed for the rest",
        "OVER, 104 %: 9.40 MW",
        "8.20 MW allowed for the rest: shed 1.20 MW",
        "peak of this month 9.60 MW (9.50 MW to 9.70 MW), partly estimated",
        "PUE, last hour",
        "which is no PUE",
        "OVER: the site draws 6.00 MW (5.90 MW to 6.10 MW), 5.50 MW allowed now. ercot ordered 5.00 MW at most",
        "node=ups-a: now, until",
        "pdu-r08-a power_watts/L2: has not moved",
        "usable 3.2 kW",
        "If feed A dies now, b3-12 trips.",
    ):
        assert words in seen, words
    assert "[CRIT] dal1 r08" in await browser.text("#unsent .facts"), "what follows names what speaks for it"
    assert await browser.ask("document.querySelectorAll('#alerts > .alert').length") == 2
    for wrong in ("NaN", "undefined", "null", "Infinity"):
        assert wrong not in seen
    assert await browser.ask("document.images.length") == 0
    assert await browser.ask("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    await browser.keep_picture(f"{name}.png")
    assert browser.errors == []


async def test_a_rack_says_what_binds_what_may_be_added_and_what_it_has_been(browser: Browser, server: Server, busy):
    await browser.open(f"{server.url}#rack=r08", PHONE)
    await browser.wait_for("!document.querySelector('#rack').hidden")
    seen = await browser.text("#rack")
    for words in (
        "power, binds",
        "33.5 kW, 112 %",
        "34.1 kW, 114 %",
        "a, a3-12: current L2",
        "57.0 A (breaker 60 A x 0.95 environment)",
        "Usable headroom: 1.5 kW at 5-min means; at 24-h peaks none, 0.2 kW too much; failover of b3-12 binds.",
        "No data from pdu-r08-a: taken at its most",
        "131 % of continuous limit",
        "mining to ai, ana:",
        "keeld rack-state r08 STATE --reason 'WHY'",
        "keeld maintenance begin rack=r08 --for 2h --reason 'WHY'",
        "critical: [CRIT] dal1 r08 power",
    ):
        assert words in seen, words
    assert await browser.ask("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    assert browser.errors == []


async def test_a_quiet_site_shows_no_empty_sections(browser: Browser, server: Server, source, forecasts, monkeypatch):
    source.seen = {"alarms": ()}
    monkeypatch.setattr(source.desk, "holds", list)
    await browser.open(server.url, WALL)
    assert await browser.ask("document.querySelector('#outlook').hidden")
    assert not await browser.ask("document.querySelector('main').classList.contains('has-outlook')")
    seen = await browser.text()
    assert "None." in seen
    for heading in ("Next to break", "Supply", "Announced work", "Shelves", "not believed", "Only observed"):
        assert heading not in seen
    source.seen["forecasts"] = forecasts
    await browser.wait_for("document.body.innerText.includes('Next to break')")
    assert browser.errors == []


async def test_an_interval_that_was_not_measured_is_neither_lost_nor_kept(
    browser: Browser, server: Server, source, cap
):
    unsure = MeanPower(152e3, None, 12e6, is_estimated=True)
    source.seen["demands"] = (
        dataclasses.replace(cap, projected=unsure, allowed_watts=-1e6, shed_watts=5e6, last=None),
    )
    await browser.open(server.url, PHONE)
    seen = await browser.text("#supply")
    assert "CAN'T TELL, 152 kW to 12.00 MW" in seen
    assert "may be as much as the supply allows; 7 min left" in seen
    for wrong in ("lost", "shed", "allowed for", "not measured: 1"):
        assert wrong not in seen


async def test_without_a_socket_the_page_says_what_is_missing(browser: Browser, server: Server, source):
    source.settings = dataclasses.replace(source.settings, http=dataclasses.replace(source.settings.http, socket=None))
    await browser.open(server.url, DESKTOP)
    await browser.wait_for("document.querySelector('#no-socket').innerText.includes('/run/keeld/api.sock')")
    assert "keeld ack" not in await browser.text()


async def test_hostile_text_stays_text(browser: Browser, server: Server):
    await browser.open(server.url, DESKTOP)
    assert "<img src=x onerror=alert(1)>" in await browser.text("#wall")
    assert await browser.ask("document.images.length") == 0
    assert browser.errors == []


async def test_a_rack_opens_and_closes_by_keyboard(browser: Browser, server: Server):
    await browser.open(server.url, PHONE)
    await browser.ask("[...document.querySelectorAll('.tile')].find((t) => t.innerText.includes('r08')).focus()")
    await browser.press("Enter", 13)
    await browser.wait_for("!document.querySelector('#rack').hidden")
    seen = await browser.text("#rack")
    for words in ("r08: OVER", "feed a (a3-12) 33.9 kW", "pdu-r08-a", "answers", "OUT: timeout, no answer in 3 s",
                  "2 min ago", "never", "not yet polled", "feed A", "WILL TRIP",
                  "goes to 104 % of its 60 A breaker"):  # fmt: skip
        assert words in seen, words
    assert await browser.ask("location.hash") == "#rack=r08"
    await browser.keep_picture("rack.png")
    await browser.press("Escape", 27)
    await browser.wait_for("document.querySelector('#rack').hidden")
    assert "r08" in await browser.ask("document.activeElement.innerText")
    assert browser.errors == []


async def test_an_alert_leads_to_its_rack(browser: Browser, server: Server):
    await browser.open(server.url, PHONE)
    await browser.ask("document.querySelector('.alert details').open = true")
    await browser.ask("document.querySelector('.alert a').click()")
    await browser.wait_for("!document.querySelector('#rack').hidden")
    assert (await browser.text("#rack-title")).startswith("r08: OVER")
    assert browser.errors == []


async def test_a_link_to_an_alert_that_is_folded_away_unfolds_it(browser: Browser, server: Server, busy):
    await browser.open(f"{server.url}#alert=shelved", PHONE)
    await browser.wait_for("document.body.innerText.includes('keeld shelve --end sh3lf')")
    await browser.ask("location.hash = '#alert=observed'; 0")
    await browser.wait_for("document.body.innerText.includes('keeld rules live rule=observed')")
    assert browser.errors == []


async def test_a_server_that_is_too_busy_is_no_fault_of_the_page(browser: Browser, server: Server, source, monkeypatch):
    await browser.open(f"{server.url}#rack=r08", DESKTOP)
    await browser.wait_for("!document.querySelector('#rack').hidden")
    monkeypatch.setattr(guard, "_REQUESTS_MOST", 0)
    await browser.ask("globalThis.realNow = Date.now; Date.now = () => realNow() + 60000; 0")
    await browser.wait_for("document.querySelector('#stale').innerText.includes('it answers 503')")
    assert not await browser.ask("document.querySelector('#rack').hidden")
    assert not any("TypeError" in error for error in browser.errors)


async def test_a_link_to_a_rack_opens_it_and_an_unknown_one_does_no_harm(browser: Browser, server: Server):
    await browser.open(f"{server.url}#rack=r08", DESKTOP)
    await browser.wait_for("!document.querySelector('#rack').hidden")
    await browser.do("Page.navigate", url="about:blank")
    await browser.open(f"{server.url}#rack=%E0%A4%A", DESKTOP)
    assert await browser.ask("document.querySelector('#rack').hidden")


async def test_refresh_keeps_focus_and_open_details(browser: Browser, server: Server, source):
    await browser.open(server.url, DESKTOP)
    await browser.ask("document.querySelector('.alert details').open = true; document.querySelector('.tile').focus()")
    source.health.polls = 987_654
    await browser.wait_for("document.querySelector('#balance').innerText.includes('987')")
    assert await browser.ask("document.querySelector('.alert details').open")
    assert await browser.ask("document.activeElement.className.includes('tile')")
    assert "Since: 02:47 -05:00" in await browser.text("#alerts")


async def test_the_page_says_so_when_keeld_is_gone_and_when_it_is_back(browser: Browser, server: Server, source):
    await browser.open(server.url, DESKTOP)
    await browser.ask("globalThis.realNow = Date.now; 0")
    await server.stop()
    await browser.ask("Date.now = () => realNow() + 60000; 0")
    await browser.wait_for("document.body.classList.contains('is-stale')")
    await browser.wait_for("document.querySelector('#stale').innerText.includes('cannot be reached')")
    assert re.search(r"STALE: what you see is \d+ s old", await browser.text("#stale"))
    assert "stale" in await browser.text("#freshness")
    await browser.keep_picture("stale.png")
    server._settings = type(server._settings)(host="127.0.0.1", port=server.port)
    await server.start()
    await browser.wait_for("!document.body.classList.contains('is-stale')")
    assert "live" in await browser.text("#freshness")


async def test_a_fault_of_the_page_itself_looks_stale_and_shows_in_the_console(browser, server, monkeypatch):
    await browser.open(server.url, DESKTOP)
    monkeypatch.setattr("keeld.web.document.balance_form", lambda source, queue: {})
    async with asyncio.timeout(10):
        while not browser.errors:  # noqa: ASYNC110 - the page is another process
            await asyncio.sleep(0.05)
    await browser.ask("globalThis.realNow = Date.now; Date.now = () => realNow() + 60000; 0")
    await browser.wait_for("document.querySelector('#stale').innerText.includes('This page failed')")


async def test_the_page_says_so_when_keeld_no_longer_judges(browser: Browser, server: Server, source):
    source.view_age_s = 45.0
    source.waiting = ["the configuration file has changed"]
    await browser.open(server.url, DESKTOP)
    await browser.wait_for("document.querySelector('#stale').innerText.includes('no longer judges')")
    assert "Not ready: the configuration file has changed" in await browser.text("#not-ready")


def test_page_is_small_and_asks_nobody_else():
    files = [file for file in STATIC.iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 200_000
    for file in files:
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]+/", text), file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\son[a-z]+=", text), (
            file.name
        )

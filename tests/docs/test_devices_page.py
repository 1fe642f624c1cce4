"""Every example of the page on devices works as it stands there, and the page names every key there is."""

from __future__ import annotations

import asyncio
import re
import types
from pathlib import Path
from typing import Any

import pytest

from keeld import config, profiles
from keeld.errors import Outage, PollError
from keeld.model import Device, Group
from keeld.profiles import sections
from keeld.profiles.decode import decode
from keeld.profiles.plan import plan

PAGE = (Path(__file__).parents[2] / "docs" / "devices.md").read_text()
BLOCKS = dict(re.findall(r"```(?:yaml|python)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in BLOCKS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_page_is_short_and_each_block_is_named() -> None:
    assert PAGE.count("\n") < 120
    assert set(BLOCKS) == {"acme_m3.yaml", "keeld.yaml", "acme_pdu.yaml", "hygro.py"}
    assert PAGE.count("```") == 2 * len(BLOCKS)


def test_the_meter_reads_what_its_registers_say(folder: Path) -> None:
    profile = profiles.load(str(folder / "acme_m3.yaml"))
    words = {0: 0x08FD, 1: 0xFA24, 2: 0xFFFF, 40: 0x0019, 41: 0, 52: 0x86A0, 53: 0x0001}  # low words first
    answers = [
        (block, b"".join(words.get(block.address + at, 0).to_bytes(2, "big") for at in range(block.count)))
        for group in (Group.FAST, Group.SLOW)
        for block in plan(profile, group)
    ]
    found = {f"{metric}/{part}": value for metric, value, part in decode(answers)}
    assert found == pytest.approx(
        {
            "voltage_volts/L1": 230.1,
            "current_amperes/L1": -1.5,
            "power_watts/": 2500.0,
            "energy_watt_hours/": 100_000_000.0,
        }
    )


def test_the_configuration_finds_the_profile_beside_it(folder: Path) -> None:
    loaded = config.load(folder / "keeld.yaml")
    assert loaded.site.devices["m3-main"].kind == "meter"


def test_the_larger_profile_is_a_profile(folder: Path) -> None:
    profile = profiles.load(str(folder / "acme_pdu.yaml"))
    assert len(profile.repeats[0].points) == 48
    assert profile.repeats[0].points[1][1].address == 510
    assert [proof.pattern for proof in profile.proofs] == ["RP-[0-9]+.*", ""]


def test_the_page_names_every_key_of_a_profile() -> None:
    kinds = [kind for kind in vars(sections).values() if isinstance(kind, type) and issubclass(kind, sections.Section)]
    keys = {key for kind in kinds for key in kind.model_fields}
    assert {key for key in keys if not re.search(rf"\b{key}\b", PAGE)} == set()


@pytest.mark.parametrize(
    ("answer", "degrees"), [(b'{"temp": "23.5"}\0', 23.5), (b'{"temp": 900}\0', None), (b"{}\0", None)]
)
async def test_the_driver_polls_a_real_socket(answer: bytes, degrees: float | None) -> None:
    module: Any = types.ModuleType("hygro")
    exec(BLOCKS["hygro.py"], module.__dict__)
    received = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(100))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    device = Device(id="h", site="s", kind="sensor", driver="hygro", address=address, timeout_s=2.0)
    link = module.DRIVER.open_link(device)
    try:
        if degrees is None:
            with pytest.raises(PollError) as caught:
                await module.DRIVER.poll(link, device, Group.FAST)
            assert caught.value.outage is Outage.GARBLED
        else:
            answered = await module.DRIVER.poll(link, device, Group.FAST)
            assert [(str(metric), value, part) for metric, value, part in answered.readings] == [
                ("temperature_celsius", degrees, "intake")
            ]
            assert (await module.DRIVER.inspect(link, device)).answer == answered
        assert set(received) == {b'{"get":"state"}'}
    finally:
        await link.close()
        server.close()
        await server.wait_closed()

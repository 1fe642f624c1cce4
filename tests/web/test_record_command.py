"""`keeld record` beside a running server: what it writes, and what it says when there is nothing to write."""

from __future__ import annotations

import asyncio
import json

from click.testing import CliRunner

from keeld.cli import keeld
from keeld.metrics import POWER
from keeld.model import Batch, Reading


def config_for(tmp_path, port):
    path = tmp_path / "keeld.yaml"
    path.write_text(f'site: {{name: dal1}}\nhttp: {{listen: "127.0.0.1:{port}"}}\n')
    return str(path)


async def record(*arguments):
    return await asyncio.to_thread(CliRunner().invoke, keeld, ["record", *map(str, arguments)])


async def publish_until(source, task):
    device = source.settings.site.devices["pdu-r08-a"]
    while not task.done():
        source.fanout.publish(Batch(device, 1_795_402_380_123_000_000, 1, (Reading(POWER, 7.0),)))
        await asyncio.sleep(0.01)
    return task.result()


async def test_a_running_keeld_is_recorded_over_tcp_and_over_its_socket(server, source, tmp_path):
    config = config_for(tmp_path, server.port)
    for number, by in enumerate(((), ("--socket", source.settings.http.socket))):
        file = tmp_path / f"{number}.jsonl"
        task = asyncio.create_task(record(file, "-c", config, "--for", "300ms", "--device", "pdu-r08-a", *by))
        done = await publish_until(source, task)
        assert done.exit_code == 0, done.output
        forms = [json.loads(line) for line in file.read_text().splitlines()]
        assert len(forms) > 2
        assert forms[0]["readings"] == {"power_watts": 7.0}
        assert f"{len(forms)} batches written" in done.output


async def test_a_refusal_and_an_absent_keeld_are_one_line_and_leave_no_file(server, source, tmp_path):
    file = tmp_path / "x.jsonl"
    done = await record(file, "-c", config_for(tmp_path, server.port), "--device", "pdu-r08-z")
    assert done.exit_code == 1
    assert "no device 'pdu-r08-z'; did you mean pdu-r08-" in done.output
    await server.stop()
    done = await record(file, "-c", config_for(tmp_path, server.port))
    assert done.exit_code == 1
    assert "no keeld answers at 127.0.0.1" in done.output
    assert not file.exists()


async def test_options_that_say_nothing_are_refused(tmp_path):
    config = config_for(tmp_path, 9)
    for arguments, words in (
        (["--for", "soon"], "is no span"),
        (["--influx", "http://127.0.0.1:9"], "--influx needs --from"),
        (["--influx", "http://127.0.0.1:9", "--from", "yesterday"], "is no time"),
        (["--influx", "http://127.0.0.1:9", "--from", "1h", "--to", "2h"], "not before"),
    ):
        done = await record(tmp_path / "x.jsonl", "-c", config, *arguments)
        assert done.exit_code == 2, arguments
        assert words in done.output

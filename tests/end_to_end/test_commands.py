"""`keeld poll` and `keeld capture` against every driver's devices."""

import json
import re

import pytest

DEVICES = ("pdu-a", "meter-2", "crah-1-unit", "m1-1", "m2-1", "gpu-1")


@pytest.fixture(scope="module")
def config(site, start):
    return start.write("commands", site.config)


@pytest.fixture(autouse=True)
def healthy(site):
    yield
    site.clear()


@pytest.mark.parametrize("device", DEVICES)
def test_poll_shows_raw_beside_decoded(device, config, keeld):
    done = keeld("poll", device, "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^> .+\n< .+", done.stdout, re.MULTILINE)
    assert re.search(r"^(power_watts|temperature_celsius|hashrate_\w+)\S* +[-\d.e+]+$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("device", DEVICES)
def test_poll_as_json(device, config, keeld):
    done = keeld("poll", device, "--config", config, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["device"] == device
    assert said["outage"] is None
    assert said["exchanges"]
    assert all(isinstance(value, float) for value in said["readings"].values())
    assert len(said["readings"]) > 3


@pytest.mark.parametrize("device", DEVICES)
def test_capture_is_json(device, config, keeld):
    done = keeld("capture", device, "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    fixture = json.loads(done.stdout)
    assert fixture["driver"] in {"modbus", "antminer", "whatsminer", "nvidia"}
    assert "127." not in done.stdout


@pytest.mark.parametrize(
    ("device", "says"), [("m1-1", "Connection refused"), ("pdu-a", "nothing listens on port 1502")]
)
def test_silent_device_is_exit_code_1(device, says, config, keeld, site):
    site.fault(device, "stop")
    for arguments in (["poll", device], ["capture", device]):
        done = keeld(*arguments, "--config", config)
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(f"{device} at ")
        assert says in done.stderr
    done = keeld("poll", device, "--config", config, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["outage"] == "refused"


@pytest.mark.parametrize("command", ["poll", "capture"])
def test_unknown_device_names_the_nearest(command, config, keeld):
    done = keeld(command, "pdu-c", "--config", config)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no device 'pdu-c'; did you mean 'pdu-" in done.stderr


@pytest.mark.parametrize("device", ["m1-1", "m2-1", "pdu-a"])
def test_garbage_is_exit_code_1_and_harmless_on_a_terminal(device, config, keeld, site):
    site.fault(device, "garbage")
    done = keeld("poll", device, "--config", config)
    assert done.returncode == 1
    assert "garbled" in done.stdout + done.stderr
    assert all(line.isprintable() for line in (done.stdout + done.stderr).split("\n"))

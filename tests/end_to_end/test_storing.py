"""What was polled is found to the last point in real databases that were away, across a restart of keeld."""

import json
import os
import urllib.parse
import urllib.request

import pytest

pytestmark = [pytest.mark.engine("influxd"), pytest.mark.engine("victoria-metrics"), pytest.mark.slow]


def fetch(url, **form):
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, data=data, timeout=20) as response:
        return response.read()


def as_kept(value):
    """A value to the digits that VictoriaMetrics keeps."""
    return float(f"{float(value):.9g}")


class Databases:
    """A real InfluxDB 1 and a real VictoriaMetrics that go and come together."""

    def __init__(self, start_engine, directory, ports):
        self._start = start_engine
        self._directory = directory
        self.influx, self.victoria, rpc = ports
        text = f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n'
        text += f'[meta]\ndir = "{directory}/meta"\n[data]\ndir = "{directory}/data"\nwal-dir = "{directory}/wal"\n'
        text += (
            f'[http]\nbind-address = "127.0.0.1:{self.influx}"\nlog-enabled = false\n[monitor]\nstore-enabled = false\n'
        )
        (directory / "influxd.toml").write_text(text)

    def begin(self):
        self.engines = [
            self._start(["influxd", "-config", str(self._directory / "influxd.toml")], self.influx),
            self._start(
                [
                    "victoria-metrics",
                    f"-storageDataPath={self._directory}/vm",
                    f"-httpListenAddr=127.0.0.1:{self.victoria}",
                    "-dedup.minScrapeInterval=1ms",
                ],
                self.victoria,
            ),
        ]
        fetch(f"http://127.0.0.1:{self.influx}/query", q="CREATE DATABASE keeld")

    def end(self):
        for engine in self.engines:
            engine.process.terminate()
            engine.process.wait(20)

    def settings(self):
        return [
            {"name": "influx", "api": "v1", "url": f"http://127.0.0.1:{self.influx}", "bucket": "keeld"},
            {"name": "victoria", "api": "v2", "url": f"http://127.0.0.1:{self.victoria}", "bucket": "keeld"},
        ]

    def in_influx(self, field, measurement):
        said = fetch(
            f"http://127.0.0.1:{self.influx}/query?db=keeld&epoch=ms",
            q=f'SELECT "{field}" FROM "{measurement}" GROUP BY "device","part"',
        )
        series = json.loads(said)["results"][0].get("series", [])
        return {
            (one["tags"]["device"], one["tags"]["part"], row[0], as_kept(row[1]))
            for one in series
            for row in one["values"]
        }

    def in_victoria(self, field, measurement):
        fetch(f"http://127.0.0.1:{self.victoria}/internal/force_flush")
        query = urllib.parse.urlencode({"match[]": f"{measurement}_{field}", "reduce_mem_usage": "0"})
        lines = fetch(f"http://127.0.0.1:{self.victoria}/api/v1/export?{query}").splitlines()
        return {
            (one["metric"]["device"], one["metric"].get("part", ""), time_ms, as_kept(value))
            for one in map(json.loads, lines)
            for time_ms, value in zip(one["timestamps"], one["values"], strict=True)
        }


@pytest.fixture
def databases(start_engine, tmp_path, monkeypatch, free_ports):
    monkeypatch.setenv("PATH", os.environ["PATH"] + os.pathsep + "/usr/sbin")
    return Databases(start_engine, tmp_path, free_ports(3))


def stored(sink, field, measurement):
    """What the sink that was never away has received."""
    points = [point for point in sink.points if point.measurement == measurement and field in point.fields]
    return {(point.device, point.part, point.time_ms, as_kept(point.fields[field])) for point in points}


MEASURED = (("miner", "up"), ("miner", "power_watts"), ("pdu", "power_watts"), ("accelerator", "power_watts"))


def test_everything_polled_is_found(site, start, sink, databases, wait):
    databases.begin()
    first = start(site, influx=[*databases.settings(), {"name": "witness", "url": sink.url, "bucket": "keeld"}])
    wait(lambda: min(first.balance()["points_stored"].values(), default=0) > 1000, 20, "all three take points")
    databases.end()
    wait(lambda: {line["sink"] for line in first.lines("sink lost")} == {"influx", "victoria"}, 20, "both are missed")
    wait(lambda: first.balance()["spool_files"] > 3, 20, "readings wait")
    assert first.stop() == 0
    assert sorted(first.troubles()) == ["sink lost", "sink lost"]

    second = start.run(first.config, first.url)
    wait(lambda: {line["sink"] for line in second.lines("sink lost")} == {"influx", "victoria"}, 20, "still away")
    wait(lambda: second.balance()["spool_files"] > 6, 20, "more waits")
    databases.begin()
    wait(lambda: {line["sink"] for line in second.lines("sink back")} == {"influx", "victoria"}, 40, "both are back")
    wait(lambda: second.balance()["spool_files"] <= 1, 40, "the backlog is sent")
    books = second.balance()
    assert (books["points_dead"], books["points_evicted"], books["batches_dropped"]) == (0, 0, 0)
    assert books["points_acknowledged"] > 100
    assert second.stop() == 0

    # the last second before an end is safe on disk and goes out with the next start
    third = start.run(first.config, first.url)
    wait(lambda: len(third.balance()["points_stored"]) == 3 and third.balance()["spool_files"] <= 1, 40, "the rest")
    assert third.stop() == 0
    for measurement, field in MEASURED:
        witnessed = {row for row in stored(sink, field, measurement) if row[2] < third.started_ms}
        assert len({row[2] for row in witnessed}) > 5
        for found in (databases.in_influx(field, measurement), databases.in_victoria(field, measurement)):
            assert {row for row in found if row[2] < third.started_ms} == witnessed
    site.end()
    for miner in ("m1-1", "m1-2", "m1-6"):
        # one such request a poll; of those that the end of a process cut short there is no answer to store
        asked = site.requests(miner, "stats", before_ms=third.started_ms)
        hashrates = stored(sink, "hashrate_hashes_per_second", "miner")
        answered = {row[2] for row in hashrates if row[:2] == (miner, "") and row[2] < third.started_ms}
        assert 0 <= asked - len(answered) <= 2, miner

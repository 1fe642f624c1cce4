"""Sum readings up into minutes until they are committed. Pure.

A minute's row is written at once when it is new, so that the page has it, and then every ten seconds: at 1 Hz that is
a tenth of the writing. What is handed out is what came since the last time; the database adds it to the row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from keeld.errors import Outage
from keeld.metrics import (
    AIR_HEAT_HI,
    APPARENT_POWER,
    COOLING_OUTPUT,
    CURRENT,
    DEW_POINT,
    FLOW,
    HASHRATE,
    HUMIDITY,
    LIQUID_HEAT_HI,
    LOAD_RATIO,
    POWER,
    POWER_ESTIMATE,
    POWER_HI,
    POWER_LO,
    PRESSURE,
    TEMPERATURE,
    Kind,
)
from keeld.model import OWN_DRIVER, Batch

SeriesKey = tuple[str, str, str, str]
"""Kind and id of the device, metric, part."""
RowKey = tuple[SeriesKey, int]
"""Series and minute since 1970."""

OWN_KINDS = frozenset({"rack", "power_node", "cooling_node", "site"})
METER_KINDS = frozenset({"pdu", "meter", "ups", "cooling"})
METER_PARTS = frozenset({"", "supply", "return", "intake"})
METER_METRICS = frozenset(
    {POWER, APPARENT_POWER, CURRENT, TEMPERATURE, HUMIDITY, DEW_POINT, FLOW, PRESSURE, COOLING_OUTPUT}
)
"""What people look back at; the rest of a meter's readings is the database's."""
OWN_METRICS = METER_METRICS | {POWER_LO, POWER_HI, POWER_ESTIMATE, LOAD_RATIO, AIR_HEAT_HI, LIQUID_HEAT_HI, HASHRATE}

_ROWS_MOST = 100_000
_AGAIN_S = 10.0
_NS_PER_MINUTE = 60_000_000_000


@dataclass(slots=True)
class Row:
    """What came of one series in one minute since the last commit."""

    low: float
    high: float
    total: float
    last: float
    count: int = 1

    def add(self, value: float) -> None:
        """Take one more reading."""
        self.low = min(self.low, value)
        self.high = max(self.high, value)
        self.total += value
        self.last = value
        self.count += 1

    def add_earlier(self, other: Row) -> None:
        """Take what came before this row began."""
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.total += other.total
        self.count += other.count


def wants(batch: Batch) -> bool:
    """Whether history keeps anything of the batch: keeld's own sums, and meters; never single miners or GPUs."""
    device = batch.device
    return bool(batch.readings) and device.kind in (OWN_KINDS if device.driver == OWN_DRIVER else METER_KINDS)


class Gatherer:
    """Rows in the making, at most `_ROWS_MOST`; past that the oldest minutes are dropped and counted."""

    def __init__(self) -> None:
        self.dropped = 0
        self._rows: dict[RowKey, Row] = {}
        self._written: dict[SeriesKey, tuple[int, float]] = {}

    def add(self, batch: Batch) -> None:
        """Take the gauges of a batch at its own time; an outage adds nothing, so a gap stays a gap."""
        if not wants(batch) or batch.outage not in {None, Outage.PARTIAL}:
            return
        minute = batch.time_ns // _NS_PER_MINUTE
        device = batch.device
        is_own = device.driver == OWN_DRIVER
        wanted = OWN_METRICS if is_own else METER_METRICS
        rows = self._rows
        for metric, value, part in batch.readings:
            if metric not in wanted or not (is_own or part in METER_PARTS):
                continue
            if part and metric is LOAD_RATIO:
                continue  # of the constraints people look back at the one that bound
            if metric.kind is not Kind.GAUGE or not math.isfinite(value):
                continue
            key = ((device.kind, device.id, metric.name, part), minute)
            row = rows.get(key)
            if row is None:
                rows[key] = Row(value, value, value, value)
            else:
                row.add(value)
        if len(rows) > _ROWS_MOST:
            self._drop_oldest()

    def due(self, now_s: float, *, everything: bool = False) -> dict[RowKey, Row]:
        """Hand out the rows that are new, over, or were last written ten seconds ago."""
        due = {}
        for key, row in self._rows.items():
            series, minute = key
            written_minute, written_s = self._written.get(series, (-1, 0.0))
            if everything or written_minute != minute or now_s - written_s >= _AGAIN_S:
                due[key] = row
        for series, minute in due:
            del self._rows[series, minute]
            self._written[series] = (minute, now_s)
        return due

    def put_back(self, due: dict[RowKey, Row]) -> None:
        """Take back rows that could not be committed."""
        for key, row in due.items():
            later = self._rows.get(key)
            if later is None:
                self._rows[key] = row
            else:
                later.add_earlier(row)
            self._written.pop(key[0], None)
        if len(self._rows) > _ROWS_MOST:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        by_age = sorted(self._rows, key=lambda key: key[1])
        for key in by_age[: len(by_age) // 10]:
            self.dropped += self._rows.pop(key).count

"""Rules about what feeds the circuits: which source is in use, and whether its voltage is right."""

from __future__ import annotations

from keeld.alerts.rules import PLANT, Rule, level
from keeld.model import Severity

PDU_ALARM = Rule(
    number=35,
    name="pdu_alarm_passthrough",
    title="reports a fault of its own",
    levels={PLANT: (level(Severity.CRITICAL, 0.5, 5.0),)},
    off_s=60.0,
    base=0.5,
    advice="Read the device's own display or page: it says what it found.",
)

SOURCE_CHANGED = Rule(
    number=45,
    name="source_changed",
    title="is not on its normal source",
    levels={PLANT: (level(Severity.WARNING, 0.5, 5.0), level(Severity.CRITICAL, 1.5, 30.0))},
    off_s=60.0,
    base=0.5,
    advice="Find out how long the source in use lasts; shed load before a battery or a tank is empty.",
)

VOLTAGE_BAND = Rule(
    number=47,
    name="voltage_band",
    title="is out of its voltage band",
    levels={PLANT: (level(Severity.WARNING, 0.1, 60.0),)},
    off_s=60.0,
    base=0.1,
    hysteresis=0.01,
    advice="Check the tap of the transformer, the UPS and the utility; supplies draw more current at a low voltage.",
)

RULES: tuple[Rule, ...] = (PDU_ALARM, SOURCE_CHANGED, VOLTAGE_BAND)

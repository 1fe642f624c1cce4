"""An alarm as it is kept over a restart, and its form as bytes for a database."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from keeld.model import AlertState, Severity


@dataclass(frozen=True, slots=True)
class LevelState:
    """One level's machine, by the severity and limit it had."""

    severity: Severity
    limit: float
    state: AlertState
    credit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredAlarm:
    """All that a restart needs of an alarm. `told` is the severity that people were told of, None for nothing."""

    key: str
    rule: str
    target_kind: str
    target_id: str
    state: AlertState
    severity: Severity
    told: Severity | None
    since_ns: int
    seen_ns: int
    """Wall time when it was last judged: credit of a pending level that is much older is dropped."""
    levels: tuple[LevelState, ...]
    lo: float | None = None
    best: float | None = None
    hi: float | None = None
    limit: float | None = None
    unit: str = ""
    title: str = ""
    text: str = ""
    cause: str = ""
    quiet: str = ""
    owner: str = ""
    digested: Severity | None = None
    chatters: bool = False

    def dump(self) -> bytes:
        """Give the alarm as JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def load(cls, blob: bytes) -> RestoredAlarm:
        """Read what `dump` gave; raises ValueError for anything else."""
        try:
            fields = json.loads(blob)
            levels = tuple(
                LevelState(Severity(level["severity"]), level["limit"], AlertState(level["state"]), level["credit_s"])
                for level in fields.pop("levels")
            )
            told, digested = fields.pop("told"), fields.pop("digested", None)
            return cls(
                **{
                    **fields,
                    "state": AlertState(fields["state"]),
                    "severity": Severity(fields["severity"]),
                    "told": None if told is None else Severity(told),
                    "digested": None if digested is None else Severity(digested),
                    "levels": levels,
                }
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a stored alarm: {error}") from None

"""The keys of rules: what to change of one that ships, where, and rules of one's own; and how long to observe first."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from keeld.config.fields import Between, Filled, Flag, Number, Seconds, Section, Share, Text

SeverityWord = Literal["info", "warning", "critical"]
_Limit = Annotated[Number, Field(ge=-1e18, le=1e18)]


def _span_or_off(value: Any) -> Any:
    """Read `off`; YAML 1.1 editors may have made a boolean of it."""
    return "0s" if value == "off" or value is False else value


ObserveSpan = Annotated[
    Seconds,
    AfterValidator(Between("0s", "30d")),
    BeforeValidator(_span_or_off),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(off|([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w))+)$",
            "examples": ["72h", "off"],
            "description": "How long what is new (the site, a rack, a rule) is judged and shown, but not sent.",
        }
    ),
]


class RuleKeys(Section):
    """What to change of a rule, everywhere or where `select` says; or with `metric`, a rule of one's own."""

    rule: Annotated[Filled | None, Field(description="The rule meant, where the entry has another name.")] = None
    select: Annotated[
        dict[str, Filled],
        Field(description="Where it holds: rack, row, class, state, tenant, device, node, ... with * for any letters."),
    ] = Field(default_factory=dict)
    metric: Annotated[Filled | None, Field(description="For a rule of one's own: the quantity, as fan_rpm.")] = None
    part: Annotated[Filled, Field(description="Parts of the device, as fan/*.")] = "*"
    above: Annotated[_Limit | None, Field(description="Limit of a rule of one's own, in its metric's unit.")] = None
    below: Annotated[_Limit | None, Field(description="As above, where less is bad.")] = None
    clear: Annotated[_Limit | None, Field(description="Where a rule of one's own clears, in the same unit.")] = None
    title: Annotated[Text, Field(max_length=40)] = ""
    enabled: Flag | None = None
    window: Annotated[Seconds, AfterValidator(Between("10s", "1w"))] | None = None
    on: Annotated[Seconds, AfterValidator(Between("0s", "1w"))] | None = None
    off: Annotated[Seconds, AfterValidator(Between("0s", "1w"))] | None = None
    limit_ratio: Annotated[Number, Field(gt=0, le=10)] | None = None
    clear_ratio: Annotated[Number, Field(gt=0, le=10)] | None = None
    limit_k: Annotated[Number, Field(gt=0, le=100)] | None = None
    clear_k: Annotated[Number, Field(gt=0, le=100)] | None = None
    deadband_ratio: Annotated[Share, Field(lt=1)] | None = None
    severity: SeverityWord | None = None
    runbook: Text = ""
    route: Text = ""

"""The kinds of value a key can have: how each is read, what it may be, and how an editor's schema shows it."""

from __future__ import annotations

import math
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from keeld.config.entries import ID_REMEDY, is_id
from keeld.config.scalars import duration, resolve, seconds, size_bytes
from keeld.config.tables import Cell
from keeld.text import clean

MOST_TEXT = 200


class Section(BaseModel):
    """A mapping of the configuration: no key that is not declared, no number that is not finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, frozen=True)


def refuse(wrong: str, remedy: str) -> NoReturn:
    """Raise what pydantic gathers as one error of ours, with its remedy."""
    raise PydanticCustomError("keeld", "{wrong}", {"wrong": wrong, "remedy": remedy})


def _number(value: Any) -> Any:
    resolved = resolve(value) if isinstance(value, Cell) else value
    if isinstance(resolved, bool) or not isinstance(resolved, int | float):
        refuse(f"{_shown(value)} is no number", "write digits alone: the key's name carries the unit")
    if not math.isfinite(resolved):
        refuse("a number that is not finite", "write the figure, or leave the key out")
    return float(resolved)


def _whole(value: Any) -> Any:
    number = _number(value)
    if number != int(number):
        refuse(f"{number:g} is no whole number", "write a whole number")
    return int(number)


def _flag(value: Any) -> Any:
    resolved = resolve(value) if isinstance(value, Cell) else value
    if not isinstance(resolved, bool):
        refuse(f"{_shown(value)} is neither true nor false", "write true or false")
    return resolved


def _text(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        refuse(f"{_shown(value)} is read as a {_kind(value)} here", "put it in quotes")
    if isinstance(value, list):
        refuse("a list where one text belongs", 'put a text with [ ] in quotes: "[01-36]"')
    if not isinstance(value, str):
        refuse("no text", "write a text")
    if len(value) > MOST_TEXT:
        refuse(f"a text of {len(value)} characters", f"at most {MOST_TEXT}")
    if not value.isprintable():
        refuse("a text with line breaks or control characters", "write one line of plain text")
    return str(value)


def _kind(value: object) -> str:
    return "boolean" if isinstance(value, bool) else "number"


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(clean(value, 40))


def _seconds(value: Any) -> Any:
    length_s = seconds(value) if isinstance(value, str) else None
    if length_s is not None:
        return length_s
    if isinstance(value, int | float) and not isinstance(value, bool):
        return refuse(f"{_shown(value)} is no duration", f"add the unit: {clean(value, 20)}s")
    return refuse(f"{_shown(value)} is no duration", "write 10s, 5m, 72h or 250ms")


def _size(value: Any) -> Any:
    size = size_bytes(value) if isinstance(value, str) else None
    if size is None:
        refuse(f"{_shown(value)} is no size", "write 4GiB, 500MB or 64KiB")
    return size


def _id(value: str) -> str:
    if not is_id(value):
        refuse(f"{clean(value, 80)!r} cannot be an id", ID_REMEDY)
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, Cell):
        return [Cell(part) for part in value.replace(";", " ").split()]
    return value if isinstance(value, list) else refuse(f"{_shown(value)} is no list", "write a list: [60, 60]")


class Between:
    """Bounds of a duration, both allowed, written as the operator writes them."""

    def __init__(self, least: str, most: str) -> None:
        self._least_s, self._most_s = seconds(least) or 0.0, seconds(most) or math.inf

    def __call__(self, length_s: float) -> float:
        """Give the duration back; refuse one out of bounds."""
        if not self._least_s <= length_s <= self._most_s:
            bounds = f"{duration(self._least_s)} to {duration(self._most_s)}"
            refuse(f"{duration(length_s)} is out of bounds", f"write {bounds}")
        return length_s


class AtLeast:
    """Lower bound of a size, written as the operator writes it."""

    def __init__(self, least: str) -> None:
        self._least = least
        self._least_bytes = size_bytes(least) or 0

    def __call__(self, size: int) -> int:
        """Give the size back; refuse one below the bound."""
        if size < self._least_bytes:
            refuse("too small to work with", f"write {self._least} or more")
        return size


def scalar_texts(value: Any) -> Any:
    """Give a mapping of scalars as texts, booleans as true and false: what a driver's options are."""
    if not isinstance(value, dict):
        return refuse(f"{_shown(value)} is no mapping", "write options: {name: value}")
    for name, option in value.items():
        if option is None or isinstance(option, list | dict):
            refuse(f"option `{clean(name)}` is no single value", "write one text, number, true or false")
    return {name: _option(option) for name, option in value.items()}


def _option(value: object) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value if isinstance(value, str) else str(value))


_DURATION_SCHEMA = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w))+$", "examples": ["10s", "5m"]}
_SIZE_SCHEMA = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?([kMGT]B|[KMGT]iB|B)$", "examples": ["4GiB"]}

Number = Annotated[float, BeforeValidator(_number, json_schema_input_type=float)]
Positive = Annotated[Number, Field(gt=0, le=1e9)]
Ratio = Annotated[Number, Field(gt=0, le=1)]
Share = Annotated[Number, Field(ge=0, le=1)]
Whole = Annotated[int, BeforeValidator(_whole, json_schema_input_type=int)]
Flag = Annotated[bool, BeforeValidator(_flag, json_schema_input_type=bool)]
Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str)]
Filled = Annotated[Text, Field(min_length=1)]
Id = Annotated[Text, AfterValidator(_id)]
Seconds = Annotated[float, BeforeValidator(_seconds), WithJsonSchema(_DURATION_SCHEMA)]
Bytes = Annotated[int, BeforeValidator(_size), WithJsonSchema(_SIZE_SCHEMA)]
Capacities = Annotated[list[Positive], BeforeValidator(_numbers, json_schema_input_type=list[float])]

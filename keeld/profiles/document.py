"""Read a profile's YAML with the place of every key and value kept, so that errors can point at them.

Scalars follow YAML 1.2's core rules: `on`, `no` and `10:30` stay text. Size, depth and the number of values are
bounded.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from keeld.errors import ConfigError, Problem
from keeld.text import clean

Spot = tuple[int, int]
"""Line and column, from 1."""
Where = tuple[int | str, ...]
"""Path of keys and indexes to a value."""

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 16
_MAX_VALUES = 50_000
_INTEGER = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_QUOTED = ("'", '"', "|", ">")
_STRING_TAG = "tag:yaml.org,2002:str"


class _PlainLoader(yaml.CSafeLoader):
    """Leaves every plain scalar as text; `_Reader` decides what it is."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


class Document:
    """A file's content as plain values, and where each of them stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: Any = None
        self._values: dict[Where, Spot] = {}
        self._keys: dict[Where, Spot] = {}
        self._count = 0
        self._read()

    def problem(self, where: Where, wrong: str, remedy: str = "", *, at_key: bool = False) -> Problem:
        """Make a Problem that points at the value (or its key), or at the nearest thing around it."""
        spots = {**self._values, **self._keys} if at_key else {**self._keys, **self._values}
        while where and where not in spots:
            where = where[:-1]
        line, column = spots.get(where, (1, 1))
        return Problem(f"{self.path}:{line}:{column}", wrong, remedy)

    def _read(self) -> None:
        try:
            node = yaml.compose(self._text(), Loader=_PlainLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self.path)
            raise ConfigError([Problem(place, f"not YAML: {clean(error.problem, 200)}")]) from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError([Problem(str(self.path), f"not YAML: {clean(error, 200)}")]) from None
        if node is None:
            raise ConfigError([Problem(f"{self.path}:1:1", "the profile is empty", "write at least title and points")])
        self.content = self._value(node, ())

    def _text(self) -> str:
        try:
            with self.path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
            if len(raw) > _MAX_BYTES:
                raise ConfigError([Problem(str(self.path), "larger than any profile (1 MiB)")])
            return raw.decode("utf-8-sig")
        except OSError as error:
            raise ConfigError(
                [Problem(str(self.path), f"profile cannot be read: {error.strerror}", "check path and permissions")]
            ) from None
        except (UnicodeDecodeError, ValueError) as error:
            raise ConfigError(
                [Problem(str(self.path), f"not UTF-8 text: {clean(error)}", "save it as UTF-8")]
            ) from None

    def _value(self, node: yaml.Node, where: Where) -> Any:
        self._values[where] = _spot(node)
        self._count += 1
        if self._count > _MAX_VALUES or len(where) > _MAX_DEPTH:
            raise ConfigError([self.problem(where, "nested too deeply or too long", "write it out plainly")])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*where, index)) for index, child in enumerate(node.value)]
        return self._scalar(node, where)

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                line, column = _spot(key_node)
                raise ConfigError([Problem(f"{self.path}:{line}:{column}", "a key must be a word or a number")])
            key = str(key_node.value)
            here = (*where, key)
            self._keys[here] = _spot(key_node)
            if key in found:
                raise ConfigError([self.problem(here, f"`{clean(key)}` stands here twice", at_key=True)])
            found[key] = self._value(value_node, here)
        return found

    def _scalar(self, node: Any, where: Where) -> Any:
        text: str = node.value
        if node.style in _QUOTED:
            return text
        if node.tag not in (_STRING_TAG, "!"):
            line, column = _spot(node)
            raise ConfigError([Problem(f"{self.path}:{line}:{column}", "tags are not allowed in a profile")])
        if text in _WORDS:
            return _WORDS[text]
        if len(text) < 32 and _INTEGER.fullmatch(text):  # noqa: PLR2004 - no register holds a longer number
            return int(text, 0) if text.startswith("0x") else int(text)
        if _NUMBER.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                raise ConfigError([self.problem(where, f"{clean(text)} is no finite number")])
            return number
        return text


def _spot(node: yaml.Node) -> Spot:
    mark = node.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)

"""A YAML file as plain values, with the place of every key and value.

PyYAML's composer gives nodes with marks; this reads them by YAML 1.2's rules for bare words, merges `<<`, refuses
duplicate keys and tags, and bounds everything that a hostile or broken file could blow up: bytes, depth, aliases.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any, Protocol

import yaml

from keeld.config.report import Place, Report
from keeld.config.scalars import resolve
from keeld.text import clean

MOST_BYTES = 16 << 20
_MOST_DEPTH = 64
_MOST_GROWTH = 10
_SMALL_NODES = 10_000

_PLAIN = "plain"
_QUOTED = ""
_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq"))
_STRING_TAG = "tag:yaml.org,2002:str"
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")


class Origin(Protocol):
    """Where an entry's values stand."""

    def at(self, *path: str | int) -> Place:
        """Give the place of the value under `path`, or of the nearest thing above it that is written down."""

    def key(self, *path: str | int) -> Place:
        """Give the place of the last key of `path`."""


class YamlOrigin:
    """Values that stand in a YAML file, below `node`; `start` is where the entry itself is said to begin."""

    __slots__ = ("_file", "_node", "_start")

    def __init__(self, file: str, node: yaml.Node, start: yaml.Node | None = None) -> None:
        self._file = file
        self._node = node
        self._start = start or node

    def at(self, *path: str | int) -> Place:
        """Give the place of the value under `path`, or of the nearest thing above it that is written down."""
        spot, node = self._start, self._node
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            spot = node = found[1]
        return self._place(spot)

    def key(self, *path: str | int) -> Place:
        """Give the place of the last key of `path`."""
        node = self._node
        for step in path[:-1]:
            found = _child(node, step)
            if found is None:
                return self.at(*path)
            node = found[1]
        found = _child(node, path[-1]) if path else None
        return self._place(found[0]) if found else self.at(*path)

    def below(self, step: str | int) -> YamlOrigin:
        """Give the origin of an entry; one under a key begins at its key."""
        found = _child(self._node, step)
        return YamlOrigin(self._file, found[1], found[0]) if found else self

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        if isinstance(step, int):
            return node, node  # one mapping where a list may stand is its only member
        return next(((key, value) for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def read_text(path: Path, place: Place, report: Report) -> str | None:
    """Read a whole text file of bounded size; what is wrong with it is reported at `place`."""
    named = "" if place.file == str(path) else f"{clean(path, 200)} "
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except IsADirectoryError:
        report.error(place, f"{named}is a directory", "name the file in it")
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the name holds a NUL"
        report.error(place, f"{named}cannot be read: {reason}", "check the path and its permissions")
        return None
    if len(raw) > MOST_BYTES:
        limit_mib = MOST_BYTES >> 20
        report.error(
            place, f"larger than {limit_mib} MiB", "move devices into CSV files, or check that this is the file"
        )
        return None
    return _decode(raw, str(path), report)


def _decode(raw: bytes, file: str, report: Report) -> str | None:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        report.error(Place(file, 1, 1), "UTF-16 text", "save the file as UTF-8")
        return None
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        report.error(_place_of(file, raw[: error.start].decode("utf-8")), "not UTF-8 text", "save the file as UTF-8")
        return None
    bad = _FORBIDDEN.search(text)
    if bad is not None:
        place = _place_of(file, text[: bad.start()])
        report.error(place, f"control character {bad[0]!a}", "remove it; is this a text file?")
        return None
    return text


def _place_of(file: str, before: str) -> Place:
    return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


class _Composer(yaml.CSafeLoader):
    """Composes nodes that are not resolved yet, counts them and bounds their depth."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = 0
        self._depth = 0

    def descend_resolver(self, current_node: yaml.Node | None, _current_index: Any) -> None:
        self.nodes += 1
        self._depth += 1
        if self._depth > _MOST_DEPTH and current_node is not None:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=current_node.start_mark)

    def ascend_resolver(self) -> None:
        self._depth -= 1

    def resolve(self, kind: type[yaml.Node], _value: Any, implicit: Any) -> str:
        return _PLAIN if kind is yaml.ScalarNode and implicit[0] else _QUOTED


def read_document(path: Path, report: Report) -> tuple[dict[str, Any], YamlOrigin] | None:
    """Read a YAML mapping with the origin of its values; None when it could not be read at all."""
    whole = Place(str(path))
    text = read_text(path, whole, report)
    if text is None:
        return None
    composer = _Composer(text)
    try:
        root = composer.get_single_node()
    except yaml.YAMLError as error:
        report.error(*_explain(str(path), error))
        return None
    finally:
        composer.dispose()
    if root is None:
        report.error(whole, "the file is empty", "write at least `site: {name: ...}`")
        return None
    if not isinstance(root, yaml.MappingNode):
        report.error(_mark(str(path), root), "the file is not a mapping", "begin with `site:` at the left margin")
        return None
    return _Plainer(str(path), report, composer.nodes).document(root)


_WORDS = {
    "nested too deeply": ("nested too deeply", f"at most {_MOST_DEPTH} levels"),
    "but found another document": ("a second document begins here", "keep one document in the file: remove `---`"),
    "found undefined alias": ("this alias has no anchor", "put a text that begins with * or & in quotes"),
    "mapping values are not allowed in this context": (
        "a `:` where no key can stand",
        "check the indentation, or put the text in quotes",
    ),
}


def _explain(file: str, error: yaml.YAMLError) -> tuple[Place, str, str]:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", "not YAML"))
    place = Place(file, mark.line + 1, mark.column + 1) if mark is not None else Place(file)
    if "cannot start any token" in problem or "tab character" in problem:
        return place, "a character that cannot stand here", "indent with spaces, not tabs; quote texts with @ ` or %"
    wrong, remedy = _WORDS.get(problem, (f"not valid YAML: {clean(problem, 120)}", _opened_at(error)))
    return place, wrong, remedy


def _opened_at(error: yaml.YAMLError) -> str:
    mark, context = getattr(error, "context_mark", None), getattr(error, "context", None)
    if mark is None or not context:
        return "check quotes, brackets and indentation before this place"
    return f"check quotes, brackets and indentation from line {mark.line + 1} on ({clean(context, 80)})"


def _mark(file: str, node: yaml.Node) -> Place:
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)


class _TooManyNodesError(Exception):
    """Aliases multiply the document beyond its bound."""


class _Plainer:
    """Turns nodes into plain values; mappings are flattened in place, so that an origin finds merged keys too."""

    def __init__(self, file: str, report: Report, nodes: int) -> None:
        self._file = file
        self._report = report
        self._left = nodes * _MOST_GROWTH + _SMALL_NODES
        self._flat: dict[int, bool] = {}

    def document(self, root: yaml.MappingNode) -> tuple[dict[str, Any], YamlOrigin] | None:
        try:
            values = self._plain(root, 0)
        except _TooManyNodesError:
            self._report.error(
                _mark(self._file, root),
                f"its aliases (*) unfold to more than {_MOST_GROWTH} times the file, or contain themselves",
                "write the repeated parts out, or use a range",
            )
            return None
        return values, YamlOrigin(self._file, root)

    def _plain(self, node: yaml.Node, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _MOST_DEPTH:
            raise _TooManyNodesError
        self._refuse_tag(node)
        if isinstance(node, yaml.MappingNode):
            self._flatten(node, depth)
            return {key.value: self._plain(value, depth + 1) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(value, depth + 1) for value in node.value]
        return node.value if node.tag in {_QUOTED, _STRING_TAG} else resolve(node.value)

    def _refuse_tag(self, node: yaml.Node) -> None:
        if node.tag.startswith(("!", "tag:")) and node.tag not in _TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._report.error(_mark(self._file, node), f"tag {clean(tag)}", "remove it: values need no tags here")

    def _flatten(self, node: yaml.MappingNode, depth: int) -> None:
        """Merge `<<` and drop what has no usable key; every mapping once, however many aliases lead to it."""
        if depth > _MOST_DEPTH:
            raise _TooManyNodesError
        if id(node) in self._flat:
            return
        self._flat[id(node)] = True
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            self._refuse_tag(key)
            if not isinstance(key, yaml.ScalarNode):
                self._report.error(_mark(self._file, key), "a key that is no word", "write `name: value`")
            elif key.value == "<<" and key.tag == _PLAIN:
                self._merge(value, merged, depth)
            elif key.value in own:
                first = own[key.value][0].start_mark.line + 1
                self._report.error(
                    _mark(self._file, key),
                    f"`{clean(key.value)}` stands here twice, first at line {first}",
                    "keep one of them",
                )
            else:
                own[key.value] = (key, value)
        node.value = list((merged | own).values())

    def _merge(self, value: yaml.Node, merged: dict[str, tuple[yaml.Node, yaml.Node]], depth: int) -> None:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self._report.error(_mark(self._file, source), "`<<` takes mappings only", "write `<<: *anchor`")
                continue
            self._flatten(source, depth + 1)
            for key, child in source.value:
                if isinstance(key, yaml.ScalarNode):
                    self._left -= 1
                    merged.setdefault(key.value, (key, child))

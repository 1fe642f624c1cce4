"""Ranges in names: `m-[01-36]` with `10.1.3.[1-36]` are 36 machines.

Groups hold numbers, single letters or a list of both (`[1-4,7]`); zeros in front are kept. Several groups in one text
count like an odometer, the last one fastest. All texts of one entry advance together, so they must be equally long;
a text without a range repeats.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

from keeld.text import clean

MOST = 100_000
_MEMBER = r"(?:[0-9]{1,9}(?:-[0-9]{1,9})?|[a-z]-[a-z])"
_GROUP = re.compile(rf"\[({_MEMBER}(?:,{_MEMBER})*)\]")

Leaf = tuple[str | int, ...]


class RangeError(Exception):
    """A range that cannot be expanded: what is wrong, the remedy, and the path of the text in its entry.

    Never leaves config.
    """

    def __init__(self, wrong: str, remedy: str, path: Leaf = ()) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.remedy = remedy
        self.path = path


def has_range(text: str) -> bool:
    """Whether the text holds at least one group; `[::1]` is an address, not a range."""
    return "[" in text and _GROUP.search(text) is not None


def expand(text: str) -> list[str]:
    """List the texts a range stands for. Raises RangeError when it runs backwards or is longer than `MOST`."""
    pieces = _GROUP.split(text)
    groups = [_members(group) for group in pieces[1::2]]
    count = math.prod(len(group) for group in groups)
    if count > MOST:
        raise RangeError(f"{clean(text)!r} stands for {count} names", f"at most {MOST} in one file")
    return [_joined(pieces[::2], choice) for choice in itertools.product(*groups)]


def _joined(fixed: list[str], choice: tuple[str, ...]) -> str:
    return "".join(itertools.chain.from_iterable(itertools.zip_longest(fixed, choice, fillvalue="")))


def _members(group: str) -> list[str]:
    members: list[str] = []
    for member in group.split(","):
        first, _, last = member.partition("-")
        members += _span(first, last or first)
        if len(members) > MOST:
            raise RangeError(f"range [{clean(group)}] is longer than {MOST}", "write a shorter range")
    return members


def _span(first: str, last: str) -> list[str]:
    low, high = (ord(first), ord(last)) if first.isalpha() else (int(first), int(last))
    if high < low:
        raise RangeError(f"range [{first}-{last}] runs backwards", f"write [{last}-{first}]")
    if high - low >= MOST:
        raise RangeError(f"range [{first}-{last}] is longer than {MOST}", "write a shorter range")
    if first.isalpha():
        return [chr(code) for code in range(low, high + 1)]
    width = len(first) if first.startswith("0") else 0
    return [f"{number:0{width}d}" for number in range(low, high + 1)]


def spread(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Give one mapping for each step of the ranges in `values`; itself alone when there is none.

    Ranges in the keys of an inner mapping (`measures: {"branch/[1-42]": "c-[01-42]"}`) unfold inside of it.
    """
    if not any("[" in text for text in _texts(values)):
        return [values]
    values = {key: _unfolded(value, (key,)) if isinstance(value, dict) else value for key, value in values.items()}
    tracks = dict(_tracks(values))
    if not tracks:
        return [values]
    lengths = {len(track) for track in tracks.values()}
    if len(lengths) > 1:
        raise _unequal(tracks)
    return [_at_step(values, tracks, step) for step in range(lengths.pop())]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)


def _unfolded(inner: dict[str, Any], path: Leaf) -> dict[str, Any]:
    unfolded: dict[str, Any] = {}
    for key, value in inner.items():
        if not has_range(key):
            unfolded[key] = value
            continue
        keys = _expand_at(key, (*path, key))
        ranged = isinstance(value, str) and has_range(value)
        targets = _expand_at(value, (*path, key)) if ranged else [value] * len(keys)
        if len(targets) != len(keys):
            raise _unequal({(*path, key): keys, (*path, key, ""): targets})
        unfolded.update(zip(keys, targets, strict=True))
    return unfolded


def _tracks(value: Any, path: Leaf = ()) -> Iterator[tuple[Leaf, list[str]]]:
    if isinstance(value, str) and has_range(value):
        yield path, _expand_at(value, path)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _tracks(inner, (*path, key))


def _expand_at(text: str, path: Leaf) -> list[str]:
    try:
        return expand(text)
    except RangeError as error:
        raise RangeError(error.wrong, error.remedy, path) from None


def _unequal(tracks: dict[Leaf, list[str]]) -> RangeError:
    (_, first), *others = tracks.items()
    path, other = next((path, track) for path, track in others if len(track) != len(first))
    return RangeError(
        f"ranges of unequal length: {_span_of(first)}, {_span_of(other)}",
        "let every range of an entry have as many steps",
        path,
    )


def _span_of(track: list[str]) -> str:
    return f"{clean(track[0])} to {clean(track[-1])} is {len(track)}"


def _at_step(value: Any, tracks: dict[Leaf, list[str]], step: int, path: Leaf = ()) -> Any:
    if path in tracks:
        return tracks[path][step]
    if isinstance(value, dict):
        return {key: _at_step(inner, tracks, step, (*path, key)) for key, inner in value.items()}
    return value

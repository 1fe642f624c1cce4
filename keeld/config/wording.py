"""Validation errors in the operator's words: what is wrong with the key, and what to write instead.

No message repeats a value that could be a secret: of unknown keys only the name is shown.
"""

from __future__ import annotations

import difflib
import functools
import heapq
from collections.abc import Callable, Iterable
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from keeld.config.service_schema import Channel, Document
from keeld.text import clean

_MOST_COMPARED = 60
_MOST_SHOWN = 8
_LONGEST = 80


class Fault(NamedTuple):
    """One validation error as a sentence; it stands at the value, or `at_key` where the key itself is wrong."""

    wrong: str
    remedy: str
    at_key: bool = False


@functools.lru_cache(maxsize=1024)
def _nearest(word: str, known: frozenset[str]) -> str | None:
    folded = {candidate.casefold(): candidate for candidate in known}
    if word.casefold() in folded:
        return folded[word.casefold()]
    # Thousands of wrong references into thousands of names would take minutes; those that begin alike come first.
    likely = heapq.nlargest(_MOST_COMPARED, sorted(known), key=lambda name: _shared_start(name, word))
    close = difflib.get_close_matches(word, likely, n=1, cutoff=0.6)
    return close[0] if close else None


def _shared_start(one: str, other: str) -> int:
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(other))


def suggest(word: str, known: Iterable[str], *, what: str) -> str:
    """Write the remedy for an unknown word: the one that was meant, or what there is to choose from."""
    candidates = frozenset(known)
    close = _nearest(word[:_LONGEST], candidates)
    if close is not None:
        return f"did you mean `{close}`?"
    if not candidates:
        return f"there is no {what} yet: add one"
    shown = ", ".join(sorted(candidates)[:_MOST_SHOWN])
    more = len(candidates) - _MOST_SHOWN
    return f"there is {shown} and {more} more" if more > 0 else f"there is {shown}"


def _label(path: tuple[int | str, ...]) -> str:
    words = [clean(step) if isinstance(step, str) else f"[{step}]" for step in path]
    if not words:
        return "the file"
    return "".join(words[-2:]) if isinstance(path[-1], int) else words[-1]


def explain(error: ErrorDetails) -> Fault:
    """Say one of pydantic's errors in our words."""
    kind, path, context = error["type"], error["loc"], error.get("ctx", {})
    label = f"`{_label(path)}`"
    if kind in _SPECIAL:
        return _SPECIAL[kind](error, label)
    if context.get("le") == 1:
        return Fault(f"{label} must be at most 1", "write a share of one: 0.8 is 80 %")
    wrong, remedy = _KINDS.get(kind, ("is not what belongs here", "see the commented example keeld.yaml"))
    return Fault(f"{label} {wrong.format(**context)}", remedy)


def _own(error: ErrorDetails, label: str) -> Fault:
    return Fault(f"{label}: {error['ctx']['wrong']}", error["ctx"]["remedy"])


def _missing(error: ErrorDetails, label: str) -> Fault:
    return Fault(f"{label} is missing", f"add `{error['loc'][-1]}: ...`")


def _unknown_key(error: ErrorDetails, label: str) -> Fault:
    return Fault(f"unknown key {label}", _nearest_key(error["loc"]), at_key=True)


def _unknown_word(error: ErrorDetails, label: str) -> Fault:
    value = error["input"]
    given = repr(clean(value, 40)) if isinstance(value, str | int | float) else "this"
    words = [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
    close = _nearest(str(value)[:_LONGEST], frozenset(words))
    return Fault(
        f"{label}: {given} is not known here", f"did you mean {close}?" if close else f"write {_either(words)}"
    )


def _no_kind(_error: ErrorDetails, _label: str) -> Fault:
    return Fault("a channel without `kind`", f"add kind: {_either(_channel_kinds())}")


def _unknown_kind(error: ErrorDetails, _label: str) -> Fault:
    tag = str(error["ctx"]["tag"])
    return Fault(f"unknown kind {clean(tag, 40)!r}", suggest(tag, _channel_kinds(), what="kind"))


def _either(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


_SPECIAL: dict[str, Callable[[ErrorDetails, str], Fault]] = {
    "keeld": _own,
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "literal_error": _unknown_word,
    "union_tag_not_found": _no_kind,
    "union_tag_invalid": _unknown_kind,
}
_FIGURE = "write a figure within it; the key's name carries the unit"
_MAPPING = ("must be a mapping", "write key: value pairs below it")
_KINDS = {
    "greater_than": ("must be over {gt:g}", _FIGURE),
    "greater_than_equal": ("must be at least {ge:g}", _FIGURE),
    "less_than": ("must be under {lt:g}", _FIGURE),
    "less_than_equal": ("must be at most {le:g}", _FIGURE),
    "string_too_short": ("is empty", "write it, or leave the key out"),
    "too_short": ("is an empty list", "write at least one"),
    "too_long": ("has more than {max_length} members", "write fewer"),
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dict_type": _MAPPING,
    "list_type": ("must be a list", "write [a, b] or one entry a line"),
}


def _channel_kinds() -> list[str]:
    return [
        word for model in get_args(get_args(Channel)[0]) for word in get_args(model.model_fields["kind"].annotation)
    ]


def _nearest_key(path: tuple[int | str, ...]) -> str:
    known = keys_at(path[:-1])
    key = str(path[-1])
    secret = f"{key}_file"
    if secret in known:
        return f"put the value in a file and write `{secret}: NAME`"
    return suggest(key, known, what="key")


def keys_at(path: tuple[int | str, ...]) -> frozenset[str]:
    """List the keys that the schema knows for the mapping at a validation error's path."""
    annotation: Any = Document
    for step in path:
        annotation = _below(annotation, step)
    model = _bare(annotation)
    return frozenset(model.model_fields) if _is_model(model) else frozenset()


def _below(annotation: Any, step: int | str) -> Any:
    annotation = _bare(annotation)
    if _is_model(annotation):
        field = annotation.model_fields.get(str(step))
        return field.annotation if field else None
    if get_origin(annotation) in {dict, list}:
        return get_args(annotation)[-1]
    # Of the channels' alternatives, pydantic names the one it chose by its kind.
    models = [model for model in get_args(annotation) if _is_model(model)]
    return next((model for model in models if step in get_args(model.model_fields["kind"].annotation)), None)


def _bare(annotation: Any) -> Any:
    """Take away `Annotated` and `| None` from around a type."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    inner = [alternative for alternative in get_args(annotation) if alternative is not NoneType]
    if NoneType in get_args(annotation) and len(inner) == 1:
        return _bare(inner[0])
    return annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)

"""Validation errors in the operator's words: what is wrong with the key, and what to write instead.

No message repeats a value that could be a secret: of unknown keys only the name is shown.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from keeld.config.service_schema import Channel, Document
from keeld.text import clean


class Fault(NamedTuple):
    """One validation error: whether it stands at the key or at the value, and its sentence."""

    at_key: bool
    wrong: str
    remedy: str


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word that was probably meant."""
    candidates = list(known)
    folded = {candidate.casefold(): candidate for candidate in candidates}
    if word.casefold() in folded:
        return folded[word.casefold()]
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return close[0] if close else None


def suggest(word: str, known: Iterable[str], *, what: str) -> str:
    """Write the remedy for an unknown word: the one that was meant, or what there is to choose from."""
    candidates = sorted(known)
    close = nearest(word, candidates)
    if close is not None:
        return f"did you mean `{close}`?"
    if not candidates:
        return f"there is no {what} yet: add one"
    shown = ", ".join(candidates[:8])
    return f"{what}s are {shown}" + (f" and {len(candidates) - 8} more" if len(candidates) > 8 else "")


def explain(error: ErrorDetails) -> Fault:
    """Say one of pydantic's errors in our words."""
    path, context = error["loc"], error.get("ctx", {})
    label, last = f"`{_label(path)}`", str(path[-1]) if path else ""
    match error["type"]:
        case "keeld":
            return Fault(False, f"{label}: {context['wrong']}", context["remedy"])
        case "missing":
            return Fault(False, f"{label} is missing", f"add `{last}: ...`")
        case "extra_forbidden":
            return Fault(True, f"unknown key {label}", _nearest_key(path))
        case "literal_error":
            return Fault(False, f"{label}: {_given(error)} is not known here", _choices(error))
        case "union_tag_not_found":
            return Fault(False, "a channel without `kind`", f"add one of: kind: {', '.join(_kinds())}")
        case "union_tag_invalid":
            tag = str(context.get("tag", ""))
            return Fault(False, f"unknown kind {clean(tag)!r}", suggest(tag, _kinds(), what="kind"))
        case kind:
            wrong, remedy = _KINDS.get(kind, ("is not what belongs here", "see the example in config/keeld.yaml"))
            return Fault(False, f"{label} {wrong.format(**context)}", remedy)


def _label(path: tuple[int | str, ...]) -> str:
    words = [clean(step) if isinstance(step, str) else f"[{step}]" for step in path]
    if not words:
        return "the file"
    return "".join(words[-2:]) if isinstance(path[-1], int) else words[-1]


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


def _given(error: ErrorDetails) -> str:
    value = error.get("input")
    return repr(clean(value, 40)) if isinstance(value, str | int | float) else "this"


def _choices(error: ErrorDetails) -> str:
    words = [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
    close = nearest(str(error.get("input")), words)
    return f"did you mean {close}?" if close else f"write one of {', '.join(words)}"


def _kinds() -> list[str]:
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

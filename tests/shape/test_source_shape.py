"""What makes the source readable, held by a machine: sizes, names, words."""

from __future__ import annotations

import ast
import builtins
import re

import pytest

LINES_MOST = 400
FUNCTION_LINES_MOST = 60
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "core", "manager", "managers", "misc"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LOG_METHODS = {"debug", "info", "warning", "error", "critical"}
PARDON = re.compile(r"#\s*(?:noqa\b(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type: ignore\b(?:\[[a-z,-]+\])?)(?P<rest>.*)")


def test_no_file_is_too_long(sources):
    assert [source.path for source in sources if len(source.text.splitlines()) > LINES_MOST] == []


def test_no_function_is_too_long(sources):
    long = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, FUNCTIONS) and node.end_lineno - node.lineno >= FUNCTION_LINES_MOST
    ]
    assert long == []


def test_every_module_says_what_it_is_for(sources):
    assert [source.path for source in sources if not ast.get_docstring(source.tree)] == []


def test_no_module_has_a_name_that_says_nothing(sources):
    assert [source.path for source in sources if EMPTY_NAMES & set(source.module.split("."))] == []


def test_every_exception_is_keelds_or_says_which_package_it_never_leaves(sources):
    """A class whose name starts with an underscore cannot leave its module, which says it already."""
    stray = []
    for source in sources:
        package = source.module.split(".")[1] if "." in source.module else ""
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ClassDef) or node.name == "KeeldError" or node.name.startswith("_"):
                continue
            if any(_is_builtin_exception(base) for base in node.bases):
                words = " ".join((ast.get_docstring(node) or "").split()).lower()
                if f"never leaves {package}." not in words:
                    stray.append(f"{source.path}:{node.lineno} {node.name}")
    assert stray == []


def _is_builtin_exception(base: ast.expr) -> bool:
    found = getattr(builtins, base.id, None) if isinstance(base, ast.Name) else None
    return isinstance(found, type) and issubclass(found, BaseException)


def test_every_error_in_errors_is_keelds():
    from keeld import errors

    found = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, Exception)]
    assert len(found) >= 4
    assert all(issubclass(thing, errors.KeeldError) for thing in found)


def test_every_log_event_is_a_lower_case_fact_without_values(sources):
    """One event, one fixed text: what varies is in its fields, so that events can be counted and searched."""
    odd, seen = [], 0
    for source in sources:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            if node.func.attr not in LOG_METHODS or not (isinstance(owner, ast.Name) and owner.id in {"log", "_log"}):
                continue
            seen += 1
            event = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if event is None or not re.fullmatch(r"[a-z][a-z0-9 ,'-]+[a-z]", event):
                odd.append(f"{source.path}:{node.lineno}")
    assert seen > 30
    assert odd == []


@pytest.mark.parametrize(
    ("line", "has_reason"),
    [
        ("x = 1  # noqa: S101 - it is meant", True),
        ("x = 1  # noqa: S101,N802  three phases", True),
        ("x = 1  # type: ignore[arg-type]  # narrowed before", True),
        ("x = 1  # noqa: S101", False),
        ("x = 1  # noqa", False),
        ("x = 1  # type: ignore[arg-type]", False),
    ],
)
def test_a_pardon_is_read_right(line, has_reason):
    assert _has_reason(PARDON.search(line)) is has_reason


def _has_reason(pardon):
    return bool(PARDON.sub("", pardon["rest"]).strip(" #-"))


def test_every_pardon_of_a_check_has_its_reason(root):
    bare = [
        f"{path.relative_to(root)}:{number}"
        for folder in ("keeld", "bench")
        for path in sorted((root / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := PARDON.search(line)) and not _has_reason(found)
    ]
    assert bare == []


def test_no_catch_all_outside_of_the_run(sources):
    """A bug ends the process and shows as one; only the run itself may see every exception, to stop in order."""
    caught = [
        f"{source.path}:{node.lineno}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and (node.type is None or _names(node.type) & {"Exception"})
    ]
    assert [place for place in caught if not place.startswith("keeld/app.py:")] == []


def _names(node: ast.expr) -> set[str]:
    return {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}

"""The JSON Schema of keeld.yaml, for completion and checks in editors."""

from __future__ import annotations

from typing import Any

from keeld.config.service_schema import UNFOLDED, Document


def json_schema() -> dict[str, Any]:
    """Give the schema of the file as it is written: with ranges, tables and lists, before they unfold."""
    schema = Document.model_json_schema()
    definitions = schema["$defs"]
    for section, model in UNFOLDED.items():
        entry = {"$ref": f"#/$defs/{model.__name__}"}
        definitions[f"{model.__name__}Row"] = _listed(definitions[model.__name__])
        definitions[f"{model.__name__}Table"] = _table(definitions[model.__name__])
        schema["properties"][section] = _section(model.__name__, entry)
    influx = schema["properties"]["influx"]
    schema["properties"]["influx"] = {"anyOf": [influx["items"], {"type": "array", "items": influx["items"]}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "keeld.yaml", **_untitled(schema)}


def _section(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    row, table = {"$ref": f"#/$defs/{name}Row"}, {"$ref": f"#/$defs/{name}Table"}
    return {
        "anyOf": [
            {"type": "object", "additionalProperties": entry},
            {"type": "array", "items": {"anyOf": [row, table]}},
            table,
        ]
    }


def _listed(entry: dict[str, Any]) -> dict[str, Any]:
    name = {"type": "string", "description": "Stable id; may hold ranges, as m-[01-36]."}
    required = ["name", *entry.get("required", [])]
    return {**entry, "properties": {"name": name, **entry["properties"]}, "required": required}


def _table(entry: dict[str, Any]) -> dict[str, Any]:
    file = {"type": "string", "description": "CSV file beside this one; the other keys are defaults of its rows."}
    table = {key: value for key, value in entry.items() if key != "additionalProperties"}
    return {**table, "properties": {"csv": file, **entry["properties"]}, "required": ["csv"]}


def _untitled(value: Any) -> Any:
    """Drop the titles that pydantic makes of names: they say nothing that the key does not."""
    if isinstance(value, dict):
        return {key: _untitled(inner) for key, inner in value.items() if key != "title" or not isinstance(inner, str)}
    if isinstance(value, list):
        return [_untitled(inner) for inner in value]
    return value

"""A smallest value that fits a JSON schema, for `response_format: json_schema`."""

from typing import Any

_MAX_DEPTH = 20


def instance_of(schema: dict[str, Any], text: str) -> Any:
    """A value for `schema` whose strings are `text`; understands what strict structured outputs allow."""
    return _value(schema, schema, text, depth=0)


def _value(schema: Any, root: dict[str, Any], text: str, *, depth: int) -> Any:
    if not isinstance(schema, dict):  # `true` and the like: anything fits
        return text
    if depth > _MAX_DEPTH:  # recursive schemas end in null
        return None
    if "$ref" in schema:
        return _value(_resolved(schema["$ref"], root), root, text, depth=depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return _value(schema[union][0], root, text, depth=depth + 1)
    return _typed(schema, root, text, depth=depth)


def _typed(schema: dict[str, Any], root: dict[str, Any], text: str, *, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _value(sub, root, text, depth=depth + 1) for name, sub in properties.items()}
    if kind == "array":
        item = _value(schema.get("items", {}), root, text, depth=depth + 1)
        return [item] * max(1, schema.get("minItems", 1))
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return {"boolean": True, "null": None}.get(kind, text)


def _resolved(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    node: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        node = node.get(part, {}) if part and isinstance(node, dict) else node
    return node if isinstance(node, dict) else {}

"""What the OpenAPI document says of every route, so that no route has to: errors, and who may call."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.gate import GUARDED

DESCRIPTION = """\
Hand in image and text jobs, one by one or as files of a million, with OpenAI's own clients or any other.

Errors have one shape, the provider's: `{"error": {"message", "type", "param", "code", "docs"}}`; `docs` leads to what
the code means and what to do. Every answer has an `x-request-id`."""

_ERRORS = {
    "400": "The request is not valid; `param` names the field.",
    "401": "No valid API key.",
    "403": "The key lacks the scope.",
    "404": "There is no such thing, or it belongs to another project.",
    "405": "Not with this method.",
    "409": "The state of the thing does not allow it.",
    "413": "The body is too large.",
    "415": "The body is of a media type, or compressed in a way, that is not taken.",
    "429": "Over the key's rate: come again after Retry-After.",
    "503": "A server is away: come again after Retry-After.",
}
_OPEN = {"405", "503"}
_SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code", "docs"],
            "properties": {
                "message": {"type": "string", "description": "What is wrong, and the remedy."},
                "type": {"type": "string", "enum": ["invalid_request_error", "rate_limit_error", "server_error"]},
                "param": {"type": ["string", "null"], "description": "The field that is at fault."},
                "code": {"type": ["string", "null"]},
                "docs": {"type": "string", "description": "Where the code is explained."},
            },
        }
    },
    "example": {
        "error": {
            "message": "no API key: send `Authorization: Bearer pr_…`; `pressroom keys create` makes one",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
            "docs": "http://127.0.0.1:8400/docs/errors#invalid_api_key",
        }
    },
}

_ID_PATTERNS = {
    "job": "^job_[0-9a-f]{32}$",
    "batch": "^batch_[0-9a-f]{32}$",
    "batche": "^batch_[0-9a-f]{32}$",
    "file": "^file-[0-9a-f]{32}$",
    "artifact": "^art_[0-9a-f]{32}$",
    "key": "^key_[0-9a-f]{32}$",
    "webhook": "^we_[0-9a-f]{32}$",
    "event": "^evt_[0-9]{1,18}$",
}
"""By the name of what has the id, as it stands in parameters and addresses."""


def describe(app: FastAPI) -> None:
    """Let the application make its document with this module's additions; it is made once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        description=DESCRIPTION,
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Error"] = _SHAPE
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _add_errors(path, operation)
            _add_ids(path, operation)
    for name in ("JobFilter", "Reprioritise"):
        if name in schemas:
            ids = schemas[name]["properties"]
            _say_pattern(ids["batch_id"], _ID_PATTERNS["batch"])
            _say_pattern(ids["ids"], _ID_PATTERNS["job"])
    return document


def _add_ids(path: str, operation: dict[str, Any]) -> None:
    """How ids in addresses look. Routes read them themselves, to say in their own words what is no id."""
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        kind = path.split("/")[2].removesuffix("s") if name == "after" else name.removesuffix("_id")
        if path.endswith("/deliveries") and name == "after":
            kind = "event"
        if parameter["in"] in ("path", "query") and kind in _ID_PATTERNS and name != "purpose":
            _say_pattern(parameter["schema"], _ID_PATTERNS[kind])


def _say_pattern(schema: dict[str, Any], pattern: str) -> None:
    """On the text that a schema holds, below `anyOf` and `items`."""
    for part in [schema, *schema.get("anyOf", ())]:
        if part.get("type") == "array":
            _say_pattern(part["items"], pattern)
        elif part.get("type") == "string":
            part.pop("minLength", None)
            part["pattern"] = pattern


def _add_errors(path: str, operation: dict[str, Any]) -> None:
    """What any route may answer. What a route says of a status itself stays."""
    answers = operation["responses"]
    answers.pop("422", None)  # answered as 400
    for status, description in _ERRORS.items():
        if path.startswith(GUARDED) or status in _OPEN:
            content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
            answers.setdefault(status, {"description": description, "content": content})

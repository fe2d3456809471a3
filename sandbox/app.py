"""Routes: the provider's endpoints, the pictures behind URLs, and the sandbox's own controls."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import orjson

from sandbox import errors
from sandbox.config import Config, ConfigError, ModelSpec, parse_config, patch_config
from sandbox.errors import ApiError
from sandbox.http import Reply, Request
from sandbox.provider import SANDBOX_HEADER, Provider, require_key

_CREATED = 1_721_172_741  # GET /v1/models wants a creation time; gpt-4o-mini's serves for all


class App:
    """Finds the handler of a request."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._control: dict[str, dict[str, Callable[[Request], Any]]] = {
            "/stats": {"GET": self._stats},
            "/sandbox/stats": {"GET": self._stats},
            "/sandbox/calls": {"GET": self._calls},
            "/sandbox/reset": {"POST": self._reset},
            "/sandbox/config": {"GET": self._get_config, "PUT": self._put_config, "PATCH": self._patch_config},
        }

    def __call__(self, request: Request) -> Awaitable[Reply]:
        """The answer to `request`."""
        if request.method == "POST":
            if request.path == "/v1/chat/completions":
                return self.provider.answer("chat", request)
            if request.path == "/v1/images/generations":
                return self.provider.answer("images", request)
        return self._other(request)

    async def _other(self, request: Request) -> Reply:
        path = request.path
        if path in self._control:
            return self._controlled(request)
        try:
            if path in ("/v1/chat/completions", "/v1/images/generations"):
                raise errors.wrong_method(request.method, path)
            if request.method == "GET":
                if path == "/v1/models" or path.startswith("/v1/models/"):
                    return self._models(request)
                if path.startswith("/files/"):
                    return await self.provider.file(path.removeprefix("/files/"), request)
                if path == "/":
                    return _json({"sandbox": "pressroom", "about": "A stand-in for the OpenAI API. Not OpenAI."})
            raise errors.unknown_url(request.method, path)
        except ApiError as error:
            headers = [("x-request-id", self.provider.request_id()), SANDBOX_HEADER, *error.headers]
            return Reply(error.status, error.body(), headers)

    def _models(self, request: Request) -> Reply:
        require_key(request)
        models = {name: m for name, m in self.provider.config.models.items() if not m.removed}
        headers = [("x-request-id", self.provider.request_id()), ("openai-version", "2020-10-01"), SANDBOX_HEADER]
        name = request.path.removeprefix("/v1/models").lstrip("/")
        if not name:
            data = [_model_json(n, m) for n, m in models.items()]
            return Reply(200, orjson.dumps({"object": "list", "data": data}), headers)
        if name not in models:
            raise errors.model_not_listed(name)
        return Reply(200, orjson.dumps(_model_json(name, models[name])), headers)

    def _controlled(self, request: Request) -> Reply:
        handlers = self._control[request.path]
        handler = handlers.get(request.method)
        if handler is None:
            return _json({"error": f"{request.path} takes {', '.join(handlers)}, not {request.method}"}, 405)
        try:
            return _json(handler(request))
        except ConfigError as error:
            return _json({"error": str(error)}, 400)

    def _stats(self, request: Request) -> dict[str, Any]:
        del request
        return {"sandbox": "pressroom", **self.provider.stats.as_json()}

    def _calls(self, request: Request) -> dict[str, Any]:
        query = parse_qs(request.query)
        limit = query.get("limit", ["100"])[0]
        if not limit.isascii() or not limit.isdigit():
            raise ConfigError(f"limit: {limit!r} is not a number of calls")
        return {"calls": self.provider.stats.recent(int(limit), query.get("model", [None])[0])}

    def _reset(self, request: Request) -> dict[str, Any]:
        del request
        self.provider.reset()
        return {"reset": True}

    def _get_config(self, request: Request) -> dict[str, Any]:
        del request
        return self.provider.config.model_dump(mode="json")

    def _put_config(self, request: Request) -> dict[str, Any]:
        return self._apply(parse_config(_control_body(request)))

    def _patch_config(self, request: Request) -> dict[str, Any]:
        return self._apply(patch_config(self.provider.config, _control_body(request)))

    def _apply(self, config: Config) -> dict[str, Any]:
        self.provider.reconfigure(config)
        return config.model_dump(mode="json")


def _control_body(request: Request) -> dict[str, Any]:
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ConfigError("the body is not a JSON object")
    return body


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(value), [SANDBOX_HEADER])


def _model_json(name: str, spec: ModelSpec) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": _CREATED,
        "owned_by": "sandbox",
        "shutdown_date": spec.shutdown_date,
    }

"""The provider's error bodies, word for word where they are known (docs/sandbox.md names the inferred ones)."""

from dataclasses import dataclass, field

import orjson


@dataclass(frozen=True, slots=True)
class ApiError(Exception):
    """An answer `{"error": {message, type, param, code}}` with an HTTP status and extra headers."""

    status: int
    message: str
    type: str | None = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())

    def body(self) -> bytes:
        """The JSON body, indented as the provider indents it."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2)


def missing(param: str) -> ApiError:
    """A required parameter is absent."""
    message = f"Missing required parameter: '{param}'."
    return ApiError(400, message, param=param, code="missing_required_parameter")


def invalid(param: str, message: str, *, code: str) -> ApiError:
    """A parameter has a value that the provider does not take."""
    return ApiError(400, message, param=param, code=code)


def quoted_list(values: tuple[str, ...]) -> str:
    """`'a'`, `'a' and 'b'`, `'a', 'b', and 'c'`: how the provider lists the values it takes."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) <= 2:
        return " and ".join(quoted)
    return ", ".join(quoted[:-1]) + f", and {quoted[-1]}"


def not_one_of(param: str, value: object, supported: tuple[str, ...]) -> ApiError:
    """A value outside an enumeration."""
    message = f"Invalid value: '{value}'. Supported values are: {quoted_list(supported)}."
    return invalid(param, message, code="invalid_value")


def wrong_type(param: str, expected: str, value: object) -> ApiError:
    """A value of the wrong JSON type."""
    message = f"Invalid type for '{param}': expected {expected}, but got {json_type(value)} instead."
    return invalid(param, message, code="invalid_type")


def json_type(value: object) -> str:
    """What the provider calls the type of a JSON value."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "an integer", float: "a decimal number", str: "a string", list: "an array"}
    return names.get(type(value), "an object")


NO_KEY = ApiError(
    401,
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the "
    "API from your browser and are prompted for a username and password. You can obtain an API key from "
    "https://platform.openai.com/account/api-keys.",
)
BAD_KEY = ApiError(
    401,
    "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
    code="invalid_api_key",
)
BAD_JSON = ApiError(
    400,
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble "
    "figuring out how to fix this, please contact us through our help center at help.openai.com.)",
)
NO_MODEL = ApiError(400, "you must provide a model parameter")
NO_STREAM = invalid(
    "stream", "The sandbox does not stream: send the request without 'stream'.", code="unsupported_value"
)
IMAGE_REJECTED = ApiError(
    400,
    "Your request was rejected as a result of our safety system. Your prompt may contain text that is not allowed by "
    "our safety system.",
    code="content_policy_violation",
)


def unknown_url(method: str, path: str) -> ApiError:
    """No such endpoint."""
    return ApiError(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str, path: str) -> ApiError:
    """The endpoint exists but not for this method."""
    hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
    return ApiError(405, f"Not allowed to {method} on {path}. {hint}", headers=(("allow", "POST"),))


def chat_model_missing(model: str) -> ApiError:
    """Chat completions and the models endpoint, for an id that was never served."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found")


def chat_model_removed(model: str) -> ApiError:
    """Chat completions, for a model that was shut down."""
    message = f"The model `{model}` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations"
    return ApiError(404, message, code="model_not_found")


def image_model_missing(model: str) -> ApiError:
    """Images: one body for removed and unknown models, sent before any other check."""
    return ApiError(400, f"The model '{model}' does not exist.", param="model", code="invalid_value")


def server_error(request_id: str) -> ApiError:
    """HTTP 500."""
    message = (
        "The server had an error while processing your request. Sorry about that! You can retry your request, or "
        "contact us through our help center at help.openai.com if the error persists. "
        f"(Please include the request ID {request_id} in your message.)"
    )
    return ApiError(500, message, type="server_error")


def out_of_range(param: str, kind: str, value: float, *, bound: float, above: bool) -> ApiError:
    """A number (`kind` integer or decimal) beyond the bound that it may not pass."""
    extreme, sign, side = ("maximum", "<=", "above_max") if above else ("minimum", ">=", "below_min")
    message = (
        f"Invalid '{param}': {kind} {'above' if above else 'below'} {extreme} value. "
        f"Expected a value {sign} {bound:g}, but got {value} instead."
    )
    return invalid(param, message, code=f"{kind}_{side}_value")


def check_integer(param: str, value: object, *, low: int, high: int | None) -> None:
    """Raise unless `value` is None or an integer within the bounds."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(param, "an integer", value)
    if value < low:
        raise out_of_range(param, "integer", value, bound=low, above=False)
    if high is not None and value > high:
        raise out_of_range(param, "integer", value, bound=high, above=True)


def not_a_chat_model() -> ApiError:
    """Chat completions with a model of another endpoint."""
    message = (
        "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
        "Did you mean to use v1/completions?"
    )
    return ApiError(404, message, param="model")


def model_not_listed(model: str) -> ApiError:
    """GET /v1/models/{id} for an id that is not served."""
    return ApiError(404, f"The model '{model}' does not exist", param="model", code="model_not_found")

"""`/v1/chat/completions`: text in, text out, pictures in where the model sees.

How tokens are estimated (no tokenizer: half of the ingest budget would go to it)
    input, likely    a quarter of the UTF-8 bytes of all text, 4 for each message, 3 for the reply's start, and for each
                     picture what its size takes (vision.py), or the catalog's typical figure where that is not known
    input, at most   every byte of text (a token is at least one), 8 for each message, 16 for the frame, and for each
                     picture what its size takes, or the catalog's largest figure
    output, likely   the model's typical answer, or the limit asked for where that is lower
    output, at most  the limit asked for, else the model's maximum
`tokens` is what the provider's TPM account takes: the likely input plus the limit asked for (it is charged in full,
used or not), or plus the likely output where none was asked for. Output counts n times. Nothing is cut off at the
model's context: an endpoint may take more than the catalog says, and would bill it. What is certainly beyond it is
refused.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pressroom.catalog.entries import CatalogModel
from pressroom.catalog.load import catalog
from pressroom.errors import Problem
from pressroom.money.cost import per_million, unpriced
from pressroom.money.prices import LONG, PriceRow
from pressroom.operations import checks
from pressroom.operations.base import Body, Estimate, MalformedReply, Reply, Usage
from pressroom.operations.messages import (
    LONGEST_TOKEN_BYTES,
    Size,
    json_length,
    least_tokens,
    measure,
    message_problems,
)
from pressroom.operations.replies import count, object_at, required_count, served_tier

URL = "/v1/chat/completions"
TYPICAL_OUTPUT_TOKENS = 350
MAX_OUTPUT_TOKENS = 16_384
"""For models of which the catalog does not say."""

_MESSAGE_BOUND, _FRAME_BOUND = 8, 16


def _stop(field: str, value: Any) -> Problem | None:
    if type(value) is str:
        return None
    if type(value) is list and len(value) <= 4 and all(type(text) is str for text in value):
        return None
    return checks.wrong_type(field, value, "a string or an array of up to 4 strings")


def _response_format(field: str, value: Any) -> Problem | None:
    if type(value) is not dict:
        return checks.wrong_type(field, value, "an object with a type")
    kind = value.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        remedy = "Give one of: text, json_object, json_schema"
        return Problem(f"{field}.type", "is not one of the allowed values", remedy, value=checks.shown(kind))
    schema = value.get("json_schema")
    if kind == "json_schema" and (type(schema) is not dict or type(schema.get("name")) is not str):
        return checks.wrong_type(f"{field}.json_schema", schema, "an object with a name and a schema")
    return None


def _tools(field: str, value: Any) -> Problem | None:
    if type(value) is not list:
        return checks.wrong_type(field, value, "an array of tools")
    for index, tool in enumerate(value):
        if type(tool) is not dict or type(tool.get("type")) is not str:
            return checks.wrong_type(f"{field}[{index}]", tool, "an object with a type")
        if tool["type"] == "function":
            function = tool.get("function")
            if type(function) is not dict or type(function.get("name")) is not str:
                return checks.wrong_type(f"{field}[{index}].function", function, "an object with a name")
    return None


def _name_or_object(field: str, value: Any) -> Problem | None:
    return None if type(value) in (str, dict) else checks.wrong_type(field, value, "a string or an object")


_PENALTY = checks.number(-2, 2)
_FIELDS: dict[str, checks.Check] = {
    "audio": checks.mapping,
    "frequency_penalty": _PENALTY,
    "function_call": _name_or_object,
    "functions": checks.array,
    "logit_bias": checks.mapping,
    "logprobs": checks.boolean,
    "max_completion_tokens": checks.integer(1),
    "max_tokens": checks.integer(1),
    "metadata": checks.metadata,
    "modalities": checks.array,
    "n": checks.integer(1, 128),
    "parallel_tool_calls": checks.boolean,
    "prediction": checks.mapping,
    "presence_penalty": _PENALTY,
    "prompt_cache_key": checks.string,
    "reasoning_effort": checks.one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "response_format": _response_format,
    "safety_identifier": checks.string,
    "seed": checks.integer(-(2**63), 2**63 - 1),
    "service_tier": checks.one_of("auto", "default", "flex", "scale", "priority", "fast"),
    "stop": _stop,
    "store": checks.boolean,
    "stream": checks.not_streamed,
    "temperature": checks.number(0, 2),
    "tool_choice": _name_or_object,
    "tools": _tools,
    "top_logprobs": checks.integer(0, 20),
    "top_p": checks.number(0, 1),
    "user": checks.string,
    "verbosity": checks.one_of("low", "medium", "high"),
}
"""Known optional fields. A field that is not here is passed on as it is."""

_SENT_AS_TEXT = ("tools", "functions", "response_format", "prediction")


class Chat:
    """Implements `Operation` for chat completions."""

    url = URL

    def problems(self, body: Body) -> list[Problem]:
        """Everything wrong with the body, by field."""
        found: list[Problem] = []
        model = body.get("model")
        if (problem := checks.model_problem(model)) is not None:
            found.append(problem)
        found.extend(message_problems(body.get("messages")))
        for name, value in body.items():
            check = _FIELDS.get(name)
            if check is not None and value is not None and (problem := check(name, value)) is not None:
                found.append(problem)
        if not found:
            found.extend(_across_fields(body, catalog().model(body["model"])))
        return found

    def estimate(self, body: Body, price: PriceRow) -> Estimate:
        """Tokens and cost before sending (see the top of this file). Raises UnpricedUsage."""
        entry = catalog().model(body["model"])
        size = measure(body["messages"], entry.vision if entry is not None else None)
        for name in _SENT_AS_TEXT:
            if body.get(name) is not None:
                size.text_bytes += json_length(body[name])
        bound_in = _input_bound(size)
        likely_in = -(-size.text_bytes // 4) + 4 * size.messages + 3 + size.image_tokens
        limit = output_limit(body)
        typical = (entry.typical_output_tokens if entry is not None else None) or TYPICAL_OUTPUT_TOKENS
        choices = body.get("n") or 1
        likely_out = choices * (typical if limit is None else min(typical, limit))
        bound_out = choices * (limit if limit is not None else _max_output(entry))
        return Estimate(
            tokens=likely_in + (likely_out if limit is None else choices * limit),
            images=0,
            cost_usd=_cost(price, entry, bound_in, bound_out, bound=True),
            expected_usd=_cost(price, entry, likely_in, likely_out, bound=False),
            input_tokens=likely_in,
            output_tokens=likely_out,
        )

    def outgoing(self, body: Body) -> dict[str, Any]:
        """The body as it is."""
        return dict(body)

    def read(self, body: Body, response: Any) -> Reply:
        """Take a chat completion apart. Raises MalformedReply."""
        answer = object_at("the response", response)
        choices = answer.get("choices")
        if type(choices) is not list or not choices:
            raise MalformedReply("the response has no choices")
        for index, choice in enumerate(choices):
            object_at(f"choices[{index}].message", object_at(f"choices[{index}]", choice).get("message"))
        return Reply(body=answer, images=(), usage=_usage(answer))


def output_limit(body: Body) -> int | None:
    """The limit of output tokens that the body asks for, by either of its names."""
    limit = body.get("max_completion_tokens")
    if limit is None:
        limit = body.get("max_tokens")
    return limit


def _across_fields(body: Body, entry: CatalogModel | None) -> list[Problem]:
    found: list[Problem] = []
    both = body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None
    if both:
        found.append(Problem("max_tokens", "is given beside max_completion_tokens", "Keep max_completion_tokens only"))
    if body.get("top_logprobs") is not None and body.get("logprobs") is not True:
        found.append(Problem("top_logprobs", "needs logprobs", 'Add "logprobs": true, or leave top_logprobs out'))
    if entry is None:
        return found
    if entry.context_tokens is not None and (tokens := least_tokens(body["messages"])) > entry.context_tokens:
        found.append(_beyond_context(tokens, entry.name, entry.context_tokens))
    if URL not in entry.endpoints:
        remedy = f"Send it to one of: {', '.join(entry.endpoints)}"
        found.append(Problem("model", f"is not served at {URL}", remedy, value=entry.name))
    if entry.reasoning and body.get("max_tokens") is not None and not both:
        remedy = "Rename it to max_completion_tokens; it counts reasoning too"
        found.append(Problem("max_tokens", f"is not accepted by {entry.name}", remedy, code="unsupported_parameter"))
    limit = output_limit(body)
    if limit is not None and entry.max_output_tokens is not None and limit > entry.max_output_tokens:
        name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
        reason = f"is more than {entry.name} can answer"
        found.append(Problem(name, reason, f"Give at most {entry.max_output_tokens}", value=str(limit)))
    return found


def _beyond_context(tokens: int, model: str, context: int) -> Problem:
    reason = f"cannot fit into the {context:,} tokens of {model}"
    remedy = (
        f"Shorten the texts, or split the request; tokens are {LONGEST_TOKEN_BYTES} bytes long at most and 4 mostly"
    )
    value = f"{tokens:,} tokens at least"
    return Problem("messages", reason, remedy, value=value, code="context_length_exceeded")


def _max_output(entry: CatalogModel | None) -> int:
    return (entry.max_output_tokens if entry is not None else None) or MAX_OUTPUT_TOKENS


def _input_bound(size: Size) -> int:
    return size.text_bytes + _MESSAGE_BOUND * size.messages + _FRAME_BOUND + size.image_tokens_bound


def _cost(price: PriceRow, entry: CatalogModel | None, tokens_in: int, tokens_out: int, *, bound: bool) -> Decimal:
    input_usd, output_usd = price.input_usd, price.output_usd
    if input_usd is None or output_usd is None:
        raise unpriced(price, *(name for name in ("input_usd", "output_usd") if getattr(price, name) is None))
    if bound and price.cache_write_usd is not None and price.cache_write_usd > input_usd:
        input_usd = price.cache_write_usd
    usd_in, usd_out = per_million(tokens_in, input_usd), per_million(tokens_out, output_usd)
    long = entry.long_context if entry is not None else None
    if long is not None and tokens_in > long.above_input_tokens and not price.service_tier.endswith(LONG):
        usd_in, usd_out = usd_in * long.input_factor, usd_out * long.output_factor
    return usd_in + usd_out


def _usage(answer: Mapping[str, Any]) -> Usage:
    usage = object_at("usage", answer.get("usage"))
    details = usage.get("prompt_tokens_details")
    details = {} if details is None else object_at("usage.prompt_tokens_details", details)
    prompt_tokens = required_count("usage.prompt_tokens", usage.get("prompt_tokens"))
    cached = count("usage.prompt_tokens_details.cached_tokens", details.get("cached_tokens", 0))
    written = count("usage.prompt_tokens_details.cache_write_tokens", details.get("cache_write_tokens", 0))
    if cached + written > prompt_tokens:
        raise MalformedReply(f"usage has {cached} cached and {written} written tokens of {prompt_tokens} in all")
    return Usage(
        input_tokens=prompt_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=required_count("usage.completion_tokens", usage.get("completion_tokens")),
        service_tier=served_tier(answer),
        raw=usage,
    )

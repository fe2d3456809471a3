"""Every error body in the provider's shape, seen through the real SDK."""

import http.client
import json
from typing import Any

import openai
import pytest

from tests.sandbox_process import SandboxProcess

USER = [{"role": "user", "content": "Describe a fox."}]


def post(client: openai.OpenAI, path: str, body: dict[str, Any]) -> openai.APIStatusError:
    """The error that `body` is answered with."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.post(path, body=body, cast_to=object)
    return caught.value


def seen(error: openai.APIStatusError) -> tuple[int, str | None, str | None, str | None]:
    """Status, type, param and code."""
    return error.status_code, error.type, error.param, error.code


IMAGES = [
    ({}, (400, "invalid_request_error", "prompt", "missing_required_parameter"), "Missing required"),
    ({"prompt": ""}, (400, "invalid_request_error", "prompt", "empty_string"), "empty string"),
    ({"prompt": 5}, (400, "invalid_request_error", "prompt", "invalid_type"), "expected a string, but got an integer"),
    (
        {"prompt": "x" * 1001},
        (400, "invalid_request_error", "prompt", "string_above_max_length"),
        "maximum length 1000, but got a string with length 1001",
    ),
    ({"n": 0}, (400, "invalid_request_error", "n", "integer_below_min_value"), "Expected a value >= 1, but got 0"),
    ({"n": 11}, (400, "invalid_request_error", "n", "integer_above_max_value"), "Expected a value <= 10, but got 11"),
    ({"n": "2"}, (400, "invalid_request_error", "n", "invalid_type"), "expected an integer"),
    ({"n": True}, (400, "invalid_request_error", "n", "invalid_type"), "a boolean"),
    ({"size": "300x300"}, (400, "invalid_request_error", "size", "invalid_value"), "Invalid value: '300x300'"),
    ({"size": "1792x1024"}, (400, "invalid_request_error", None, "invalid_size"), "not supported by this model"),
    ({"response_format": "png"}, (400, "invalid_request_error", "response_format", "invalid_value"), "'b64_json'"),
    ({"quality": "hd"}, (400, "invalid_request_error", "quality", "invalid_value"), "'standard'"),
    ({"style": "vivid"}, (400, "invalid_request_error", "style", "unknown_parameter"), "Unknown parameter: 'style'."),
]
CHAT = [
    ({"messages": None}, (400, "invalid_request_error", "messages", "missing_required_parameter"), "Missing required"),
    ({"messages": []}, (400, "invalid_request_error", "messages", "empty_array"), "empty array"),
    ({"messages": "hi"}, (400, "invalid_request_error", "messages", "invalid_type"), "an array of objects"),
    (
        {"messages": [{"content": "x"}]},
        (400, "invalid_request_error", "messages[0].role", "missing_required_parameter"),
        "",
    ),
    ({"messages": [{"role": "boss"}]}, (400, "invalid_request_error", "messages[0].role", "invalid_value"), "'boss'"),
    ({"messages": [{"role": "user"}]}, (400, "invalid_request_error", "messages[0].content", "invalid_type"), "null"),
    ({"stream": True}, (400, "invalid_request_error", "stream", "unsupported_value"), "does not stream"),
    ({"temperature": 2.5}, (400, "invalid_request_error", "temperature", "decimal_above_max_value"), "<= 2"),
    ({"top_p": "hot"}, (400, "invalid_request_error", "top_p", "invalid_type"), "a decimal"),
    ({"n": 0}, (400, "invalid_request_error", "n", "integer_below_min_value"), ">= 1"),
    ({"max_tokens": 20_000}, (400, "invalid_request_error", "max_tokens", "invalid_value"), "at most 16384"),
    (
        {"max_tokens": 5, "max_completion_tokens": 5},
        (400, "invalid_request_error", "max_tokens", "invalid_parameter_combination"),
        "at the same time",
    ),
    ({"stop": 5}, (400, "invalid_request_error", "stop", "invalid_type"), "array of strings"),
    ({"response_format": "json"}, (400, "invalid_request_error", "response_format", "invalid_type"), "an object"),
    ({"prompt": "x"}, (400, "invalid_request_error", None, None), "Unrecognized request argument supplied: prompt"),
    ({"model": None}, (400, "invalid_request_error", None, None), "you must provide a model parameter"),
    ({"model": "gpt-9"}, (404, "invalid_request_error", None, "model_not_found"), "The model `gpt-9` does not exist"),
    ({"model": "dall-e-2"}, (404, "invalid_request_error", "model", None), "not a chat model"),
    (
        {"model": "gpt-6-luna", "max_tokens": 50},
        (400, "invalid_request_error", "max_tokens", "unsupported_parameter"),
        "Use 'max_completion_tokens' instead",
    ),
    (
        {"model": "gpt-6-luna", "temperature": 0.5},
        (400, "invalid_request_error", "temperature", "unsupported_value"),
        "Only the default (1) value",
    ),
    (
        {"messages": [{"role": "user", "content": "word " * 140_000}]},
        (400, "invalid_request_error", "messages", "context_length_exceeded"),
        "maximum context length is 128000 tokens",
    ),
]


@pytest.mark.parametrize(("change", "expected", "words"), IMAGES)
def test_image_requests_that_break_the_contract(
    client: openai.OpenAI, change: dict[str, Any], expected: tuple[Any, ...], words: str
) -> None:
    base = {"model": "dall-e-2"} if not change else {"model": "dall-e-2", "prompt": "a fox"}
    error = post(client, "/images/generations", base | change)

    assert seen(error) == expected
    assert words in error.message
    assert isinstance(error, openai.BadRequestError)


@pytest.mark.parametrize(("change", "expected", "words"), CHAT)
def test_chat_requests_that_break_the_contract(
    client: openai.OpenAI, change: dict[str, Any], expected: tuple[Any, ...], words: str
) -> None:
    error = post(client, "/chat/completions", {"model": "gpt-4o-mini", "messages": USER} | change)

    assert seen(error) == expected
    assert words in error.message


def test_an_unknown_image_model_is_said_before_anything_else(client: openai.OpenAI) -> None:
    error = post(client, "/images/generations", {"model": "dall-e-3", "n": 99, "size": "?"})

    assert isinstance(error, openai.BadRequestError)
    assert error.message.endswith("The model 'dall-e-3' does not exist.")


def test_a_removed_chat_model(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    sandbox.configure(models={"gpt-4o-mini": {"removed": True}})
    error = post(client, "/chat/completions", {"model": "gpt-4o-mini", "messages": USER})

    assert seen(error) == (404, "invalid_request_error", None, "model_not_found")
    assert "The model `gpt-4o-mini` has been deprecated, learn more here" in error.message


def raw(
    sandbox: SandboxProcess, method: str, path: str, body: bytes = b"", *, key: str | None = None
) -> tuple[int, Any]:
    """A call that the SDK would not make."""
    connection = http.client.HTTPConnection(sandbox.origin.removeprefix("http://"), timeout=5)
    try:
        connection.request(method, path, body, {} if key is None else {"Authorization": key})
        response = connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if data else None
    finally:
        connection.close()


@pytest.mark.parametrize("authorization", [None, "", "Bearer ", "Basic abc"])
def test_a_key_is_required(sandbox: SandboxProcess, authorization: str | None) -> None:
    for method, path in (("POST", "/v1/chat/completions"), ("POST", "/v1/images/generations"), ("GET", "/v1/models")):
        status, body = raw(sandbox, method, path, key=authorization)

        assert status == 401
        assert body["error"]["message"].startswith("You didn't provide an API key.")
        assert set(body["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"x"'])
def test_bodies_that_are_no_json_object(sandbox: SandboxProcess, body: bytes) -> None:
    status, answer = raw(sandbox, "POST", "/v1/chat/completions", body, key="Bearer x")

    assert status == 400
    assert answer["error"]["message"].startswith("We could not parse the JSON body of your request.")


def test_wrong_urls_and_methods(sandbox: SandboxProcess) -> None:
    assert raw(sandbox, "POST", "/v1/images/variations")[1]["error"]["message"] == (
        "Invalid URL (POST /v1/images/variations)"
    )
    assert raw(sandbox, "GET", "/v1/chat/completions")[0] == 405
    assert raw(sandbox, "DELETE", "/sandbox/stats")[0] == 405
    assert raw(sandbox, "HEAD", "/")[0] == 405
    assert raw(sandbox, "PATCH", "/sandbox/config", b"[]")[1] == {"error": "the body is not a JSON object"}
    assert raw(sandbox, "GET", "/sandbox/calls?limit=many")[0] == 400

"""From a prompt to a request: which endpoint, and which options go where."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import orjson

from pressroom.batches.input_line import PromptOptions
from pressroom.catalog.entries import CatalogModel
from pressroom.catalog.load import catalog, other_models
from pressroom.errors import InvalidInput, Problem
from pressroom.money.prices import price_command
from pressroom.operations import chat, image_generate
from pressroom.operations.checks import shown
from pressroom.operations.registry import operation_for

_URL_OF_KIND = {"chat": chat.URL, "image": image_generate.URL}
_OPTIONS_OF_URL = {
    chat.URL: ("max_tokens", "n", "system", "temperature"),
    image_generate.URL: ("size", "n", "response_format", "quality"),
}
_ALWAYS = ("model", "column", "url", "extra")
_PLACEHOLDER = "x"


class PromptRequests:
    """Makes the request of each prompt. Raises InvalidInput at once where an option is at fault: not line by line."""

    def __init__(self, options: PromptOptions, *, source: str) -> None:
        entry = catalog().model(options.model) if options.model is not None else None
        problems = _model_problems(options, entry)
        if problems:
            raise InvalidInput(problems, source=source)
        self.url = options.url if options.url is not None else _URL_OF_KIND[entry.kind] if entry is not None else ""
        problems = _misplaced(options, self.url)
        if problems:
            raise InvalidInput(problems, source=source)
        self._make = _maker(options, entry, self.url)
        problems = _template_problems(self.url, self._make(_PLACEHOLDER))
        if problems:
            raise InvalidInput(problems, source=source)

    def body(self, prompt: str) -> tuple[dict[str, Any], str]:
        """The body, and its JSON text."""
        body = self._make(prompt)
        return body, orjson.dumps(body).decode()


def refuse_options(options: PromptOptions, *, source: str) -> None:
    """Files in the batch format bring their own bodies. Raises InvalidInput when an option was given all the same."""
    given = [f.name for f in fields(options) if getattr(options, f.name) not in (None, {})]
    reason = "is for files of prompts; every line of a batch file carries its own request"
    remedy = "Leave it out, or give a .txt, .csv or .tsv file"
    if given:
        raise InvalidInput([Problem(name, reason, remedy) for name in given], source=source)


def refuse_column(options: PromptOptions, *, source: str) -> None:
    """A file with a prompt on each line has no columns. Raises InvalidInput when one was named all the same."""
    if options.column is not None:
        reason = "is for tables; this file has no columns but a prompt on each line"
        remedy = "Leave it out, or give a .csv or .tsv file"
        raise InvalidInput([Problem("column", reason, remedy, value=shown(options.column))], source=source)


def _model_problems(options: PromptOptions, entry: CatalogModel | None) -> list[Problem]:
    if not options.model:
        remedy = "Name the model that gets the prompts, as gpt-4o-mini or dall-e-2"
        return [Problem("model", "is required for a file of prompts", remedy, code="missing_required_parameter")]
    if options.url is not None:
        return []
    if entry is None:
        command = price_command("MODEL", "input_usd", "output_usd")
        own = f"One of your own needs a price ({command}) and its endpoint (url)"
        remedy = f"{other_models(options.model, catalog().priced())}. {own}"
        return [Problem("model", "is not in the catalog", remedy, value=shown(options.model), code="model_not_found")]
    if _URL_OF_KIND[entry.kind] not in entry.endpoints:
        remedy = "Name the endpoint too (url), or give a file in the batch format"
        return [Problem("model", "takes no plain prompts", remedy, value=entry.name)]
    return []


def _misplaced(options: PromptOptions, url: str) -> list[Problem]:
    allowed = _OPTIONS_OF_URL.get(url)
    if allowed is None:
        remedy = f"Give one of: {', '.join(_OPTIONS_OF_URL)}"
        return [Problem("url", "takes no plain prompts", remedy, value=shown(url), code="invalid_url")]
    reason = f"is not an option of {options.model} at {url}"
    remedy = f"Leave it out; there are: {', '.join(allowed)}"
    return [
        Problem(f.name, reason, remedy)
        for f in fields(options)
        if f.name not in allowed and f.name not in _ALWAYS and getattr(options, f.name) is not None
    ]


def _maker(options: PromptOptions, entry: CatalogModel | None, url: str) -> Callable[[str], dict[str, Any]]:
    if url == image_generate.URL:
        rest = _given(options, ("n", "size", "quality", "response_format")) | options.extra
        return lambda prompt: {"model": options.model, "prompt": prompt, **rest}
    rest = _given(options, ("max_tokens", "n", "temperature"))
    if entry is not None and entry.reasoning and "max_tokens" in rest:
        rest["max_completion_tokens"] = rest.pop("max_tokens")
    rest |= options.extra
    system = [] if options.system is None else [{"role": "system", "content": options.system}]
    return lambda prompt: {
        "model": options.model,
        "messages": [*system, {"role": "user", "content": prompt}],
        **rest,
    }


def _given(options: PromptOptions, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _template_problems(url: str, body: dict[str, Any]) -> list[Problem]:
    try:
        orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        return [Problem("options", f"cannot be written as JSON ({error})", "Give plain UTF-8 text and numbers")]
    operation = operation_for(url)
    problems = operation.problems(body) if operation is not None else []
    return [
        replace(problem, field="max_tokens") if problem.field == "max_completion_tokens" else problem
        for problem in problems
    ]

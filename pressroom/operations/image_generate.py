"""`/v1/images/generations`: DALL·E 2's contract in full, and the shape that GPT image models take.

What a model takes is data (`image` in models.toml). A model that the catalog does not know is sent what was asked for,
within the shape of the API.
"""

import re
from collections.abc import Mapping
from typing import Any

from pressroom.catalog.entries import CatalogModel, ImageContract
from pressroom.catalog.load import catalog
from pressroom.errors import Problem
from pressroom.money.cost import image_price, per_million, unpriced
from pressroom.money.prices import PriceRow
from pressroom.operations import checks
from pressroom.operations.base import Body, Estimate, MalformedReply, Reply, ReturnedImage, Usage
from pressroom.operations.messages import utf8_length
from pressroom.operations.replies import count, object_at, required_count, served_tier

URL = "/v1/images/generations"
PIXELS_PER_MEGAPIXEL = 1024 * 1024
UNKNOWN_SIZE = "1024x1024"
UNKNOWN_TOKENS_PER_MEGAPIXEL = 6_240

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})", re.ASCII)
_FIELDS: dict[str, checks.Check] = {
    "background": checks.one_of("transparent", "opaque", "auto"),
    "moderation": checks.one_of("low", "auto"),
    "output_compression": checks.integer(0, 100),
    "output_format": checks.one_of("png", "jpeg", "webp"),
    "response_format": checks.one_of("url", "b64_json"),
    "safety_identifier": checks.string,
    "stream": checks.not_streamed,
    "style": checks.one_of("vivid", "natural"),
    "user": checks.string,
}


class ImageGenerate:
    """Implements `Operation` for image generation."""

    url = URL

    def problems(self, body: Body) -> list[Problem]:
        """Everything wrong with the body, by field."""
        model = body.get("model")
        if (problem := checks.model_problem(model)) is not None:
            return [problem]
        entry = catalog().model(body["model"])
        contract = entry.image if entry is not None else None
        found: list[Problem] = []
        if entry is not None and URL not in entry.endpoints:
            remedy = f"Send it to one of: {', '.join(entry.endpoints)}"
            found.append(Problem("model", f"is not served at {URL}", remedy, value=entry.name))
        found.extend(_prompt_problems(body.get("prompt"), contract, body["model"]))
        refused = contract.refuses if contract is not None else ()
        for name, value in body.items():
            if value is None:
                continue
            if name in refused:
                found.append(_refused(name, value, body["model"]))
            elif (check := _FIELDS.get(name)) is not None and (problem := check(name, value)) is not None:
                found.append(problem)
        found.extend(_contract_problems(body, contract))
        return found

    def estimate(self, body: Body, price: PriceRow) -> Estimate:
        """Pictures (and tokens, for models billed by them) and cost; both costs are the upper bound.

        Raises UnpricedUsage when the price row has neither the picture's size nor prices per token.
        """
        images = body.get("n") or 1
        contract = _contract(body)
        if price.per_image:
            usd = image_price(price, _image_key(body, contract)) * images
            return Estimate(tokens=0, images=images, cost_usd=usd, expected_usd=usd)
        if price.input_usd is None or price.image_output_usd is None:
            raise unpriced(price, "per_image")
        prompt_tokens = utf8_length(body["prompt"]) + 16
        output_tokens = images * _tokens_per_image(body, contract)
        usd = per_million(prompt_tokens, price.input_usd) + per_million(output_tokens, price.image_output_usd)
        likely_in = prompt_tokens // 4
        return Estimate(likely_in + output_tokens, images, usd, usd, likely_in, output_tokens)

    def outgoing(self, body: Body) -> dict[str, Any]:
        """The body, asking for base64 where there is a choice: a URL dies within the hour."""
        contract = _contract(body)
        if contract is not None and not contract.response_formats:
            return dict(body)
        return {**body, "response_format": "b64_json"}

    def read(self, body: Body, response: Any) -> Reply:
        """Take the pictures out of a response. Raises MalformedReply.

        `Reply.body` keeps an entry for every picture under `data`, with everything but the picture in it, so that the
        output can be put together again. Pictures as URLs are taken too: some endpoints send nothing else.
        """
        answer = object_at("the response", response)
        asked = body.get("n") or 1
        data = answer.get("data")
        if type(data) is not list or len(data) != asked:
            got = len(data) if type(data) is list else "no list"
            raise MalformedReply(f"asked for {asked} pictures and got {got}")
        size = _returned_size(body, answer)
        images = [_returned_image(position, entry, size) for position, entry in enumerate(data)]
        kept = [{key: value for key, value in entry.items() if key not in ("b64_json", "url")} for entry in data]
        return Reply(body={**answer, "data": kept}, images=images, usage=_usage(body, answer, len(images)))


def asked_format(body: Body) -> str:
    """`url` or `b64_json`: how the job's owner wants the pictures in the output."""
    contract = _contract(body)
    if contract is not None and not contract.response_formats:
        return "b64_json"
    fallback = contract.default_response_format if contract is not None else None
    asked = body.get("response_format")
    return asked if asked is not None else fallback or "url"


def _contract(body: Body) -> ImageContract | None:
    entry: CatalogModel | None = catalog().model(body["model"])
    return entry.image if entry is not None else None


def _prompt_problems(prompt: Any, contract: ImageContract | None, model: str) -> list[Problem]:
    if prompt is None:
        return [checks.missing("prompt", "Say what the picture shows")]
    if type(prompt) is not str:
        return [checks.wrong_type("prompt", prompt, "a string")]
    if not prompt:
        return [checks.missing("prompt", "Say what the picture shows; an empty prompt says nothing")]
    if contract is not None and len(prompt) > contract.prompt_characters:
        reason = f"is longer than the {contract.prompt_characters} characters that {model} takes"
        cut = len(prompt) - contract.prompt_characters
        return [
            Problem(
                "prompt",
                reason,
                f"Shorten it by {cut}",
                value=f"{len(prompt)} characters",
                code="string_above_max_length",
            )
        ]
    return []


def _refused(name: str, value: Any, model: str) -> Problem:
    return Problem(
        name, f"is not a parameter of {model}", "Leave it out", value=checks.shown(value), code="unknown_parameter"
    )


def _contract_problems(body: Body, contract: ImageContract | None) -> list[Problem]:
    found: list[Problem | None] = []
    images, size, quality = body.get("n"), body.get("size"), body.get("quality")
    if images is not None:
        found.append(checks.integer(1, contract.max_images if contract is not None else 10)("n", images))
    if size is not None:
        found.append(_size_problem(size, contract))
    if quality is not None:
        check = checks.member(contract.qualities) if contract is not None else checks.string
        found.append(check("quality", quality))
    return [problem for problem in found if problem is not None]


def _size_problem(size: Any, contract: ImageContract | None) -> Problem | None:
    if contract is None:
        if type(size) is str and (size == "auto" or _SIZE.fullmatch(size)):
            return None
        return Problem("size", "is not a size", "Give WIDTHxHEIGHT in pixels, as 1024x1024", value=checks.shown(size))
    if type(size) is str and (size in contract.sizes or (contract.any_size and _is_any_size(size))):
        return None
    remedy = f"Give one of: {', '.join(contract.sizes)}"
    if contract.any_size:
        remedy += "; or WIDTHxHEIGHT in multiples of 16, at most 3840x2160, at most three times as long as wide"
    return Problem("size", "is not one of the allowed values", remedy, value=checks.shown(size))


def _is_any_size(size: str) -> bool:
    pixels = _pixels(size)
    if pixels is None:
        return False
    long, short = max(pixels), min(pixels)
    return long % 16 == 0 and short % 16 == 0 and long <= 3 * short and long <= 3840 and short <= 2160


def _pixels(size: Any) -> tuple[int, int] | None:
    matched = _SIZE.fullmatch(size) if type(size) is str else None
    return (int(matched[1]), int(matched[2])) if matched else None


def _asked_size(body: Body, contract: ImageContract | None) -> str:
    size: str | None = body.get("size")
    return size if size is not None else contract.default_size if contract is not None else UNKNOWN_SIZE


def _image_key(body: Body, contract: ImageContract | None) -> str:
    quality = body.get("quality")
    size = _asked_size(body, contract)
    return size if quality is None else f"{size}/{quality}"


def _tokens_per_image(body: Body, contract: ImageContract | None) -> int:
    """Upper estimate by area; `auto` is taken for the largest of the ordinary sizes."""
    width, height = _pixels(_asked_size(body, contract)) or (1536, 1024)
    rate = contract.output_tokens_per_megapixel if contract is not None else None
    return -(-(rate or UNKNOWN_TOKENS_PER_MEGAPIXEL) * width * height // PIXELS_PER_MEGAPIXEL)


def _returned_size(body: Body, answer: Mapping[str, Any]) -> tuple[int, int]:
    asked = _pixels(_asked_size(body, _contract(body)))
    size = asked or _pixels(answer.get("size"))
    if size is None:
        raise MalformedReply("neither the request nor the response says how large the pictures are")
    return size


def _returned_image(position: int, entry: Any, size: tuple[int, int]) -> ReturnedImage:
    place = f"data[{position}]"
    picture = object_at(place, entry)
    b64, url = picture.get("b64_json"), picture.get("url")
    if type(b64) is str and b64:
        return ReturnedImage(position, b64, None, size)
    if type(url) is str and url.startswith(("https://", "http://")):
        return ReturnedImage(position, None, url, size)
    raise MalformedReply(f"{place} has neither b64_json nor a web address as url")


def _usage(body: Body, answer: Mapping[str, Any], images: int) -> Usage:
    contract = _contract(body)
    usage = answer.get("usage")
    counts_tokens = contract is None or contract.output_tokens_per_megapixel is not None
    if usage is None or not counts_tokens:
        return Usage(
            images=images,
            service_tier=served_tier(answer),
            raw={} if usage is None else object_at("usage", usage),
            image_key=_image_key(body, contract),
        )
    usage = object_at("usage", usage)
    details = usage.get("input_tokens_details")
    details = {} if details is None else object_at("usage.input_tokens_details", details)
    out_details = usage.get("output_tokens_details")
    out_details = {} if out_details is None else object_at("usage.output_tokens_details", out_details)
    output_tokens = required_count("usage.output_tokens", usage.get("output_tokens"))
    return Usage(
        input_tokens=required_count("usage.input_tokens", usage.get("input_tokens")),
        output_tokens=output_tokens,
        image_input_tokens=count("usage.input_tokens_details.image_tokens", details.get("image_tokens")),
        # All output is pictures unless the response says otherwise; text output has no price of its own here.
        image_output_tokens=count(
            "usage.output_tokens_details.image_tokens", out_details.get("image_tokens", output_tokens)
        ),
        images=images,
        service_tier=served_tier(answer),
        raw=usage,
        image_key=_image_key(body, contract),
    )

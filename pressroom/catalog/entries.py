"""The typed shape of `models.toml`. Frozen; what does not fit is refused at load, with its place in the file."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEFAULT_LIMIT_TIER = "tier-1"

Tokens = Annotated[int, Field(gt=0)]
UsdPerMillion = Annotated[Decimal, Field(ge=0, decimal_places=4)]
"""Four places, so that any whole number of tokens costs a number with ten: what the ledger's columns hold."""
UsdPerImage = Annotated[Decimal, Field(ge=0, decimal_places=10)]


class Sourced(BaseModel):
    """A group of figures, where they come from, and how far they can be trusted (docs/catalog.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Annotated[str, Field(min_length=1)]
    verified: Literal["official", "third-party", "unverified"]


class CatalogPrice(Sourced):
    """USD per million tokens by kind, and per picture by `size` or `size/quality`, from a date on."""

    service_tier: Literal["default", "batch", "flex", "priority"]
    effective_from: date
    input_usd: UsdPerMillion | None = None
    cached_input_usd: UsdPerMillion | None = None
    cache_write_usd: UsdPerMillion | None = None
    output_usd: UsdPerMillion | None = None
    image_input_usd: UsdPerMillion | None = None
    cached_image_input_usd: UsdPerMillion | None = None
    image_output_usd: UsdPerMillion | None = None
    per_image: Mapping[str, UsdPerImage] = Field(default_factory=dict)
    note: str | None = None


class CatalogLimits(Sourced):
    """The limits of one usage tier of the provider; a dimension left out is not limited, or not known."""

    tier: str
    rpm: Tokens | None = None
    rpd: Tokens | None = None
    tpm: Tokens | None = None
    tpd: Tokens | None = None
    ipm: Tokens | None = None

    def as_dimensions(self) -> dict[str, int]:
        """`{"rpm": 500, …}`: only the dimensions that are known."""
        named = {"rpm": self.rpm, "rpd": self.rpd, "tpm": self.tpm, "tpd": self.tpd, "ipm": self.ipm}
        return {name: value for name, value in named.items() if value is not None}


class CatalogLifecycle(Sourced):
    """When the model goes, at the host for which that was announced, and what its provider names in its place."""

    announced: date | None = None
    shutdown: date
    host: str
    successor: str | None = None


class Vision(Sourced):
    """Input tokens of one picture in a chat: at `detail: low`, of an ordinary one, and of the dearest there can be.

    By `tile_tokens` or `patch_factor` those of a picture of known size are computed (`pressroom/operations/vision.py`).
    """

    low: Tokens
    typical: Tokens
    maximum: Tokens
    tile_tokens: Tokens | None = None
    patch_factor: Annotated[Decimal, Field(gt=0)] | None = None


class LongContext(Sourced):
    """A request with more input than this costs a multiple, for the whole of it."""

    above_input_tokens: Tokens
    input_factor: Annotated[Decimal, Field(ge=1)]
    output_factor: Annotated[Decimal, Field(ge=1)]


class ImageContract(Sourced):
    """What `/v1/images/generations` takes for this model.

    `any_size` also admits WIDTHxHEIGHT in multiples of 16, at a ratio of up to 3:1, up to 3840x2160. `response_formats`
    is empty for models that always answer in base64. `output_tokens_per_megapixel` is the upper estimate for models
    that are billed by token.
    """

    prompt_characters: Annotated[int, Field(gt=0)]
    max_images: Annotated[int, Field(gt=0)]
    sizes: tuple[str, ...]
    any_size: bool = False
    default_size: str
    qualities: tuple[str, ...]
    response_formats: tuple[str, ...] = ()
    default_response_format: str | None = None
    refuses: tuple[str, ...] = ()
    output_tokens_per_megapixel: int | None = None

    @model_validator(mode="after")
    def _defaults_are_allowed(self) -> "ImageContract":
        if self.default_size not in self.sizes:
            raise ValueError(f"default_size {self.default_size!r} is not one of sizes {list(self.sizes)}")
        if self.response_formats and self.default_response_format not in self.response_formats:
            raise ValueError(f"default_response_format {self.default_response_format!r} is not among response_formats")
        return self


class CatalogModel(Sourced):
    """One model, or one dated snapshot of it (which shares its family's figures and its pool)."""

    name: str
    family: str
    pool: str
    kind: Literal["chat", "image"]
    endpoints: tuple[str, ...]
    snapshots: tuple[str, ...] = ()
    context_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    typical_output_tokens: Tokens | None = None
    reasoning: bool = False
    vision: Vision | None = None
    long_context: LongContext | None = None
    image: ImageContract | None = None
    lifecycle: CatalogLifecycle | None = None
    limits: tuple[CatalogLimits, ...] = ()
    prices: tuple[CatalogPrice, ...] = ()

    @model_validator(mode="after")
    def _no_figure_twice(self) -> "CatalogModel":
        priced = [(price.service_tier, price.effective_from) for price in self.prices]
        if len(set(priced)) != len(priced):
            raise ValueError("two prices have the same service_tier and effective_from")
        if len({limit.tier for limit in self.limits}) != len(self.limits):
            raise ValueError("two limits have the same tier")
        return self

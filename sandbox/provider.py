"""The pretend provider: its models, accounts, latencies and faults, and the life of one API call."""

import asyncio
import contextlib
import hashlib
import math
import random
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from sandbox import errors
from sandbox.accounts import Accounts, Cost, Refusal
from sandbox.chat import ChatCall, completion, plan_chat
from sandbox.config import Config, FaultRule, Limits, ModelSpec
from sandbox.drawing import draw_png
from sandbox.durations import whole_seconds
from sandbox.errors import ApiError
from sandbox.faults import DRIP_SECONDS, PLAIN_503, REFUSALS, TIMEOUT_SECONDS, FaultBook, refusal_error
from sandbox.http import Delivery, Reply, Request
from sandbox.images import DEFAULT_MODEL, Files, ImageCall, drawn, images_body, plan_images
from sandbox.latency import draw_seconds
from sandbox.stats import Call, Stats

SANDBOX_HEADER = ("x-sandbox", "pressroom")
_ACCOUNT_KEY = "sandbox-"
_BEAT_SECONDS = 0.02
_STALL_SECONDS = 0.05
_INLINE_PIXELS = 512 * 512  # up to here (about 1.5 ms) drawing is cheaper than handing over to a thread
URL_EXPIRED = (
    b'<?xml version="1.0" encoding="utf-8"?><Error><Code>AuthenticationFailed</Code><Message>Server failed to '
    b"authenticate the request. Signature not valid: the URL has expired or never existed.</Message></Error>"
)
CallEndpoint = Literal["chat", "images"]


@dataclass(slots=True)
class Work:
    """One admitted call."""

    call: Call
    request: Request
    spec: ModelSpec
    plan: ChatCall | ImageCall
    group: str
    rate_headers: list[tuple[str, str]]
    rule: FaultRule | None
    started: float


class Provider:
    """Answers API calls under a configuration that can be replaced at any time."""

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.clock = clock
        self.stats = Stats(config.keep_calls)
        self.files = Files()
        self._drawing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drawing")
        self._accounts = Accounts(config, clock)
        self._ids = (secrets.token_hex(8), iter(range(1, 2**62)))
        self._beat_at = math.inf
        self._prepare(config)

    async def beat(self) -> None:
        """For ever: notice when this process stood still. Callers are not refused for it."""
        while True:
            self._notice_stall()
            await asyncio.sleep(_BEAT_SECONDS)

    def _notice_stall(self) -> None:
        now = self.clock()
        stalled = now - self._beat_at - _BEAT_SECONDS
        self._beat_at = now
        if stalled > _STALL_SECONDS:
            self._accounts.forgive(stalled)
            self.stats.stalls += 1
            self.stats.stalled_seconds += stalled

    def _prepare(self, config: Config) -> None:
        self._faults = FaultBook(config.faults, config.seed)
        self._latencies = random.Random(config.seed)

    def reconfigure(self, config: Config) -> None:
        """Use another configuration. Accounts stay as full as they were, also under other limits."""
        changed_faults = config.faults != self.config.faults or config.seed != self.config.seed
        self.config = config
        if changed_faults:
            self._prepare(config)
        self.stats.keep(config.keep_calls)
        self._accounts.reconfigure(config)

    def reset(self) -> None:
        """Full buckets, no history: as just started, except for the calls in flight and the configuration."""
        self.stats.reset()
        self.files.clear()
        self._prepare(self.config)
        self._accounts.refill()

    def request_id(self) -> str:
        """A new `req_…`."""
        prefix, numbers = self._ids
        return f"req_{prefix}{next(numbers):016x}"

    async def answer(self, endpoint: CallEndpoint, request: Request) -> Reply:
        """One API call from its bytes to its answer; counted whatever happens."""
        if self.clock() - self._beat_at > _STALL_SECONDS:
            self._notice_stall()
        started = self.clock()
        digest = hashlib.sha256(request.body).digest()[:16]
        call = Call(time.time(), self.request_id(), endpoint, request.header(b"x-client-request-id"), digest)
        try:
            reply = await self._answer(endpoint, request, call, started)
        except ApiError as error:
            reply = self._error_reply(error, call, started)
        finally:
            call.seconds = self.clock() - started
            self.stats.add(call)
        return reply

    async def _answer(self, endpoint: CallEndpoint, request: Request, call: Call, started: float) -> Reply:
        call.account = account_of(require_key(request))
        body = _json_object(request.body)
        model = body.get("model")
        if model is None and endpoint == "images":
            model = body["model"] = DEFAULT_MODEL
        if not isinstance(model, str) or not model:
            raise errors.NO_MODEL
        call.model = model
        rule = self._faults.pick(endpoint, model, lambda: _prompt_text(body), account=call.account)
        if rule is not None:
            call.fault = rule.fault
            if rule.fault == "http_503":
                return self._plain_503(call, started)
            if rule.fault in REFUSALS:
                raise self._refusal(rule, endpoint, model, call.account)
        spec = self._served(endpoint, model)
        plan = plan_chat(body, spec, self.config.chat) if endpoint == "chat" else plan_images(body)
        group = self._accounts.group(model, spec, call.account)
        account = self._accounts.of(group)
        refusal = account.admit(self._cost(plan, account.limits), started)
        rate_headers = account.headers(started)
        if refusal is not None:
            return self._error_reply(self._limited(refusal, model), call, started, rate_headers)
        return await self._work(Work(call, request, spec, plan, group, rate_headers, rule, started))

    def _refusal(self, rule: FaultRule, endpoint: CallEndpoint, model: str, holder: str) -> ApiError:
        spec = self.config.models.get(model)
        limits = None if spec is None else self._accounts.of(self._accounts.group(model, spec, holder)).limits
        organization = self.config.organization
        return refusal_error(rule, endpoint=endpoint, model=model, organization=organization, limits=limits)

    def _served(self, endpoint: CallEndpoint, model: str) -> ModelSpec:
        spec = self.config.models.get(model)
        if endpoint == "images":
            if spec is None or spec.removed or spec.endpoint != "images":
                raise errors.image_model_missing(model)
            return spec
        if spec is None:
            raise errors.chat_model_missing(model)
        if spec.removed:
            raise errors.chat_model_removed(model)
        if spec.endpoint != "chat":
            raise errors.not_a_chat_model()
        return spec

    @staticmethod
    def _cost(plan: ChatCall | ImageCall, limits: Limits) -> Cost:
        if isinstance(plan, ImageCall):
            return Cost(images=plan.n)
        return Cost(tokens=plan.total_tokens if limits.charge == "P1" else plan.estimated_tokens)

    def _limited(self, refusal: Refusal, model: str) -> ApiError:
        headers: list[tuple[str, str]] = []
        if refusal.wait_seconds is not None and self.config.retry_after != "none":
            headers.append(("retry-after", str(whole_seconds(refusal.wait_seconds))))
            if self.config.retry_after == "both":
                headers.append(("retry-after-ms", str(max(1, round(refusal.wait_seconds * 1000)))))
        return ApiError(
            429,
            refusal.message(model, self.config.organization),
            type=refusal.error_type,
            code="rate_limit_exceeded",
            headers=tuple(headers),
        )

    async def _work(self, work: Work) -> Reply:
        """From admission to the answer, with the account and the counts kept straight on every way out."""
        total, tally = self.stats.total, self.stats.model(work.call.model)
        total.enter()
        tally.enter()
        difference = 0.0
        if isinstance(work.plan, ChatCall):
            work.call.prompt_tokens = work.plan.prompt_tokens
            work.call.completion_tokens = work.plan.completion_tokens
            if self._accounts.of(work.group).limits.charge == "P2":
                difference = work.plan.total_tokens - work.plan.estimated_tokens
        else:
            work.call.images = work.plan.n
        try:
            reply = await self._finished(work)
            work.call.status = 0 if reply.delivery is Delivery.CUT else reply.status
            if work.request.gone.is_set() or reply.delivery in (Delivery.CUT, Delivery.CUT_AFTER):
                work.call.delivered = False
            return reply
        finally:
            self._accounts.of(work.group).finish(self.clock(), token_difference=difference)
            self.stats.total.leave()
            self.stats.model(work.call.model).leave()

    async def _finished(self, work: Work) -> Reply:
        fault = work.rule.fault if work.rule else None
        latency = self.config.latency
        if isinstance(work.plan, ChatCall):
            seconds = draw_seconds(latency.chat, self._latencies)
            body = completion(
                work.plan,
                work.spec,
                self.config.chat,
                request_id=work.call.request_id,
                filtered=fault == "moderation",
            )
        else:
            seconds = draw_seconds(latency.images, self._latencies)
            body = await self._images(work.plan, work.request)
        await asyncio.sleep(max(0.0, seconds - (self.clock() - work.started)))
        if fault == "http_500":
            raise errors.server_error(work.call.request_id)
        if fault == "moderation" and isinstance(work.plan, ImageCall):
            raise errors.IMAGE_REJECTED
        reply = Reply(200, body, self._headers(work.call, work.started, work.rate_headers))
        if work.rule is not None:
            await _spoil(reply, work.rule, work.request)
            work.call.delivered = work.rule.fault != "truncated"
        return reply

    async def _images(self, plan: ImageCall, request: Request) -> bytes:
        if plan.response_format == "url":
            base = f"http://{request.header(b'host') or '127.0.0.1'}/files/"
            return images_body("url", [base + name for name in self.files.add(plan, now=self.clock())])
        if plan.pixels <= _INLINE_PIXELS:
            return images_body("b64_json", drawn(plan))
        return images_body("b64_json", await asyncio.get_running_loop().run_in_executor(self._drawing, drawn, plan))

    async def file(self, name: str, request: Request) -> Reply:
        """The picture behind a URL. It is not an API call: no key, no limits, no x-request-id."""
        made = self.files.find(name, now=self.clock(), lifetime=self.config.file_seconds)
        if made is None:
            return Reply(403, URL_EXPIRED, [SANDBOX_HEADER], content_type="application/xml")
        rule = self._faults.pick("files", "", lambda: made[0])
        if rule is not None:
            self.stats.count_fault(rule.fault)
            if rule.fault == "http_500":
                return Reply(500, b"Internal Server Error", [SANDBOX_HEADER], content_type="text/plain")
            if rule.fault == "http_503":
                return Reply(503, PLAIN_503, [SANDBOX_HEADER], content_type="text/plain")
        png = await asyncio.get_running_loop().run_in_executor(self._drawing, draw_png, *made)
        reply = Reply(200, png, [SANDBOX_HEADER], content_type="image/png")
        if rule is not None:
            await _spoil(reply, rule, request)
        return reply

    def _headers(
        self, call: Call, started: float, more: list[tuple[str, str]] | tuple[tuple[str, str], ...] = ()
    ) -> list[tuple[str, str]]:
        return [
            ("openai-organization", self.config.organization),
            ("openai-processing-ms", str(round((self.clock() - started) * 1000))),
            ("openai-version", "2020-10-01"),
            ("x-request-id", call.request_id),
            SANDBOX_HEADER,
            *more,
        ]

    def _error_reply(
        self, error: ApiError, call: Call, started: float, rate_headers: list[tuple[str, str]] | None = None
    ) -> Reply:
        call.status = error.status
        call.code = error.code or error.type or "error"
        headers = [*(rate_headers or []), *error.headers]
        return Reply(error.status, error.body(), self._headers(call, started, headers))

    def _plain_503(self, call: Call, started: float) -> Reply:
        call.status, call.code = 503, "http_503"
        return Reply(503, PLAIN_503, self._headers(call, started), content_type="text/plain")


def require_key(request: Request) -> str:
    """The bearer key, which may be anything but empty; raises ApiError."""
    scheme, _, key = request.header(b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise errors.NO_KEY
    return key.strip()


def account_of(key: str) -> str:
    """The account that a key pays from: `b` for `sandbox-b`, and "" for every other."""
    return key.removeprefix(_ACCOUNT_KEY) if key.startswith(_ACCOUNT_KEY) else ""


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise errors.BAD_JSON from error
    if not isinstance(body, dict):
        raise errors.BAD_JSON
    return body


def _prompt_text(body: dict[str, Any]) -> str:
    """All the text of a request that a fault rule may look for."""
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return prompt
    return orjson.dumps(body.get("messages")).decode()


async def _spoil(reply: Reply, rule: FaultRule, request: Request) -> None:
    """Apply a fault that strikes the answer on its way."""
    if rule.fault == "timeout":
        # Stalls for as long as it was told to, or until the client gives up.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS if rule.seconds is None else rule.seconds):
                await request.gone.wait()
        reply.delivery = Delivery.CUT
    elif rule.fault == "cut":
        reply.delivery = Delivery.CUT
    elif rule.fault == "cut_after":
        reply.delivery = Delivery.CUT_AFTER
    elif rule.fault == "truncated":
        reply.body = reply.body[: len(reply.body) * 2 // 3]
    elif rule.fault == "slow_drip":
        reply.delivery = Delivery.SLOW_DRIP
        reply.seconds = DRIP_SECONDS if rule.seconds is None else rule.seconds

"""Calls over kept-alive connections, each sent when the last was answered: a client that costs little itself."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from benchmarks.rig import BenchmarkFailed


@dataclass(slots=True)
class Load:
    """What a run of calls came to."""

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def quantile(self, part: float) -> float:
        """Of the milliseconds."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    @property
    def per_second(self) -> float:
        """Calls a second."""
        return len(self.milliseconds) / self.seconds


async def load(
    url: str, body: Mapping[str, object], headers: Mapping[str, str], *, at_once: int, seconds: float, ok: int
) -> Load:
    """Call `url` from `at_once` connections for `seconds`. Raises BenchmarkFailed where an answer is not `ok`."""
    found = Load()
    began = time.perf_counter()
    await asyncio.gather(*(_caller(url, body, headers, until=began + seconds, found=found) for _ in range(at_once)))
    found.seconds = time.perf_counter() - began
    if set(found.statuses) != {ok}:
        raise BenchmarkFailed(f"{url} answered {found.statuses}, and only {ok} was expected")
    return found


async def _caller(
    url: str, body: Mapping[str, object], headers: Mapping[str, str], *, until: float, found: Load
) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    content = orjson.dumps(body)
    lines = [
        f"POST {address.path} HTTP/1.1",
        f"Host: {address.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + content
    try:
        while time.perf_counter() < until:
            began = time.perf_counter()
            writer.write(request)
            status = await _status(reader)
            found.milliseconds.append((time.perf_counter() - began) * 1000)
            found.statuses[status] = found.statuses.get(status, 0) + 1
    finally:
        writer.close()


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    if "content-length" in fields:
        await reader.readexactly(int(fields["content-length"]))
    elif fields.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return int(head[0].split()[1])

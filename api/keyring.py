"""The keys that this process has seen lately, so that a request costs no question to PostgreSQL."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Engine

from api.threads import in_thread
from pressroom.tenants.keys import KnownKey, find_key, note_used
from pressroom.tenants.secrets import KeyText

FRESH_SECONDS = 3.0
"""How long a key is believed without another look: a revoked one stops within this time, everywhere."""
_MOST_KEYS = 10_000


class Keyring:
    """Belongs to one event loop. Unknown prefixes are remembered too, so that guesses reach the books seldom."""

    def __init__(self, database: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._seen: dict[str, tuple[float, KnownKey | None]] = {}
        self._asked: dict[str, asyncio.Task[tuple[float, KnownKey | None]]] = {}
        self._used: dict[UUID, float] = {}
        self.looks = 0
        """Questions to the books so far."""

    async def find(self, key: KeyText) -> KnownKey | None:
        """The key, if its secret is valid now. Raises what an unreachable database raises."""
        read_at, known = self._seen.get(key.prefix, (-1e9, None))
        if self._clock() - read_at > FRESH_SECONDS:
            read_at, known = await self._look_up(key.prefix)
        now = self._clock()
        if known is None or not known.admits(key, now - read_at):
            return None
        self._used[known.id] = now
        return known

    async def _look_up(self, prefix: str) -> tuple[float, KnownKey | None]:
        """One question at a time for each prefix, however many requests wait for its answer."""
        task = self._asked.get(prefix)
        if task is None:
            task = asyncio.create_task(self._ask(prefix))
            self._asked[prefix] = task
            task.add_done_callback(lambda _: self._asked.pop(prefix, None))
        return await asyncio.shield(task)

    async def _ask(self, prefix: str) -> tuple[float, KnownKey | None]:
        self.looks += 1
        asked_at = self._clock()
        known = await in_thread(self._read, prefix)
        if len(self._seen) >= _MOST_KEYS:
            self._seen.clear()
        self._seen[prefix] = (asked_at, known)
        return asked_at, known

    def _read(self, prefix: str) -> KnownKey | None:
        with self._database.connect() as conn:
            return find_key(conn, prefix)

    async def note_used(self) -> None:
        """Write down which keys were used since the last time, in one statement."""
        used, self._used = self._used, {}
        if not used:
            return
        now = self._clock()
        try:
            await in_thread(self._write, {key_id: now - at for key_id, at in used.items()})
        except BaseException:
            self._used = {**used, **self._used}
            raise

    def _write(self, seconds_ago: dict[UUID, float]) -> None:
        with self._database.begin() as conn:
            note_used(conn, seconds_ago)

"""What one worker holds of one pool: slots granted and not settled, and reports on their way to Redis.

Reports are numbered, so that one delivered twice (a reply lost, a client that retried) counts once; a slot leaves
the book when it is reported, so that settling it again does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pressroom.limits.commands import Slot, TickReply
from pressroom.limits.costs import Cost
from pressroom.limits.messages import Grant, Rejected, Settled


@dataclass(slots=True)
class WorkerBook:
    """One per (pool, worker) in a process. `lock` keeps its ticks in order."""

    outstanding: dict[str, Slot] = field(default_factory=dict)
    """By slot id."""
    settled: list[tuple[int, Slot, Settled]] = field(default_factory=list)
    rejected: list[tuple[int, Slot, Rejected]] = field(default_factory=list)
    sequence: int = 0
    issued: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def held(self) -> int:
        """Calls in flight, or about to be."""
        return len(self.outstanding)

    def report(self, settled: Iterable[Settled], rejected: Iterable[Rejected]) -> None:
        """Take over reports; those of slots this book does not hold (any more) are dropped."""
        for done in settled:
            if (slot := self.outstanding.pop(done.slot_id, None)) is not None:
                self.sequence += 1
                self.settled.append((self.sequence, slot, done))
        for refused in rejected:
            if (slot := self.outstanding.pop(refused.slot_id, None)) is not None:
                self.sequence += 1
                self.rejected.append((self.sequence, slot, refused))

    def answered(self, reply: TickReply, asked: Sequence[Cost]) -> Grant:
        """Everything reported has arrived; write down what was granted of `asked`."""
        self.settled.clear()
        self.rejected.clear()
        ids = []
        requests, tokens, images = reply.charged
        for offset, cost in zip(reply.slots, asked, strict=False):
            self.issued += 1
            slot_id = f"{reply.epoch}.{self.issued}"
            at_us = reply.now_us + round(offset * 1e6)
            self.outstanding[slot_id] = Slot(reply.epoch, at_us, (requests, tokens, images), reply.generation)
            requests, tokens, images = requests + cost.requests, tokens + cost.tokens, images + cost.images
            ids.append(slot_id)
        return Grant(
            slots=reply.slots,
            slot_ids=ids,
            poll_after=reply.poll_after,
            paused_for=reply.paused_for,
            epoch=reply.epoch,
            server_seconds=reply.now_us / 1e6,
            generation=reply.generation,
        )

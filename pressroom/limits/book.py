"""What one worker holds of one pool: slots granted and not settled, and reports on their way to Redis.

Reports are numbered, so that one delivered twice (a reply lost, a client that retried) counts once; a slot leaves
the book when it is reported, so that settling it again does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from pressroom.limits.commands import TickReply
from pressroom.limits.messages import Grant, Rejected, Settled


@dataclass(slots=True)
class WorkerBook:
    """One per (pool, worker) in a process. `lock` keeps its ticks in order."""

    outstanding: dict[str, str] = field(default_factory=dict)
    """Slot id -> epoch of the state that charged it."""
    settled: list[tuple[int, str, Settled]] = field(default_factory=list)
    rejected: list[tuple[int, str, Rejected]] = field(default_factory=list)
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
            if (epoch := self.outstanding.pop(done.slot_id, None)) is not None:
                self.sequence += 1
                self.settled.append((self.sequence, epoch, done))
        for refused in rejected:
            if (epoch := self.outstanding.pop(refused.slot_id, None)) is not None:
                self.sequence += 1
                self.rejected.append((self.sequence, epoch, refused))

    def answered(self, reply: TickReply) -> Grant:
        """Everything reported has arrived; write down what was granted."""
        self.settled.clear()
        self.rejected.clear()
        ids = []
        for _ in reply.slots:
            self.issued += 1
            slot_id = f"{reply.epoch}.{self.issued}"
            self.outstanding[slot_id] = reply.epoch
            ids.append(slot_id)
        return Grant(
            slots=reply.slots,
            slot_ids=ids,
            poll_after=reply.poll_after,
            paused_for=reply.paused_for,
            epoch=reply.epoch,
        )

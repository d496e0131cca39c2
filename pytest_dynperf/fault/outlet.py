"""The last step of a fault proxy: bytes on their way to the client, with the faults that any stream can have."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from typing import Protocol

from pytest_dynperf.fault.disturbance import UNDISTURBED, Disturbance

_SLICES_PER_S = 20.0


class CutShort(Exception):
    """The proxy has ended the connection on purpose."""


class Source(Protocol):
    """What is in force now, and what is told of it. Lives in the proxy's event loop."""

    @property
    def current(self) -> Disturbance:
        """What new pieces meet."""
        ...

    def takes(self, disturbance: Disturbance) -> bool:
        """Whether one more connection or request meets ``disturbance``."""
        ...

    def count(self, kind: str) -> None:
        """One fault has happened."""
        ...

    async def changed(self, since: Disturbance) -> None:
        """Until something else than ``since`` is in force."""
        ...


class Outlet:
    """Writes to one client. Asks anew for every piece what is in force, so that a change meets streams that are under way."""

    def __init__(self, writer: asyncio.StreamWriter, source: Source, *, seed: int) -> None:
        self._writer, self._source = writer, source
        self._random = random.Random(seed)
        self._seen: Disturbance | None = None
        self._mine = UNDISTURBED
        self._path: str | None = None
        self._sent = 0
        self._told: set[str] = set()

    def begin(self, path: str | None = None) -> Disturbance:
        """A new connection, or a request for ``path``: what it meets."""
        self._seen, self._sent, self._path = None, 0, path
        self._told.clear()
        self._source.count("connections")
        return self.now()

    def now(self) -> Disturbance:
        """What is in force for this connection or request at this moment."""
        current = self._source.current
        if current is not self._seen:
            self._seen = current
            meant = self._path is None or self._path.startswith(current.paths)
            self._mine = current if meant and self._source.takes(current) else UNDISTURBED
        return self._mine

    def tell(self, kind: str) -> None:
        """Count ``kind``, once per connection or request."""
        if kind not in self._told:
            self._told.add(kind)
            self._source.count(kind)

    async def send(self, data: bytes) -> None:
        """``data``, as late, slow and complete as the faults allow.

        :raises CutShort: when the connection has been ended on purpose.
        """
        disturbance = self.now()
        if disturbance.latency_s > 0:
            self.tell("latency_s")
            await asyncio.sleep(disturbance.latency_s + self._random.uniform(0.0, disturbance.jitter_s))
        while data:
            disturbance = self.now()
            limit = self._limit(disturbance)
            size = len(data) if limit is None else min(len(data), max(0, limit[0] - self._sent))
            size = min(size, self._slice(disturbance))
            if limit is not None and limit[0] <= self._sent:
                await self._end(limit[1], disturbance)
                continue
            await self._write(data[:size])
            data = data[size:]
            await self._slow(disturbance, size)

    def reset(self) -> None:
        """End with RST: what is not sent yet is lost."""
        raw = self._writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def _limit(self, disturbance: Disturbance) -> tuple[int, str] | None:
        ends = (
            (disturbance.reset_after_bytes, "reset_after_bytes"),
            (disturbance.truncate_after_bytes, "truncate_after_bytes"),
            (disturbance.stall_after_bytes, "stall_after_bytes"),
        )
        return min(((after, kind) for after, kind in ends if after is not None), default=None)

    def _slice(self, disturbance: Disturbance) -> int:
        if disturbance.drip_s > 0:
            return 1
        return 1 << 20 if disturbance.bytes_per_s is None else max(1, int(disturbance.bytes_per_s / _SLICES_PER_S))

    async def _slow(self, disturbance: Disturbance, size: int) -> None:
        if disturbance.drip_s > 0:
            self.tell("drip_s")
            await asyncio.sleep(disturbance.drip_s)
        if disturbance.bytes_per_s is not None:
            self.tell("bytes_per_s")
            await asyncio.sleep(size / disturbance.bytes_per_s)

    async def _end(self, kind: str, disturbance: Disturbance) -> None:
        self.tell(kind)
        if kind == "stall_after_bytes":
            await self._source.changed(disturbance)
            return
        if kind == "reset_after_bytes":
            self.reset()
        raise CutShort

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        self._sent += len(data)

"""Connections: those that carry a request, and open ones ahead of need, so that a send seldom waits for a handshake."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.load.connection import Connection

_AT_ONCE = 64  # more handshakes together than a listening socket's queue holds are repeated by the kernel after a second
_SPARE, _SPARE_SHARE = 4, 8


class Pool:
    """``in_use`` are the connections that were taken and not given back."""

    def __init__(self, make: Callable[[], Connection], *, limit: int) -> None:
        self._make = make
        self.limit = limit
        self.in_use: set[Connection] = set()
        self._idle: list[Connection] = []
        self._dialing: set[asyncio.Task[None]] = set()

    async def open(self, count: int) -> None:
        """Have ``count`` connections, open where the server lets us: one that cannot be reached yet fails its requests, not the run."""
        made = [self._make() for _ in range(min(count, self.limit))]
        for first in range(0, len(made), _AT_ONCE):
            await asyncio.gather(*(connection.open() for connection in made[first : first + _AT_ONCE]), return_exceptions=True)
        self._idle += made

    def take(self) -> Connection | None:
        """An idle connection, open if there is one; a new one that its first request must open; ``None`` where ``limit`` are in use."""
        if len(self.in_use) >= self.limit:
            return None
        connection = self._idle.pop() if self._idle else self._make()
        while not connection.is_open and self._idle:
            connection = self._idle.pop()
        self.in_use.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Its exchange has ended. The next one to be taken is the one given back last: the server is the least likely to have closed it."""
        self.in_use.discard(connection)
        if connection.is_open:
            self._idle.append(connection)

    def replenish(self) -> None:
        """Dial in the background until some are idle: 4, or an eighth of those in use."""
        wanted = min(max(_SPARE, len(self.in_use) // _SPARE_SHARE), self.limit - len(self.in_use))
        for _ in range(wanted - len(self._idle) - len(self._dialing)):
            task = asyncio.get_running_loop().create_task(self._dial())
            self._dialing.add(task)
            task.add_done_callback(self._dialing.discard)

    async def close(self) -> None:
        """Drop them all, and whatever they carry."""
        dialing = tuple(self._dialing)
        for task in dialing:
            task.cancel()
        await asyncio.gather(*dialing, return_exceptions=True)
        for connection in (*self.in_use, *self._idle):
            connection.close()
        self._idle.clear()

    async def _dial(self) -> None:
        connection = self._make()
        with suppress(OSError):  # the request that needs a connection will say why it cannot have one
            await connection.open()
            self._idle.append(connection)

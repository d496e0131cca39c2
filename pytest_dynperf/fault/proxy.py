"""A proxy on loopback that breaks what passes through it, as told, and counts what it did.

It stands between a client and a frontend (``http``), or between a service and NATS, etcd or another one (bytes, whatever they mean). It
runs in a thread of its own with an event loop of its own: a load generator in the same process shares its interpreter, so timings of a
disturbed run are those of a busy process.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_dynperf.errors import FaultError
from pytest_dynperf.fault.disturbance import UNDISTURBED, Disturbance
from pytest_dynperf.fault.http_relay import relay_http
from pytest_dynperf.fault.outlet import CutShort, Outlet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["Disturbance", "FaultProxy", "fault_proxy"]

HOST = "127.0.0.1"
_PATIENCE_S = 10.0
_PIECE_BYTES = 1 << 16


class FaultProxy:
    """``upstream`` is ``http://host:port`` (then HTTP is understood), or ``host:port`` with any other scheme or none: bytes.

    Everything may be called from any thread. :attr:`counts` says what happened since the start, by the names of
    :attr:`Disturbance.kinds`, once per connection (HTTP: request) that met it; ``connections`` counts those that came.
    """

    def __init__(self, upstream: str, *, seed: int = 0) -> None:
        parts = urlsplit(upstream if "://" in upstream else f"tcp://{upstream}")
        if parts.hostname is None or parts.port is None or parts.scheme == "https":
            msg = f"a fault proxy cannot stand before {upstream!r}: it needs a host and a port, and cannot look into TLS"
            raise FaultError(msg)
        self._host, self._port, self._http = parts.hostname, parts.port, parts.scheme == "http"
        self._scheme, self._seed = parts.scheme, seed
        self.port = 0
        self.counts: Counter[str] = Counter()
        self._current = UNDISTURBED
        self._spared = self._met = 0
        self._changes: asyncio.Condition | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._numbers = itertools.count()

    @property
    def url(self) -> str:
        """Where clients connect to, with the scheme of ``upstream``."""
        return f"{self._scheme}://{HOST}:{self.port}"

    @property
    def current(self) -> Disturbance:
        """What new pieces meet."""
        return self._current

    def start(self) -> None:
        """Listen at a port of the kernel's choice.

        :raises FaultError: when it does not within 10 s.
        """
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="dynperf-fault-proxy", daemon=True)
        self._thread.start()
        if not ready.wait(_PATIENCE_S):
            msg = f"the fault proxy before {self._host}:{self._port} did not listen within {_PATIENCE_S:g} s"
            raise FaultError(msg)

    def stop(self) -> None:
        """Close every connection and stop listening. May be called again.

        :raises FaultError: when it does not within 10 s.
        """
        loop, stop, thread = self._loop, self._stop, self._thread
        if loop is None or stop is None or thread is None:
            return
        with suppress(RuntimeError):  # its loop is closed already
            loop.call_soon_threadsafe(stop.set)
        thread.join(_PATIENCE_S)
        if thread.is_alive():
            msg = f"the fault proxy before {self._host}:{self._port} did not stop within {_PATIENCE_S:g} s"
            raise FaultError(msg)
        self._loop = self._stop = self._thread = None

    def disturb(self, disturbance: Disturbance) -> None:
        """From now on, also for what is under way; returns when it is in force.

        :raises FaultError: for a fault of HTTP where bytes are passed on.
        """
        if disturbance.needs_http and not self._http:
            msg = f"{', '.join(disturbance.needs_http)}: needs a proxy of HTTP; this one passes bytes on to {self._host}:{self._port}"
            raise FaultError(msg)
        loop = self._loop
        if loop is None:
            msg = "the fault proxy does not run: start it first"
            raise FaultError(msg)
        asyncio.run_coroutine_threadsafe(self._change(disturbance), loop).result(_PATIENCE_S)

    def heal(self) -> None:
        """Pass everything on as it is; what was stalled goes on."""
        self.disturb(UNDISTURBED)

    @contextmanager
    def disturbed(self, disturbance: Disturbance) -> Iterator[None]:
        """While the block runs; heals on every way out.

        :raises FaultError: after a block that ended well and in which one of the faults never happened: nothing was tested then.
        """
        before = Counter(self.counts)
        self.disturb(disturbance)
        try:
            yield
        finally:
            self.heal()
        if missing := [kind for kind in disturbance.kinds if self.counts[kind] == before[kind]]:
            met = self.counts["connections"] - before["connections"]
            msg = f"the fault proxy was to do {', '.join(missing)} and never did: {met} connections or requests came through it meanwhile"
            raise FaultError(msg)

    # In the event loop.

    def takes(self, disturbance: Disturbance) -> bool:
        """Whether one more connection or request meets ``disturbance``, which is in force."""
        if self._spared < disturbance.after:
            self._spared += 1
            return False
        if disturbance.times is None:
            return True
        self._met += 1
        return self._met <= disturbance.times

    def count(self, kind: str) -> None:
        """One fault has happened."""
        self.counts[kind] += 1

    async def changed(self, since: Disturbance) -> None:
        """Until something else than ``since`` is in force."""
        assert self._changes is not None
        async with self._changes:
            await self._changes.wait_for(lambda: self._current is not since)

    async def _change(self, disturbance: Disturbance) -> None:
        assert self._changes is not None
        async with self._changes:
            self._current, self._spared, self._met = disturbance, 0, 0
            self._changes.notify_all()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop, self._changes = asyncio.get_running_loop(), asyncio.Event(), asyncio.Condition()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, HOST, 0, limit=_PIECE_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports that were aborted close their sockets in the next turn

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        outlet = Outlet(writer, self, seed=self._seed + next(self._numbers))
        try:
            # Whoever went away, and however: the other side learns it by its own connection.
            with suppress(CutShort, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
                if self._http:
                    await relay_http(reader, outlet, self._host, self._port)
                else:
                    await self._relay_bytes(reader, outlet)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()

    async def _relay_bytes(self, reader: asyncio.StreamReader, outlet: Outlet) -> None:
        if outlet.begin().refuse:
            outlet.tell("refuse")
            outlet.reset()
            return
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        both = {
            asyncio.create_task(_pumped(reader, partial(_written, server_writer))),
            asyncio.create_task(_pumped(server_reader, outlet.send)),
        }
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            server_writer.close()


async def _written(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _pumped(reader: asyncio.StreamReader, send: Callable[[bytes], Awaitable[None]]) -> None:
    while data := await reader.read(_PIECE_BYTES):
        await send(data)


@contextmanager
def fault_proxy(upstream: str, *, seed: int = 0) -> Iterator[FaultProxy]:
    """A :class:`FaultProxy` that runs while the block does."""
    proxy = FaultProxy(upstream, seed=seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()

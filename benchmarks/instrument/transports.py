"""Ways to receive, side by side: what decided how :mod:`pytest_dynperf.load.transport` does it::

    python -m benchmarks.instrument.transports

One process plays both ends of 64 connections on the loopback device: it sends a chunk of 220 bytes on one or on 16 of them, runs the loop
until all have come, and goes on. No timer and no other process takes part, so the CPU time of a chunk is steady where that of a real load
is not; the cost of the sending end is in every number alike. Ways take turns; the least of the repetitions is printed: it has the least of
the disturbance by others in it.
"""

from __future__ import annotations

import argparse
import asyncio
import select
import socket
import struct
from array import array
from time import monotonic_ns, process_time
from typing import TYPE_CHECKING, Any, ClassVar

import httptools
import uvloop

from pytest_dynperf.load.clock import ClockOffset
from pytest_dynperf.load.connection import Connection, Exchange
from pytest_dynperf.load.transport import SocketTransport

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion.chunk","created":1760000000,"model":"instrument",'
    b'"choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}\n\n'
)
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
REQUEST = b"GET / HTTP/1.1\r\nX: %b\r\n\r\n" % (b"x" * 300)
_SO_TIMESTAMPNS = 35
_SPACE = socket.CMSG_SPACE(16)
_unpack = struct.Struct("@ll").unpack


class Base:
    """``recvmsg_into`` a shared buffer when the loop says so, framing by httptools, TCP_QUICKACK on every read."""

    quickack_on_read = True
    buffer = memoryview(bytearray(256 << 10))

    def __init__(self, connected: socket.socket, heard: Callable[[], None]) -> None:
        self.socket, self.heard = connected, heard
        self.recvmsg, self.recvmsg_into = connected.recvmsg, connected.recvmsg_into
        self.pieces: list[tuple[int, bytes]] = []
        self.stamp_ns = 0
        self.offset_ns = ClockOffset().offset_ns
        self.parser = httptools.HttpResponseParser(self)
        connected.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.watch()

    def watch(self) -> None:
        asyncio.get_running_loop().add_reader(self.socket.fileno(), self.readable)

    def ask(self) -> None:
        self.socket.send(REQUEST)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def readable(self) -> None:
        try:
            size, ancillary, _, _ = self.socket.recvmsg_into((self.buffer,), _SPACE)
        except BlockingIOError:
            return
        self.stamp_ns = monotonic_ns()
        if self.quickack_on_read:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = _unpack(value)
                self.stamp_ns = seconds * 1_000_000_000 + nanoseconds - self.offset_ns
        self.frame(self.buffer[:size])

    def frame(self, data: Any) -> None:
        self.parser.feed_data(data)
        self.heard()

    def on_body(self, body: bytes) -> None:
        self.pieces.append((self.stamp_ns, body))

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.socket.fileno())
        self.socket.close()


class Once(Base):
    """TCP_QUICKACK once per request."""

    quickack_on_read = False


class Never(Once):
    """No TCP_QUICKACK."""

    def ask(self) -> None:
        self.socket.send(REQUEST)


class Into(Once):
    """Straight code: bound method, the one control message taken as it is."""

    def readable(self) -> None:
        try:
            size, ancillary, _, _ = self.recvmsg_into((self.buffer,), _SPACE)
        except BlockingIOError:
            return
        self.stamp_ns = monotonic_ns()
        if ancillary:
            seconds, nanoseconds = _unpack(ancillary[0][2])
            self.stamp_ns = seconds * 1_000_000_000 + nanoseconds - self.offset_ns
        self.frame(self.buffer[:size])


class Straight(Once):
    """The same with ``recvmsg``, which makes bytes, of 16 KiB."""

    size = 16384

    def readable(self) -> None:
        try:
            data, ancillary, _, _ = self.recvmsg(self.size, _SPACE)
        except BlockingIOError:
            return
        self.stamp_ns = monotonic_ns()
        if ancillary:
            seconds, nanoseconds = _unpack(ancillary[0][2])
            self.stamp_ns = seconds * 1_000_000_000 + nanoseconds - self.offset_ns
        self.frame(data)


class Straight64(Straight):
    """The same, of 64 KiB."""

    size = 65536


class Plain(Once):
    """``recv`` and a stamp in user space: what the kernel's stamp costs."""

    def readable(self) -> None:
        data = self.socket.recv(16384)
        self.stamp_ns = monotonic_ns()
        self.frame(data)


class Framing(Straight):
    """A read that is one whole chunk is framed here, without httptools."""

    between = False

    def frame(self, data: bytes) -> None:
        if self.between and data[-2:] == b"\r\n":
            edge = data.find(b"\r\n", 0, 10)
            try:
                length = int(data[:edge], 16)
            except ValueError:
                length = 0
            if length and len(data) == length + edge + 4:
                self.pieces.append((self.stamp_ns, data[edge + 2 : -2]))
                self.heard()
                return
        self.between = False
        self.parser.feed_data(data)
        self.heard()
        self.between = self.between and data[-2:] == b"\r\n"

    def on_chunk_header(self) -> None:
        self.between = False

    def on_chunk_complete(self) -> None:
        self.between = True


class Poller:
    """One epoll for all connections, itself watched by the loop: one callback for all that is ready."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.readers: dict[int, Callable[[], None]] = {}
        asyncio.get_running_loop().add_reader(self.epoll.fileno(), self.ready)

    def ready(self) -> None:
        readers = self.readers
        for descriptor, _ in self.epoll.poll(0, 256):
            readers[descriptor]()


class Batched(Straight):
    """One epoll for all connections, within the loop's."""

    poller: ClassVar[Poller | None] = None

    def watch(self) -> None:
        if Batched.poller is None:
            Batched.poller = Poller()
        Batched.poller.readers[self.socket.fileno()] = self.readable
        Batched.poller.epoll.register(self.socket.fileno(), select.EPOLLIN)

    def close(self) -> None:
        if Batched.poller is not None:
            asyncio.get_running_loop().remove_reader(Batched.poller.epoll.fileno())
            Batched.poller = None
        self.socket.close()


class Loop(asyncio.Protocol):
    """The loop's own transport and httptools, stamps in user space: the client of the comparison."""

    def __init__(self, connected: socket.socket, heard: Callable[[], None]) -> None:
        self.socket, self.heard = connected, heard
        self.pieces: list[tuple[int, bytes]] = []
        self.stamp_ns = 0
        self.parser = httptools.HttpResponseParser(self)
        self.task = asyncio.ensure_future(asyncio.get_running_loop().create_connection(lambda: self, sock=connected))

    def ask(self) -> None:
        self.socket.send(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.stamp_ns = monotonic_ns()
        self.parser.feed_data(data)
        self.heard()

    def on_body(self, body: bytes) -> None:
        self.pieces.append((self.stamp_ns, body))

    def close(self) -> None:
        self.task.result()[0].abort()


class Shipped:
    """What the load generator does, its accounts included."""

    def __init__(self, connected: socket.socket, heard: Callable[[], None]) -> None:
        self.connection = Connection(None, request_timeout_s=1e9, inter_token_timeout_s=1e9, lags_ns=array("q"))  # type: ignore[arg-type]
        self.exchange = Exchange(message=b"", due_ns=0)
        self.heard, self.socket = heard, connected
        self.transport = SocketTransport(connected, self, ClockOffset(), asyncio.get_running_loop(), Base.buffer)
        self.sink = self.connection.received
        self.connection._transport, self.connection._exchange = self.transport, self.exchange

    def ask(self) -> None:
        self.transport.send(REQUEST)

    def received(self, data: Any, stamp_ns: int, lag_ns: int | None) -> None:
        self.sink(data, stamp_ns, lag_ns)
        self.heard()

    def lost(self, error: Exception | None) -> None:
        raise AssertionError(error)

    def close(self) -> None:
        self.transport.close()


WAYS: tuple[Any, ...] = (Loop, Plain, Base, Never, Once, Into, Straight, Straight64, Framing, Batched, Shipped)


async def cost_us(way: Any, *, connections: int, batch: int, chunks: int) -> float:
    """CPU time of one chunk, both ends, in microseconds."""
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    servers: list[socket.socket] = []
    ends: list[Any] = []
    done, left, waiting = loop.create_future(), chunks, connections

    def heard() -> None:
        nonlocal waiting, left
        waiting -= 1
        left -= 1
        if not waiting:
            if left <= 0:
                done.set_result(None)
            else:
                waiting = batch
                loop.call_soon(say)

    position = 0

    def say() -> None:
        nonlocal position
        for _ in range(batch):
            servers[position].send(CHUNK)
            position = (position + 1) % connections

    for _ in range(connections):
        connected = socket.create_connection(listening.getsockname())
        connected.settimeout(0)
        server, _ = listening.accept()
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        servers.append(server)
        ends.append(way(connected, heard))
    await asyncio.sleep(0.01)
    for end, server in zip(ends, servers, strict=True):
        # An answer, and a request right after it: the kernel now takes the connection for a dialogue, and acknowledges late.
        server.send(HEAD + CHUNK)
        await asyncio.sleep(0)
        end.ask()
    started = process_time()
    await done
    spent = process_time() - started
    for end in ends:
        end.close()
    for server in (*servers, listening):
        server.close()
    await asyncio.sleep(0)
    return spent / chunks * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="CPU time of ways to receive a chunk.")
    parser.add_argument("--chunks", type=int, default=6400)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--only", help="names of ways, separated by commas")
    options = parser.parse_args()
    ways = [way for way in WAYS if not options.only or way.__name__ in options.only.split(",")]
    least: dict[tuple[Any, int], float] = {}
    for _ in range(options.repetitions):
        for way in ways:
            for batch in (1, 16):
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    cost = runner.run(cost_us(way, connections=64, batch=batch, chunks=options.chunks))
                least[way, batch] = min(cost, least.get((way, batch), cost))
    print("| way | one at a time | 16 at a time | |\n|---|---|---|---|")
    for way in ways:
        print(f"| {way.__name__} | {least[way, 1]:.2f} | {least[way, 16]:.2f} | {(way.__doc__ or '').splitlines()[0]} |")


if __name__ == "__main__":
    main()

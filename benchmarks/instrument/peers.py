"""Other clients as a closed loop, for comparison. None of them parses while it is measured: what they read is parsed afterwards.

Each takes (host, port, streams, requests, osl) and yields nothing: it returns captured requests as (id, sent_ns, [(stamp_ns, bytes)]).
"""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import Awaitable, Callable
from time import monotonic_ns
from typing import Any

Captured = tuple[str, int, list[tuple[int, bytes]]]
Ask = Callable[[str, bytes], Awaitable[Captured]]

PATH = "/v1/chat/completions"
CONTENT = "word " * 8


def body_of(osl: int) -> bytes:
    """Of every request, as ours."""
    return json.dumps(
        {
            "model": "instrument",
            "messages": [{"role": "user", "content": CONTENT}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": osl,
        }
    ).encode()


async def closed_loop(asks: list[Ask], requests: int, osl: int) -> list[Captured]:
    """One request in flight for each of ``asks``, until ``requests`` were made."""
    left, body, captured = iter(range(requests)), body_of(osl), []

    async def slot(ask: Ask, number: int) -> None:
        # The first request of a slot is shorter, as in our own closed loop: else all streams would end together for ever.
        first = body_of(max(1, round(osl * (number + 1) / len(asks))))
        for _ in left:
            message, first = first or body, b""
            captured.append(await ask(uuid.uuid4().hex, message))

    await asyncio.gather(*(slot(ask, number) for number, ask in enumerate(asks)))
    return captured


class _Stream(asyncio.Protocol):
    """A connection of the httptools client: framing, and no more."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self._stamp_ns = 0
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._stamp_ns = monotonic_ns()
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.pieces.append((self._stamp_ns, body))

    def on_message_complete(self) -> None:
        assert self._done is not None
        self._done.set_result(None)

    async def ask(self, request_id: str, body: bytes) -> Captured:
        import httptools

        self._parser = httptools.HttpResponseParser(self)
        self.pieces, self._done = [], asyncio.get_running_loop().create_future()
        sent_ns = monotonic_ns()
        self._transport.write(
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Request-ID: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (PATH.encode(), request_id.encode(), len(body), body)
        )
        await self._done
        return request_id, sent_ns, self.pieces


async def httptools_load(host: str, port: int, streams: int, requests: int, osl: int) -> list[Captured]:
    """The loop's own transport, httptools, user stamps."""
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(_Stream, host, port))[1] for _ in range(streams)]
    return await closed_loop([connection.ask for connection in connections], requests, osl)


async def httpx_load(host: str, port: int, streams: int, requests: int, osl: int) -> list[Captured]:
    """One AsyncClient, as its documentation advises."""
    import httpx

    limits = httpx.Limits(max_connections=streams, max_keepalive_connections=streams)
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", limits=limits, timeout=None) as client:

        async def ask(request_id: str, body: bytes) -> Captured:
            pieces = []
            headers = {"X-Request-ID": request_id, "Content-Type": "application/json"}
            sent_ns = monotonic_ns()
            async with client.stream("POST", PATH, content=body, headers=headers) as response:
                async for piece in response.aiter_raw():
                    pieces.append((monotonic_ns(), piece))  # noqa: PERF401 - the stamp belongs to the turn
            return request_id, sent_ns, pieces

        return await closed_loop([ask] * streams, requests, osl)


async def aiohttp_load(host: str, port: int, streams: int, requests: int, osl: int) -> list[Captured]:
    """One ClientSession, as its documentation advises."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=streams), timeout=aiohttp.ClientTimeout()) as session:

        async def ask(request_id: str, body: bytes) -> Captured:
            pieces = []
            headers = {"X-Request-ID": request_id, "Content-Type": "application/json"}
            sent_ns = monotonic_ns()
            async with session.post(f"http://{host}:{port}{PATH}", data=body, headers=headers) as response:
                async for piece in response.content.iter_any():
                    pieces.append((monotonic_ns(), piece))  # noqa: PERF401 - the stamp belongs to the turn
            return request_id, sent_ns, pieces

        return await closed_loop([ask] * streams, requests, osl)


PEERS = {"httptools": httptools_load, "httpx": httpx_load, "aiohttp": aiohttp_load}

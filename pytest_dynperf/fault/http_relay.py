"""One client connection of a fault proxy that speaks HTTP/1.1: each request goes to the server on a connection of its own.

Answers are sent on in chunks, event by event where they are event streams; what arrives is passed on when it arrives.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from pytest_dynperf.fault.outlet import CutShort

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from pytest_dynperf.fault.disturbance import Disturbance
    from pytest_dynperf.fault.outlet import Outlet

_PIECE_BYTES = 1 << 16
_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "proxy-connection")
_STREAM = (("content-type", "text/event-stream"), ("cache-control", "no-cache"))
_MALFORMED = b'data: {"choices": [\n\n'
_DONE = b"data: [DONE]\n\n"


class _Message(NamedTuple):
    first: str
    headers: tuple[tuple[str, str], ...]

    def one(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


async def relay_http(reader: asyncio.StreamReader, outlet: Outlet, host: str, port: int) -> None:
    """Serve requests of one client until it has no more.

    :raises CutShort: when a fault has ended the connection; ConnectionError and IncompleteReadError when client or server has.
    """
    while True:
        request = await _message(reader)
        _, path, _ = request.first.split(" ", 2)
        body = await reader.readexactly(int(request.one("content-length") or 0))
        disturbance = outlet.begin(path.partition("?")[0])
        if disturbance.refuse:
            outlet.tell("refuse")
            outlet.reset()
            raise CutShort
        if not await _answered(outlet, disturbance):
            await _passed_on(request, body, outlet, host, port)


async def _answered(outlet: Outlet, disturbance: Disturbance) -> bool:
    """Answer in the server's place, where the faults say so."""
    if disturbance.status is not None:
        outlet.tell("status")
        text = json.dumps({"error": {"message": f"HTTP {disturbance.status} by the fault proxy", "code": disturbance.status}}).encode()
        headers = (("content-type", "application/json"), ("content-length", str(len(text))))
        await outlet.send(_head(f"HTTP/1.1 {disturbance.status} Fault", headers) + text)
        return True
    if disturbance.zero_tokens:
        outlet.tell("zero_tokens")
        await outlet.send(_head("HTTP/1.1 200 OK", (*_STREAM, ("transfer-encoding", "chunked"))))
        last: dict[str, object] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        usage: dict[str, object] = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}}
        for event in (_event(last), _event(usage), _DONE):
            await outlet.send(_chunk(event))
        await outlet.send(_chunk(b""))
        return True
    if disturbance.endless is not None:
        await outlet.send(_head("HTTP/1.1 200 OK", (*_STREAM, ("transfer-encoding", "chunked"))) + _chunk(b"data: "))
        for _ in range(0, disturbance.endless, _PIECE_BYTES):
            await outlet.send(_chunk(b"x" * _PIECE_BYTES))
            outlet.tell("endless")
        raise CutShort
    return False


async def _passed_on(request: _Message, body: bytes, outlet: Outlet, host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=_PIECE_BYTES)
    try:
        kept = tuple((name, value) for name, value in request.headers if name not in _HOP)
        writer.write(_head(request.first, (*kept, ("content-length", str(len(body))), ("connection", "close"))) + body)
        await writer.drain()
        answer = await _message(reader)
        headers = tuple((name, value) for name, value in answer.headers if name not in _HOP)
        bodiless = request.first.startswith("HEAD ") or answer.first.split(" ", 2)[1] in {"204", "304"}
        await outlet.send(_head(answer.first, (*headers, *(() if bodiless else (("transfer-encoding", "chunked"),)))))
        if bodiless:
            return
        async with aclosing(_body(reader, answer)) as pieces:
            if answer.one("content-type").startswith("text/event-stream"):
                await _send_events(pieces, outlet)
            else:
                async for piece in pieces:
                    await outlet.send(_chunk(piece))
        await outlet.send(_chunk(b""))
    finally:
        writer.close()


async def _send_events(pieces: AsyncGenerator[bytes, None], outlet: Outlet) -> None:
    number, rest = 0, b""
    async for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            disturbance = outlet.now()
            if disturbance.error_after_events is not None and number >= disturbance.error_after_events:
                outlet.tell("error_after_events")
                error: Mapping[str, object] = {"error": {"message": "an error by the fault proxy", "type": "fault", "code": 503}}
                await outlet.send(_chunk(_event(error)) + _chunk(_DONE))
                return
            if disturbance.malformed_after_events == number:
                outlet.tell("malformed_after_events")
                await outlet.send(_chunk(_MALFORMED))
            elif disturbance.without_done and event.strip() == b"data: [DONE]":
                outlet.tell("without_done")
            else:
                await outlet.send(_chunk(event + b"\n\n"))
            number += 1
    if rest:
        await outlet.send(_chunk(rest))


async def _message(reader: asyncio.StreamReader) -> _Message:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    return _Message(first, headers)


async def _body(reader: asyncio.StreamReader, answer: _Message) -> AsyncGenerator[bytes, None]:
    if "chunked" in answer.one("transfer-encoding").lower():
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            yield (await reader.readexactly(size + 2))[:-2]
        return
    stated = answer.one("content-length")
    left = int(stated) if stated else None
    while left is None or left > 0:
        piece = await reader.read(_PIECE_BYTES if left is None else min(left, _PIECE_BYTES))
        if not piece and left is not None:
            raise asyncio.IncompleteReadError(b"", left)
        if not piece:
            return
        left = None if left is None else left - len(piece)
        yield piece


def _head(first: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    return (first + "\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n").encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(data: Mapping[str, object]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"

"""An OpenAI-compatible chat server that streams, and misbehaves, as told::

    with sse_server(Behaviour(ttft_s=0.01)) as server:
        ...  # server.url, server.requests, server.max_in_flight

It runs in a thread of this process with a port from the kernel. The n-th chat request gets the n-th behaviour, and the last one repeats.
Also answers ``/v1/models`` and ``/health``. One word of a prompt is one token, and the chat template takes ``template_tokens``.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one request is answered. The defaults are a server without a fault."""

    ttft_s: float = 0.0
    itl_s: float = 0.0
    osl: int | None = None  # tokens to send; None: what max_tokens asks for
    delta: Literal["content", "reasoning_content", "tool_calls"] = "content"
    word: str = "t"  # every token is this and its number
    role_chunk: bool = True  # first a chunk with the role alone, before the TTFT has passed
    usage: bool = True
    completion_tokens: int | None = None  # what usage says; None: the truth
    cached_tokens: int | None = None
    server_ttft_ms: float | None = None  # Dynamo's nvext.timing
    finish_reason: str | None = "length"
    done: bool = True
    status: int = 200
    body: bytes | None = None  # instead of a stream
    content_type: str = "text/event-stream"
    headers: tuple[tuple[str, str], ...] = ()
    error_after: int | None = None  # tokens before an error chunk; [DONE] follows, nothing else
    stop_after: int | None = None  # tokens after which `stop` happens
    stop: Literal["truncate", "close", "reset", "hang"] = "truncate"
    garbage: bytes | None = None  # raw bytes instead of an HTTP response
    close_unanswered: bool = False  # close without a byte
    huge_line_bytes: int = 0  # size of the first token's text
    ping_s: float = 0.0  # instead of tokens: comments, for ever, this far apart
    drip_s: float = 0.0  # one byte at a time, this far apart
    split_bytes: int = 0  # write in slices of this size
    framing: Literal["chunked", "length", "close"] = "chunked"
    close_after: bool = False  # close the kept-alive connection without having said so
    hold: int = 0  # answer only while this many requests are in flight


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """A chat request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int  # number of the connection, from 0
    in_flight: int  # requests in flight when it came, itself included


@dataclass(slots=True, kw_only=True)
class SseServer:
    """A running server. ``behave`` replaces the behaviours for requests still to come."""

    model: str
    template_tokens: int
    models_body: bytes | None
    models_content_type: str
    behaviours: tuple[Behaviour, ...]
    scheme: str = "http"
    port: int = 0
    requests: list[SeenRequest] = field(default_factory=list)
    connections: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _answered: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}" if self.scheme == "https" else f"http://127.0.0.1:{self.port}"

    def behave(self, *behaviours: Behaviour) -> None:
        self.behaviours, self._answered = behaviours, 0

    def next_behaviour(self) -> Behaviour:
        behaviour = self.behaviours[min(self._answered, len(self.behaviours) - 1)]
        self._answered += 1
        return behaviour


@contextmanager
def sse_server(
    *behaviours: Behaviour,
    model: str = "fake",
    template_tokens: int = 5,
    models_body: bytes | None = None,
    models_content_type: str = "application/json",
    tls: ssl.SSLContext | None = None,
    port: int = 0,
) -> Iterator[SseServer]:
    """Serve until the block ends. ``models_body`` replaces what ``/v1/models`` answers (for example with HTML)."""
    server = SseServer(
        model=model,
        template_tokens=template_tokens,
        models_body=models_body,
        models_content_type=models_content_type,
        behaviours=behaviours or (Behaviour(),),
        scheme="https" if tls else "http",
    )
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        listening = await asyncio.start_server(lambda reader, writer: _connection(server, reader, writer), "127.0.0.1", port, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        listening.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def thread() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    running = threading.Thread(target=thread, name="sse_server", daemon=True)
    running.start()
    assert ready.wait(10), "the fake server did not start"
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        running.join(10)
        assert not running.is_alive(), "the fake server did not stop"


_HEALTH = b'{"status":"healthy","instances":[{"component":"fake","endpoint":"generate","instance_id":1}]}'


async def _connection(server: SseServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    number, server.connections = server.connections, server.connections + 1
    try:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await _exchange(server, number, reader, writer):
                pass
    finally:
        writer.close()


async def _exchange(server: SseServer, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request; whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    _, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    if path.endswith("/v1/models"):
        models = json.dumps({"object": "list", "data": [{"id": server.model, "object": "model"}]}).encode()
        writer.write(_whole(200, server.models_body if server.models_body is not None else models, server.models_content_type))
    elif path.endswith("/health"):
        writer.write(_whole(200, _HEALTH, "application/json"))
    elif path.endswith("/v1/chat/completions"):
        asked = SeenRequest(path=path, headers=headers, body=json.loads(body), connection=number, in_flight=server.in_flight + 1)
        return await _chat(server, asked, writer)
    else:
        writer.write(_whole(404, b'{"error":"not found"}', "application/json"))
    await writer.drain()
    return True


async def _chat(server: SseServer, asked: SeenRequest, writer: asyncio.StreamWriter) -> bool:
    behaviour = server.next_behaviour()
    server.in_flight = asked.in_flight
    server.max_in_flight = max(server.max_in_flight, server.in_flight)
    server.requests.append(asked)
    answer = _Answer(server=server, behaviour=behaviour, writer=writer, body=asked.body)
    try:
        async with server.changed:
            server.changed.notify_all()
            await server.changed.wait_for(lambda: server.in_flight >= behaviour.hold)
        return await answer.write()
    finally:
        answer.leave()


def _whole(status: int, body: bytes, content_type: str, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


@dataclass(slots=True, kw_only=True)
class _Answer:
    server: SseServer
    behaviour: Behaviour
    writer: asyncio.StreamWriter
    body: dict[str, Any]
    counted: bool = True
    gathered: bytearray = field(default_factory=bytearray)

    def leave(self) -> None:
        """Before the last bytes go out: whoever has read them may come again at once."""
        if self.counted:
            self.counted = False
            self.server.in_flight -= 1

    async def write(self) -> bool:
        behaviour = self.behaviour
        if behaviour.garbage is not None:
            self.leave()
            await self._raw(behaviour.garbage)
            return False
        if behaviour.close_unanswered:
            return False
        if behaviour.status != 200 or behaviour.body is not None:
            self.leave()
            body = behaviour.body if behaviour.body is not None else b'{"message":"refused"}'
            await self._raw(_whole(behaviour.status, body, behaviour.content_type, behaviour.headers))
            return not behaviour.close_after
        if not self.body.get("stream"):
            self.leave()
            await self._raw(_whole(200, json.dumps(self._completion()).encode(), "application/json", behaviour.headers))
            return not behaviour.close_after
        await self._head()
        if not await self._stream():
            return False
        self.leave()
        await self._end()
        return not behaviour.close_after and behaviour.framing != "close"

    async def _head(self) -> None:
        framing = {"chunked": "Transfer-Encoding: chunked\r\n", "close": "Connection: close\r\n", "length": ""}[self.behaviour.framing]
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.behaviour.headers)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {self.behaviour.content_type}\r\n{framing}{extra}"
        if self.behaviour.framing == "length":
            self.gathered += head.encode()  # the rest when the length is known
        else:
            await self._raw(f"{head}\r\n".encode())

    async def _stream(self) -> bool:
        """The events; false where the connection is to be dropped."""
        behaviour = self.behaviour
        tokens = behaviour.osl if behaviour.osl is not None else int(self.body["max_tokens"])
        if behaviour.role_chunk:
            await self._event(self._chunk({"role": "assistant", "content": ""}))
        while behaviour.ping_s:
            await self._body(b": ping\n\n")
            await asyncio.sleep(behaviour.ping_s)
        await asyncio.sleep(behaviour.ttft_s)
        for position in range(tokens):
            if position == behaviour.stop_after:
                return await self._stop()
            if position == behaviour.error_after:
                await self._event({"error": {"message": "worker is gone", "code": 503}})
                await self._event("[DONE]")
                return True
            if position:
                await asyncio.sleep(behaviour.itl_s)
            await self._event(self._chunk(self._delta(position)))
        await self._last(tokens)
        return True

    def _completion(self) -> dict[str, object]:
        """The whole answer at once, as a control client asks for it."""
        tokens = int(self.body["max_tokens"])
        choice = {"index": 0, "message": {"role": "assistant", "content": " t" * tokens}, "finish_reason": self.behaviour.finish_reason}
        usage = {"prompt_tokens": self._prompt_tokens(), "completion_tokens": tokens}
        return {"id": "chatcmpl-1", "object": "chat.completion", "model": self.server.model, "choices": [choice], "usage": usage}

    def _prompt_tokens(self) -> int:
        return len(self.body["messages"][0]["content"].split()) + self.server.template_tokens

    def _delta(self, position: int) -> dict[str, object]:
        if self.behaviour.delta == "tool_calls":
            return {"tool_calls": [{"index": 0, "function": {"arguments": f"t{position}"}}]}
        text = (
            "x" * self.behaviour.huge_line_bytes if self.behaviour.huge_line_bytes and not position else f" {self.behaviour.word}{position}"
        )
        return {self.behaviour.delta: text}

    async def _last(self, tokens: int) -> None:
        behaviour = self.behaviour
        last = self._chunk({}, finish_reason=behaviour.finish_reason)
        if behaviour.server_ttft_ms is not None:
            last["nvext"] = {"timing": {"ttft_ms": behaviour.server_ttft_ms, "total_time_ms": 1.0}}
        await self._event(last)
        if behaviour.usage:
            completion_tokens = tokens if behaviour.completion_tokens is None else behaviour.completion_tokens
            usage: dict[str, object] = {"prompt_tokens": self._prompt_tokens(), "completion_tokens": completion_tokens}
            if behaviour.cached_tokens is not None:
                usage["prompt_tokens_details"] = {"cached_tokens": behaviour.cached_tokens}
            await self._event({"id": "chatcmpl-1", "choices": [], "usage": usage})
        if behaviour.done:
            await self._event("[DONE]")

    async def _stop(self) -> bool:
        stop = self.behaviour.stop
        if stop == "truncate":
            return True
        if stop == "hang":
            await asyncio.Event().wait()
        if stop == "reset":
            await self.writer.drain()
            # SO_LINGER of 0 s: closing sends RST.
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        return False

    def _chunk(self, delta: dict[str, object], finish_reason: str | None = None) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": self.server.model, "choices": [choice], "usage": None}

    async def _event(self, data: dict[str, object] | str) -> None:
        await self._body(b"data: " + (data if isinstance(data, str) else json.dumps(data)).encode() + b"\n\n")

    async def _body(self, data: bytes) -> None:
        if self.behaviour.framing == "chunked":
            await self._raw(b"%x\r\n%b\r\n" % (len(data), data))
        elif self.behaviour.framing == "close":
            await self._raw(data)
        else:
            self.gathered += data

    async def _end(self) -> None:
        if self.behaviour.framing == "chunked":
            await self._raw(b"0\r\n\r\n")
        elif self.behaviour.framing == "length":
            head, _, events = bytes(self.gathered).partition(b"data: ")
            await self._raw(head + b"Content-Length: %d\r\n\r\n" % (len(events) + 6) + b"data: " + events)

    async def _raw(self, data: bytes) -> None:
        size = 1 if self.behaviour.drip_s else self.behaviour.split_bytes or len(data)
        for start in range(0, len(data), max(1, size)):
            self.writer.write(data[start : start + size])
            await self.writer.drain()
            if size < len(data):
                await asyncio.sleep(self.behaviour.drip_s)

"""Whatever a server sends: a typed error or a right record; never an exception, a hang, or memory beyond what was sent.

Real answers are damaged at random (10,000 seeds through a connection, some hundred over a real socket), and what comes out is compared with
readers that share nothing with ours: h11 for the framing, the standard library's JSON for the events.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from array import array
from contextlib import suppress
from time import monotonic_ns
from typing import TYPE_CHECKING, cast

import h11
import pytest

from pytest_dynperf.load import sse
from pytest_dynperf.load.chat_request import Origin
from pytest_dynperf.load.clock import ClockOffset
from pytest_dynperf.load.connection import Connection, Exchange
from pytest_dynperf.load.http_stream import ResponseStream
from pytest_dynperf.load.record import record_of
from pytest_dynperf.load.transport import Dialer
from pytest_dynperf.observation.request_record import FailureKind, RequestRecord, Stamp
from pytest_dynperf.workload.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_dynperf.load.transport import Receiver

SEEDS, SOCKET_SEEDS = 10_000, 200
REQUEST = Request(index=0, content="p", isl=8, osl=4)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def event(**chunk: object) -> bytes:
    return b"data: " + json.dumps({"id": "c-1", **chunk}, separators=(",", ":")).encode() + b"\n\n"


def delta(**fields: object) -> bytes:
    return event(choices=[{"index": 0, "delta": fields, "finish_reason": None}])


def usage(tokens: int) -> dict[str, object]:
    return {"prompt_tokens": 8, "completion_tokens": tokens, "prompt_tokens_details": {"cached_tokens": 3}}


TEXTS = [" one", " two", " déjà", ' "three"']
FINISH = event(choices=[{"index": 0, "delta": {}, "finish_reason": "length"}])
CHAT = [
    delta(role="assistant", content=""),
    *(delta(content=text) for text in TEXTS),
    FINISH,
    event(choices=[], usage=usage(4)),
    b"data: [DONE]\n\n",
]
REASONING = [
    *(delta(reasoning_content=text) for text in TEXTS[:2]),
    b": ping\n\n",
    *(delta(content=text) for text in TEXTS[:2]),
    *CHAT[-3:],
]
EVERY = [
    event(choices=[{"index": 0, "text": text, "finish_reason": "length" if number == 4 else None}], usage=usage(number))
    for number, text in enumerate(TEXTS, start=1)
] + [b"data: [DONE]\n\n"]
FAILED = [*CHAT[:3], b"event: error\n: worker is gone\n\n", event(error={"message": "gone", "code": 503}), b"data: [DONE]\n\n"]


def chunked(events: Iterable[bytes]) -> bytes:
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(e), e) for e in events) + b"0\r\n\r\n"


def sized(events: Iterable[bytes]) -> bytes:
    body = b"".join(events)
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def until_close(events: Iterable[bytes]) -> bytes:
    return HEAD + b"Connection: close\r\n\r\n" + b"".join(events)


ANSWERS = [framing(events) for framing in (chunked, sized, until_close) for events in (CHAT, REASONING, EVERY, FAILED)]
ANSWERS += [chunked(CHAT)] * 4
FAILURES = [framing(FAILED) for framing in (chunked, sized, until_close)]
WORDS = [
    b"\r\n",
    b"\n\n",
    b"data: ",
    b"0\r\n\r\n",
    b"[DONE]",
    b'"error":',
    b"HTTP/1.1 200 OK\r\n",
    b"ffffffff\r\n",
    b'{"choices":[{}]}',
    b"[" * 2000,
]


def damaged(rng: random.Random, answer: bytes) -> bytes:
    data = bytearray(answer)
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        until = min(len(data), at + rng.choice((1, 1, 2, 16, 200)))
        what = rng.randrange(6)
        if what == 0:
            data[at:until] = rng.randbytes(until - at)
        elif what == 1:
            del data[at:until]
        elif what == 2:
            data[at:at] = rng.choice(WORDS)
        elif what == 3:
            data[at:at] = data[at:until]
        elif what == 4:
            del data[at:]
        else:
            data[at:until] = data[at:until].swapcase()
    return bytes(data)


def reads(rng: random.Random, data: bytes) -> list[bytes]:
    """As one read, byte by byte, in a few pieces, or an event at a time."""
    how = rng.randrange(4)
    if how == 0:
        return [data] if data else []
    if how == 1:
        return [data[at : at + 1] for at in range(len(data))] if len(data) < 500 else [data[:300], data[300:]]
    if how == 2:
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(6))
        return [piece for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if (piece := data[start:end])]
    return [piece for piece in re.split(rb"(?<=\n\n\r\n)", data) if piece]


# ---- readers that share nothing with ours


def framed_by_h11(data: bytes) -> bytes | None:
    """The body, or ``None`` where h11 refuses the answer or misses its end."""
    reader, body = h11.Connection(h11.CLIENT), b""
    reader.send(h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
    reader.send(h11.EndOfMessage())
    try:
        reader.receive_data(data)
        reader.receive_data(b"")
        while True:
            part = reader.next_event()
            if isinstance(part, h11.Data):
                body += bytes(part.data)
            elif isinstance(part, h11.EndOfMessage):
                return body
            elif part is h11.NEED_DATA or isinstance(part, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None


def read_by_json(body: bytes) -> tuple[object, ...] | None:
    """Content chunks, first id, last finish reason and last completion tokens; ``None`` for what is no UTF-8 or no JSON."""
    chunks, name, finish, tokens = 0, None, None, None
    try:
        for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
            data = b"\n".join(line[5:].removeprefix(b" ") for line in block.split(b"\n") if line[:5] == b"data:")
            if not data or data.strip() == b"[DONE]":
                continue
            chunk = json.loads(data.decode())
            name = chunk.get("id") if name is None else name
            for choice in chunk.get("choices") or ():
                fields = choice.get("delta") or {}
                chunks += bool(
                    choice.get("text") or any(fields.get(key) for key in ("content", "reasoning_content", "reasoning", "tool_calls"))
                )
                finish = choice.get("finish_reason") or finish
            if chunk.get("usage") is not None:
                tokens = chunk["usage"].get("completion_tokens")
    except (ValueError, AttributeError, TypeError):
        return None
    return chunks, name, finish, tokens


# ---- what must hold


def check(exchange: Exchange, answer: bytes, sent: bytes, *, with_h11: bool) -> RequestRecord:
    stream = exchange.stream
    assert exchange.end_ns is not None, "a hang"
    assert stream.body_bytes <= len(sent)
    assert len(stream.pieces) <= len(sent)
    body = b"".join(piece for _, piece in stream.pieces)
    record = record_of(exchange, REQUEST, request_id="r", run="1", measured=True, ignore_eos=True)
    assert record.error is None or record.error.detail
    assert list(record.chunk_ns) == sorted(record.chunk_ns)
    assert record.coalesced <= max(0, len(record.chunk_ns) - 1)
    if sent == answer and answer not in FAILURES:
        assert record.error is None
        assert len(record.chunk_ns) == 4
    if record.error is None:
        theirs = read_by_json(body)
        assert theirs in (None, (len(record.chunk_ns), record.response_id, record.finish_reason, record.completion_tokens))
        assert (record.http_status, record.completion_tokens) == (200, 4)
        if with_h11 and (framed := framed_by_h11(sent)) is not None:
            assert body == framed
    return record


class Wire:
    """A transport that is told what comes."""

    stamp = Stamp.USER

    def __init__(self) -> None:
        self.closed = False

    async def dial(self, receiver: Receiver) -> Wire:
        self.closed = False
        return self

    def send(self, data: bytes) -> None: ...

    def sending(self) -> bool:
        return False

    def look(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def through_a_connection(seeds: Iterable[int]) -> list[RequestRecord]:
    async def run() -> list[RequestRecord]:
        records = []
        for seed in seeds:
            rng, wire = random.Random(seed), Wire()
            answer = rng.choice(ANSWERS)
            data = damaged(rng, answer)
            connection = Connection(cast("Dialer", wire), request_timeout_s=9, inter_token_timeout_s=9, lags_ns=array("q"))
            await connection.open()
            exchange = Exchange(message=b"x", due_ns=0)
            connection._send(exchange, may_be_stale=False)
            for stamp_ns, piece in enumerate(reads(rng, data), start=1):
                if wire.closed or exchange.end_ns is not None:
                    break
                connection.received(memoryview(piece), stamp_ns, None)
            if exchange.end_ns is None:
                connection.lost(None if data == answer or rng.random() < 0.8 else ConnectionResetError(104, "reset"))
            try:
                records.append(check(exchange, answer, data, with_h11=seed % 5 == 0))
            except AssertionError as error:
                msg = f"seed {seed}: {error}"
                raise AssertionError(msg) from error
        return records

    return asyncio.run(run())


def test_ten_thousand_damaged_answers() -> None:
    records = through_a_connection(range(SEEDS))
    kinds = {record.error.kind if record.error is not None else None for record in records}
    # Not all of one kind, or the damage would be nothing, or too much.
    assert {None, FailureKind.MALFORMED, FailureKind.TRUNCATED, FailureKind.ERROR_CHUNK, FailureKind.CONNECTION} <= kinds
    assert sum(record.error is None for record in records) > SEEDS // 10


def _drops_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = ResponseStream.on_body
    monkeypatch.setattr(ResponseStream, "on_body", lambda stream, body: keep(stream, body.replace(b" two", b" tw")))


def _hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "lost", lambda connection, error: None)


def _takes_any_chunk_for_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse._Form, "fits", lambda form, piece: True)


def _loses_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = sse.EventParser.feed
    monkeypatch.setattr(sse.EventParser, "feed", lambda parser, piece: [e for e in feed(parser, piece) if b"one" not in e.data])


def _raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_decode", json.loads)


@pytest.mark.parametrize("plant", [_drops_a_byte, _hangs, _takes_any_chunk_for_text, _loses_an_event, _raises])
def test_a_planted_defect_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    through_a_connection(range(300))
    plant(monkeypatch)
    with pytest.raises((AssertionError, ValueError, AttributeError)):
        through_a_connection(range(300))


def test_damaged_answers_over_a_socket() -> None:
    async def one(seed: int) -> RequestRecord:
        rng = random.Random(seed)
        answer = rng.choice(ANSWERS)
        data = damaged(rng, answer)
        hangs = data != answer and rng.random() < 0.2

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            with suppress(ConnectionError):
                for piece in reads(rng, data):
                    writer.write(piece)
                    await writer.drain()
                if hangs:
                    await reader.read()  # until the other side gives up
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        origin = Origin(tls=False, host="127.0.0.1", port=server.sockets[0].getsockname()[1], path="/")
        connection = Connection(Dialer(origin, ClockOffset()), request_timeout_s=0.2, inter_token_timeout_s=0.2, lags_ns=array("q"))
        exchange = Exchange(message=b"x", due_ns=monotonic_ns())
        finishing = asyncio.create_task(connection.finish(exchange))
        while not finishing.done():
            await asyncio.wait([finishing], timeout=0.02)
            connection.expire(monotonic_ns())
        await finishing
        connection.close()
        server.close()
        await server.wait_closed()
        return check(exchange, answer, data, with_h11=False)

    async def run() -> list[RequestRecord]:
        async with asyncio.timeout(60):
            return [record for first in range(0, SOCKET_SEEDS, 20) for record in await asyncio.gather(*map(one, range(first, first + 20)))]

    records = asyncio.run(run())
    assert any(record.error is None for record in records)
    assert any(record.error is not None and record.error.kind is FailureKind.TIMEOUT for record in records)
    assert {record.stamp for record in records} == {Stamp.KERNEL}

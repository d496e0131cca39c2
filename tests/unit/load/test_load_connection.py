"""A connection against the server of known times: every stamp is later than the send it belongs to, and scripts end as they should."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from array import array
from time import monotonic_ns
from typing import TYPE_CHECKING

import pytest

from benchmarks.instrument.truth import CONTENT, Server, server
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.load.chat_request import origin_of
from pytest_dynperf.load.clock import ClockOffset
from pytest_dynperf.load.connection import Connection, Exchange
from pytest_dynperf.load.record import record_of
from pytest_dynperf.load.transport import Dialer
from pytest_dynperf.observation.request_record import FailureKind, RequestRecord, Stamp
from pytest_dynperf.workload.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.load.transport import Receiver, Transport

OSL = 12
REQUEST = Request(index=0, content="p", isl=8, osl=OSL)
CLOCK_NOISE_NS = 50_000  # of converting CLOCK_REALTIME; a wrong offset would be off by decades


@pytest.fixture(scope="module")
def truth() -> Iterator[Server]:
    compiler = os.environ.get("CC", "cc")
    if sys.platform != "linux" or shutil.which(compiler) is None:
        pytest.skip(f"needs Linux and a C compiler ({compiler}), to build the server of known times")
    with server(ttft_us=2000, itl_us=1000, tokens=0) as running:
        yield running


def ask(truth: Server, *scripts: str) -> list[RequestRecord]:
    """One request for each script, on one connection."""

    async def run() -> list[RequestRecord]:
        dialer = Dialer(origin_of(Endpoint(base_url=truth.url, model="instrument")), ClockOffset())
        connection = Connection(dialer, request_timeout_s=20, inter_token_timeout_s=20, lags_ns=array("q"))
        records = []
        for number, script in enumerate(scripts):
            body = b'{"max_tokens":%d}' % OSL
            head = f"POST /v1/chat/completions HTTP/1.1\r\nX-Request-ID: r{number}\r\nX-Instrument: {script}\r\n"
            message = head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            exchange = Exchange(message=message, due_ns=monotonic_ns())
            if connection.is_open:
                connection.send(exchange)
            async with asyncio.timeout(30):
                await connection.finish(exchange)
            records.append(record_of(exchange, REQUEST, request_id=f"r{number}", run="1", measured=True, ignore_eos=True))
        connection.close()
        return records

    return asyncio.run(run())


def test_no_stamp_is_earlier_than_its_send(truth: Server) -> None:
    truth.taken()
    records = ask(truth, *["itl_us=1000"] * 5)
    log = truth.taken()
    sent, received = log.content_ns(), log.received_ns()
    for record in records:
        assert record.error is None
        assert record.stamp is Stamp.KERNEL
        theirs = sent[record.request_id].tolist()
        assert len(record.chunk_ns) == len(theirs) == OSL
        assert record.sent_ns is not None
        assert record.sent_ns < received[record.request_id]
        assert all(ours > true - CLOCK_NOISE_NS for ours, true in zip(record.chunk_ns, theirs, strict=True))
    assert (log.sends["late_ns"][log.sends["kind"] == CONTENT] >= 0).all()
    assert len(truth.taken().requests) == 0


def test_what_the_script_says_is_what_is_recorded(truth: Server) -> None:
    scripts = {
        "usage=2,per_chunk=5": None,
        "stall_at=3,stall_us=20000": None,
        "role=0": None,
        "usage=0": FailureKind.WRONG_LENGTH,
        "tokens=7": FailureKind.WRONG_LENGTH,
        "done=0": FailureKind.TRUNCATED,
        "error_at=4": FailureKind.ERROR_CHUNK,
    }
    records = ask(truth, *scripts)
    assert [record.error.kind if record.error is not None else None for record in records] == list(scripts.values())
    every, stalled, *_, failed = records
    assert every.chunk_tokens == (5, 5, 2)
    assert stalled.sent_ns is not None
    # TTFT, three gaps and the stall, from an instant after the send: never earlier, however busy the machine is.
    assert stalled.chunk_ns[3] - stalled.sent_ns >= 25_000_000 - CLOCK_NOISE_NS
    assert len(failed.chunk_ns) == 4
    assert {record.connection_reused for record in records[1:]} == {True}


class _LateDialer(Dialer):
    """Dials when it is let."""

    def __init__(self, truth: Server) -> None:
        super().__init__(origin_of(Endpoint(base_url=truth.url, model="instrument")), ClockOffset())
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def dial(self, receiver: Receiver) -> Transport:
        self.asked.set()
        await self.let.wait()
        return await super().dial(receiver)


def test_waiting_for_a_connection_is_latency_and_no_lateness(truth: Server) -> None:
    body = b'{"max_tokens":%d}' % OSL
    head = b"POST /v1/chat/completions HTTP/1.1\r\nX-Request-ID: r\r\nX-Instrument: itl_us=1000\r\n"
    message = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)

    async def run() -> tuple[Exchange, Exchange, int]:
        dialer = _LateDialer(truth)
        connection = Connection(dialer, request_timeout_s=20, inter_token_timeout_s=20, lags_ns=array("q"))
        first, second = (Exchange(message=message, due_ns=monotonic_ns()) for _ in range(2))
        async with asyncio.timeout(30):
            finishing = asyncio.get_running_loop().create_task(connection.finish(first))
            await dialer.asked.wait()
            let_ns = monotonic_ns()
            dialer.let.set()
            await finishing
            connection.send(second)
            await connection.finish(second)
        connection.close()
        return first, second, let_ns

    first, second, let_ns = asyncio.run(run())
    record = record_of(first, REQUEST, request_id="r", run="1", measured=True, ignore_eos=True)
    assert record.sent_ns is not None
    assert record.connecting_ns is not None
    assert record.scheduled_ns <= record.sent_ns <= let_ns <= record.sent_ns + record.connecting_ns < record.chunk_ns[0]
    assert second.connecting_ns is None  # it found the connection open
    assert second.sent_ns is not None
    assert first.end_ns is not None
    assert second.sent_ns >= first.end_ns

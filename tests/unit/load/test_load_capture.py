"""What is parsed when: after the phase as a rule, at once where something looks wrong, the oldest first where memory ends."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from pytest_dynperf.load.ask import Ask
from pytest_dynperf.load.capture import Captured, Flight, glance
from pytest_dynperf.load.connection import Exchange
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.workload.request import Request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CHUNK = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":17}}\n\n'
DONE = b"data: [DONE]\n\n"


def exchange(*pieces: bytes, status: bytes = b"200 OK") -> Exchange:
    ended = Exchange(message=b"", due_ns=0, sent_ns=0)
    ended.stream.feed(HEAD.replace(b"200 OK", status), 1)
    for stamp, piece in enumerate(pieces, start=2):
        ended.stream.feed(piece, stamp)
    ended.stream.end_of_input()
    ended.end_ns = 99
    return ended


def flight(index: int, *pieces: bytes) -> Flight:
    ask = Ask(request=Request(index=index, content="", isl=1, osl=1), request_id=str(index), body=b"")
    return Flight(ask=ask, exchange=exchange(*pieces), measured=True)


def interrupted() -> Exchange:
    ended = Exchange(message=b"", due_ns=0)
    ended.interrupt(FailureKind.CONNECTION, "refused")
    return ended


@pytest.mark.parametrize(
    ("ended", "suspicious"),
    [
        pytest.param(exchange(CHUNK, USAGE, DONE), False, id="as it should be"),
        pytest.param(exchange(CHUNK, USAGE, b"data: [DO", b"NE]\n\n"), False, id="the end in two pieces"),
        pytest.param(exchange(CHUNK + USAGE + DONE), False, id="all in one piece"),
        pytest.param(exchange(CHUNK, USAGE), True, id="no end"),
        pytest.param(exchange(CHUNK, b'data: {"error": {"code": 503}}\n\n', DONE), True, id="an error, and an end"),
        pytest.param(exchange(CHUNK, b"event: error\n: gone\n\n", DONE), True, id="an error event"),
        pytest.param(exchange(CHUNK, DONE, status=b"503 Busy"), True, id="a status"),
        pytest.param(interrupted(), True, id="interrupted"),
    ],
)
def test_suspicion(ended: Exchange, suspicious: bool) -> None:
    assert glance(ended).suspicious is suspicious


def test_usage_is_seen_without_parsing() -> None:
    assert glance(exchange(CHUNK, USAGE, DONE)).tokens == 17
    assert glance(exchange(CHUNK, DONE)).tokens is None


def test_what_is_not_urgent_waits_for_the_end() -> None:
    parsed: list[int] = []

    async def scene() -> None:
        captured = Captured(lambda flight: parsed.append(flight.ask.request.index))
        turns = asyncio.create_task(captured.parse_in_turns())
        for index in range(4):
            captured.add(flight(index, CHUNK, DONE), urgent=index == 2)
        for _ in range(5):
            await asyncio.sleep(0)
        assert parsed == [2]
        turns.cancel()
        captured.parse_all()

    asyncio.run(scene())
    assert parsed == [2, 0, 1, 3]


def test_beyond_the_budget_the_oldest_go_one_in_a_turn() -> None:
    parsed: list[int] = []
    body = 10 * len(CHUNK)

    async def scene() -> None:
        captured = Captured(lambda flight: parsed.append(flight.ask.request.index), budget_bytes=3 * (body + 10 * 150))
        turns = asyncio.create_task(captured.parse_in_turns())
        for index in range(6):
            captured.add(flight(index, *[CHUNK] * 10), urgent=False)
        seen = []
        for _ in range(6):
            await asyncio.sleep(0)
            seen.append(len(parsed))
        assert parsed == [0, 1, 2]
        assert all(late - early <= 1 for early, late in pairwise(seen))
        turns.cancel()
        captured.parse_all()

    asyncio.run(scene())
    assert parsed == list(range(6))

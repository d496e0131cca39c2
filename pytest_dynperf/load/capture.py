"""Exchanges that have ended: their bytes are kept now and parsed after the phase, unless something is wrong with them.

Parsing takes some microseconds a chunk, in which nothing is sent and nothing read. What looks like a failure is parsed in the next turns of
the loop all the same, so that a server that fails is noticed, and so is the oldest of what no longer fits into the budget.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.load.ask import Ask
    from pytest_dynperf.load.connection import Exchange

BUDGET_BYTES = 256 << 20
_PIECE_BYTES = 150  # what Python needs to hold one piece, beside its bytes
_LAST_PIECES = 4
_COMPLETION_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')


@dataclass(slots=True, kw_only=True)
class Flight:
    """One request from the decision to send it on."""

    ask: Ask
    exchange: Exchange
    measured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What can be seen of an ended exchange without parsing it. ``tokens`` is what its usage says."""

    suspicious: bool
    tokens: int | None


def glance(exchange: Exchange) -> Glance:
    """About 3 µs. A text that merely quotes an error is suspicious too: that costs an early parse, and nothing else."""
    stream = exchange.stream
    if exchange.interruption is not None or stream.status != 200:
        return Glance(suspicious=True, tokens=None)
    end = b"".join(piece for _, piece in stream.pieces[-_LAST_PIECES:])
    told = _COMPLETION_TOKENS.search(end)
    suspicious = b"[DONE]" not in end or b'"error"' in end or b"event: error" in end
    return Glance(suspicious=suspicious, tokens=int(told[1]) if told else None)


class Captured:
    """``parse`` is called once for every flight that was added."""

    def __init__(self, parse: Callable[[Flight], object], *, budget_bytes: int = BUDGET_BYTES) -> None:
        self._parse = parse
        self._budget_bytes = budget_bytes
        self._kept: deque[tuple[int, Flight]] = deque()
        self._bytes = 0
        self._urgent: deque[Flight] = deque()
        self._wake = asyncio.Event()

    def add(self, flight: Flight, *, urgent: bool) -> None:
        """Keep it. ``urgent``: parse it in one of the next turns."""
        if urgent:
            self._urgent.append(flight)
        else:
            size = flight.exchange.stream.body_bytes + _PIECE_BYTES * len(flight.exchange.stream.pieces)
            self._kept.append((size, flight))
            self._bytes += size
            while self._bytes > self._budget_bytes:
                size, oldest = self._kept.popleft()
                self._bytes -= size
                self._urgent.append(oldest)
        if self._urgent:
            self._wake.set()

    async def parse_in_turns(self) -> None:
        """For ever: what is urgent, one flight in each turn of the loop, so that sends that are due go first."""
        while True:
            await self._wake.wait()
            while self._urgent:
                self._parse(self._urgent.popleft())
                await asyncio.sleep(0)
            self._wake.clear()

    def parse_all(self) -> None:
        """Everything that is left, urgent first."""
        while self._urgent:
            self._parse(self._urgent.popleft())
        while self._kept:
            self._parse(self._kept.popleft()[1])
        self._bytes = 0

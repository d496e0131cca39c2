"""The turns of one unit of work on one connection: each is due a pause after the end of the one before."""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_dynperf.load.capture import Flight
from pytest_dynperf.load.connection import Exchange
from pytest_dynperf.observation.request_record import FailureKind

if TYPE_CHECKING:
    from pytest_dynperf.load.ask import Unit
    from pytest_dynperf.load.connection import Connection
    from pytest_dynperf.load.phase import Phase

STOPPED = "the run was stopped while the request was in flight"
_STOPPED_BETWEEN = "the run was stopped before this turn of the conversation was due"


async def converse(phase: Phase, connection: Connection, unit: Unit, flight: Flight) -> int:
    """Until the last turn has ended, or one has visibly failed: the rest is dropped then. ``flight`` is the first turn, begun already.

    Returns the end of the last turn that was sent. Cancelled, it records what it leaves.
    """
    for turn, ask in enumerate(unit.asks, start=1):
        end_ns, failed = await _finish(phase, connection, flight)
        if turn == len(unit.asks):
            return end_ns
        following = unit.asks[turn]
        due_ns = end_ns + round(following.request.delay_s * 1e9)
        if failed:
            phase.drop(unit.asks[turn:], due_ns, f"turn {ask.request.turn} of the conversation, {ask.request_id}, failed")
            return end_ns
        try:
            await phase.alarm.until(due_ns)
        except asyncio.CancelledError:
            # It was part of the load until now: the conversation was in flight, pausing.
            exchange = Exchange(message=b"", due_ns=due_ns)
            exchange.interrupt(FailureKind.CANCELLED, _STOPPED_BETWEEN)
            phase.left(Flight(ask=following, exchange=exchange, measured=False))
            raise
        flight = phase.begin(connection, following, due_ns)
    return monotonic_ns()


async def _finish(phase: Phase, connection: Connection, flight: Flight) -> tuple[int, bool]:
    exchange = flight.exchange
    failed = False
    try:
        await connection.finish(exchange)
    except asyncio.CancelledError:
        exchange.interrupt(FailureKind.CANCELLED, STOPPED)
        raise
    finally:
        failed = phase.ended(flight)
    assert exchange.end_ns is not None
    return exchange.end_ns, failed

"""Sends when the schedule says so, whatever has become of earlier requests. What cannot be sent is dropped, and recorded as such."""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_dynperf.load.turns import STOPPED, converse
from pytest_dynperf.observation.request_record import FailureKind

if TYPE_CHECKING:
    from pytest_dynperf.load.ask import Unit
    from pytest_dynperf.load.capture import Flight
    from pytest_dynperf.load.connection import Connection
    from pytest_dynperf.load.phase import Phase
    from pytest_dynperf.load.pool import Pool

_IN_ONE_TURN = 16  # of a burst, before the loop reads again
_DRY_NS = 10_000_000


class OpenLoop:
    """``origin_ns`` is the start of the measured phase; offsets of units count from it."""

    def __init__(self, phase: Phase, pool: Pool, *, origin_ns: int) -> None:
        self._phase, self._pool, self._origin_ns = phase, pool, origin_ns
        self._next: Unit | None = None
        self._conversing: dict[asyncio.Task[None], Flight] = {}

    def start(self) -> None:
        """Send what is due, and come back when the next is. A callback of the alarm: waking a task would cost a turn of the loop."""
        if self._phase.stop.done():
            return
        try:
            again_ns = self._send_due()
        except Exception as error:  # noqa: BLE001 a callback has nobody above it: the phase ends with it, whatever it is
            self._phase.fail(error)
            return
        if again_ns is not None:
            self._phase.alarm.at(again_ns, self.start)

    async def close(self) -> None:
        """Cancel what is in flight; it is recorded as such."""
        conversing, first_turns = tuple(self._conversing), tuple(self._conversing.values())
        for task in conversing:
            task.cancel()
        await asyncio.gather(*conversing, return_exceptions=True)
        for flight in first_turns:
            if flight.exchange.end_ns is None:  # its task was cancelled before it had begun
                flight.exchange.interrupt(FailureKind.CANCELLED, STOPPED)
                self._phase.ended(flight)

    def _send_due(self) -> int | None:
        """When to come back; ``None`` when the workload has ended."""
        for _ in range(_IN_ONE_TURN):
            unit = self._next if self._next is not None else self._phase.take()
            if unit is None:
                if not self._phase.exhausted or self._conversing:  # conversations that go on have turns to ask
                    return monotonic_ns() + _DRY_NS
                self._phase.check_supply()
                return None
            assert unit.offset_ns is not None
            due_ns = self._origin_ns + unit.offset_ns
            self._next = unit
            if due_ns > monotonic_ns():
                return due_ns
            self._next = None
            self._send(unit, due_ns)
        return monotonic_ns()

    def _send(self, unit: Unit, due_ns: int) -> None:
        connection = self._pool.take()
        if connection is None:
            self._phase.drop(unit.asks, due_ns, f"{self._pool.limit} requests were in flight, and no more are allowed")
            return
        flight = self._phase.begin(connection, unit.asks[0], due_ns)
        task = asyncio.get_running_loop().create_task(self._converse(connection, unit, flight))
        self._conversing[task] = flight
        task.add_done_callback(self._done)
        self._pool.replenish()

    async def _converse(self, connection: Connection, unit: Unit, flight: Flight) -> None:
        try:
            await converse(self._phase, connection, unit, flight)
        finally:
            self._pool.give_back(connection)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._conversing.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._phase.fail(error)

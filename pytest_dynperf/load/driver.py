"""One load process: its event loop, from opened connections to what was seen.

Warm-up hands over to measurement without draining, and after the last measured request has been sent, load goes on until the last of them
has ended; what is then in flight is cancelled, and recorded as such, unmeasured. The driver owns its event loop, so it is called from
ordinary code.
"""

from __future__ import annotations

import asyncio
import gc
from array import array
from contextlib import contextmanager
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_dynperf.load.alarm import Alarm
from pytest_dynperf.load.board import Column, State
from pytest_dynperf.load.certificate import uncertain_chunks, usage_now, used
from pytest_dynperf.load.chat_request import origin_of, request_head
from pytest_dynperf.load.clock import ClockOffset
from pytest_dynperf.load.closed_loop import occupy
from pytest_dynperf.load.connection import Connection
from pytest_dynperf.load.descriptors import room_for_connections
from pytest_dynperf.load.heartbeat import Heartbeat
from pytest_dynperf.load.open_loop import OpenLoop
from pytest_dynperf.load.phase import Phase
from pytest_dynperf.load.pool import Pool
from pytest_dynperf.load.segment import Segment
from pytest_dynperf.load.transport import Dialer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from pytest_dynperf.load.board import Board
    from pytest_dynperf.load.certificate import Usage
    from pytest_dynperf.load.share import Share
    from pytest_dynperf.load.supply import Supply
    from pytest_dynperf.observation.request_record import RequestRecord

_POLL_S = 0.1
_CLOCK_NS = 1_000_000_000
_MOST_AHEAD = 512
_OPEN_LOOP_LATENCY_S = 1.0  # assumed, for the number of connections that are opened ahead


class Driver:
    """``sink`` gets every record when it was parsed. ``tick`` is called every 100 ms; text from it stops the run. ``agree`` waits until
    all processes are ready, and returns the instant at which they start.
    """

    def __init__(
        self,
        share: Share,
        supply: Supply,
        board: Board,
        *,
        sink: Callable[[RequestRecord], None],
        tick: Callable[[int], str | None],
        agree: Callable[[], Awaitable[int]],
    ) -> None:
        self._share, self._supply, self._board = share, supply, board
        self._sink, self._tick, self._agree = sink, tick, agree
        origin = origin_of(share.endpoint)
        self._head = request_head(share.endpoint, origin)
        self._clock = ClockOffset()
        self._dialer = Dialer(origin, self._clock, ca_file=share.endpoint.ca_file)
        self._receive_lags = array("q")
        self._heartbeat = Heartbeat()
        self._marks = (0, 0)
        self._after: Usage | None = None

    def run(self) -> Segment:
        """The whole phase. What has ended is parsed, and given to ``sink``, on every way out."""
        traffic = self._share.traffic
        wanted = len(self._share.slots) if traffic.arrival.closed else self._share.max_in_flight or 1 << 20
        with room_for_connections(wanted) as room, asyncio.Runner(loop_factory=_new_event_loop) as runner:
            return runner.run(self._conduct(min(wanted, room)))

    async def _conduct(self, limit: int) -> Segment:
        alarm = Alarm()
        phase = Phase(
            self._share, self._supply, self._board, head=self._head, alarm=alarm, sink=self._sink, on_measured=self._measurement_begins
        )
        pool = Pool(self._connection, limit=limit)
        try:
            await pool.open(self._ahead(limit))
            with _resting_collector():
                start_ns = await self._agree()
                try:
                    incident = await self._load(phase, pool, start_ns)
                finally:
                    alarm.close()
                    await pool.close()
        finally:
            alarm.close()
            self._board.rows[self._share.number, Column.BEAT_NS] = monotonic_ns()
            self._board.rows[self._share.number, Column.STATE] = State.PARSING
            phase.captured.parse_all()
        self._clock.sample()
        return self._segment(phase, start_ns, incident)

    async def _load(self, phase: Phase, pool: Pool, start_ns: int) -> str | None:
        self._heartbeat.begin(phase.alarm)
        tasks = [asyncio.create_task(phase.captured.parse_in_turns()), asyncio.create_task(self._watch(phase, pool))]
        open_loop = None
        arrival = self._share.traffic.arrival
        if arrival.closed:
            phase.ramp_end_ns = start_ns + round(arrival.ramp_s * 1e9) if arrival.ramp_s else 0
            tasks += [asyncio.create_task(occupy(phase, pool, slot=slot, start_ns=start_ns)) for slot in self._share.slots]
        else:
            open_loop = OpenLoop(phase, pool, origin_ns=start_ns + self._share.lead_ns)
            open_loop.start()
        for task in tasks:
            task.add_done_callback(lambda task: _report(task, phase))
        try:
            return await phase.stop
        finally:
            self._after = usage_now()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if open_loop is not None:
                await open_loop.close()

    async def _watch(self, phase: Phase, pool: Pool) -> None:
        """Deadlines, the clock, the live line, and whether anything forbids going on."""
        clock_due_ns = monotonic_ns() + _CLOCK_NS
        while True:
            await asyncio.sleep(_POLL_S)
            now_ns = monotonic_ns()
            phase.look(pool.in_use, now_ns)
            if now_ns >= clock_due_ns:
                self._clock.sample()
                clock_due_ns = now_ns + _CLOCK_NS
            if text := self._tick(now_ns):
                phase.end(text)

    def _measurement_begins(self) -> None:
        self._marks = (len(self._receive_lags), len(self._heartbeat.lags_ns))

    def _segment(self, phase: Phase, start_ns: int, incident: str | None) -> Segment:
        received, beaten = self._marks
        return Segment(
            started_ns=start_ns,
            records=tuple(phase.records),
            receive_lags=self._receive_lags[received:].tobytes(),
            loop_lags=self._heartbeat.lags_ns[beaten:].tobytes(),
            uncertain=uncertain_chunks(phase.records, self._heartbeat.stalls),
            usage=used(phase.before, self._after),
            clock_step_s=self._clock.step_s,
            incident=incident,
        )

    def _connection(self) -> Connection:
        traffic = self._share.traffic
        return Connection(
            self._dialer,
            request_timeout_s=traffic.request_timeout_s,
            inter_token_timeout_s=traffic.inter_token_timeout_s,
            lags_ns=self._receive_lags,
            heartbeat=self._heartbeat,
        )

    def _ahead(self, limit: int) -> int:
        """Connections to open before the phase: all of a closed loop's, and what an open loop will hold for a guess."""
        if self._share.traffic.arrival.closed:
            return len(self._share.slots)
        return min(limit, _MOST_AHEAD, 8 + round(self._share.peak_rate_per_s * _OPEN_LOOP_LATENCY_S / self._share.processes))


def _report(task: asyncio.Task[None], phase: Phase) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        phase.fail(error)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # slower, and as true: the stamps are the kernel's
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


@contextmanager
def _resting_collector() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()

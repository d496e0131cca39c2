"""What the closed and the open loop share: which request is measured, what has ended, how it is accounted for, and when it is over."""

from __future__ import annotations

import asyncio
import os
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_dynperf.load.board import Board, Column
from pytest_dynperf.load.capture import Captured, Flight, glance
from pytest_dynperf.load.certificate import LATE_NS, Usage, usage_now
from pytest_dynperf.load.chat_request import request_message
from pytest_dynperf.load.connection import Connection, Exchange
from pytest_dynperf.load.record import record_of
from pytest_dynperf.observation.completeness import failure
from pytest_dynperf.observation.request_record import FailureKind, RequestRecord
from pytest_dynperf.secret import known_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_dynperf.load.alarm import Alarm
    from pytest_dynperf.load.ask import Ask, Unit
    from pytest_dynperf.load.share import Share
    from pytest_dynperf.load.supply import Supply

_FEWEST_FAILURES = 20
_DRY_S = 0.01


class Phase:
    """State of one load process. Everything happens in one thread, inside its event loop.

    ``stop`` becomes the incident that ended the phase, or ``None`` where all measured requests of all processes have ended. ``records``
    holds what was parsed, in that order. ``before`` is the usage at the first measured send, and ``on_measured`` is called then.
    """

    def __init__(
        self,
        share: Share,
        supply: Supply,
        board: Board,
        *,
        head: bytes,
        alarm: Alarm,
        sink: Callable[[RequestRecord], None],
        on_measured: Callable[[], None],
    ) -> None:
        self.share, self.alarm = share, alarm
        self.stop: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.records: list[RequestRecord] = []
        self.captured = Captured(self._account)
        self.before: Usage | None = None
        self.ramp_end_ns = 0
        self._supply, self._board, self._row = supply, board, board.rows[share.number]
        self._head, self._sink, self._on_measured = head, sink, on_measured
        self._warmup_left, self._measured_left = share.warmup, share.measured
        self._events_ended = 0
        self._failed_in_a_row: list[RequestRecord] = []
        endpoint = share.endpoint
        self._secrets = known_secrets(os.environ, variables=(endpoint.api_key_variable,), headers=endpoint.headers)

    # What is asked.

    def take(self) -> Unit | None:
        """The next unit of work, if there is one now."""
        unit = self._supply.take()
        if unit is not None:
            self._row[Column.TAKEN] += 1
        return unit

    async def next_unit(self) -> Unit | None:
        """The next unit of work; ``None`` when the workload has come to its end."""
        while (unit := self.take()) is None:
            if self.exhausted:
                self.check_supply()
                return None
            await asyncio.sleep(_DRY_S)
        return unit

    @property
    def exhausted(self) -> bool:
        """Whether :meth:`take` will never have anything again."""
        return self._supply.exhausted

    def check_supply(self) -> None:
        """End where nothing more can be asked, although measured requests have not been asked yet."""
        if self.exhausted and self._measured_left:
            self.end(
                f"the workload ended with {self._measured_left} measured requests still to be asked (the ramp took more than was there): "
                "give it more requests, or ask for fewer"
            )

    def begin(self, connection: Connection, ask: Ask, due_ns: int) -> Flight:
        """Send now, if the connection is open; otherwise ``connection.finish`` opens it and sends."""
        message = request_message(self._head, ask.body, request_id=ask.request_id, conversation=ask.request.conversation)
        flight = Flight(ask=ask, exchange=Exchange(message=message, due_ns=due_ns), measured=self._is_measured())
        if connection.is_open:
            connection.send(flight.exchange)
        self._row[Column.SENT] += 1
        self._row[Column.IN_FLIGHT] += 1
        if flight.measured and self.before is None:
            self.before = usage_now()
            self._on_measured()
        return flight

    def _is_measured(self) -> bool:
        if self.ramp_end_ns and monotonic_ns() < self.ramp_end_ns:
            return False
        if self._warmup_left:
            self._warmup_left -= 1
            return False
        if self._measured_left:
            self._measured_left -= 1
            return True
        return False

    # What has happened.

    def ended(self, flight: Flight) -> bool:
        """Account for an exchange that has ended in whatever way; whether it may have failed."""
        exchange, row = flight.exchange, self._row
        row[Column.IN_FLIGHT] -= 1
        row[Column.ENDED] += 1
        self._events_ended += exchange.stream.events
        seen = glance(exchange)
        if seen.tokens is not None:
            row[Column.RATIO_TOKENS] += seen.tokens
            row[Column.RATIO_EVENTS] += exchange.stream.events
        if not seen.suspicious:
            self._failed_in_a_row.clear()
        if not self.share.traffic.arrival.closed and flight.measured and (exchange.sent_ns or 0) - exchange.due_ns > LATE_NS:
            row[Column.LATE] += 1
        self.captured.add(flight, urgent=seen.suspicious)
        if flight.measured:
            self._measured_ended()
        return seen.suspicious

    def left(self, flight: Flight) -> None:
        """Account for a turn of a conversation that was waiting for its time when the phase stopped."""
        self.captured.add(flight, urgent=True)

    def drop(self, asks: Iterable[Ask], due_ns: int, reason: str) -> None:
        """Record what is not sent."""
        for position, ask in enumerate(asks):
            if position:
                due_ns += round(ask.request.delay_s * 1e9)
            request, measured = ask.request, self._is_measured()
            record = RequestRecord(
                request_id=ask.request_id,
                run=self.share.run,
                index=request.index,
                measured=measured,
                isl_requested=request.isl,
                osl_requested=request.osl,
                conversation=request.conversation,
                turn=request.turn,
                scheduled_ns=due_ns,
                error=failure(FailureKind.DROPPED, reason),
                item=request.item,
                subject=request.subject,
                expected=request.expected,
            )
            self.records.append(record)
            self._sink(record)
            if measured:
                self._row[Column.DROPPED] += 1
                self._measured_ended()

    def look(self, connections: Iterable[Connection], now_ns: int) -> None:
        """Apply the deadlines, and refresh the board. Called now and then."""
        events = self._events_ended
        for connection in tuple(connections):
            connection.expire(now_ns)
            events += connection.events_in_flight
        self._row[Column.EVENTS] = events
        self._row[Column.BEAT_NS] = now_ns
        self._check_end()
        if self._board.common[Column.STOP]:
            self.end(None)

    def _account(self, flight: Flight) -> RequestRecord:
        record = record_of(
            flight.exchange,
            flight.ask.request,
            request_id=flight.ask.request_id,
            run=self.share.run,
            measured=flight.measured,
            ignore_eos=self.share.traffic.ignore_eos,
            keep_text=self.share.traffic.keep_text,
            secrets=self._secrets,
        )
        flight.exchange.stream.discard()
        self.records.append(record)
        self._sink(record)
        if record.error is not None and record.error.kind is not FailureKind.CANCELLED:
            self._row[Column.ERRORS] += 1
            self._count_failure(record)
        return record

    def _count_failure(self, record: RequestRecord) -> None:
        self._failed_in_a_row.append(record)
        traffic = self.share.traffic
        load = len(self.share.slots) if traffic.arrival.closed else traffic.arrival.mean_rate_per_s or 0.0
        first = self._failed_in_a_row[0]
        most = traffic.max_failures_in_a_row or max(_FEWEST_FAILURES, 2 * load)
        if len(self._failed_in_a_row) >= most and first.error is not None:
            count = len(self._failed_in_a_row)
            self.end(f"{count} requests failed in a row; the first, {first.request_id}: {first.error.kind.value}: {first.error.detail}")

    # How it ends.

    def end(self, incident: str | None) -> None:
        """Stop now, unless stopped."""
        if not self.stop.done():
            self.stop.set_result(incident)

    def fail(self, error: BaseException) -> None:
        """Stop now with an exception, unless stopped."""
        if not self.stop.done():
            self.stop.set_exception(error)

    def _measured_ended(self) -> None:
        self._row[Column.MEASURED_ENDED] += 1
        self._check_end()

    def _check_end(self) -> None:
        if self._board.total(Column.MEASURED_ENDED) >= self.share.measured_total:
            self.end(None)

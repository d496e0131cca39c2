"""One keep-alive connection, and one exchange at a time on it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_dynperf.load.heartbeat import Heartbeat
from pytest_dynperf.load.http_stream import ResponseStream
from pytest_dynperf.load.sse import read_stream
from pytest_dynperf.observation.completeness import failure
from pytest_dynperf.observation.request_record import Failure, FailureKind, Stamp

if TYPE_CHECKING:
    from array import array

    from pytest_dynperf.load.transport import Dialer, Transport

_STALE_NS = 1_000_000_000
"""A server that gives up an idle connection does so before it has seen our request: the close reaches us within one round trip. One that
closes later than this had the request, and lost it."""


_QUIET_NS = 100_000_000
"""Silence after which a connection is looked at without having been announced."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and what came back, while it happens and after. ``end_ns`` is set last."""

    message: bytes
    due_ns: int
    sent_ns: int | None = None
    connecting_since_ns: int | None = None
    connecting_ns: int | None = None
    end_ns: int | None = None
    stream: ResponseStream = field(default_factory=ResponseStream)
    interruption: Failure | None = None
    reused: bool | None = None
    stamp: Stamp = Stamp.USER
    largest_lag_ns: int | None = None
    token_ns: int = 0
    """The last instant at which something like a token was seen, or the send."""

    def interrupt(self, kind: FailureKind, detail: str) -> None:
        """End it now, unless it has ended."""
        if self.end_ns is None:
            self.interruption = failure(kind, detail)
            self.end_ns = monotonic_ns()


class Connection:
    """Sends and receives for one slot of the closed loop. Also the :class:`~pytest_dynperf.load.transport.Receiver` of its transport.

    ``lags_ns`` collects user minus kernel stamp of every read, and ``heartbeat`` is told of reads that prove the loop to be there.
    """

    def __init__(
        self,
        dialer: Dialer,
        *,
        request_timeout_s: float,
        inter_token_timeout_s: float,
        lags_ns: array[int],
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._dialer = dialer
        self._request_timeout_s = request_timeout_s
        self._inter_token_timeout_s = inter_token_timeout_s
        self._add_lag = lags_ns.append
        self._heartbeat = heartbeat or Heartbeat()
        self._transport: Transport | None = None
        self._exchange: Exchange | None = None
        self._ended: asyncio.Future[None] | None = None
        self._carried = 0
        self._may_be_stale = False

    @property
    def is_open(self) -> bool:
        """Whether :meth:`send` may be called."""
        return self._transport is not None

    @property
    def events_in_flight(self) -> int:
        """``data:`` lines received so far by the request in flight."""
        return self._exchange.stream.events if self._exchange is not None else 0

    async def open(self) -> None:
        """Dial, unless open.

        :raises OSError: when the server cannot be reached; TimeoutError when it does not answer within the shorter of the two deadlines.
        """
        if self._transport is None:
            limit_s = min(self._request_timeout_s, self._inter_token_timeout_s)
            try:
                async with asyncio.timeout(limit_s):
                    self._transport = await self._dialer.dial(self)
            except TimeoutError as error:
                msg = f"no connection within {limit_s:g} s"
                raise TimeoutError(msg) from error
            self._carried = 0

    def send(self, exchange: Exchange) -> None:
        """Stamp and send on the open connection. Returns at once; :meth:`finish` waits."""
        self._send(exchange, may_be_stale=True)

    def _send(self, exchange: Exchange, *, may_be_stale: bool) -> None:
        assert self._transport is not None
        self._exchange = exchange
        self._ended = asyncio.get_running_loop().create_future()
        self._may_be_stale = may_be_stale
        exchange.reused = self._carried > 0
        exchange.stamp = self._transport.stamp
        self._carried += 1
        now_ns = monotonic_ns()
        if exchange.connecting_since_ns is None:
            exchange.sent_ns = now_ns
        else:
            exchange.sent_ns = exchange.connecting_since_ns
            exchange.connecting_ns = now_ns - exchange.connecting_since_ns
        exchange.token_ns = now_ns
        self._transport.send(exchange.message)

    async def finish(self, exchange: Exchange) -> None:
        """Until the exchange has ended, in whatever way. Opens a connection and sends where :meth:`send` was not possible.

        An open connection that the server gives up before the first byte of an answer is replaced once; the send is stamped again.
        """
        if exchange.sent_ns is not None:
            await self._wait()
            if exchange.end_ns is not None:
                return
            exchange.sent_ns = None  # the connection was stale
        if not self.is_open:
            exchange.connecting_since_ns = monotonic_ns()
        try:
            await self.open()
        except OSError as error:  # includes TimeoutError
            kind = FailureKind.TIMEOUT if isinstance(error, TimeoutError) else FailureKind.CONNECTION
            exchange.interrupt(kind, f"cannot connect: {_text(error)}")
            return
        self._send(exchange, may_be_stale=False)
        await self._wait()

    def expire(self, now_ns: int) -> None:
        """Apply the deadlines to the request in flight. Called now and then."""
        exchange = self._exchange
        if exchange is None or exchange.sent_ns is None:
            return
        if self._transport is not None and now_ns - max(exchange.sent_ns, exchange.stream.last_read_ns) > _QUIET_NS:
            self._transport.look()
            if exchange.end_ns is not None:
                return
        if now_ns - exchange.sent_ns > self._request_timeout_s * 1e9:
            self._interrupt(FailureKind.TIMEOUT, f"not complete {self._request_timeout_s:g} s after it was sent")
        elif now_ns - self._token_ns(exchange, now_ns, self._inter_token_timeout_s * 1e9) > self._inter_token_timeout_s * 1e9:
            self._interrupt(FailureKind.TIMEOUT, f"no token for {self._inter_token_timeout_s:g} s")

    def close(self) -> None:
        """Drop the connection, and with it whatever is in flight. May be called again."""
        transport, self._transport = self._transport, None
        self._exchange = None
        if transport is not None:
            transport.close()

    # Called by the transport.

    def received(self, data: bytes | memoryview, stamp_ns: int, lag_ns: int | None) -> None:
        """One read."""
        exchange = self._exchange
        if exchange is None:  # nobody asked: the connection cannot be trusted with another request
            self.close()
            return
        if lag_ns is None:
            exchange.stamp = Stamp.USER
        else:
            self._add_lag(lag_ns)
            if stamp_ns > self._heartbeat.wanted_ns:
                self._heartbeat.alive(stamp_ns + lag_ns, lag_ns)
            if exchange.largest_lag_ns is None or lag_ns > exchange.largest_lag_ns:
                exchange.largest_lag_ns = lag_ns
        stream = exchange.stream
        stream.feed(data, stamp_ns)
        if stream.complete:
            self._end(exchange, stamp_ns)
        elif stream.malformed is not None:
            self._interrupt(FailureKind.MALFORMED, stream.malformed)

    def lost(self, error: Exception | None) -> None:
        """The peer is gone: the end of a body without a length, a stale connection, or a failure."""
        self._transport = None
        exchange = self._exchange
        if exchange is None or exchange.sent_ns is None:
            return
        now_ns = monotonic_ns()
        stream = exchange.stream
        if error is None:
            stream.end_of_input()
        if stream.complete:
            self._end(exchange, now_ns)
        elif self._may_be_stale and stream.first_byte_ns is None and now_ns - exchange.sent_ns < _STALE_NS:
            self._exchange = None
            self._resolve()
        else:
            what = "closed the connection" if error is None else f"broke the connection ({_text(error)})"
            when = "before the first byte of an answer" if stream.first_byte_ns is None else f"after {stream.body_bytes} bytes of body"
            self._interrupt(FailureKind.CONNECTION, f"the server {what} {when}")

    def _end(self, exchange: Exchange, end_ns: int) -> None:
        exchange.end_ns = end_ns
        self._exchange = None
        if not exchange.stream.reusable or (self._transport is not None and self._transport.sending()):
            self.close()
        self._resolve()

    def _interrupt(self, kind: FailureKind, detail: str) -> None:
        if self._exchange is not None:
            self._exchange.interrupt(kind, detail)
        self.close()
        self._resolve()

    def _resolve(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def _wait(self) -> None:
        assert self._ended is not None
        await self._ended

    @staticmethod
    def _token_ns(exchange: Exchange, now_ns: int, limit_ns: float) -> int:
        stream = exchange.stream
        exchange.token_ns = max(exchange.token_ns, stream.last_data_ns or 0)
        if now_ns - exchange.token_ns > limit_ns:
            # The stream looks for a whole "data:" in each piece, which may be split over two: before a verdict, parse.
            exchange.token_ns = max(exchange.token_ns, read_stream(stream.pieces).last_event_ns or 0)
        return exchange.token_ns


def _text(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

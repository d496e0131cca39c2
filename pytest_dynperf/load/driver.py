"""LOAD: requests in, a recording out. A closed loop: exactly C requests in flight, from the first to the end of the last measured one.

Warm-up hands over to measurement without draining, and after the last measured request has been sent, load goes on until the last of them
has ended; what is then in flight is cancelled, and recorded as such, unmeasured. The driver owns its event loop, so it is called from
ordinary code.
"""

from __future__ import annotations

import asyncio
import gc
import uuid
from array import array
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_dynperf.errors import RunDirectoryError, WorkloadError
from pytest_dynperf.load.certificate import Usage, certify, usage_now, window_of
from pytest_dynperf.load.chat_request import origin_of, request_bytes, request_head
from pytest_dynperf.load.clock import ClockOffset
from pytest_dynperf.load.connection import Connection, Exchange
from pytest_dynperf.load.record import record_of
from pytest_dynperf.load.transport import Dialer
from pytest_dynperf.observation.record_file import encode
from pytest_dynperf.observation.recording import Recording
from pytest_dynperf.observation.request_record import FailureKind, RequestRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.scenario.traffic import Traffic
    from pytest_dynperf.workload.request import Request

_POLL_S = 0.1
_PROGRESS_NS = 500_000_000
_CLOCK_NS = 1_000_000_000
_RATE_READINGS = 4  # of _PROGRESS_NS: tokens per second over the last two seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Of a run that is going on: measured requests that ended, of how many.

    ``tokens_per_s`` is the rate over the last two seconds, ``None`` until a request has ended and told how many tokens its chunks carry.
    """

    run: str
    done: int
    total: int
    tokens_per_s: float | None
    elapsed_s: float


def run_closed_loop(
    endpoint: Endpoint,
    requests: Iterator[Request],
    traffic: Traffic,
    *,
    run: str,
    records_path: Path | None,
    progress: Callable[[Progress], None] | None = None,
    incident: Callable[[], str | None] | None = None,
) -> Recording:
    """One run: ``traffic.warmup_count`` requests, then ``traffic.request_count`` measured ones, ``traffic.concurrency`` in flight.

    ``incident`` is polled every 100 ms: text from it stops the run at once (what is in flight ends as CANCELLED) and stands in
    ``Recording.incidents``. So does a row of max(20, 2 x concurrency) failures, so a server that is down is not hammered. ``progress`` is
    called at most twice a second. Both must be quick: they run between the events of the loop. Deadlines are applied every 100 ms.
    ``records_path`` is replaced, and gets each record as its request ends, with a flush, so a killed run leaves what it saw. The garbage
    collector rests during the run. A failed request raises nothing: it is a record with an ``error``.

    :raises EndpointError: when the base URL cannot be asked.
    :raises UsageError: when a header or the body cannot be sent as configured.
    :raises WorkloadError: when ``requests`` ends before the last measured one.
    :raises RunDirectoryError: when records cannot be written.
    """
    loop = _ClosedLoop(endpoint, requests, traffic, run=run, progress=progress, incident=incident)
    with _record_file(records_path) as file, asyncio.Runner(loop_factory=_new_event_loop) as runner:
        return runner.run(loop.conduct(file))


@dataclass(slots=True, kw_only=True)
class _Ask:
    request: Request
    request_id: str
    message: bytes
    position: int
    """Among all requests of the run; negative during warm-up."""
    measured: bool


def staggered_osl(osl: int, slot: int, concurrency: int) -> int:
    """OSL of the first request in a slot: slot k of C asks for (k + 1)/C of the length.

    Equal requests that start together stay together: an engine that batches prefills and decodes them in step, for ever, or does not, by
    chance (two modes a tenth apart in ITL and nearly a factor of two in TTFT, on Dynamo's mocker at concurrency 4 over two workers). A
    staggered first wave starts at all stages at once, which is what a server in use looks like.
    """
    return max(1, round(osl * (slot + 1) / concurrency))


class _ClosedLoop:
    """State of one run. Everything happens in one thread."""

    def __init__(
        self,
        endpoint: Endpoint,
        requests: Iterator[Request],
        traffic: Traffic,
        *,
        run: str,
        progress: Callable[[Progress], None] | None,
        incident: Callable[[], str | None] | None,
    ) -> None:
        self._endpoint, self._requests, self._traffic, self._run = endpoint, requests, traffic, run
        self._progress, self._incident = progress, incident
        origin = origin_of(endpoint)
        self._head = request_head(endpoint, origin)
        self._asked = 0
        self._prepared = self._prepare()
        self._clock = ClockOffset()
        self._lags_ns = array("q")
        dialer = Dialer(origin, self._clock)
        limits = {"request_timeout_s": traffic.request_timeout_s, "inter_token_timeout_s": traffic.inter_token_timeout_s}
        self._connections = [Connection(dialer, **limits, lags_ns=self._lags_ns) for _ in range(traffic.concurrency)]
        self._unfinished = traffic.request_count
        self._records: list[tuple[int, RequestRecord]] = []
        self._failed_in_a_row: list[RequestRecord] = []
        self._before: Usage | None = None
        self._after: Usage | None = None
        self._tokens = self._token_events = 0
        self._ended: asyncio.Queue[tuple[_Ask, Exchange]] = asyncio.Queue()
        self._file: BinaryIO | None = None
        self._stop: asyncio.Future[str | None] | None = None

    async def conduct(self, file: BinaryIO | None) -> Recording:
        self._file = file
        self._stop = stop = asyncio.get_running_loop().create_future()
        # A server that cannot be reached yet fails its requests, each with its reason, and not the run.
        await asyncio.gather(*(connection.open() for connection in self._connections), return_exceptions=True)
        with _resting_collector():
            started_ns = monotonic_ns()
            tasks = [asyncio.create_task(self._slot(connection)) for connection in self._connections]
            tasks += [asyncio.create_task(self._accounts()), asyncio.create_task(self._watch(started_ns))]
            for task in tasks:
                task.add_done_callback(self._task_ended)
            try:
                incident = await stop
            finally:
                self._after = usage_now()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                for connection in self._connections:
                    connection.close()
        while not self._ended.empty():
            self._account(*self._ended.get_nowait())
        self._clock.sample()
        return self._recording(started_ns, incident)

    def _recording(self, started_ns: int, incident: str | None) -> Recording:
        records = tuple(record for _, record in sorted(self._records, key=lambda entry: entry[0]))
        window_ns = window_of(records, fallback_ns=started_ns)
        step_s = self._clock.step_s
        certificate = certify(
            records, window_ns=window_ns, lags_ns=self._lags_ns, before=self._before, after=self._after, clock_step_s=step_s
        )
        return Recording(
            run=self._run,
            records=records,
            window_start_ns=window_ns[0],
            window_end_ns=window_ns[1],
            concurrency=self._traffic.concurrency,
            certificate=certificate,
            incidents=() if incident is None else (incident,),
        )

    # What is asked.

    def _prepare(self) -> deque[_Ask]:
        needed = self._traffic.warmup_count + self._traffic.request_count
        prepared: deque[_Ask] = deque()
        # One more for each slot: load goes on after the last measured request was sent.
        while len(prepared) < needed + self._traffic.concurrency and (ask := self._make_ask()) is not None:
            prepared.append(ask)
        if len(prepared) < needed:
            msg = f"run {self._run} needs {needed} requests, warm-up included, and the workload has {len(prepared)}"
            raise WorkloadError(msg)
        return prepared

    def _make_ask(self) -> _Ask | None:
        request = next(self._requests, None)
        if request is None:
            return None
        position = self._asked - self._traffic.warmup_count
        if self._asked < min(self._traffic.concurrency, self._traffic.warmup_count):
            request = replace(request, osl=staggered_osl(request.osl, self._asked, self._traffic.concurrency))
        self._asked += 1
        request_id = uuid.uuid4().hex
        return _Ask(
            request=request,
            request_id=request_id,
            message=request_bytes(self._head, self._endpoint, request, self._traffic, request_id),
            position=position,
            measured=0 <= position < self._traffic.request_count,
        )

    # What happens.

    async def _slot(self, connection: Connection) -> None:
        """One of the C requests in flight: ask, hear, and ask again at once."""
        due_ns = monotonic_ns()
        while (ask := self._prepared.popleft() if self._prepared else self._make_ask()) is not None:
            exchange = Exchange(message=ask.message, due_ns=due_ns)
            if connection.is_open:
                connection.send(exchange)
            if ask.position == 0:
                self._before = usage_now()
            try:
                await connection.finish(exchange)
            except asyncio.CancelledError:
                exchange.interrupt(FailureKind.CANCELLED, "the run was stopped while the request was in flight")
                raise
            finally:
                self._ended.put_nowait((ask, exchange))
            assert exchange.end_ns is not None
            due_ns = exchange.end_ns
            if ask.measured:
                self._unfinished -= 1
                if not self._unfinished:
                    self._end(None)
            if self._stop is not None and self._stop.done():
                break

    async def _accounts(self) -> None:
        """Parse what ended, one request in each turn of the loop: sends that are due go first."""
        while True:
            self._account(*await self._ended.get())
            await asyncio.sleep(0)

    def _account(self, ask: _Ask, exchange: Exchange) -> None:
        record = record_of(
            exchange, ask.request, request_id=ask.request_id, run=self._run, measured=ask.measured, ignore_eos=self._traffic.ignore_eos
        )
        self._token_events += exchange.stream.events
        self._tokens += record.completion_tokens or 0
        exchange.stream.discard()
        self._records.append((ask.position, record))
        if self._file is not None:
            try:
                self._file.write(encode(record))
                self._file.flush()
            except OSError as error:
                msg = (
                    f"cannot write request records to {self._file.name}: {error.strerror or error}. Make room or choose another directory."
                )
                raise RunDirectoryError(msg) from error
        self._count_failures(record)

    def _count_failures(self, record: RequestRecord) -> None:
        if record.error is None:
            self._failed_in_a_row.clear()
        elif record.error.kind is not FailureKind.CANCELLED:
            self._failed_in_a_row.append(record)
            if len(self._failed_in_a_row) >= max(20, 2 * self._traffic.concurrency):
                first = self._failed_in_a_row[0]
                assert first.error is not None
                count = len(self._failed_in_a_row)
                self._end(
                    f"{count} requests failed in a row; the first, {first.request_id}: {first.error.kind.value}: {first.error.detail}"
                )

    async def _watch(self, started_ns: int) -> None:
        """Deadlines, the clock, the live line, and whether anything forbids going on."""
        clock_due_ns, progress_due_ns = started_ns + _CLOCK_NS, started_ns + _PROGRESS_NS
        readings: deque[tuple[int, int]] = deque([(started_ns, 0)], maxlen=_RATE_READINGS + 1)
        while True:
            await asyncio.sleep(_POLL_S)
            now_ns = monotonic_ns()
            for connection in self._connections:
                connection.expire(now_ns)
            if now_ns >= clock_due_ns:
                self._clock.sample()
                clock_due_ns = now_ns + _CLOCK_NS
            if self._progress is not None and now_ns >= progress_due_ns:
                readings.append((now_ns, self._token_events + sum(connection.events_in_flight for connection in self._connections)))
                self._progress(self._progress_now(started_ns, readings))
                progress_due_ns = now_ns + _PROGRESS_NS
            if self._incident is not None and (text := self._incident()):
                self._end(text)

    def _progress_now(self, started_ns: int, readings: deque[tuple[int, int]]) -> Progress:
        (then_ns, then), (now_ns, now) = readings[0], readings[-1]
        # An event may carry several tokens, or none; what ended tells how many it is on average.
        tokens_per_event = self._tokens / self._token_events if self._token_events and self._tokens else None
        total = self._traffic.request_count
        return Progress(
            run=self._run,
            done=total - self._unfinished,
            total=total,
            tokens_per_s=None if tokens_per_event is None else max(0, now - then) * tokens_per_event / (now_ns - then_ns) * 1e9,
            elapsed_s=(now_ns - started_ns) / 1e9,
        )

    # How it ends.

    def _end(self, incident: str | None) -> None:
        if self._stop is not None and not self._stop.done():
            self._stop.set_result(incident)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and self._stop is not None and not self._stop.done():
            self._stop.set_exception(error)


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


@contextmanager
def _record_file(path: Path | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    except OSError as error:
        msg = f"cannot write request records to {path}: {error.strerror or error}. Make room or choose another directory."
        raise RunDirectoryError(msg) from error
    try:
        yield file
    finally:
        with suppress(OSError):  # a full disk was reported when the record was written
            file.close()
